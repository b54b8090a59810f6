use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::pg::{Lsn, Timestamp};
use crate::service::{
    Board, EventKind, MirrorStatus, OpenHole, Phase, ReconnectReason, ServerRole, ServerState,
    SlotStatus, WalStatus,
};

fn full() -> ServerStatus {
    let mut status = ServerStatus {
        name: "main".to_owned(),
        phase: Phase::Waiting { cause: "connection refused".to_owned() },
        host: Some("a".to_owned()),
        role: Some(ServerRole::Primary),
        system_identifier: Some("7".to_owned()),
        timeline: Some(3),
        received: Some(Lsn::new(0x16_0000_0030)),
        written: Some(Lsn::new(0x16_0000_0020)),
        flushed: Some(Lsn::new(0x16_0000_0010)),
        server_flushed: Some(Lsn::new(0x16_0000_0040)),
        lag_bytes: Some(48),
        lag_seconds: Some(0.25),
        slot: Some(SlotStatus {
            name: "pgsiphon".to_owned(),
            restart_lsn: Some(Lsn::new(0x16_0000_0000)),
            wal_status: Some(WalStatus::Extended),
            safe_wal_size: Some(-1),
            retained: Some(64),
        }),
        mirrors: vec![
            mirror("b", Some(5), None),
            mirror("c\"\\\n", None, Some("connection refused")),
        ],
        is_restored: true,
        reconnects: [(ReconnectReason::Network, 2)].into(),
        holes_noticed: 4,
        damage_found: 1,
        segments_closed: 9,
        last_segment: Some(Timestamp::from_micros(1_500_000)),
        last_flush: Some(Timestamp::from_micros(848_666_096_000_000)),
        disk_free: Some(1 << 40),
        disk_full_in: Some(3600.0),
        event_counts: [(EventKind::Failover, 1)].into(),
        ..ServerStatus::default()
    };
    status.open_holes.push(OpenHole {
        from: None,
        to: Lsn::new(1),
        timeline: 1,
        cause: "empty_directory".to_owned(),
        noticed: Timestamp::from_micros(0),
    });
    status
}

fn mirror(host: &str, restart_lsn: Option<u64>, problem: Option<&str>) -> MirrorStatus {
    let restart_lsn = restart_lsn.map(Lsn::new);
    MirrorStatus { host: host.to_owned(), restart_lsn, problem: problem.map(str::to_owned) }
}

fn put(board: &Board, status: ServerStatus) -> Arc<ServerState> {
    let state = Arc::new(ServerState::new(&status.name));
    board.put(&status.name.clone(), Arc::clone(&state));
    state.change(|known| *known = status);
    state
}

fn board() -> Arc<Board> {
    let board = Arc::new(Board::default());
    let state = put(&board, full());
    for micros in [90, 100, 800, 9_000_000] {
        state.sync_times().add(Duration::from_micros(micros));
    }
    put(&board, ServerStatus { name: "new".to_owned(), ..ServerStatus::default() });
    board
}

#[test]
fn a_full_and_an_empty_status_are_this_text() {
    let version = env!("CARGO_PKG_VERSION");
    let expected = include_str!("expected.txt").replace("VERSION", version);
    assert_eq!(text(&board()), expected);
}

/// The name and type of each family in a text, with what belongs to it.
fn families(text: &str) -> Vec<(&str, &str, Vec<&str>)> {
    let mut families = Vec::new();
    for chunk in text.trim_end_matches("# EOF\n").split("# HELP ").skip(1) {
        let mut lines = chunk.lines();
        let (name, help) = lines.next().unwrap().split_once(' ').unwrap();
        assert!(!help.is_empty(), "{name} has no help");
        let typed = lines.next().unwrap().strip_prefix("# TYPE ").expect("a type behind the help");
        let kind = typed.strip_prefix(name).expect("the type of the same family").trim();
        families.push((name, kind, lines.filter(|line| !line.starts_with("# UNIT")).collect()));
    }
    families
}

#[test]
fn names_follow_the_practice_of_prometheus() {
    let text = text(&board());
    assert!(text.ends_with("# EOF\n"));
    for (name, kind, samples) in families(&text) {
        let (suffixes, is_suffix): (&[&str], _) = match kind {
            "counter" => (&["_total"], false),
            "info" => (&["_info"], false),
            "histogram" => (&["_sum", "_count", "_bucket"], name.ends_with("_seconds")),
            _ => (&[""], name.ends_with("_total")),
        };
        assert_eq!(is_suffix, kind == "histogram", "{name}");
        assert!(name.starts_with("pgsiphon_") && !name.contains("__"), "{name}");
        let in_units = ["lsn", "size", "timestamp", "free", "full_in", "lag", "retained"];
        let quantity =
            in_units.iter().any(|word| name.trim_start_matches("pgsiphon_").contains(word));
        let has_unit = name.ends_with("_bytes") || name.ends_with("_seconds");
        assert_eq!(has_unit, quantity || kind == "histogram", "{name}");
        for sample in samples {
            let fits = |suffix: &&str| sample.starts_with(&format!("{name}{suffix}{{"));
            assert!(suffixes.iter().any(fits), "{sample} is not of {name}");
        }
    }
}

#[test]
fn every_family_is_there_once() {
    let text = text(&board());
    let mut names: Vec<&str> = families(&text).into_iter().map(|(name, ..)| name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn a_server_that_is_gone_leaves_nothing() {
    let board = board();
    board.retain(|name| name != "main");
    assert!(!text(&board).contains("main"));
}
