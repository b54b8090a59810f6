//! Loads, made by pgbench.

use std::fs;
use std::path::{Path, PathBuf};

use super::child::{Running, output};
use super::error::BenchError;
use super::run::Stage;
use super::server::Server;
use super::workspace::failed;

/// The scale of pgbench's tables: with room in each page, so that a row seldom moves to another one.
const SCALE: [&str; 6] = ["-i", "-q", "-s", "3", "-F", "50"];

/// One small update and one insertion a transaction: hardly anybody waits for another's row.
const SCRIPT: [&str; 2] = ["-b", "simple-update"];

/// More threads than processors would only be in each other's way.
const THREADS_MAX: u32 = 2;

/// A load of commits.
pub(super) struct Load<'a> {
    /// How many clients write at once.
    pub(super) clients: u32,
    /// How long.
    pub(super) seconds: u32,
    /// An existing directory for pgbench's own records.
    pub(super) records: &'a Path,
}

/// What a load came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Commits a second.
    pub(super) commits_per_second: f64,
    /// The time that 99 of 100 transactions stayed below, in seconds.
    pub(super) p99_seconds: f64,
}

/// Makes the tables that a load writes to, each page of them written whole to the WAL already.
///
/// # Errors
/// What pgbench or the server said.
pub(super) fn prepare(server: &mut Server<'_>) -> Result<(), BenchError> {
    output(server.client("pgbench").args(SCALE))?;
    server.change(
        "checkpoint",
        "drop table pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers",
    )?;
    server.sql("update pgbench_accounts set abalance = 0")?;
    server.sql("vacuum pgbench_accounts").map(drop)
}

/// A load while it runs.
pub(super) struct RunningLoad<'a> {
    pgbench: Running<'a>,
    records: &'a Path,
}

impl<'a> Load<'a> {
    /// Starts it.
    ///
    /// # Errors
    /// pgbench cannot be started.
    pub(super) fn start(
        &self,
        stage: &'a Stage<'_>,
        server: &Server<'_>,
    ) -> Result<RunningLoad<'a>, BenchError> {
        let threads = self.clients.min(THREADS_MAX).to_string();
        let mut pgbench = server.client("pgbench");
        pgbench.args(["-n", "-M", "prepared", "-c", &self.clients.to_string(), "-j", &threads]);
        pgbench.args(["-T", &self.seconds.to_string()]).args(SCRIPT).arg("--log");
        pgbench.arg("--log-prefix").arg(self.records.join(PREFIX));
        Ok(RunningLoad { pgbench: stage.start(pgbench)?, records: self.records })
    }
}

impl RunningLoad<'_> {
    /// Says whether it has ended.
    ///
    /// # Errors
    /// It cannot be watched.
    pub(super) fn has_ended(&self) -> Result<bool, BenchError> {
        self.pgbench.has_ended()
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// What pgbench said, or its records cannot be read; or the user interrupted the wait.
    pub(super) fn finish(self) -> Result<Rate, BenchError> {
        let report = self.pgbench.wait_for_output()?;
        let mut microseconds = Vec::new();
        for record in take_records(self.records)? {
            microseconds.extend(record.lines().filter_map(transaction_us));
        }
        Ok(Rate {
            commits_per_second: rate(&report)
                .ok_or(BenchError::Answer { program: "pgbench", answer: report })?,
            p99_seconds: percentile_99(microseconds) / 1e6,
        })
    }
}

/// Reads and removes what each of pgbench's threads recorded.
fn take_records(directory: &Path) -> Result<Vec<String>, BenchError> {
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(failed("read directory", directory))?;
    let is_record = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
    };
    let take = |path: PathBuf| {
        let text = fs::read_to_string(&path).map_err(failed("read file", &path))?;
        fs::remove_file(&path).map_err(failed("remove file", &path))?;
        Ok(text)
    };
    entries.into_iter().map(|entry| entry.path()).filter(is_record).map(take).collect()
}

/// How the names of its records begin.
const PREFIX: &str = "transactions";

/// Finds the rate in what pgbench prints.
fn rate(report: &str) -> Option<f64> {
    let line = report.lines().find_map(|line| line.strip_prefix("tps = "))?;
    line.split(' ').next()?.parse().ok()
}

/// Reads a line of the records: client, number, time in microseconds and so on.
fn transaction_us(line: &str) -> Option<f64> {
    line.split(' ').nth(2)?.parse().ok()
}

fn percentile_99(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() * 99 / 100).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pgbench_prints_is_read() {
        let report = "latency average = 0.6 ms\ntps = 1303.25 (without initial connection time)\n";
        assert_eq!(rate(report), Some(1303.25));
        assert_eq!(rate("nothing"), None);
        assert_eq!(transaction_us("0 1 612 0 1700000000 12345"), Some(612.0));
        assert_eq!(transaction_us("0 1 failed 0"), None);
    }

    #[test]
    fn the_99th_percentile_leaves_a_hundredth_above() {
        assert_eq!(percentile_99((1..=200).map(f64::from).collect()), 199.0);
        assert!(percentile_99(Vec::new()).is_nan());
    }
}
