//! Runs a base backup from the command line.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::args::{BasebackupRequest, ReportForm};
use super::connect::{NotConnected, block_on, connect};
use super::report::{Line, Report, Run, Warning, Warnings, WarningsKeeper};
use super::{Messages, Program, TerminalReporter, signals, unwritable};
use crate::backup::{self, BackupError, BackupJob, BackupSummary, Progress};
use crate::pg::OsError;

/// How often the progress display is brought up to date.
const TICK: Duration = Duration::from_millis(250);

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    NotConnected(#[from] NotConnected),
    #[error("could not start: {}", OsError(.0))]
    Start(#[from] io::Error),
    /// The reporter has told why.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

/// Takes the backup that the command line asks for.
pub(super) fn run(program: &Program, request: &BasebackupRequest) -> ExitCode {
    let started = Instant::now();
    let (progress, warnings) = (Arc::new(Progress::default()), Warnings::default());
    let outcome = take(program, request, &progress, &warnings);
    let mut messages = Messages::to_stderr(program.name());
    match &outcome {
        Ok(_) | Err(Failure::Backup(_)) => {}
        Err(failure) => messages.error(failure),
    }
    if request.report == ReportForm::Json {
        let elapsed = started.elapsed();
        let config = &request.config;
        let run = Run { config, progress: &progress, warnings: &warnings, elapsed };
        let report = Report::new(run, outcome.as_ref().map_err(ToString::to_string));
        if let Err(error) = Line::Report(&report).write(&mut io::stdout()) {
            return unwritable(&mut messages, &error);
        }
    }
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn take(
    program: &Program,
    request: &BasebackupRequest,
    progress: &Arc<Progress>,
    warnings: &Warnings,
) -> Result<BackupSummary, Failure> {
    block_on(async {
        let keep = |warning| warnings.add(Warning::text(warning));
        let (connection, options) = connect(program, &request.connection, keep).await?;
        // With several hosts, the WAL must come from the server that the data comes from.
        let connect = connection.same_server(&options);
        // Not before: until something is created, and while a password is typed, a signal just ends us.
        let interrupt = signals::first_interrupt()?;
        let terminal = TerminalReporter::on_stderr(program, request, Arc::clone(progress));
        let reporter = WarningsKeeper { warnings, next: &terminal };
        let config = &request.config;
        let job = BackupJob { config, connect: &connect, reporter: &reporter, progress };
        tokio::select! {
            outcome = backup::run(job, connection, interrupt.cancelled()) => Ok(outcome?),
            () = tick(&terminal) => unreachable!("the display ticks until the backup ends"),
        }
    })
}

async fn tick(reporter: &TerminalReporter<io::Stderr>) {
    let mut interval = tokio::time::interval(TICK);
    loop {
        interval.tick().await;
        reporter.tick(Instant::now());
    }
}
