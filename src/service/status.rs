//! What is known of a server at a moment: the same for metrics, `/status`, `pgsiphon status` and the state file.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_with::{DisplayFromStr, serde_as};

use crate::pg::{Lsn, Timestamp};

/// What is known of all servers, as `/status` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The version of the service.
    pub version: String,
    /// The servers, ordered by name.
    pub servers: Vec<ServerStatus>,
}

/// What is known of a server.
#[serde_as]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its name in the configuration.
    pub name: String,
    /// What is being done.
    pub phase: Phase,
    /// The host that WAL comes from, or came from last.
    pub host: Option<String>,
    /// What that host was when it was asked last.
    pub role: Option<ServerRole>,
    /// The cluster.
    pub system_identifier: Option<String>,
    /// The timeline of the stream.
    pub timeline: Option<u32>,
    /// Everything before this was received.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub received: Option<Lsn>,
    /// Everything before this was handed to the system.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub written: Option<Lsn>,
    /// Everything before this is on stable storage.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub flushed: Option<Lsn>,
    /// Up to where the server has flushed its own WAL.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub server_flushed: Option<Lsn>,
    /// How much of that is not flushed here.
    pub lag_bytes: Option<u64>,
    /// How old the newest commit is that is received, while there is more to receive; 0 if there is not.
    pub lag_seconds: Option<f64>,
    /// The slot, as the server showed it last.
    pub slot: Option<SlotStatus>,
    /// The slots on the other hosts.
    pub mirrors: Vec<MirrorStatus>,
    /// Whether what earlier runs of the service counted is part of `reconnects`, `holes_noticed` and `damage_found`.
    #[serde(default)]
    pub is_restored: bool,
    /// Connections made anew, by the reason that ended the one before; also by earlier runs of the service.
    pub reconnects: BTreeMap<ReconnectReason, u64>,
    /// Holes that were noticed, also by earlier runs of the service.
    pub holes_noticed: u64,
    /// Holes that no base backup covers yet.
    pub open_holes: Vec<OpenHole>,
    /// Times that received WAL was refused because it is damaged, also in earlier runs of the service.
    pub damage_found: u64,
    /// Segments that got their final names since the service started.
    pub segments_closed: u64,
    /// When the last one did.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub last_segment: Option<Timestamp>,
    /// When the flushed position last moved.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub last_flush: Option<Timestamp>,
    /// Room in the file system of the directory, in bytes.
    pub disk_free: Option<u64>,
    /// When that is used up if it goes on as in the last minutes, in seconds.
    pub disk_full_in: Option<f64>,
    /// What happened last, the oldest first; never more than a bound.
    pub events: VecDeque<ServiceEvent>,
    /// How often each kind of event happened since the service started.
    #[serde(default)]
    pub event_counts: BTreeMap<EventKind, u64>,
}

impl ServerStatus {
    /// Works out how much of what the server has flushed is not flushed here.
    pub(super) fn update_lag(&mut self) {
        let both = self.server_flushed.zip(self.flushed);
        self.lag_bytes = both.map(|(server, here)| server.checked_sub(here).unwrap_or(0));
    }

    /// Forgets how far the server is, of whom nobody hears any more.
    pub(super) fn forget_server(&mut self) {
        (self.server_flushed, self.lag_bytes, self.lag_seconds) = (None, None, None);
    }

    /// Forgets how the slot is, but not that it is lost.
    pub(super) fn forget_slot(&mut self) {
        let is_lost = |slot: &SlotStatus| slot.wal_status == Some(WalStatus::Lost);
        self.slot = self.slot.take().filter(is_lost).map(|slot| SlotStatus {
            wal_status: slot.wal_status,
            ..SlotStatus::of_name(&slot.name)
        });
    }
}

/// What is being done for a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Phase {
    /// A connection is made.
    #[default]
    Connecting,
    /// WAL comes, and there is more of it.
    CatchingUp,
    /// WAL comes as the server writes it.
    Streaming,
    /// The next attempt is waited for.
    Waiting {
        /// Why the last one failed, in one line.
        cause: String,
    },
    /// No attempt would do better before somebody acts.
    Failed {
        /// Why, in one line.
        cause: String,
    },
    /// It is not received from any more.
    Stopped,
}

