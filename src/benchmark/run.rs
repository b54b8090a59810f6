//! A run of the benchmark: one cluster after the other, and on each the parts that need it.

use std::path::Path;
use std::process::Command;

use tokio_util::sync::CancellationToken;

use super::child::{Running, output};
use super::comparison::{Comparison, Side};
use super::config::{BenchConfig, Part, ServerChoice, Sizes};
use super::error::BenchError;
use super::private::Cluster;
use super::sample::Sample;
use super::server::Server;
use super::workspace::Workspace;
use super::{base_backup, catch_up, contest, data, originals, standby, verification};

/// Who is told how far a run is.
pub trait BenchObserver {
    /// Something is being prepared, or left out.
    fn step(&mut self, text: &str);
    /// A side is about to run.
    fn running(&mut self, part: Part, row: &str, side: Side, round: usize);
    /// A row is complete.
    fn compared(&mut self, comparison: &Comparison);
}

/// What the parts work with.
pub(super) struct Stage<'a> {
    pub(super) config: &'a BenchConfig,
    pub(super) workspace: Workspace,
    pub(super) stop: &'a CancellationToken,
    observer: &'a mut dyn BenchObserver,
    comparisons: Vec<Comparison>,
}

/// What can be asked of a server and of the originals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Releases {
    /// The major version of the originals.
    pub(super) originals: u32,
    /// The major version of the server.
    pub(super) server: u32,
}

/// What a row is called, and how many bytes it has to do.
pub(super) struct Row {
    pub(super) part: Part,
    pub(super) name: &'static str,
    pub(super) bytes: Option<u64>,
}

/// Measures everything that is wanted.
///
/// # Errors
/// The first thing that went wrong. What was created is removed in any case, and what was changed on a given
/// server is undone.
pub fn run(
    config: &BenchConfig,
    observer: &mut dyn BenchObserver,
    stop: &CancellationToken,
) -> Result<Vec<Comparison>, BenchError> {
    let programs = originals::needed_programs(&config.server, &config.parts);
    if let Some(program) = originals::missing(&config.originals, &programs) {
        return Err(BenchError::NoOriginal(program));
    }
    let workspace = Workspace::create(&config.directory)?;
    let mut stage = Stage { config, workspace, stop, observer, comparisons: Vec::new() };
    match &config.server {
        ServerChoice::Given(parameters) => {
            if let Some(part) = config.parts.iter().find(|part| part.needs_private_server()) {
                return Err(BenchError::PrivateOnly(part.name()));
            }
            let mut server = Server::given(&config.originals, parameters.clone())?;
            let measured =
                config.parts.iter().try_for_each(|part| stage.measure(*part, &mut server));
            // What went wrong first is told, but the server is put right in any case.
            let restored = server.restore();
            measured.and(restored)?;
        }
        ServerChoice::Private => stage.measure_on_private_servers()?,
    }
    Ok(stage.comparisons)
}

/// Clusters that several parts can share.
const CLUSTERS: [(&str, &[Part]); 4] = [
    ("filled", &[Part::BaseBackup, Part::Verify]),
    ("small-files", &[Part::SmallFiles]),
    ("empty", &[Part::EmptyCluster]),
    ("written", &[Part::CatchUp, Part::Standby]),
];

