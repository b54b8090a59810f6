//! What is compared.

use std::path::PathBuf;

use crate::net::conninfo::Parameters;

/// A run of the benchmark.
#[derive(Clone, Debug)]
pub struct BenchConfig {
    /// A directory on the file system to measure. It must not exist; it is removed in the end.
    pub directory: PathBuf,
    /// The directory of PostgreSQL's programs.
    pub originals: PathBuf,
    /// The program that is compared with them.
    pub ours: PathBuf,
    /// Where the data comes from.
    pub server: ServerChoice,
    /// What is measured, in this order.
    pub parts: Vec<Part>,
    /// The rows that are measured; all of them if there is none.
    pub rows: Vec<String>,
    /// How often each is run.
    pub rounds: usize,
    /// How much there is to do.
    pub sizes: Sizes,
}

/// How much there is to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    /// The size of the cluster that is backed up, in bytes.
    pub cluster_bytes: u64,
    /// How many files the cluster of small files has.
    pub small_files: u32,
    /// How much WAL there is to catch up with, in bytes.
    pub backlog_bytes: u64,
    /// How long each load of commits runs, in seconds.
    pub load_seconds: u32,
}

/// Where the data comes from.
#[derive(Clone, Debug)]
pub enum ServerChoice {
    /// Servers that are made for the purpose in the directory, and removed.
    Private,
    /// A server of the user's.
    Given(Parameters),
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Base backups of a cluster with ordinary tables.
    BaseBackup,
    /// Verifying stored backups of that cluster.
    Verify,
    /// Base backups of a cluster of many small files.
    SmallFiles,
    /// Base backups of an empty cluster.
    EmptyCluster,
    /// Receiving WAL that has been written before.
    CatchUp,
    /// Commits that wait for the receiver as the only synchronous standby.
    Standby,
}

impl Part {
    /// All of them, in the order in which they are measured.
    pub const ALL: [Part; 6] = [
        Part::BaseBackup,
        Part::Verify,
        Part::SmallFiles,
        Part::EmptyCluster,
        Part::CatchUp,
        Part::Standby,
    ];

    /// Returns its name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Part::BaseBackup => "base-backup",
            Part::Verify => "verify",
            Part::SmallFiles => "small-files",
            Part::EmptyCluster => "empty-cluster",
            Part::CatchUp => "catch-up",
            Part::Standby => "standby",
        }
    }

    /// Finds a part by its name.
    pub fn named(name: &str) -> Option<Self> {
        Part::ALL.into_iter().find(|part| part.name() == name)
    }

    /// Says whether it makes sense only with a cluster made for it.
    pub const fn needs_private_server(self) -> bool {
        matches!(self, Part::SmallFiles | Part::EmptyCluster)
    }

    /// Says whether it writes to the server's databases or changes its configuration.
    pub const fn changes_server(self) -> bool {
        matches!(self, Part::CatchUp | Part::Standby)
    }
}

impl BenchConfig {
    /// Says whether a row is to be measured.
    pub(super) fn measures(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| wanted == row)
    }
}
