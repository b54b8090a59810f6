//! Whether our slot on a host is what we need.

use std::time::Duration;

use super::Finding;
use super::finding::shown_size;
use super::host::{Database, Slot};
use crate::service::{ServerConfig, SlotConfig, SlotPolicy};

/// What a host is for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// WAL comes from there.
    Source,
    /// WAL comes from there after a failover.
    Successor,
}

/// Judges the slot on a host, if there is to be one.
pub(super) fn judge(
    config: &ServerConfig,
    server: &Database,
    place: Place,
    application_name: &str,
) -> Vec<Finding> {
    let Some(wanted) = config.slot.as_ref().filter(|slot| is_needed(slot, place)) else {
        return Vec::new();
    };
    let found = match &server.slot {
        None => vec![missing(wanted, server, place)],
        Some(slot) if !slot.is_physical => vec![Some(logical(wanted))],
        Some(slot) => vec![kept(wanted, slot, place), in_use(wanted, slot, application_name)],
    };
    found.into_iter().chain([bound(config, server), idle(server)]).flatten().collect()
}

/// Says whether the slot is expected on a host.
fn is_needed(slot: &SlotConfig, place: Place) -> bool {
    match place {
        Place::Source => true,
        Place::Successor => slot.is_mirrored,
    }
}

fn missing(wanted: &SlotConfig, server: &Database, place: Place) -> Option<Finding> {
    let name = &wanted.name;
    match (wanted.policy, place) {
        (SlotPolicy::Require, Place::Source) => Some(
            Finding::error(format!("replication slot \"{name}\" does not exist"))
                .hint("Create it, or set slot_policy to \"create\"."),
        ),
        _ => {
            let max = server.number("max_replication_slots")?;
            (server.slots_used >= max).then(|| {
                Finding::error(format!(
                    "replication slot \"{name}\" cannot be created: all {max} are in use"
                ))
                .hint("Drop one that nobody needs, or raise max_replication_slots.")
            })
        }
    }
}

fn logical(wanted: &SlotConfig) -> Finding {
    Finding::error(format!("replication slot \"{}\" is logical", wanted.name))
        .hint("Name another slot: WAL comes through physical ones.")
}

/// Judges whether the slot keeps what it should keep.
fn kept(wanted: &SlotConfig, slot: &Slot, place: Place) -> Option<Finding> {
    let name = &wanted.name;
    match (slot.wal_status.as_deref(), wanted.policy) {
        (Some("lost"), SlotPolicy::Recreate) => Some(
            Finding::warning(format!("replication slot \"{name}\" has lost its WAL"))
                .hint("It will be created anew; take a base backup behind the hole."),
        ),
        (Some("lost"), SlotPolicy::Require | SlotPolicy::Create) => Some(
            Finding::error(format!("replication slot \"{name}\" has lost its WAL"))
                .hint("Drop it, or set slot_policy to \"recreate\"; then take a base backup."),
        ),
        (Some("unreserved"), _) => Some(
            Finding::warning(format!("replication slot \"{name}\" is about to lose its WAL"))
                .hint("Receive soon, or raise max_slot_wal_keep_size."),
        ),
        _ => (!slot.keeps_wal && slot.user.is_none() && place == Place::Source).then(|| {
            Finding::warning(format!("replication slot \"{name}\" keeps no WAL yet"))
                .hint("It does from the moment on that something is received through it.")
        }),
    }
}

/// Judges who uses the slot. The service itself may be running.
fn in_use(wanted: &SlotConfig, slot: &Slot, application_name: &str) -> Option<Finding> {
    let (pid, application) = slot.user.as_ref()?;
    if application.as_deref() == Some(application_name) {
        return None;
    }
    let application = application.as_deref().filter(|name| !name.is_empty());
    let application = application.map_or(String::new(), |name| format!(" (\"{name}\")"));
    Some(
        Finding::error(format!(
            "replication slot \"{}\" is in use by PID {pid}{application}",
            wanted.name
        ))
        .hint("Stop the other receiver, or name another slot."),
    )
}

/// Judges what happens if we are away for long: the slot must not fill the server's disk, and somebody should hear of
/// it before the slot is lost.
fn bound(config: &ServerConfig, server: &Database) -> Option<Finding> {
    let keep_mb = server.number("max_slot_wal_keep_size")?;
    let keep = u64::try_from(keep_mb).ok().map(|megabytes| megabytes.saturating_mul(1 << 20));
    match (keep, config.limits.slot_retained_max) {
        (None, None) => Some(
            Finding::warning("nothing bounds the WAL that the slot keeps")
                .hint("Set slot_retained_max here, or max_slot_wal_keep_size on the server."),
        ),
        (Some(keep), Some(told)) if told >= keep => {
            let (told, keep) = (shown_size(told), shown_size(keep));
            let problem =
                format!("slot_retained_max ({told}) is not below max_slot_wal_keep_size ({keep})");
            Some(
                Finding::warning(problem)
                    .hint("The slot is lost before anybody hears of it: lower slot_retained_max."),
            )
        }
        _ => None,
    }
}

/// Judges for how long we may be away; servers ask that from 18 on.
fn idle(server: &Database) -> Option<Finding> {
    let seconds = u64::try_from(server.number("idle_replication_slot_timeout")?).ok()?;
    (seconds > 0).then(|| {
        let limit = humantime::format_duration(Duration::from_secs(seconds));
        Finding::warning(format!("the server invalidates slots that nobody uses for {limit}"))
            .hint("Be back sooner after each stop, or raise idle_replication_slot_timeout.")
    })
}
