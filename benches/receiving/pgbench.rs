//! Loads, made by pgbench.

use std::fs;
use std::path::{Path, PathBuf};

use crate::server::{Server, output};
use crate::support::AnyError;

/// A load.
pub struct Load<'a> {
    /// How many clients write at once.
    pub clients: u32,
    /// How long.
    pub seconds: u32,
    /// Which transactions: arguments of pgbench.
    pub script: &'a [&'a str],
    /// An existing directory for pgbench's own records.
    pub records: &'a Path,
}

/// What a load came to.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Commits a second.
    pub commits: f64,
    /// The mean time of a transaction, in milliseconds.
    pub mean_ms: f64,
    /// The time that 99 of 100 transactions stay below, in milliseconds.
    pub p99_ms: f64,
}

impl Load<'_> {
    /// Runs it to its end.
    ///
    /// # Errors
    /// What pgbench said, or its records cannot be read.
    pub fn run(&self, server: &Server) -> Result<Rate, AnyError> {
        let prefix = self.records.join("transactions");
        let mut pgbench = server.client("pgbench");
        pgbench.args(["-n", "-M", "prepared", "-c", &self.clients.to_string()]);
        pgbench.args(["-j", &self.clients.min(2).to_string(), "-T", &self.seconds.to_string()]);
        pgbench.args(self.script).arg("--log").arg("--log-prefix").arg(&prefix).arg("postgres");
        let report = output(&mut pgbench)?;
        let commits = report.lines().find_map(|line| line.strip_prefix("tps = "));
        let commits = commits.and_then(|rest| rest.split(' ').next()?.parse().ok());
        let mut times = Vec::new();
        for file in records(self.records)? {
            times.extend(fs::read_to_string(&file)?.lines().filter_map(time_us));
            fs::remove_file(file)?;
        }
        Ok(Rate {
            commits: commits.ok_or_else(|| format!("pgbench gave no rate: {report}"))?,
            mean_ms: times.iter().sum::<f64>() / times.len() as f64 / 1000.0,
            p99_ms: percentile_99(times) / 1000.0,
        })
    }
}

/// Lists the records of each of pgbench's threads.
fn records(directory: &Path) -> Result<Vec<PathBuf>, AnyError> {
    let entries = fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
    let paths: Vec<PathBuf> = entries.collect::<Result<_, AnyError>>()?;
    let is_record = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("transactions."))
    };
    Ok(paths.into_iter().filter(is_record).collect())
}

/// Reads a line of the records: client, number, time in microseconds and so on.
fn time_us(line: &str) -> Option<f64> {
    line.split(' ').nth(2)?.parse().ok()
}

fn percentile_99(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN)
}
