//! A status for people: a row for each server, and below it what is wrong with those that are not well.

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanBytes;

use crate::service::{OpenHole, ServerRole, ServerStatus, StatusReport};

/// A column: its head, where its cells stand, and what is in the one of a server.
type Column = (&'static str, CellAlignment, fn(&ServerStatus) -> Option<String>);

const COLUMNS: [Column; 11] = [
    ("SERVER", CellAlignment::Left, |server| Some(server.name.clone())),
    ("STATE", CellAlignment::Left, |server| Some(server.phase.name().replace('_', " "))),
    ("HOST", CellAlignment::Left, host),
    ("TIMELINE", CellAlignment::Right, |server| Some(server.timeline?.to_string())),
    ("FLUSHED", CellAlignment::Right, |server| Some(server.flushed?.to_string())),
    ("LAG", CellAlignment::Right, |server| Some(HumanBytes(server.lag_bytes?).to_string())),
    ("SECONDS", CellAlignment::Right, |server| Some(format!("{:.1}", server.lag_seconds?))),
    ("SLOT", CellAlignment::Left, |server| Some(word(server.slot.as_ref()?.wal_status?))),
    ("HOLES", CellAlignment::Right, |server| Some(server.open_holes.len().to_string())),
    ("DISK FREE", CellAlignment::Right, |server| Some(HumanBytes(server.disk_free?).to_string())),
    ("FULL IN", CellAlignment::Right, |server| duration(server.disk_full_in?)),
];

/// How many of the last events of a server that is not well are shown.
const EVENTS_SHOWN: usize = 5;

/// Returns a table, and what is wrong.
pub(super) fn of(status: &StatusReport) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(COLUMNS.map(|(head, ..)| head));
    for server in &status.servers {
        table.add_row(COLUMNS.map(|(_, _, cell)| cell(server).map_or("-".to_owned(), safe)));
    }
    for (column, (_, alignment, _)) in table.column_iter_mut().zip(COLUMNS) {
        column.set_padding((0, 2)).set_cell_alignment(alignment);
    }
    status.servers.iter().fold(table.trim_fmt(), |text, server| text + &what_is_wrong(server))
}

fn host(server: &ServerStatus) -> Option<String> {
    let role = match server.role {
        Some(ServerRole::Primary) => " (primary)",
        Some(ServerRole::Standby) => " (standby)",
        None => "",
    };
    Some(format!("{}{role}", server.host.as_deref()?))
}

/// Returns paragraphs on a server; nothing if it is well.
fn what_is_wrong(server: &ServerStatus) -> String {
    let mut lines: Vec<String> = server.open_holes.iter().map(hole).collect();
    for mirror in &server.mirrors {
        let problem = mirror.problem.as_ref();
        lines.extend(problem.map(|problem| format!("slot on {}: {problem}", mirror.host)));
    }
    if lines.is_empty() && server.phase.is_connected() {
        return String::new();
    }
    let newest = server.events.len().saturating_sub(EVENTS_SHOWN);
    for event in server.events.iter().skip(newest) {
        lines.push(format!("{} {}: {}", event.at, word(event.kind), event.cause));
    }
    let cause = server.phase.cause().map(|cause| format!(": {cause}")).unwrap_or_default();
    let head = format!("{}: {}{cause}", server.name, server.phase.name().replace('_', " "));
    let mut text = format!("\n\n{}", safe(head));
    for line in lines {
        let _ = write!(text, "\n  {}", safe(line));
    }
    text
}

fn hole(hole: &OpenHole) -> String {
    let OpenHole { from, to, timeline, cause, noticed } = hole;
    let missing = match from {
        Some(from) => format!("WAL from {from} to {to}"),
        None => format!("WAL before {to}"),
    };
    format!(
        "{missing} is missing (timeline {timeline}, {}), noticed {noticed}",
        cause.replace('_', " ")
    )
}

/// Returns a name as people write it.
fn word(name: impl serde::Serialize) -> String {
    let name = serde_json::to_value(name).expect("a variant without fields is a string");
    name.as_str().unwrap_or_default().replace('_', " ")
}

