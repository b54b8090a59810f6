//! Compares this program with PostgreSQL's from the command line.

mod plan;
mod plot;
mod report;
mod table;

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use super::args::{BenchRequest, Confirmation};
use super::{Messages, Program, concealed, print, signals, unwritable};
use crate::benchmark::{
    BenchConfig, BenchError, BenchObserver, Comparison, Machine, Part, ServerChoice, Side,
    find_originals, needed_programs,
};
use crate::net::conninfo::Parameters;
use crate::pg::OsError;
use report::BenchReport;

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[error("could not write file \"{path}\": {}", OsError(.source))]
    Plot { path: String, source: io::Error },
    #[error("could not listen to signals: {}", OsError(.0))]
    Signals(io::Error),
    #[error("could not find out where this program is: {}", OsError(.0))]
    Ourselves(io::Error),
    #[error("not confirmed; nothing was done")]
    NotConfirmed,
}

/// Compares what the command line names.
pub(super) fn run(program: &Program, request: &BenchRequest) -> ExitCode {
    let started = Instant::now();
    let mut messages = Messages::to_stderr(program.name());
    match compare(program, request) {
        Ok((machine, comparisons)) => {
            let report = BenchReport::new(machine, request.rounds, &comparisons, started.elapsed());
            let outcome = match request.is_json {
                true => report.write(&mut io::stdout()),
                // The tables were printed row by row.
                false => Ok(()),
            };
            match outcome {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => unwritable(&mut messages, &error),
            }
        }
        Err(error) => {
            messages.error(error);
            ExitCode::FAILURE
        }
    }
}

fn compare(
    program: &Program,
    request: &BenchRequest,
) -> Result<(Machine, Vec<Comparison>), Failure> {
    let stop = signals::first_interrupt().map_err(Failure::Signals)?;
    let config = config(request)?;
    let mut messages = Messages::to_stderr(program.name());
    for line in plan::lines(&config) {
        messages.info(line);
    }
    if matches!(config.server, ServerChoice::Given(_)) && !is_confirmed(request.confirmation) {
        return Err(Failure::NotConfirmed);
    }
    let machine = Machine::examine(config.directory.parent().unwrap_or(&config.directory));
    let mut observer = Screen { program, is_table: !request.is_json, last_part: None };
    let comparisons = crate::benchmark::run(&config, &mut observer, &stop)?;
    if let Some(path) = &request.plot {
        plot::draw(&comparisons, path)
            .map_err(|source| Failure::Plot { path: path.display().to_string(), source })?;
    }
    Ok((machine, comparisons))
}

fn config(request: &BenchRequest) -> Result<BenchConfig, Failure> {
    let server = match &request.server {
        None => ServerChoice::Private,
        Some(typed) => {
            let typed = concealed::reveal(typed.reveal());
            ServerChoice::Given(Parameters::parse(&typed).map_err(BenchError::Conninfo)?)
        }
    };
    let originals = match &request.originals {
        Some(directory) => directory.clone(),
        None => find_originals(&needed_programs(&server, &request.parts))?,
    };
    Ok(BenchConfig {
        directory: request.directory.clone(),
        originals,
        ours: env::current_exe().map_err(Failure::Ourselves)?,
        server,
        parts: request.parts.clone(),
        rows: request.rows.clone(),
        rounds: request.rounds,
        sizes: request.sizes,
    })
}

/// Asks whether to go on, if that is not said already. Nobody to ask means no.
fn is_confirmed(confirmation: Confirmation) -> bool {
    if confirmation == Confirmation::Given {
        return true;
    }
    let mut answer = String::new();
    let asked = io::stderr().write_all(b"Go on? (y/n) ");
    asked.and_then(|()| io::stdin().read_line(&mut answer)).is_ok()
        && matches!(answer.trim(), "y" | "yes")
}

/// Shows how far the comparison is: steps on standard error, complete rows on standard output.
struct Screen<'a> {
    program: &'a Program,
    is_table: bool,
    last_part: Option<Part>,
}

impl BenchObserver for Screen<'_> {
    fn step(&mut self, text: &str) {
        Messages::to_stderr(self.program.name()).info(text);
    }

    fn running(&mut self, part: Part, row: &str, side: Side, round: usize) {
        let (part, side, round) = (part.name(), table::side_name(side, part), round + 1);
        self.step(&format!("{part}, {row}, round {round}: {side}"));
    }

    fn compared(&mut self, comparison: &Comparison) {
        if !self.is_table {
            return;
        }
        let mut text = String::new();
        if self.last_part.replace(comparison.part) != Some(comparison.part) {
            text.push_str(&table::head(comparison.part));
        }
        text.push_str(&table::row(comparison));
        // A row that nobody reads is in the report, too.
        print(self.program, &text);
    }
}
