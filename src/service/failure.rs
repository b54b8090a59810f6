//! What a failed attempt means: for the counters, for an operator, and for the next attempt.

use std::io::ErrorKind;
use std::time::Duration;

use super::config::{ServerConfig, SlotPolicy};
use super::status::{EventKind, ReconnectReason};
use crate::net::conninfo::ConninfoError;
use crate::net::{ClusterError, CommandError, ConnectError, Problem};
use crate::pg::TimelineId;
use crate::protocol::{ServerMessage, StartupError};
use crate::receive::{HistoryError, HolePolicy, ReceiveError, WalLoss};
use crate::wal::WalWriteError;

/// SQLSTATE of a slot that does not exist, `ERRCODE_UNDEFINED_OBJECT`.
const UNDEFINED_OBJECT: &str = "42704";

/// What the configuration lets be done about lost WAL without anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remedies {
    /// What happens when the server has removed what comes next.
    pub(super) on_hole: HolePolicy,
    /// What happens when it has invalidated the slot.
    pub(super) slot_policy: Option<SlotPolicy>,
}

impl Remedies {
    /// Takes over what is configured.
    pub(super) fn of(config: &ServerConfig) -> Self {
        let slot_policy = config.slot.as_ref().map(|slot| slot.policy);
        Remedies { on_hole: config.on_hole, slot_policy }
    }

    fn help_against(self, loss: WalLoss) -> bool {
        match loss {
            WalLoss::Removed => self.on_hole == HolePolicy::Skip,
            WalLoss::SlotInvalidated => self.slot_policy == Some(SlotPolicy::Recreate),
        }
    }
}

/// An attempt failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It is not known how to connect.
    #[error(transparent)]
    Conninfo(#[from] ConninfoError),
    /// Receiving failed.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// A host gave a session, but nothing else.
    #[error("server did not answer for {} seconds", .0.as_secs())]
    NoAnswer(Duration),
    /// The host was left behind by a failover.
    #[error("server is on timeline {found}, but WAL of timeline {received} was received")]
    LeftBehind {
        /// The host's timeline.
        found: TimelineId,
        /// The newest one that was received.
        received: u32,
    },
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Failure::Receive(error.into())
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        Failure::Receive(error.into())
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        Failure::Receive(error.into())
    }
}

impl Failure {
    /// Returns why there will be another connection.
    pub(super) fn reason(&self) -> ReconnectReason {
        match self {
            Failure::Conninfo(_) => ReconnectReason::Refused,
            Failure::NoAnswer(_) => ReconnectReason::Network,
            Failure::LeftBehind { .. } => ReconnectReason::OtherCluster,
            Failure::Receive(error) => reason(error),
        }
    }

    /// Returns what is told of it.
    pub(super) fn event(&self, remedies: Remedies) -> EventKind {
        match self.reason() {
            ReconnectReason::Disk if self.is_disk_full() => EventKind::DiskFull,
            ReconnectReason::DiskStalled => EventKind::DiskStalled,
            ReconnectReason::Damage => EventKind::Damage,
            _ if self.needs_somebody(remedies) => EventKind::Failed,
            _ => EventKind::Disconnected,
        }
    }

    /// Says whether another host of the list may do better at once.
    pub(super) fn speaks_for_the_host(&self) -> bool {
        match self {
            Failure::Conninfo(_) => false,
            Failure::NoAnswer(_) | Failure::LeftBehind { .. } => true,
            Failure::Receive(ReceiveError::ServerSilent(_)) => true,
            Failure::Receive(error) => match reason(error) {
                ReconnectReason::Refused | ReconnectReason::WalRemoved => {
                    !matches!(error, ReceiveError::Connect(_))
                }
                ReconnectReason::OtherCluster => matches!(error, ReceiveError::OtherSystem { .. }),
                ReconnectReason::Network
                | ReconnectReason::ServerEnded
                | ReconnectReason::Disk
                | ReconnectReason::DiskStalled
                | ReconnectReason::Damage => false,
            },
        }
    }

    /// Says whether an attempt soon would hardly do better.
    pub(super) fn needs_somebody(&self, remedies: Remedies) -> bool {
        match self {
            Failure::Conninfo(_) => true,
            Failure::NoAnswer(_) | Failure::LeftBehind { .. } => false,
            Failure::Receive(error) => {
                let is_loss = error.wal_loss().is_some_and(|loss| !remedies.help_against(loss));
                let is_slot_missing =
                    error.server_message().is_some_and(|message| message.code == UNDEFINED_OBJECT);
                let is_wrong = matches!(
                    error,
                    ReceiveError::OtherSystem { .. }
                        | ReceiveError::SlotMissing(_)
                        | ReceiveError::SlotNotPhysical(_)
                );
                error.is_final() || is_loss || is_slot_missing || is_wrong
            }
        }
    }

