//! Receiving WAL, against the original, in one run.
//!
//! ```text
//! cargo bench --bench receiving -- --target DIR [PART...] [--only ROW]... [--rounds N] [--backlog GB]
//!     [--seconds N] [--postgres DIR] [--original PATH] [--ours PATH]
//! ```
//!
//! It starts servers of its own in DIR, which sync what they write, and measures these parts, or those
//! that are named:
//!
//! - `catch-up`: a backlog of WAL is received into an empty directory, plain and compressed, with and
//!   without syncs. The baseline is a receiver that throws the bytes away.
//! - `standby`: commits of 1, 8 and 32 clients that wait for the receiver as the only synchronous
//!   standby. The baseline is a server that waits for nobody.
//! - `live`: a load is received while it runs. The baseline is the load alone.
//!
//! Each round runs the baseline, then the two, in turns who is first. The tables have medians of all
//! rounds; a ratio is ours to the original's of the same round: the median, the lowest and the highest.
//! How much of it is chance is shown by the original on both sides: `--ours` with its path, and all
//! rows but zstd, which it cannot write.
//!
//! Where other work goes on, run it with `chrt -r 20`, which servers and receivers inherit: a sync of a
//! tenth of a millisecond otherwise takes the milliseconds until its process has its turn. DIR needs
//! room for three backlogs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use contest::Side;
use server::Server;
use support::AnyError;

mod catch_up;
mod contest;
mod live;
mod pgbench;
mod receiver;
mod server;
mod standby;
#[path = "../support/mod.rs"]
mod support;

/// What to compare.
#[derive(Parser)]
struct Options {
    /// What is measured; everything unless something is named.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// A directory on the file system to measure; it must not exist, and is removed.
    #[arg(long)]
    target: PathBuf,
    /// The rows of the tables that are measured, all unless some are named: plain, gzip:1, 8 for that many clients.
    #[arg(long = "only", value_name = "ROW")]
    rows: Vec<String>,
    /// How often each is run.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The size of the backlog, in GB.
    #[arg(long, default_value_t = 2.0)]
    backlog: f64,
    /// How long each load runs, in seconds.
    #[arg(long, default_value_t = 8)]
    seconds: u32,
    /// The directory of PostgreSQL's programs, of a release from 15.
    #[arg(long, default_value = "/opt/pgsiphon-servers/18/bin")]
    postgres: PathBuf,
    /// The original [default: the one of --postgres].
    #[arg(long)]
    original: Option<PathBuf>,
    /// What is compared with it.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_pgsiphon"))]
    ours: PathBuf,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    CatchUp,
    Standby,
    Live,
}

impl Options {
    fn measures(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| wanted == row)
    }

    /// Returns the program of a side that has one. Ours plays the original by its name.
    fn receiver(&self, side: Side) -> Option<PathBuf> {
        match side {
            Side::Baseline => None,
            Side::Original => {
                Some(self.original.clone().unwrap_or_else(|| self.postgres.join("pg_receivewal")))
            }
            Side::Ours => Some(self.target.join("pg_receivewal")),
        }
    }

    /// Starts the server of a part.
    fn start_server(&self) -> Result<Server, AnyError> {
        Server::start(&self.postgres, self.target.join("server"))
    }

    /// Makes an empty directory on the file system that is measured, and lets the disk come to rest.
    fn fresh_directory(&self) -> Result<PathBuf, AnyError> {
        let directory = self.target.join("received");
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir(&directory)?;
        rustix::fs::sync();
        Ok(directory)
    }
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("receiving: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut options: Options) -> Result<(), AnyError> {
    fs::create_dir(&options.target)?;
    // Servers work in a directory of their own.
    options.target = fs::canonicalize(&options.target)?;
    let outcome = measure(&options);
    fs::remove_dir_all(&options.target)?;
    outcome
}

fn measure(options: &Options) -> Result<(), AnyError> {
    symlink(fs::canonicalize(&options.ours)?, options.target.join("pg_receivewal"))?;
    for part in Part::value_variants() {
        if !options.parts.is_empty() && !options.parts.contains(part) {
            continue;
        }
        let server = options.target.join("server");
        let outcome = match part {
            Part::CatchUp => catch_up::measure(options),
            Part::Standby => standby::measure(options),
            Part::Live => live::measure(options),
        };
        outcome
            .map_err(|error| format!("{error}\nthe server said last:\n{}", last_words(&server)))?;
        fs::remove_dir_all(server)?;
    }
    Ok(())
}

/// Returns the end of a server's log.
fn last_words(server: &Path) -> String {
    let log = fs::read_to_string(server.join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(10)).map(|line| format!("  {line}\n")).collect()
}