impl Stage<'_> {
    fn measure_on_private_servers(&mut self) -> Result<(), BenchError> {
        for (name, parts) in CLUSTERS {
            let parts: Vec<Part> =
                parts.iter().copied().filter(|part| self.config.parts.contains(part)).collect();
            if parts.is_empty() {
                continue;
            }
            let directory = self.workspace.path(name);
            let cluster = Cluster::create(&self.config.originals, directory.clone())?;
            self.prepare(&cluster, parts.first().copied())?;
            let server = cluster.start(self.stop)?;
            let mut server = Server::private(&self.config.originals, server);
            parts.iter().try_for_each(|part| self.measure(*part, &mut server))?;
            drop(server);
            super::workspace::remove(&directory)?;
        }
        Ok(())
    }

    /// Puts into a cluster what its parts need.
    fn prepare(&mut self, cluster: &Cluster<'_>, part: Option<Part>) -> Result<(), BenchError> {
        let sizes = self.config.sizes;
        let fill: fn(&Server<'_>, Sizes) -> Result<(), BenchError> = match part {
            Some(Part::BaseBackup | Part::Verify) => {
                let megabytes = sizes.cluster_bytes / 1_000_000;
                self.step(&format!("filling a private server with {megabytes} MB"));
                data::fill
            }
            Some(Part::SmallFiles) => {
                let files = sizes.small_files;
                self.step(&format!("filling a private server with {files} small files"));
                data::fill_with_small_files
            }
            Some(Part::EmptyCluster | Part::CatchUp | Part::Standby) | None => return Ok(()),
        };
        let server = cluster.start_filling(self.stop)?;
        let server = Server::private(&self.config.originals, server);
        fill(&server, sizes)?;
        server.stop()
    }

    fn measure(&mut self, part: Part, server: &mut Server<'_>) -> Result<(), BenchError> {
        match part {
            Part::BaseBackup => base_backup::measure(self, server),
            Part::SmallFiles | Part::EmptyCluster => base_backup::measure_plain(self, part, server),
            Part::Verify => verification::measure(self, server),
            Part::CatchUp => catch_up::measure(self, server),
            Part::Standby => standby::measure(self, server),
        }
    }

    /// Tells what is going on.
    pub(super) fn step(&mut self, text: &str) {
        self.observer.step(text);
    }

    /// Lets the sides of a row take turns, and keeps what came out. The processor time of the server is
    /// added to each sample.
    pub(super) fn compare(
        &mut self,
        row: Row,
        server: Option<&Server<'_>>,
        sides: &[Side],
        mut run: impl FnMut(&Self, Side, usize) -> Result<Sample, BenchError>,
    ) -> Result<(), BenchError> {
        let Row { part, name, bytes } = row;
        let mut comparison = Comparison { part, row: name, bytes, sides: Vec::new() };
        contest::hold(&mut comparison, sides, self.config.rounds, |side, round| {
            self.observer.running(part, name, side, round);
            let cpu_seconds = || server.and_then(Server::cpu_seconds);
            let before = cpu_seconds();
            let sample = run(self, side, round)?;
            let server_cpu_seconds =
                cpu_seconds().zip(before).map(|(after, before)| after - before);
            Ok(Sample { server_cpu_seconds, ..sample })
        })?;
        self.observer.compared(&comparison);
        self.comparisons.push(comparison);
        Ok(())
    }

    /// Starts a program.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(&self, command: Command) -> Result<Running<'_>, BenchError> {
        let program = Path::new(command.get_program()).file_name().unwrap_or_default();
        let messages = self.workspace.path(&format!("{}.log", program.to_string_lossy()));
        Running::start(command, &messages, self.stop)
    }

    /// Prepares the program that does a job on one side.
    pub(super) fn program(&self, side: Side, original: &str) -> Command {
        match side {
            Side::Original => Command::new(self.config.originals.join(original)),
            Side::Baseline | Side::Ours => {
                let mut command = Command::new(&self.config.ours);
                command.arg(original.trim_start_matches("pg_"));
                command
            }
        }
    }

    /// Returns what can be asked for.
    ///
    /// # Errors
    /// A version cannot be found out.
    pub(super) fn releases(&self, server: &Server<'_>) -> Result<Releases, BenchError> {
        let psql = output(Command::new(self.config.originals.join("psql")).arg("--version"))?;
        let originals = major_version(&psql)
            .ok_or_else(|| BenchError::Answer { program: "psql", answer: psql.clone() })?;
        let number = server.number("select current_setting('server_version_num')::int / 10000")?;
        Ok(Releases { originals, server: number as u32 })
    }
}

/// Finds the major version in what `--version` prints, as in `psql (PostgreSQL) 18.6 (Debian 18.6-1)`.
fn major_version(line: &str) -> Option<u32> {
    let (_, version) = line.split_once(") ")?;
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_versions_are_found_in_version_lines() {
        let table = [
            ("psql (PostgreSQL) 18.6 (Debian 18.6-1)", Some(18)),
            ("psql (PostgreSQL) 19rc1", Some(19)),
            ("psql (PostgreSQL) 17", Some(17)),
            ("psql", None),
        ];
        for (line, version) in table {
            assert_eq!(major_version(line), version, "{line}");
        }
    }

    #[test]
    fn every_part_has_its_cluster() {
        for part in Part::ALL {
            let count = CLUSTERS.iter().filter(|(_, parts)| parts.contains(&part)).count();
            assert_eq!(count, 1, "{part:?}");
        }
    }
}
