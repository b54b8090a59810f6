//! Why the WAL beside a backup is not complete.

use crate::net::{CommandError, ConnectError, ConnectionError};
use crate::pg::{Lsn, OsError, TimelineId};
use crate::protocol::TimelineError;
use crate::storage::StorageError;

/// The WAL stream cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection failed, or the server refused a command.
    #[error("could not receive data from WAL stream: {0}")]
    Connection(#[from] ConnectionError),
    /// A command was refused.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The second connection reached another cluster.
    #[error("system identifier does not match between base backup and streaming connection")]
    OtherSystem,
    /// The second connection reached a server that has not got so far.
    #[error("starting timeline {0} is not present in the server")]
    TimelineMissing(TimelineId),
    /// The server names an impossible next timeline.
    #[error(transparent)]
    NextTimeline(#[from] TimelineError),
    /// The server stopped in good order before the end was reached.
    #[error("replication stream was terminated before stop point")]
    ServerShutDown,
    /// The connection broke and could not be made again in time.
    #[error("could not resume WAL streaming at {at}: {reason}")]
    NotResumed {
        /// The position up to which WAL was received.
        at: Lsn,
        /// The last attempt's failure.
        reason: Box<WalError>,
    },
    /// Writing the WAL failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// No thread for writing.
    #[error("could not create thread: {}", OsError(.0))]
    Thread(std::io::Error),
}

/// SQLSTATEs that waiting does not cure: the WAL or the slot is gone (`ERRCODE_UNDEFINED_FILE`,
/// `ERRCODE_UNDEFINED_OBJECT`), or the slot was invalidated
/// (`ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE`).
const HOPELESS: [&str; 3] = ["58P01", "42704", "55000"];

impl WalError {
    /// Says whether a new connection may get on.
    pub(super) fn is_worth_retrying(&self) -> bool {
        match self {
            WalError::Connect(_) | WalError::ServerShutDown => true,
            WalError::Connection(error) | WalError::Command(CommandError { source: error, .. }) => {
                match (error, error.server_message()) {
                    (_, Some(message)) => !HOPELESS.contains(&message.code.as_str()),
                    (ConnectionError::Protocol(_), None) => false,
                    (_, None) => true,
                }
            }
            WalError::OtherSystem
            | WalError::TimelineMissing(_)
            | WalError::NextTimeline(_)
            | WalError::NotResumed { .. }
            | WalError::Storage(_)
            | WalError::Thread(_) => false,
        }
    }
}