impl Phase {
    /// The names of all.
    pub const NAMES: [&str; 6] =
        ["connecting", "catching_up", "streaming", "waiting", "failed", "stopped"];

    /// Returns its name: in JSON, in metrics and for people.
    pub const fn name(&self) -> &'static str {
        match self {
            Phase::Connecting => "connecting",
            Phase::CatchingUp => "catching_up",
            Phase::Streaming => "streaming",
            Phase::Waiting { .. } => "waiting",
            Phase::Failed { .. } => "failed",
            Phase::Stopped => "stopped",
        }
    }

    /// Returns why no WAL comes, if there is a reason.
    pub fn cause(&self) -> Option<&str> {
        match self {
            Phase::Waiting { cause } | Phase::Failed { cause } => Some(cause),
            Phase::Connecting | Phase::CatchingUp | Phase::Streaming | Phase::Stopped => None,
        }
    }

    /// Says whether WAL comes.
    pub fn is_connected(&self) -> bool {
        match self {
            Phase::CatchingUp | Phase::Streaming => true,
            Phase::Connecting | Phase::Waiting { .. } | Phase::Failed { .. } | Phase::Stopped => {
                false
            }
        }
    }
}

/// What a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerRole {
    /// It takes writes.
    Primary,
    /// It replays another's WAL.
    Standby,
}

impl ServerRole {
    /// All of them.
    pub const ALL: [ServerRole; 2] = [ServerRole::Primary, ServerRole::Standby];

    /// Returns what a host is that does, or does not, replay another's WAL.
    pub(super) fn of(is_in_recovery: bool) -> Self {
        if is_in_recovery { ServerRole::Standby } else { ServerRole::Primary }
    }
}

/// A slot as its server shows it.
#[serde_as]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotStatus {
    /// Its name.
    pub name: String,
    /// The oldest WAL that it keeps.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub restart_lsn: Option<Lsn>,
    /// Whether that is there.
    pub wal_status: Option<WalStatus>,
    /// How much may be written before it is in danger, in bytes; nothing if there is no limit.
    pub safe_wal_size: Option<i64>,
    /// How much WAL there is behind it, in bytes.
    pub retained: Option<u64>,
}

impl SlotStatus {
    /// Begins with nothing known but its name.
    pub(super) fn of_name(name: &str) -> Self {
        SlotStatus {
            name: name.to_owned(),
            restart_lsn: None,
            wal_status: None,
            safe_wal_size: None,
            retained: None,
        }
    }
}

/// Column `wal_status` of `pg_replication_slots`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WalStatus {
    /// Within `max_wal_size`.
    Reserved,
    /// More than that.
    Extended,
    /// May be removed at the next checkpoint.
    Unreserved,
    /// Removed.
    Lost,
}

impl WalStatus {
    /// All of them.
    pub const ALL: [WalStatus; 4] =
        [WalStatus::Reserved, WalStatus::Extended, WalStatus::Unreserved, WalStatus::Lost];
}

/// Our slot on a host that WAL does not come from.
#[serde_as]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorStatus {
    /// The host.
    pub host: String,
    /// The oldest WAL that the slot keeps there.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub restart_lsn: Option<Lsn>,
    /// Why it is not kept, in one line.
    pub problem: Option<String>,
}

/// Why a connection was made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReconnectReason {
    /// There was no connection, or it was lost.
    Network,
    /// The server was shut down or ended the stream.
    ServerEnded,
    /// The server refused a command.
    Refused,
    /// The disk failed, or was full.
    Disk,
    /// The disk took too long.
    DiskStalled,
    /// What came was damaged.
    Damage,
    /// It was another cluster.
    OtherCluster,
    /// The WAL that comes next is gone.
    WalRemoved,
}

impl ReconnectReason {
    /// All of them.
    pub const ALL: [ReconnectReason; 8] = [
        ReconnectReason::Network,
        ReconnectReason::ServerEnded,
        ReconnectReason::Refused,
        ReconnectReason::Disk,
        ReconnectReason::DiskStalled,
        ReconnectReason::Damage,
        ReconnectReason::OtherCluster,
        ReconnectReason::WalRemoved,
    ];
}