/// Returns a duration in its two largest units.
fn duration(seconds: f64) -> Option<String> {
    let duration = Duration::try_from_secs_f64(seconds.round()).ok()?;
    let text = humantime::format_duration(duration).to_string();
    Some(text.split(' ').take(2).collect::<Vec<_>>().join(" "))
}

/// Takes away what a terminal would obey: names and causes come from the network.
fn safe(text: String) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::{Lsn, Timestamp};
    use crate::service::{EventKind, MirrorStatus, Phase, ServiceEvent, SlotStatus, WalStatus};

    fn well() -> ServerStatus {
        ServerStatus {
            name: "main".to_owned(),
            phase: Phase::Streaming,
            host: Some("a".to_owned()),
            role: Some(ServerRole::Primary),
            timeline: Some(3),
            flushed: Some(Lsn::new(0x16_B374_D848)),
            lag_bytes: Some(3 << 20),
            lag_seconds: Some(0.25),
            slot: Some(SlotStatus {
                name: "pgsiphon".to_owned(),
                restart_lsn: None,
                wal_status: Some(WalStatus::Reserved),
                safe_wal_size: None,
                retained: None,
            }),
            disk_free: Some(5 << 30),
            disk_full_in: Some(93_784.4),
            ..ServerStatus::default()
        }
    }

    fn hole(from: Option<u64>) -> OpenHole {
        OpenHole {
            from: from.map(Lsn::new),
            to: Lsn::new(0x300_0000),
            timeline: 1,
            cause: "removed_by_server".to_owned(),
            noticed: Timestamp::from_micros(0),
        }
    }

    fn report(servers: Vec<ServerStatus>) -> StatusReport {
        StatusReport { version: String::new(), servers }
    }

    #[test]
    fn servers_that_are_well_are_a_table() {
        let new = ServerStatus { name: "new".to_owned(), ..ServerStatus::default() };
        let text = of(&report(vec![well(), ServerStatus { phase: Phase::CatchingUp, ..new }]));
        let expected = "\
SERVER  STATE        HOST         TIMELINE      FLUSHED       LAG  SECONDS  SLOT      HOLES  DISK FREE  FULL IN
main    streaming    a (primary)         3  16/B374D848  3.00 MiB      0.2  reserved      0   5.00 GiB  1day 2h
new     catching up  -                   -            -         -        -  -             0          -        -";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_wrong_is_said_below() {
        let phase = Phase::Waiting { cause: "connection refused".to_owned() };
        let mut server =
            ServerStatus { phase, open_holes: vec![hole(None), hole(Some(1))], ..well() };
        server.mirrors = vec![MirrorStatus {
            host: "b".to_owned(),
            restart_lsn: None,
            problem: Some("timeout".to_owned()),
        }];
        for micros in 0..10 {
            let (at, kind) = (Timestamp::from_micros(micros), EventKind::HoleOpened);
            server.events.push_back(ServiceEvent { at, kind, cause: format!("number {micros}") });
        }
        let text = what_is_wrong(&server);
        let expected = "

main: waiting: connection refused
  WAL before 0/3000000 is missing (timeline 1, removed by server), noticed 2000-01-01T00:00:00.000000Z
  WAL from 0/1 to 0/3000000 is missing (timeline 1, removed by server), noticed 2000-01-01T00:00:00.000000Z
  slot on b: timeout
  2000-01-01T00:00:00.000005Z hole opened: number 5
  2000-01-01T00:00:00.000006Z hole opened: number 6
  2000-01-01T00:00:00.000007Z hole opened: number 7
  2000-01-01T00:00:00.000008Z hole opened: number 8
  2000-01-01T00:00:00.000009Z hole opened: number 9";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_terminal_is_told_nothing_but_text() {
        let evil = "\x1b[2J\u{9b}2J\r\n\x07".to_owned();
        let server = ServerStatus {
            name: evil.clone(),
            phase: Phase::Failed { cause: evil.clone() },
            host: Some(evil.clone()),
            open_holes: vec![OpenHole { cause: evil, ..hole(None) }],
            lag_seconds: Some(f64::NAN),
            disk_full_in: Some(f64::NEG_INFINITY),
            ..ServerStatus::default()
        };
        let text = of(&report(vec![server]));
        assert_eq!(text.replace('\n', "").find(char::is_control), None, "{text:?}");
        assert_eq!(text.lines().count(), 5);
    }
}
