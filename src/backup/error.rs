//! Why there is no backup.

use std::fmt;

use crate::archive::MemberError;
use crate::manifest::{Finding, ManifestError};
use crate::net::{ClusterError, ConnectionError};
use crate::pg::{MemberPath, OsError};
use crate::protocol::ServerMessage;
use crate::storage::{ClaimError, ExtractError, StorageError};
use crate::wal::WalError;

/// A base backup failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The server is too old or too new.
    #[error("incompatible server version {0}")]
    ServerVersion(String),
    /// The server refused, broke the protocol, or is gone.
    #[error("{phase}: {source}")]
    Stream {
        /// What was going on.
        phase: Phase,
        /// What happened.
        source: ConnectionError,
    },
    /// The server does not say what it is.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A directory cannot be filled.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// Several archives cannot go to one pipe.
    #[error("can only write single tablespace to stdout, database has {0}")]
    SeveralTablespaces(usize),
    /// A tar archive is not what the server must send.
    #[error("{0}")]
    Archive(MemberError),
    /// The archives ended too early or too late.
    #[error("{0}")]
    ArchiveShape(&'static str),
    /// A member has a name that is ours to give.
    #[error("unexpected file \"{0}\" in archive")]
    ReservedName(MemberPath),
    /// A member was refused.
    #[error(transparent)]
    Extract(ExtractError),
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A thread could not be started.
    #[error("could not create thread: {}", OsError(.0))]
    Thread(std::io::Error),
    /// The WAL beside the backup is not complete.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// The manifest cannot be read.
    #[error(transparent)]
    Manifest(ManifestError),
    /// What was received is not what the manifest says. The files are kept.
    #[error("{}", Damage(.0, *.1))]
    Damaged(Vec<Finding>, u64),
    /// The server found damaged pages while it sent them. The files are kept.
    #[error("checksum error occurred")]
    PageChecksums(Box<ServerMessage>),
    /// The user asked to stop.
    #[error("backup was interrupted")]
    Interrupted,
    /// The backup is complete, but for the names of its directories and its manifest. The files are kept.
    #[error(transparent)]
    Commit(StorageError),
    /// The server puts backups nowhere but here.
    #[error("backup targets are not supported by this server version")]
    TargetNotSupported,
    /// What the server keeps, we cannot change.
    #[error("recovery configuration cannot be written when a backup target is used")]
    StandbyOnServer,
    /// The server does not compress.
    #[error("server does not support server-side compression")]
    ServerCompressionNotSupported,
    /// The manifest would have to follow the last member of an archive that the server has closed.
    #[error("cannot inject manifest into a compressed tar file")]
    ManifestIntoCompressed,
    /// An archive cannot be decompressed.
    #[error("{0}")]
    Decompress(String),
    /// WAL cannot go to the same pipe as the archive.
    #[error("cannot stream write-ahead logs in tar mode to stdout")]
    WalToStdout,
}

impl BackupError {
    /// Says whether the files stay although the backup failed: where they are all there, and a look at
    /// them may be worth more than the space.
    pub fn keeps_files(&self) -> bool {
        matches!(
            self,
            BackupError::Damaged(..) | BackupError::PageChecksums(_) | BackupError::Commit(_)
        )
    }

    /// Returns what the user can do about it, if that is not plain.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            BackupError::Damaged(..) => {
                Some("The files are kept for inspection; do not use them as a backup.")
            }
            BackupError::ManifestIntoCompressed => Some(
                "Use client-side compression, send the output to a directory rather than standard \
                 output, or use --no-manifest.",
            ),
            _ => None,
        }
    }
}

/// What was being read from the server when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for the checkpoint.
    Initiating,
    /// Reading the list of tablespaces.
    Header,
    /// Receiving archives and manifest.
    Data,
    /// Waiting for the end position.
    End,
    /// Waiting for the server's verdict.
    Verdict,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Initiating => "could not initiate base backup",
            Phase::Header => "could not get backup header",
            Phase::Data => "could not read COPY data",
            Phase::End => "backup failed",
            Phase::Verdict => "final receive failed",
        })
    }
}

/// Prints findings, one a line.
struct Damage<'a>(&'a [Finding], u64);

impl fmt::Display for Damage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage(findings, omitted) = self;
        for (index, finding) in findings.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{finding}")?;
        }
        match omitted {
            0 => Ok(()),
            more => write!(f, "\n{more} further differences are not shown"),
        }
    }
}