    /// Says whether the slot serves nobody any more.
    pub(super) fn is_slot_loss(&self) -> bool {
        let Failure::Receive(error) = self else { return false };
        error.wal_loss() == Some(WalLoss::SlotInvalidated)
    }

    fn is_disk_full(&self) -> bool {
        let Failure::Receive(error) = self else { return false };
        error.storage_error().is_some_and(|error| {
            matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
        })
    }
}

fn reason(error: &ReceiveError) -> ReconnectReason {
    match error {
        ReceiveError::Connect(error) if is_refused(error) => ReconnectReason::Refused,
        ReceiveError::Connect(_)
        | ReceiveError::ServerStalled(_)
        | ReceiveError::ServerSilent(_)
        | ReceiveError::Disconnected => ReconnectReason::Network,
        ReceiveError::Connection(_) | ReceiveError::Command(_) | ReceiveError::Cluster(_) => {
            said_by_the_server(error)
        }
        ReceiveError::ServerVersion(_)
        | ReceiveError::SlotMissing(_)
        | ReceiveError::SlotNotPhysical(_)
        | ReceiveError::SlotPosition { .. }
        | ReceiveError::History(HistoryError::UnexpectedName { .. })
        | ReceiveError::NextTimeline(_) => ReconnectReason::Refused,
        ReceiveError::OtherCluster { .. }
        | ReceiveError::OtherSystem { .. }
        | ReceiveError::History(HistoryError::Diverged(_))
        | ReceiveError::Write(WalWriteError::Diverged { .. }) => ReconnectReason::OtherCluster,
        ReceiveError::Write(WalWriteError::Damage(_)) => ReconnectReason::Damage,
        ReceiveError::Storage(_)
        | ReceiveError::Directory(_)
        | ReceiveError::History(HistoryError::Storage(_))
        | ReceiveError::Write(
            WalWriteError::Storage(_) | WalWriteError::TooLarge { .. } | WalWriteError::Thread(_),
        )
        | ReceiveError::WriterEnded => ReconnectReason::Disk,
        ReceiveError::DiskStalled(_) | ReceiveError::WriterLeft { .. } => {
            ReconnectReason::DiskStalled
        }
        ReceiveError::ServerShutDown => ReconnectReason::ServerEnded,
    }
}

/// Says what it means that a connection or a command failed.
fn said_by_the_server(error: &ReceiveError) -> ReconnectReason {
    match (error, error.server_message()) {
        _ if error.wal_loss().is_some() => ReconnectReason::WalRemoved,
        (ReceiveError::Cluster(ClusterError::Setting { .. }), _) => ReconnectReason::Refused,
        (_, None) => ReconnectReason::Network,
        // The stream ran; the server ended it.
        (ReceiveError::Connection(_), Some(_)) => ReconnectReason::ServerEnded,
        (_, Some(_)) => ReconnectReason::Refused,
    }
}

