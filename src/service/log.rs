//! The service's log lines, all of which come from here: each names its server, and none has a second line.
//!
//! The name is a field, for programs, and begins the message: `journalctl` shows people nothing else.

use super::status::{EventKind, ServiceEvent};

/// Logs an event, as important as its kind is.
pub(super) fn event(server: &str, event: &ServiceEvent) {
    let ServiceEvent { kind, cause, .. } = event;
    let name = kind.name();
    match importance(*kind) {
        Importance::Error => tracing::error!(server, event = name, "{server}: {cause}"),
        Importance::Warning => tracing::warn!(server, event = name, "{server}: {cause}"),
        Importance::Information => tracing::info!(server, event = name, "{server}: {cause}"),
    }
}

/// Logs what is worth a look, but is no event.
pub(super) fn warning(server: &str, text: &str) {
    tracing::warn!(server, "{server}: {text}");
}

/// Logs what helps whoever looks closely.
pub(super) fn detail(server: &str, text: &str) {
    tracing::debug!(server, "{server}: {text}");
}

/// Whom an event concerns.
enum Importance {
    /// Somebody has to act, or WAL is lost.
    Error,
    /// Somebody may have to act if it stays so.
    Warning,
    /// It happens.
    Information,
}

fn importance(kind: EventKind) -> Importance {
    match kind {
        EventKind::SlotLost
        | EventKind::HoleOpened
        | EventKind::DiskFull
        | EventKind::Damage
        | EventKind::Failed => Importance::Error,
        EventKind::Disconnected
        | EventKind::SlotDropped
        | EventKind::SlotAtRisk
        | EventKind::MirrorFailed
        | EventKind::DiskLow
        | EventKind::DiskStalled => Importance::Warning,
        EventKind::Connected
        | EventKind::Failover
        | EventKind::TimelineSwitched
        | EventKind::SlotCreated
        | EventKind::HoleCovered
        | EventKind::Recovered => Importance::Information,
    }
}

/// Brings a message of several lines, as servers and connections give, onto one.
pub(super) fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join("; ");
    // A server may say anything, also what a terminal obeys.
    line.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_without_control_characters() {
        let table = [
            (
                "could not connect\n\tIs the server running?\n",
                "could not connect; Is the server running?",
            ),
            ("ERROR:  no\nDETAIL:  never", "ERROR:  no; DETAIL:  never"),
            ("\u{1B}[2Jgone", " [2Jgone"),
            ("", ""),
        ];
        for (text, line) in table {
            assert_eq!(one_line(text), line);
        }
    }
}
