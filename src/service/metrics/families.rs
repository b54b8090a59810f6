//! What each server has metrics of.

use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use serde::Serialize;

use crate::pg::{Lsn, Timestamp};
use crate::service::status::{
    EventKind, Phase, ReconnectReason, ServerRole, ServerStatus, SlotStatus, WalStatus,
};

/// Metrics of one name.
pub(super) struct Family {
    /// Without the program's name, the unit, and `_total`.
    pub name: &'static str,
    pub kind: MetricType,
    pub unit: Option<Unit>,
    /// Without a period.
    pub help: &'static str,
    /// Returns what is known of a server.
    pub samples: fn(&ServerStatus) -> Vec<Sample>,
}

/// One of them, of one server.
pub(super) struct Sample {
    /// What distinguishes it from others of the same server.
    pub label: Option<(&'static str, String)>,
    pub value: Value,
}

pub(super) enum Value {
    Counted(u64),
    Whole(u64),
    Signed(i64),
    Real(f64),
}

type Samples = fn(&ServerStatus) -> Vec<Sample>;

const fn gauge(name: &'static str, help: &'static str, samples: Samples) -> Family {
    Family { name, kind: MetricType::Gauge, unit: None, help, samples }
}

const fn bytes(name: &'static str, help: &'static str, samples: Samples) -> Family {
    Family { name, kind: MetricType::Gauge, unit: Some(Unit::Bytes), help, samples }
}

const fn seconds(name: &'static str, help: &'static str, samples: Samples) -> Family {
    Family { name, kind: MetricType::Gauge, unit: Some(Unit::Seconds), help, samples }
}

const fn counter(name: &'static str, help: &'static str, samples: Samples) -> Family {
    Family { name, kind: MetricType::Counter, unit: None, help, samples }
}

pub(super) const FAMILIES: &[Family] = &[
    gauge("phase", "What is being done for the server", |status| {
        one_of(Phase::NAMES, "phase", status.phase.name())
    }),
    gauge("role", "What the host is that WAL comes from", |status| {
        status
            .role
            .map_or_else(Vec::new, |role| one_of(names(ServerRole::ALL), "role", &name(role)))
    }),
    gauge("timeline", "The timeline of the stream", |status| {
        known(status.timeline.map(|timeline| Value::Whole(timeline.into())))
    }),
    bytes("received_lsn", "Everything before this WAL position was received", |status| {
        position(status.received)
    }),
    bytes(
        "written_lsn",
        "Everything before this WAL position was handed to the system",
        |status| position(status.written),
    ),
    bytes("flushed_lsn", "Everything before this WAL position is on stable storage", |status| {
        position(status.flushed)
    }),
    bytes("server_flushed_lsn", "Up to where the server has flushed its own WAL", |status| {
        position(status.server_flushed)
    }),
    bytes("lag", "How much of the server's flushed WAL is not flushed here", |status| {
        known(status.lag_bytes.map(Value::Whole))
    }),
    seconds("lag", "Age of the newest received commit while there is more to receive", |status| {
        known(status.lag_seconds.map(Value::Real))
    }),
    bytes("slot_restart_lsn", "The oldest WAL that the slot keeps", |status| {
        slot(status, |slot| position(slot.restart_lsn))
    }),
    gauge("slot_wal_status", "Whether the WAL that the slot needs is there", |status| {
        slot(status, |slot| {
            let wal_status = slot.wal_status.map(name);
            wal_status.map_or_else(Vec::new, |set| one_of(names(WalStatus::ALL), "status", &set))
        })
    }),
    bytes(
        "slot_safe_wal_size",
        "How much WAL may be written before the slot is in danger",
        |status| slot(status, |slot| known(slot.safe_wal_size.map(Value::Signed))),
    ),
    bytes("slot_retained", "How much WAL the server keeps behind the slot", |status| {
        slot(status, |slot| known(slot.retained.map(Value::Whole)))
    }),
    bytes(
        "mirror_slot_restart_lsn",
        "The oldest WAL that our slot on another host keeps",
        |status| {
            let kept =
                status.mirrors.iter().filter_map(|mirror| Some((mirror, mirror.restart_lsn?)));
            kept.map(|(mirror, lsn)| labelled("host", &mirror.host, Value::Whole(lsn.offset())))
                .collect()
        },
    ),
    gauge("mirror_slot_is_kept", "Whether our slot on another host is kept", |status| {
        let mirrors = status.mirrors.iter();
        mirrors
            .map(|mirror| labelled("host", &mirror.host, truth(mirror.problem.is_none())))
            .collect()
    }),
    counter("reconnects", "Connections made anew, by what ended the one before", |status| {
        restored(status, |status| {
            counts(ReconnectReason::ALL, "reason", |reason| status.reconnects.get(reason))
        })
    }),
    gauge("open_holes", "Places of missing WAL that no base backup covers", |status| {
        known(u64::try_from(status.open_holes.len()).ok().map(Value::Whole))
    }),
    counter("holes", "Places of missing WAL that were noticed", |status| {
        restored(status, |status| known(Some(Value::Counted(status.holes_noticed))))
    }),
    counter("damage_found", "Times that received WAL was refused as damaged", |status| {
        restored(status, |status| known(Some(Value::Counted(status.damage_found))))
    }),
    counter("segments_closed", "WAL segments that got their final names", |status| {
        known(Some(Value::Counted(status.segments_closed)))
    }),
    seconds("last_segment_timestamp", "When the last WAL segment got its final name", |status| {
        moment(status.last_segment)
    }),
    seconds("last_flush_timestamp", "When the flushed WAL position last moved", |status| {
        moment(status.last_flush)
    }),
    bytes("disk_free", "Room in the file system of the directory", |status| {
        known(status.disk_free.map(Value::Whole))
    }),
    seconds("disk_full_in", "When that is used up at the pace of the last minutes", |status| {
        known(status.disk_full_in.map(Value::Real))
    }),
    counter("events", "What happened, by its kind", |status| {
        counts(EventKind::ALL, "kind", |kind| status.event_counts.get(kind))
    }),
];

fn known(value: Option<Value>) -> Vec<Sample> {
    value.map(|value| Sample { label: None, value }).into_iter().collect()
}

fn position(lsn: Option<Lsn>) -> Vec<Sample> {
    known(lsn.map(|lsn| Value::Whole(lsn.offset())))
}

fn moment(at: Option<Timestamp>) -> Vec<Sample> {
    let since_1970 =
        |at: Timestamp| at.micros() as f64 / 1e6 + Timestamp::UNIX_EPOCH_OFFSET_SECONDS as f64;
    known(at.map(|at| Value::Real(since_1970(at))))
}

/// Returns nothing until it is known what earlier runs counted: a counter that begins at 0 and goes on from there would
/// seem to have made a great step.
fn restored(status: &ServerStatus, samples: Samples) -> Vec<Sample> {
    if status.is_restored { samples(status) } else { Vec::new() }
}

fn slot(status: &ServerStatus, samples: fn(&SlotStatus) -> Vec<Sample>) -> Vec<Sample> {
    status.slot.as_ref().map(samples).unwrap_or_default()
}

fn labelled(label: &'static str, value: &str, number: Value) -> Sample {
    Sample { label: Some((label, value.to_owned())), value: number }
}

fn truth(is_so: bool) -> Value {
    Value::Whole(is_so.into())
}

/// Returns a sample for each of `names`: 1 for the one that is, 0 for the others.
fn one_of(
    names: impl IntoIterator<Item = impl AsRef<str>>,
    label: &'static str,
    is: &str,
) -> Vec<Sample> {
    let sample = |name: &str| labelled(label, name, truth(name == is));
    names.into_iter().map(|name| sample(name.as_ref())).collect()
}

fn counts<'a, T: Serialize, const N: usize>(
    all: [T; N],
    label: &'static str,
    count: impl Fn(&T) -> Option<&'a u64>,
) -> Vec<Sample> {
    let value = |kind: &T| Value::Counted(count(kind).copied().unwrap_or_default());
    all.iter().map(|kind| labelled(label, &name(kind), value(kind))).collect()
}

fn names<T: Serialize, const N: usize>(all: [T; N]) -> Vec<String> {
    all.iter().map(name).collect()
}

/// Returns the name that a value has in JSON, too.
fn name(value: impl Serialize) -> String {
    let json = serde_json::to_value(value).expect("a variant without fields is a string");
    json.as_str().unwrap_or_default().to_owned()
}
