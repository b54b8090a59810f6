//! Runs a base backup from the command line.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use super::args::{BasebackupRequest, ConnectionArgs, PasswordPrompt, ReportForm};
use super::report::{Line, Report, Run, Warning, Warnings, WarningsKeeper};
use super::{Messages, Program, TerminalReporter, concealed, password, signals, unwritable};
use crate::backup::{self, BackupError, BackupJob, BackupSummary, Progress};
use crate::net::conninfo::{
    ConnectOptions, ConnectionArguments, ConninfoError, Environment, Password,
};
use crate::net::{self, ConnectError, Connection};
use crate::pg::OsError;

/// How often the progress display is brought up to date.
const TICK: Duration = Duration::from_millis(250);

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Conninfo(#[from] ConninfoError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("could not read password: {}", OsError(.0))]
    Password(io::Error),
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
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let (connection, connect) = connect(program, &request.connection, warnings).await?;
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
    });
    // A name service or a KDC that hangs would be waited for. Nothing of the backup is on such a thread.
    runtime.shutdown_background();
    outcome
}

async fn tick(reporter: &TerminalReporter<io::Stderr>) {
    let mut interval = tokio::time::interval(TICK);
    loop {
        interval.tick().await;
        reporter.tick(Instant::now());
    }
}

/// Connects; asks for a password where one is needed and may be asked for.
async fn connect(
    program: &Program,
    typed: &ConnectionArgs,
    warnings: &Warnings,
) -> Result<(Connection, ConnectOptions), Failure> {
    let mut arguments = connection_arguments(typed);
    if typed.password_prompt == PasswordPrompt::Always {
        arguments.password = Some(prompt()?);
    }
    loop {
        let environment = net::service::load(&arguments, Environment::from_process())?;
        let options = ConnectOptions::resolve(&arguments, program.name(), &environment)?;
        let mut told = Vec::new();
        let connected = net::connect(&options, &mut told).await;
        for warning in told {
            // libpq prints this itself, without the program's name.
            Messages::to_stderr(program.name()).raw(format_args!("WARNING: {warning}"));
            warnings.add(Warning::text(warning.to_string()));
        }
        let may_ask = arguments.password.is_none() && typed.password_prompt == PasswordPrompt::Auto;
        match connected {
            Err(error) if error.needs_password() && may_ask => {
                arguments.password = Some(prompt()?);
            }
            connected => {
                let connection = connected?;
                // With several hosts, the WAL must come from the server that the data comes from.
                let options = connection.same_server(&options);
                return Ok((connection, options));
            }
        }
    }
}

fn prompt() -> Result<Password, Failure> {
    password::prompt().map(|text| Password::new(text.into_bytes())).map_err(Failure::Password)
}

fn connection_arguments(typed: &ConnectionArgs) -> ConnectionArguments {
    ConnectionArguments {
        connection_string: typed.dbname.as_ref().map(|typed| concealed::reveal(typed.reveal())),
        host: typed.host.clone(),
        port: typed.port.clone(),
        user: typed.user.clone(),
        password: None,
    }
}
