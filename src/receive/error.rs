//! Why receiving ended, or begins anew.

use std::path::PathBuf;
use std::time::Duration;

use super::history::HistoryError;
use crate::net::{ClusterError, CommandError, ConnectError, ConnectionError};
use crate::pg::Lsn;
use crate::protocol::{ServerMessage, TimelineError};
use crate::storage::StorageError;
use crate::wal::WalWriteError;

/// Receiving cannot go on over the present connection.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection failed, or the server ended the stream with an error.
    #[error("{what}: {0}", what = what_failed(.0))]
    Connection(#[from] ConnectionError),
    /// A command was refused.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The server does not say what it is.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The server is too old.
    #[error(
        "incompatible server version {0}; client does not support streaming from server versions older than 13"
    )]
    ServerVersion(String),
    /// There is no such slot.
    #[error("replication slot \"{0}\" does not exist")]
    SlotMissing(String),
    /// The slot is not of the kind that WAL is received with.
    #[error("expected a physical replication slot, got type \"{0}\" instead")]
    SlotNotPhysical(String),
    /// The slot is at no position that can be understood.
    #[error("could not parse restart_lsn \"{position}\" for replication slot \"{slot}\"")]
    SlotPosition {
        /// The slot's name.
        slot: String,
        /// What the server says.
        position: String,
    },
    /// A history file cannot be kept.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The local disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The directory cannot be read.
    #[error(transparent)]
    Directory(StorageError),
    /// The directory holds the WAL of another cluster.
    #[error(
        "file \"{}\" is from different database system: system identifier is {found}, server has {expected}",
        file.display()
    )]
    OtherCluster {
        /// The file where receiving would go on.
        file: PathBuf,
        /// The identifier in it.
        found: u64,
        /// The server's.
        expected: u64,
    },
    /// Writing failed, or what came is no sound WAL.
    #[error(transparent)]
    Write(#[from] WalWriteError),
    /// Writing failed; the writer tells why.
    #[error("could not write WAL")]
    WriterEnded,
    /// The disk keeps the server waiting.
    #[error("disk did not take WAL for {} seconds", .0.as_secs())]
    DiskStalled(Duration),
    /// The user wants no more, but the disk does not answer. The writer's threads go on waiting for it.
    #[error(
        "could not write all WAL: disk did nothing for {} seconds, what lies behind {flushed} may not be flushed",
        stalled.as_secs()
    )]
    WriterLeft {
        /// How long nothing at all was done.
        stalled: Duration,
        /// Everything before this is flushed, or lies before the stream.
        flushed: Lsn,
    },
    /// The server takes no status updates.
    #[error("could not send feedback packet: server read nothing for {} seconds", .0.as_secs())]
    ServerStalled(Duration),
    /// The server sends nothing, not even an answer.
    #[error("could not receive data from WAL stream: server sent nothing for {} seconds", .0.as_secs())]
    ServerSilent(Duration),
    /// The server is another one than before.
    #[error("system identifier does not match: expected {expected}, got {found}")]
    OtherSystem {
        /// The identifier seen first.
        expected: String,
        /// The present server's.
        found: String,
    },
    /// The server names an impossible next timeline.
    #[error(transparent)]
    NextTimeline(#[from] TimelineError),
    /// The server stopped in good order.
    #[error("replication stream was terminated before stop point")]
    ServerShutDown,
    /// The stream ended, and the user wants no other.
    #[error("disconnected")]
    Disconnected,
}

/// How the WAL that comes next was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalLoss {
    /// The server has removed it (`ERRCODE_UNDEFINED_FILE`).
    Removed,
    /// Its slot was invalidated (`ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE`).
    SlotInvalidated,
}

impl ReceiveError {
    /// Says whether no later attempt would do better.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            ReceiveError::Directory(_)
                | ReceiveError::OtherCluster { .. }
                | ReceiveError::ServerVersion(_)
                | ReceiveError::WriterLeft { .. }
                | ReceiveError::History(HistoryError::Diverged(_))
                | ReceiveError::Write(WalWriteError::Diverged { .. })
        )
    }

    /// Says whether the server ended the stream, not an accident; then the original tells what is left.
    pub(super) fn is_from_server(&self) -> bool {
        match self {
            ReceiveError::ServerShutDown => true,
            ReceiveError::Connection(error) => error.server_message().is_some(),
            _ => false,
        }
    }

    /// Returns the server's own words, if it refused or ended something.
    pub fn server_message(&self) -> Option<&ServerMessage> {
        match self {
            ReceiveError::Connection(source)
            | ReceiveError::Command(CommandError { source, .. })
            | ReceiveError::Cluster(ClusterError::Command(CommandError { source, .. })) => {
                source.server_message()
            }
            _ => None,
        }
    }

    /// Returns the failure of the local disk, if that is what this is.
    pub fn storage_error(&self) -> Option<&StorageError> {
        match self {
            ReceiveError::Storage(error)
            | ReceiveError::Directory(error)
            | ReceiveError::History(HistoryError::Storage(error))
            | ReceiveError::Write(WalWriteError::Storage(error)) => Some(error),
            _ => None,
        }
    }

    /// Says whether the server no longer has the WAL that was asked for.
    pub fn wal_loss(&self) -> Option<WalLoss> {
        let (ReceiveError::Connection(source) | ReceiveError::Command(CommandError { source, .. })) =
            self
        else {
            return None;
        };
        let error = source.server_message()?;
        match error.code.as_str() {
            // Other files can be missing too; in every language, this message names a segment.
            "58P01" if names_a_segment(&error.message) => Some(WalLoss::Removed),
            // A slot of another kind is refused with the same code, without a detail.
            "55000" if error.detail.is_some() => Some(WalLoss::SlotInvalidated),
            _ => None,
        }
    }
}

fn names_a_segment(message: &str) -> bool {
    let is_segment = |word: &str| word.len() == 24 && word.bytes().all(|b| b.is_ascii_hexdigit());
    message.split(|c: char| !c.is_ascii_alphanumeric()).any(is_segment)
}

fn what_failed(error: &ConnectionError) -> &'static str {
    match (error, error.server_message()) {
        (_, Some(_)) => "unexpected termination of replication stream",
        (ConnectionError::Send(_), None) => "could not send feedback packet",
        (_, None) => "could not receive data from WAL stream",
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::protocol::ProtocolError;

    /// As `pg_receivewal` 18.6 said it.
    #[test]
    fn a_broken_stream_is_told_in_the_original_words() {
        let message = ServerMessage {
            severity: "FATAL".into(),
            message: "terminating connection due to administrator command".into(),
            ..ServerMessage::default()
        };
        let table = [
            (
                ConnectionError::Protocol(ProtocolError::Server(Box::new(message))),
                "unexpected termination of replication stream: FATAL:  terminating connection due to \
                 administrator command",
            ),
            (
                ConnectionError::Closed,
                "could not receive data from WAL stream: server closed the connection unexpectedly\n\
                 \tThis probably means the server terminated abnormally\n\
                 \tbefore or while processing the request.",
            ),
            (
                ConnectionError::Send(io::Error::from_raw_os_error(32)),
                "could not send feedback packet: could not send data to server: Broken pipe",
            ),
        ];
        for (error, text) in table {
            assert_eq!(ReceiveError::from(error).to_string(), text);
        }
    }
}
