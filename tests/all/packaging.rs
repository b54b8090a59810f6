//! What is under `packaging/` fits the program: names of metrics, keys of the configuration, the unit.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use pgsiphon::pg::{Lsn, Timestamp};
use pgsiphon::service::{
    Board, Config, MirrorStatus, ServerRole, ServerState, ServerStatus, SlotStatus, WalStatus,
    metrics_text,
};

use crate::support::scratch::Scratch;
use crate::support::skip;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)
}

fn contents(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

/// Returns the names of all metrics of a server of which everything is known.
fn metrics() -> BTreeSet<String> {
    let state = ServerState::new("main");
    let lsn = Some(Lsn::new(1));
    state.change(|status| {
        *status = ServerStatus {
            role: Some(ServerRole::Primary),
            timeline: Some(1),
            received: lsn,
            written: lsn,
            flushed: lsn,
            server_flushed: lsn,
            lag_bytes: Some(0),
            lag_seconds: Some(0.0),
            slot: Some(SlotStatus {
                name: String::new(),
                restart_lsn: lsn,
                wal_status: Some(WalStatus::Reserved),
                safe_wal_size: Some(1),
                retained: Some(1),
            }),
            mirrors: vec![MirrorStatus { host: String::new(), restart_lsn: lsn, problem: None }],
            is_restored: true,
            last_segment: Some(Timestamp::from_micros(0)),
            last_flush: Some(Timestamp::from_micros(0)),
            disk_free: Some(1),
            disk_full_in: Some(1.0),
            ..status.clone()
        };
    });
    let board = Arc::new(Board::default());
    board.put("main", Arc::new(state));
    let text = metrics_text(&board);
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| Some(line.split_once('{')?.0.to_owned())).collect()
}

/// Returns all names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("pgsiphon_")).map(str::to_owned).collect()
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let text = contents("grafana-dashboard.json");
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut expected = metrics();
    expected.remove("pgsiphon_build_info");
    assert_eq!(names(&text), expected);
}

#[test]
fn alerts_are_about_metrics_that_there_are() {
    let unknown: Vec<_> = names(&contents("alerts.yml")).difference(&metrics()).cloned().collect();
    assert_eq!(unknown, Vec::<String>::new());
}

#[test]
fn the_documentation_names_every_metric() {
    let text = fs::read_to_string(path("../docs/monitoring.md")).unwrap();
    let parts = ["_sum", "_count", "_bucket"];
    let missing: Vec<_> = metrics()
        .into_iter()
        .map(|name| parts.iter().fold(name, |name, part| name.trim_end_matches(part).to_owned()))
        .filter(|name| !names(&text).contains(name))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_example_can_be_read() {
    let config = Config::read(&path("pgsiphon.toml")).unwrap();
    let names: Vec<_> = config.servers.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(names, ["main", "orders"]);
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    // The paths of an installation are those of the build here, and there are no manual pages.
    let scratch = Scratch::new();
    let unit = contents("pgsiphon.service")
        .replace("/usr/bin/pgsiphon", env!("CARGO_BIN_EXE_pgsiphon"))
        .replace("Documentation=man:pgsiphon-serve(1)\n", "");
    let file = scratch.join("pgsiphon.service");
    fs::write(&file, unit).unwrap();
    let analyze =
        |arguments: &[&str]| Command::new("systemd-analyze").args(arguments).arg(&file).output();
    let Ok(verified) = analyze(&["verify", "--man=no"]) else {
        return skip("there is no systemd-analyze");
    };
    assert!(verified.status.success(), "{verified:?}");
    assert_eq!(String::from_utf8_lossy(&verified.stderr), "");
    // Exposure from 0 to 10, in tenths.
    let rated = analyze(&["security", "--offline=true", "--threshold=20"]).unwrap();
    assert!(rated.status.success(), "{}", String::from_utf8_lossy(&rated.stdout));
}