/// WAL that is missing, and that no base backup covers.
#[serde_as]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenHole {
    /// The first position that is missing; nothing if it is not known what was before.
    #[serde_as(as = "Option<DisplayFromStr>")]
    pub from: Option<Lsn>,
    /// Where the WAL begins that is there.
    #[serde_as(as = "DisplayFromStr")]
    pub to: Lsn,
    /// The timeline of that position.
    pub timeline: u32,
    /// Why it opened: as in the record beside the WAL.
    pub cause: String,
    /// When it was noticed.
    #[serde_as(as = "DisplayFromStr")]
    pub noticed: Timestamp,
}

/// Something that an operator may want to know of.
#[serde_as]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEvent {
    /// When.
    #[serde_as(as = "DisplayFromStr")]
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// The cause, in one line without passwords.
    pub cause: String,
}

/// Kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Streaming began.
    Connected,
    /// The stream ended, or could not be made.
    Disconnected,
    /// WAL comes from another host than before.
    Failover,
    /// WAL is of another timeline than before.
    TimelineSwitched,
    /// A slot was created.
    SlotCreated,
    /// A slot was dropped by policy.
    SlotDropped,
    /// The server may soon remove WAL that is needed, or fill its disk with it.
    SlotAtRisk,
    /// The slot serves nobody any more.
    SlotLost,
    /// A mirror slot cannot be kept.
    MirrorFailed,
    /// WAL is missing.
    HoleOpened,
    /// A base backup covers it now.
    HoleCovered,
    /// There is little room left.
    DiskLow,
    /// Nothing can be written.
    DiskFull,
    /// The disk took too long.
    DiskStalled,
    /// What came was damaged.
    Damage,
    /// No attempt would do better before somebody acts.
    Failed,
    /// What was wrong is over.
    Recovered,
}

impl EventKind {
    /// All of them.
    pub const ALL: [EventKind; 17] = [
        EventKind::Connected,
        EventKind::Disconnected,
        EventKind::Failover,
        EventKind::TimelineSwitched,
        EventKind::SlotCreated,
        EventKind::SlotDropped,
        EventKind::SlotAtRisk,
        EventKind::SlotLost,
        EventKind::MirrorFailed,
        EventKind::HoleOpened,
        EventKind::HoleCovered,
        EventKind::DiskLow,
        EventKind::DiskFull,
        EventKind::DiskStalled,
        EventKind::Damage,
        EventKind::Failed,
        EventKind::Recovered,
    ];

    /// Returns the name that it has wherever it is written.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Connected => "connected",
            EventKind::Disconnected => "disconnected",
            EventKind::Failover => "failover",
            EventKind::TimelineSwitched => "timeline_switched",
            EventKind::SlotCreated => "slot_created",
            EventKind::SlotDropped => "slot_dropped",
            EventKind::SlotAtRisk => "slot_at_risk",
            EventKind::SlotLost => "slot_lost",
            EventKind::MirrorFailed => "mirror_failed",
            EventKind::HoleOpened => "hole_opened",
            EventKind::HoleCovered => "hole_covered",
            EventKind::DiskLow => "disk_low",
            EventKind::DiskFull => "disk_full",
            EventKind::DiskStalled => "disk_stalled",
            EventKind::Damage => "damage",
            EventKind::Failed => "failed",
            EventKind::Recovered => "recovered",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_named_as_in_json() {
        let cause = String::new;
        let phases = [
            Phase::Connecting,
            Phase::CatchingUp,
            Phase::Streaming,
            Phase::Waiting { cause: cause() },
            Phase::Failed { cause: cause() },
            Phase::Stopped,
        ];
        assert_eq!(phases.each_ref().map(Phase::name), Phase::NAMES);
        for phase in phases {
            assert_eq!(serde_json::to_value(&phase).unwrap()["is"], phase.name());
        }
    }

    #[test]
    fn a_slot_is_forgotten_but_not_its_loss() {
        let slot = |wal_status| SlotStatus { wal_status, ..SlotStatus::of_name("wal") };
        let lost = slot(Some(WalStatus::Lost));
        let table = [
            (None, None),
            (Some(slot(Some(WalStatus::Reserved))), None),
            (Some(SlotStatus { retained: Some(7), ..lost.clone() }), Some(lost)),
        ];
        for (slot, left) in table {
            let mut status = ServerStatus { slot, ..ServerStatus::default() };
            status.forget_slot();
            assert_eq!(status.slot, left);
        }
    }
}
