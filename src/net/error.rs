//! Why there is no connection, or no longer one. Texts follow libpq's `fe-connect.c`.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::WrongSession;
use super::gss::GssError;
use super::stream::is_hang_up;
use super::tls::TlsError;
use crate::pg::OsError;
use crate::protocol::{ProtocolError, ServerMessage, StartupError};

/// SQLSTATE of a wrong password, `ERRCODE_INVALID_PASSWORD`.
const INVALID_PASSWORD: &str = "28P01";

/// None of the servers could be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", attempts.iter().map(FailedAttempt::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConnectError {
    /// What happened with each server that was tried, in order; never empty.
    pub attempts: Vec<FailedAttempt>,
}

impl ConnectError {
    /// Says whether the connection failed only because there was no password, so that asking for one
    /// may help.
    pub fn needs_password(&self) -> bool {
        matches!(
            self.attempts.last(),
            Some(FailedAttempt { problem: Problem::Startup(StartupError::PasswordRequired), .. })
        )
    }
}

/// A server that could not be used.
#[derive(Debug)]
pub struct FailedAttempt {
    /// The server, as messages call it.
    pub server: String,
    /// What went wrong.
    pub problem: Problem,
    /// The file from which the password came, if it came from one.
    pub passfile: Option<PathBuf>,
}

/// What can go wrong with one server.
#[derive(Debug)]
pub enum Problem {
    /// The host's name has no address.
    Lookup(io::Error),
    /// Nobody listens there.
    Connect {
        /// What the operating system said.
        source: io::Error,
        /// Whether it was tried over a Unix-domain socket.
        over_socket: bool,
    },
    /// The socket cannot be what the user wants.
    SocketOption {
        /// The option's name.
        name: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// It took longer than `connect_timeout`.
    TimedOut,
    /// The server's process is not of the account that it should be.
    Peer(PeerError),
    /// TLS did not come about.
    Tls(TlsError),
    /// GSSAPI did not work out.
    Gss(GssError),
    /// The server hung up, or the socket failed.
    Lost(ConnectionError),
    /// The server refused, or does not speak the protocol.
    Startup(StartupError),
    /// The session is not of the kind that is wanted.
    WrongSession(WrongSession),
}

/// The server's process is not known to be of the account that `requirepeer` names.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The system does not tell.
    #[error("could not get peer credentials: {}", OsError(.0))]
    Credentials(io::Error),
    /// The account has no name.
    #[error("local user with ID {0} does not exist")]
    Nameless(u32),
    /// It is of another account.
    #[error("requirepeer specifies \"{required}\", but actual peer user name is \"{actual}\"")]
    Other {
        /// The account that it should be of.
        required: String,
        /// The account that it is of.
        actual: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Lookup(source) => write!(f, "{}", LookupError(source)),
            Problem::Connect { source, over_socket } => {
                write!(f, "{}\n\t{}", OsError(source), question(*over_socket))
            }
            Problem::SocketOption { name, source } => {
                write!(f, "setsockopt({name}) failed: {}", OsError(source))
            }
            Problem::TimedOut => f.write_str("timeout expired"),
            Problem::Peer(error) => write!(f, "{error}"),
            Problem::Tls(error) => write!(f, "{error}"),
            Problem::Gss(error) => write!(f, "{error}"),
            Problem::Lost(error) => write!(f, "{error}"),
            Problem::Startup(error) => write!(f, "{error}"),
            Problem::WrongSession(wrong) => write!(f, "{wrong}"),
        }
    }
}

impl fmt::Display for FailedAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FailedAttempt { server, problem, passfile } = self;
        match problem {
            Problem::Lookup(_) => {
                return write!(
                    f,
                    "could not translate host name \"{server}\" to address: {problem}"
                );
            }
            Problem::Gss(error) if error.is_foregone() => return write!(f, "{error}"),
            _ => write!(f, "connection to server {server} failed: {problem}")?,
        }
        match passfile {
            Some(path) if problem.is_wrong_password() => {
                write!(f, "\npassword retrieved from file \"{}\"", path.display())
            }
            _ => Ok(()),
        }
    }
}

/// Prints a name service's error without the words that Rust puts in front.
struct LookupError<'a>(&'a io::Error);

