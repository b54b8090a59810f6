//! Whether a server lets us receive, by what SQL tells of it.

use super::Finding;
use super::host::Database;
use crate::service::ServerConfig;

/// Clocks that differ by more make lags and moments of commits wrong; less is common.
const CLOCK_DIFFERENCE_MAX_MICROS: i64 = 5_000_000;

/// Judges the role, the settings and the clock of a server.
pub(super) fn judge(config: &ServerConfig, server: &Database) -> Vec<Finding> {
    let findings = [
        role(server),
        wal_level(server),
        senders(server),
        sender_timeout(config, server),
        clock(server),
    ];
    findings.into_iter().flatten().collect()
}

fn role(server: &Database) -> Option<Finding> {
    let user = &server.user;
    (!server.can_replicate).then(|| {
        Finding::error(format!("role \"{user}\" does not have the REPLICATION attribute"))
            .hint(format!("Give it with ALTER ROLE \"{user}\" REPLICATION."))
    })
}

fn wal_level(server: &Database) -> Option<Finding> {
    (server.text("wal_level") == "minimal").then(|| {
        Finding::error("wal_level is \"minimal\"")
            .hint("Set wal_level to \"replica\" and restart the server.")
    })
}

fn senders(server: &Database) -> Option<Finding> {
    let hint = "Raise max_wal_senders and restart the server.";
    match server.number("max_wal_senders")? {
        0 => Some(Finding::error("max_wal_senders is 0").hint(hint)),
        max if server.senders_used >= max => Some(
            Finding::warning(format!("all {max} WAL senders are in use with that of this check"))
                .hint(hint),
        ),
        _ => None,
    }
}

fn sender_timeout(config: &ServerConfig, server: &Database) -> Option<Finding> {
    let timeout_ms = u128::try_from(server.number("wal_sender_timeout")?).ok()?;
    let interval = config.status_interval;
    if timeout_ms == 0 {
        return Some(
            Finding::warning(
                "wal_sender_timeout is 0: after a network failure the slot stays in use",
            )
            .hint("Set wal_sender_timeout to a minute or so."),
        );
    }
    (interval.as_millis() >= timeout_ms).then(|| {
        let interval = humantime::format_duration(interval);
        Finding::warning(format!(
            "status_interval ({interval}) is not below wal_sender_timeout ({timeout_ms} ms)"
        ))
        .hint("Set status_interval to a third of wal_sender_timeout or less.")
    })
}

fn clock(server: &Database) -> Option<Finding> {
    let ahead = server.clock_ahead_micros;
    (ahead.saturating_abs() > CLOCK_DIFFERENCE_MAX_MICROS).then(|| {
        let seconds = ahead.saturating_abs() / 1_000_000;
        let direction = if ahead > 0 { "ahead of" } else { "behind" };
        Finding::warning(format!("the server's clock is {seconds} seconds {direction} ours"))
            .hint("Synchronize both clocks; until then, lags in seconds are wrong.")
    })
}
