//! Why there is no comparison.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::net::conninfo::ConninfoError;
use crate::net::{CommandError, ConnectError, ConnectionError};
use crate::pg::OsError;
use crate::protocol::ProtocolError;

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file or directory could not be worked with.
    #[error("could not {action} \"{}\": {}", .path.display(), OsError(.source))]
    File {
        /// What was tried, as in "create directory".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program could not be started or watched.
    #[error("could not run program \"{}\": {}", .program.display(), OsError(.source))]
    Program {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program failed.
    #[error("program \"{}\" failed ({status}): {said}", .program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// What it said on standard error, the end of it.
        said: String,
    },
    /// PostgreSQL's programs are not there.
    #[error("could not find PostgreSQL's program \"{0}\"")]
    NoOriginal(&'static str),
    /// A program gave an answer that cannot be read.
    #[error("could not make out the answer of {program}: \"{answer}\"")]
    Answer {
        /// The program's name.
        program: &'static str,
        /// What it printed.
        answer: String,
    },
    /// The file system has too little room.
    #[error(
        "too little room in directory \"{}\": {} MB are needed, {} MB are available",
        .directory.display(), .needed_bytes / 1_000_000, .available_bytes / 1_000_000
    )]
    Room {
        /// A directory on the file system.
        directory: PathBuf,
        /// How much is needed.
        needed_bytes: u64,
        /// How much there is.
        available_bytes: u64,
    },
    /// There is no user as whom servers could run; PostgreSQL refuses to run as root.
    #[error(
        "could not find user \"{0}\", as whom a server can run when the benchmark is run by root"
    )]
    NoServerUser(&'static str),
    /// No certificate could be made.
    #[error("could not make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A part needs a server to itself.
    #[error("cannot measure part \"{0}\" on a given server")]
    PrivateOnly(&'static str),
    /// The given server already waits for synchronous standbys.
    #[error("cannot measure part \"standby\": synchronous_standby_names is set on the server")]
    HasStandbys,
    /// A receiver did not receive everything.
    #[error("only {received} of {expected} segments were received")]
    Incomplete {
        /// How many it completed.
        received: u64,
        /// How many there were.
        expected: u64,
    },
    /// The connection string of the given server is wrong.
    #[error(transparent)]
    Conninfo(#[from] ConninfoError),
    /// The baseline could not connect.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The baseline lost its connection.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The baseline's command was refused.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The server did not keep to the protocol.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The server ended before its stream did.
    #[error("server shut down")]
    ServerShutDown,
    /// The user interrupted it.
    #[error("received interrupt signal, exiting")]
    Interrupted,
}