/// Says whether the last server that was asked did not want us, rather than anybody now.
fn is_refused(error: &ConnectError) -> bool {
    match error.attempts.last().map(|attempt| &attempt.problem) {
        Some(Problem::Startup(StartupError::Server(message))) => {
            message.code != ServerMessage::CANNOT_CONNECT_NOW
        }
        Some(Problem::Startup(_) | Problem::Tls(_) | Problem::Gss(_) | Problem::Peer(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::net::{ConnectionError, FailedAttempt};
    use crate::protocol::ProtocolError;
    use crate::storage::StorageError;

    fn said(code: &str, message: &str, detail: Option<&str>) -> ConnectionError {
        let message = ServerMessage {
            code: code.to_owned(),
            message: message.to_owned(),
            detail: detail.map(str::to_owned),
            ..ServerMessage::default()
        };
        ProtocolError::Server(Box::new(message)).into()
    }

    fn refused(source: ConnectionError) -> ReceiveError {
        CommandError { command: "START_REPLICATION".to_owned(), source }.into()
    }

    fn disk(kind: io::ErrorKind) -> ReceiveError {
        let source: io::Error = kind.into();
        ReceiveError::Write(StorageError::new("write to file", "/wal/1", source).into())
    }

    fn unreachable(problem: Problem) -> ReceiveError {
        let attempt = FailedAttempt { server: "a".to_owned(), problem, passfile: None };
        ConnectError { attempts: vec![attempt] }.into()
    }

    fn removed() -> ReceiveError {
        let text = "requested WAL segment 000000010000000000000001 has already been removed";
        ReceiveError::Connection(said("58P01", text, None))
    }

    fn lost() -> ReceiveError {
        refused(said("55000", "can no longer access replication slot", Some("x")))
    }

    const REFUSING: Remedies =
        Remedies { on_hole: HolePolicy::Refuse, slot_policy: Some(SlotPolicy::Create) };

    fn starting_up(code: &str) -> Problem {
        let message = ServerMessage { code: code.to_owned(), ..ServerMessage::default() };
        Problem::Startup(StartupError::Server(Box::new(message)))
    }

    #[test]
    fn a_failure_says_what_to_count_and_tell_and_where_to_go_on() {
        use EventKind::{Damage, Disconnected, DiskFull, DiskStalled, Failed};
        use ReconnectReason as Reason;
        let other = || ReceiveError::OtherSystem { expected: "1".into(), found: "2".into() };
        // The error, why there is another connection, what is told with holes refused, and whether another host of
        // the list is tried at once.
        let table = [
            (ReceiveError::ServerShutDown, Reason::ServerEnded, Disconnected, false),
            (
                ReceiveError::Connection(ConnectionError::Closed),
                Reason::Network,
                Disconnected,
                false,
            ),
            (
                ReceiveError::Connection(said("57P01", "terminating connection", None)),
                Reason::ServerEnded,
                Disconnected,
                false,
            ),
            (
                ReceiveError::ServerSilent(Duration::from_secs(60)),
                Reason::Network,
                Disconnected,
                true,
            ),
            (unreachable(Problem::TimedOut), Reason::Network, Disconnected, false),
            (unreachable(starting_up("57P03")), Reason::Network, Disconnected, false),
            (unreachable(starting_up("28P01")), Reason::Refused, Disconnected, false),
            (refused(said("42704", "no slot", None)), Reason::Refused, Failed, true),
            (refused(said("55006", "slot is active", None)), Reason::Refused, Disconnected, true),
            (ReceiveError::SlotMissing("s".into()), Reason::Refused, Failed, true),
            (removed(), Reason::WalRemoved, Failed, true),
            (lost(), Reason::WalRemoved, Failed, true),
            (other(), Reason::OtherCluster, Failed, true),
            (disk(io::ErrorKind::StorageFull), Reason::Disk, DiskFull, false),
            (disk(io::ErrorKind::QuotaExceeded), Reason::Disk, DiskFull, false),
            (disk(io::ErrorKind::Other), Reason::Disk, Disconnected, false),
            (
                ReceiveError::DiskStalled(Duration::from_secs(5)),
                Reason::DiskStalled,
                DiskStalled,
                false,
            ),
        ];
        for (error, reason, event, other_host) in table {
            let failure = Failure::Receive(error);
            let found = (failure.reason(), failure.event(REFUSING), failure.speaks_for_the_host());
            assert_eq!(found, (reason, event, other_host), "{failure}");
        }
        let damage = WalWriteError::Damage(crate::walrecord::WalDamage {
            at: crate::pg::Lsn::new(9),
            kind: crate::walrecord::DamageKind::SystemIdentifier { found: 1, expected: 2 },
        });
        assert_eq!(Failure::Receive(damage.into()).event(REFUSING), Damage);
    }

    #[test]
    fn somebody_has_to_act_where_no_policy_helps_against_lost_wal() {
        use HolePolicy::{Refuse, Skip};
        use SlotPolicy::{Create, Recreate, Require};
        let table = [
            // What was lost, policies for holes and slots, whether that needs somebody.
            (removed as fn() -> _, Skip, Some(Create), false),
            (removed, Skip, None, false),
            (removed, Refuse, Some(Recreate), true),
            (lost, Skip, Some(Create), true),
            (lost, Skip, Some(Require), true),
            (lost, Skip, Some(Recreate), false),
            (lost, Refuse, Some(Recreate), false),
        ];
        for (loss, on_hole, slot_policy, expected) in table {
            let remedies = Remedies { on_hole, slot_policy };
            let found = Failure::Receive(loss()).needs_somebody(remedies);
            assert_eq!(found, expected, "{remedies:?}");
        }
    }

    #[test]
    fn a_host_that_was_left_behind_is_passed_over() {
        let found = TimelineId::FIRST;
        let failure = Failure::LeftBehind { found, received: 2 };
        let text = "server is on timeline 1, but WAL of timeline 2 was received";
        assert_eq!(failure.to_string(), text);
        assert!(failure.speaks_for_the_host());
    }
}
