//! What the options of comparing this program with PostgreSQL's mean together.

use std::ffi::OsString;
use std::path::PathBuf;

use super::first_conflict;
use crate::benchmark::{Part, Sizes};
use crate::cli::args::error::Conflict;
use crate::cli::args::error::OptionsError;
use crate::cli::args::getopt::shown;
use crate::cli::args::typed::{BenchOptions, Typed};
use crate::cli::args::values::{ConnectionString, ValueError};

/// How often each side runs, if the user does not say.
const ROUNDS: usize = 5;

/// How much there is to do, if the user does not say: enough for each run to take seconds.
const SIZES: Sizes = Sizes {
    cluster_bytes: 1_000_000_000,
    small_files: 30_000,
    backlog_bytes: 1_000_000_000,
    load_seconds: 8,
};

/// A comparison as the command line asks for it.
#[derive(Clone, Debug)]
pub struct BenchRequest {
    /// Where everything happens.
    pub directory: PathBuf,
    /// The directory of PostgreSQL's programs; by default the first that has them.
    pub originals: Option<PathBuf>,
    /// The server; by default private ones.
    pub server: Option<ConnectionString>,
    /// Whether the user is asked before a given server is used.
    pub confirmation: Confirmation,
    /// What is measured.
    pub parts: Vec<Part>,
    /// The rows that are measured; all of them if there is none.
    pub rows: Vec<String>,
    /// How often each side runs.
    pub rounds: usize,
    /// How much there is to do.
    pub sizes: Sizes,
    /// Whether the report is an object instead of a table.
    pub is_json: bool,
    /// Where the ratios are drawn.
    pub plot: Option<PathBuf>,
}

/// Whether the user is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// On the terminal.
    Ask,
    /// It was given on the command line.
    Given,
}

impl BenchRequest {
    /// Works out what is meant.
    ///
    /// # Errors
    /// There is no directory, a part does not exist, or needs a private server when one is given.
    pub fn from_typed(typed: Typed<BenchOptions>) -> Result<Self, OptionsError> {
        let Typed { common, own: _ } = typed;
        let directory = common.directory.ok_or(Conflict::NoWorkDirectory)?;
        let parts = parts(&common.rest, common.dbname.is_some())?;
        Ok(BenchRequest {
            directory,
            originals: common.originals,
            server: common.dbname,
            confirmation: if common.yes { Confirmation::Given } else { Confirmation::Ask },
            parts,
            rows: common.only,
            rounds: common.rounds.unwrap_or(ROUNDS),
            sizes: Sizes {
                cluster_bytes: common.size.unwrap_or(SIZES.cluster_bytes),
                small_files: common.files.unwrap_or(SIZES.small_files),
                backlog_bytes: common.backlog.unwrap_or(SIZES.backlog_bytes),
                load_seconds: common.seconds.unwrap_or(SIZES.load_seconds),
            },
            is_json: common.json,
            plot: common.plot,
        })
    }
}

/// Returns the parts that were named, or those that make sense, in the order in which they are measured.
fn parts(typed: &[OsString], server_is_given: bool) -> Result<Vec<Part>, OptionsError> {
    let mut named = Vec::new();
    for text in typed {
        let part = text.to_str().and_then(Part::named);
        let unknown = || OptionsError::Value(ValueError::BenchPart(shown(text)));
        named.push(part.ok_or_else(unknown)?);
    }
    let misplaced = |part: &Part| server_is_given && part.needs_private_server();
    first_conflict(
        named.iter().map(|part| (misplaced(part), Conflict::PartOfPrivateServer(part.name()))),
    )?;
    let is_wanted = |part: &Part| match named.as_slice() {
        [] => !server_is_given || !(part.needs_private_server() || part.changes_server()),
        named => named.contains(part),
    };
    Ok(Part::ALL.into_iter().filter(is_wanted).collect())
}
