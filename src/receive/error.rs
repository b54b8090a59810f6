//! Why receiving ended, or begins anew.

use crate::net::{CommandError, ConnectError, ConnectionError};
use crate::pg::{Lsn, OsError, TimelineId};
use crate::storage::StorageError;
use crate::walrecord::WalDamage;

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
    /// The local disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What came is not sound WAL.
    #[error(transparent)]
    Damage(#[from] WalDamage),
    /// The server is another one than before.
    #[error("system identifier does not match: expected {expected}, got {found}")]
    OtherSystem {
        /// The identifier seen first.
        expected: String,
        /// The present server's.
        found: String,
    },
    /// What the server sends is not what is stored as the same WAL.
    #[error("WAL received at {at} on timeline {timeline} differs from file \"{name}\"")]
    Diverged {
        /// The first position that differs.
        at: Lsn,
        /// The timeline.
        timeline: TimelineId,
        /// The file that holds the other contents.
        name: String,
    },
    /// The server names an impossible next timeline.
    #[error("server reported unexpected next timeline {next}, following timeline {timeline}")]
    TimelineBackwards {
        /// The timeline that ended.
        timeline: TimelineId,
        /// What the server says comes next.
        next: TimelineId,
    },
    /// The server names a next timeline that begins where nothing was received yet.
    #[error(
        "server stopped streaming timeline {timeline} at {at}, but reported next timeline {next} to begin at {start}"
    )]
    TimelineAhead {
        /// The timeline that ended.
        timeline: TimelineId,
        /// Up to where it was received.
        at: Lsn,
        /// What the server says comes next.
        next: TimelineId,
        /// Where it says that begins.
        start: Lsn,
    },
    /// The server stopped in good order.
    #[error("replication stream was terminated before stop point")]
    ServerShutDown,
    /// The stream ended, and the user wants no other.
    #[error("disconnected")]
    Disconnected,
    /// No thread for writing.
    #[error("could not create thread: {}", OsError(.0))]
    Thread(std::io::Error),
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
    use crate::protocol::{ProtocolError, ServerMessage};

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