impl fmt::Display for LookupError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let prefix = "failed to lookup address information: ";
        f.write_str(text.strip_prefix(prefix).unwrap_or(&text))
    }
}

/// Returns the question that libpq asks when there is no connection, for whatever reason.
fn question(over_socket: bool) -> &'static str {
    match over_socket {
        true => "Is the server running locally and accepting connections on that socket?",
        false => "Is the server running on that host and accepting TCP/IP connections?",
    }
}

impl Problem {
    pub(super) fn server_message(&self) -> Option<&ServerMessage> {
        match self {
            Problem::Startup(StartupError::Server(message)) => Some(message),
            _ => None,
        }
    }

    fn is_wrong_password(&self) -> bool {
        self.server_message().is_some_and(|message| message.code == INVALID_PASSWORD)
    }

    /// Says whether another host of the list may be better: what a server decided is final, unless it
    /// said that it cannot take connections now, and so is a lost connection.
    pub(super) fn is_worth_another_host(&self) -> bool {
        match self {
            Problem::Lookup(_)
            | Problem::Connect { .. }
            | Problem::SocketOption { .. }
            | Problem::TimedOut
            | Problem::WrongSession(_) => true,
            Problem::Peer(_) | Problem::Tls(_) | Problem::Gss(_) | Problem::Lost(_) => false,
            Problem::Startup(_) => self.is_temporary_refusal(),
        }
    }

    /// Says whether the other addresses of a host would give the same answer.
    pub(super) fn speaks_for_the_host(&self) -> bool {
        matches!(self, Problem::WrongSession(_)) || self.is_temporary_refusal()
    }

    /// Says whether the server cannot take connections now, whoever asks and however.
    pub(super) fn is_temporary_refusal(&self) -> bool {
        self.server_message()
            .is_some_and(|message| message.code == ServerMessage::CANNOT_CONNECT_NOW)
    }
}

/// A command was refused, or got no answer.
#[derive(Debug, thiserror::Error)]
#[error("could not send replication command \"{command}\": {source}")]
pub struct CommandError {
    /// The command as it was sent.
    pub command: String,
    /// What the server said, or what became of the connection.
    pub source: ConnectionError,
}

impl CommandError {
    /// Puts only a command's name where the whole command was.
    pub fn named(self, name: &str) -> Self {
        CommandError { command: name.to_owned(), ..self }
    }
}

/// An established connection failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The server reported an error or broke the protocol.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// Reading failed.
    #[error("could not receive data from server: {}", OsError(.0))]
    Receive(io::Error),
    /// Writing failed.
    #[error("could not send data to server: {}", OsError(.0))]
    Send(io::Error),
    /// The server is gone.
    #[error(
        "server closed the connection unexpectedly\n\
         \tThis probably means the server terminated abnormally\n\
         \tbefore or while processing the request."
    )]
    Closed,
    /// The TLS session broke.
    #[error("{0}")]
    Tls(Box<TlsError>),
    /// The encryption by GSSAPI broke.
    #[error(transparent)]
    Gss(GssError),
}

impl From<TlsError> for ConnectionError {
    fn from(error: TlsError) -> Self {
        ConnectionError::Tls(Box::new(error))
    }
}

impl ConnectionError {
    /// Says why reading failed.
    pub(super) fn receive(source: io::Error) -> Self {
        Self::of_session(source).unwrap_or_else(|source| match is_hang_up(&source) {
            true => ConnectionError::Closed,
            false => ConnectionError::Receive(source),
        })
    }

    /// Says why writing failed.
    pub(super) fn send(source: io::Error) -> Self {
        Self::of_session(source).unwrap_or_else(ConnectionError::Send)
    }

    /// Returns the error of what encrypts the connection, or the same one if it is the socket's own.
    fn of_session(source: io::Error) -> Result<Self, io::Error> {
        let source = match GssError::from_io(source) {
            Ok(error) => return Ok(ConnectionError::Gss(error)),
            Err(source) => source,
        };
        TlsError::from_io(source).map(ConnectionError::from)
    }

    /// Returns the server's own error, if that is what this is.
    pub fn server_message(&self) -> Option<&ServerMessage> {
        match self {
            ConnectionError::Protocol(error) => error.server_message(),
            _ => None,
        }
    }
}
