//! What is in the databases: rows written before a backup, and writes during it.

use std::io::Write as _;
use std::process::{Child, Stdio};

use super::scratch::run;
use super::server::Server;
use super::wait_until;

/// Transactions a second: enough to change pages under the backup all the time, and little enough to
/// leave time to others.
const RATE: &str = "--rate=300";

/// A script for `pgbench`: moves money, so that all sums stay equal, and prints nothing.
const TRANSFER: &str = "\
\\set account random(1, 100000)
\\set teller random(1, 10)
\\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :account;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :teller;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = 1;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime)
    VALUES (:teller, 1, :account, :delta, CURRENT_TIMESTAMP);
END;
";

/// A query for what does not change: rows that were written before.
const KEPT_ROWS: &str =
    "SELECT count(*) || ' ' || md5(string_agg(id || filler, ',' ORDER BY id)) FROM kept";

/// A query for what does change, but stays equal: three sums of balances and one of movements.
const SUMS: &str = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = moved
    AND (SELECT sum(tbalance) FROM pgbench_tellers) = moved
    AND (SELECT sum(bbalance) FROM pgbench_branches) = moved
    FROM (SELECT coalesce(sum(delta), 0) AS moved FROM pgbench_history) AS history";

/// Fills a table that no one changes, and returns a fingerprint of its rows.
pub fn fill(server: &Server) -> String {
    server.sql(
        "CREATE TABLE kept AS SELECT id, md5(id::text) AS filler FROM generate_series(1, 20000) id",
    );
    kept_rows(server)
}

/// Returns the fingerprint of the rows that [`fill`] wrote.
pub fn kept_rows(server: &Server) -> String {
    server.sql(KEPT_ROWS)
}

/// Says whether the balances that a [`WriteLoad`] changes add up.
pub fn sums_agree(server: &Server) -> bool {
    server.sql(SUMS) == "t"
}

/// Writes in the background until the value is dropped.
#[derive(Debug)]
pub struct WriteLoad {
    pgbench: Child,
}

impl WriteLoad {
    /// Creates the tables and begins to write; returns when the first writes are there.
    pub fn start(server: &Server) -> Self {
        run(server.client("pgbench").args(["-i", "-q", "-s", "1", "postgres"]));
        let mut command = server.client("pgbench");
        command.args(["-n", "-c", "2", "-T", "3600", "-f", "-", RATE, "postgres"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut pgbench = command.spawn().unwrap();
        pgbench.stdin.take().unwrap().write_all(TRANSFER.as_bytes()).unwrap();
        let load = WriteLoad { pgbench };
        wait_until("the load to write", || {
            server.sql("SELECT count(*) > 0 FROM pgbench_history") == "t"
        });
        load
    }

    /// Says whether it still writes.
    pub fn is_running(&mut self) -> bool {
        self.pgbench.try_wait().unwrap().is_none()
    }
}

impl Drop for WriteLoad {
    fn drop(&mut self) {
        let _ = self.pgbench.kill();
        let _ = self.pgbench.wait();
    }
}

/// Returns a statement that writes at least so many bytes of WAL that look like no others.
pub fn emit(bytes: usize) -> String {
    let digests = bytes / 32 + 1;
    format!(
        "SELECT pg_logical_emit_message(true, '', string_agg(md5(random()::text), ''))
         FROM generate_series(1, {digests})"
    )
}

/// Writes WAL in the background, evenly, until the value is dropped.
#[derive(Debug)]
pub struct Flood {
    pgbench: Child,
}

/// Small enough to leave time to others, and frequent enough to look even.
const FLOOD_RATE: usize = 100;

impl Flood {
    /// Begins to write so many bytes a second.
    pub fn start(server: &Server, bytes_per_second: usize) -> Self {
        let mut command = server.client("pgbench");
        command.args(["-n", "-c", "2", "-T", "3600", "-f", "-", "postgres"]);
        command.arg(format!("--rate={FLOOD_RATE}"));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut pgbench = command.spawn().unwrap();
        let script = emit(bytes_per_second / FLOOD_RATE);
        writeln!(pgbench.stdin.take().unwrap(), "{};", script.replace('\n', " ")).unwrap();
        Flood { pgbench }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.pgbench.kill();
        let _ = self.pgbench.wait();
    }
}
