//! `pgsiphon bench`: what it measures, and what it leaves behind.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::scratch::Scratch;
use crate::support::server::Server;
use crate::support::wait_until;

on_servers!(backups_and_their_verification_are_measured: pg18);
on_servers!(receiving_wal_is_measured: pg18);
on_servers!(a_given_server_is_left_as_it_was: pg17);
on_servers!(an_interrupted_comparison_puts_everything_right: pg18);

/// A small comparison with the programs of an installation.
fn comparison(installation: Installation, directory: &Path) -> Client {
    let originals = installation.program("postgres");
    let originals = originals.parent().unwrap();
    let client = Client::bench().arg("--originals").arg(originals).arg("-D").arg(directory);
    client.args(["--size=0.02", "--files=40", "--backlog=0.05", "--seconds=1", "--rounds=1"])
}

fn backups_and_their_verification_are_measured(installation: Installation) {
    let parts = ["base-backup", "verify", "small-files", "empty-cluster"];
    let expected = [
        "base-backup plain",
        "base-backup plain-tls",
        "base-backup tar-zstd",
        "verify plain",
        "verify tar-zstd",
        "small-files plain",
        "empty-cluster plain",
    ];
    measured(installation, &parts, &["plain", "plain-tls", "tar-zstd"], &expected);
}

fn receiving_wal_is_measured(installation: Installation) {
    let expected = ["catch-up plain", "catch-up synchronous", "standby 1-client"];
    let rows = ["plain", "synchronous", "1-client"];
    measured(installation, &["catch-up", "standby"], &rows, &expected);
}

/// Measures rows of parts on private servers, and checks the report and that nothing is left.
fn measured(installation: Installation, parts: &[&str], rows: &[&str], expected: &[&str]) {
    let scratch = Scratch::new();
    let (directory, plot) = (scratch.join("bench"), scratch.join("plot.svg"));
    let client = comparison(installation, &directory).arg("--json").arg("--plot").arg(&plot);
    let only = rows.iter().map(|row| format!("--only={row}"));
    let finished = client.args(only).args(parts).run().succeeded();
    let report: Value = serde_json::from_slice(&finished.stdout).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let name = |row: &Value| format!("{} {}", row["part"], row["row"]).replace('"', "");
    assert_eq!(rows.iter().map(name).collect::<Vec<_>>(), expected);
    rows.iter().for_each(is_complete);
    let (part, row) = expected.last().unwrap().split_once(' ').unwrap();
    assert!(fs::read_to_string(plot).unwrap().contains(&format!("{part}: {row}")));
    assert_eq!(scratch.names(), ["plot.svg"]);
}

fn is_complete(row: &Value) {
    for side in ["baseline", "original", "ours"] {
        assert!(row[side][0]["seconds"].as_f64() > Some(0.0), "{side}: {row}");
    }
    let ours = &row["ours"][0];
    assert!(ours["peak_memory_bytes"].as_u64() > Some(1 << 20), "{row}");
    assert!(row["speed_to_original"]["median"].as_f64() > Some(0.0), "{row}");
    assert_eq!(ours["commits_per_second"].is_f64(), row["part"] == "standby", "{row}");
    assert_eq!(ours["server_cpu_seconds"].is_f64(), row["part"] != "verify", "{row}");
}

/// Everything that a comparison may leave on a server.
const TRACES: &str = "select current_setting('synchronous_standby_names'), \
    (select count(*) from pg_replication_slots), \
    (select count(*) from pg_class where relname ~ '^pg(bench|siphon)'), \
    (select count(*) from pg_file_settings where name = 'synchronous_standby_names')";

const NO_TRACES: &str = "|0|0|0";

fn conninfo(server: &Server) -> String {
    format!(
        "host={} port={} user=postgres dbname=postgres",
        server.sockets().display(),
        server.port()
    )
}

fn a_given_server_is_left_as_it_was(installation: Installation) {
    let server = Server::start(installation);
    let scratch = Scratch::new();
    let compare = || {
        let client = comparison(installation, &scratch.join("bench"));
        let client = client.arg("-d").arg(conninfo(&server));
        client.args(["--only=plain", "--only=1-client"])
    };
    let refused = compare().run();
    assert_eq!(refused.failed(), "not confirmed; nothing was done");
    assert!(refused.stderr.contains("on the server: base backups one after the other"));
    let parts = ["base-backup", "catch-up", "standby"];
    let finished = compare().args(parts).arg("--yes").run().succeeded();
    let table = String::from_utf8(finished.stdout).unwrap();
    for expected in ["\nplain             thrown away", " pgsiphon  ", "\nstandby  ", "no standby"]
    {
        assert!(table.contains(expected), "{expected:?}: {table}");
    }
    assert_eq!(server.sql(TRACES), NO_TRACES);
    assert!(scratch.names().is_empty());
}

fn an_interrupted_comparison_puts_everything_right(installation: Installation) {
    let server = Server::start(installation);
    let scratch = Scratch::new();
    let client = comparison(installation, &scratch.join("bench")).arg("-d").arg(conninfo(&server));
    let running = client.args(["-y", "--seconds=600", "--only=8-clients", "standby"]).start();
    // Not before the original had its turn: the baseline would run for ten minutes.
    wait_until("the load", || server.sql("select count(*) > 5 from pg_stat_activity") == "t");
    running.signal(Signal::INT);
    let finished = running.wait();
    assert_eq!(finished.failed(), "received interrupt signal, exiting");
    assert_eq!(server.sql(TRACES), NO_TRACES);
    assert!(scratch.names().is_empty());
}
