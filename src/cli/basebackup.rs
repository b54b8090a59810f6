//! Runs a base backup from the command line.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use super::args::{BasebackupRequest, ConnectionArgs, PasswordPrompt};
use super::{Messages, Program, TerminalReporter, password, signals};
use crate::backup::{self, BackupError, BackupJob, BackupSummary, Progress};
use crate::net::conninfo::{
    ConnectOptions, ConnectionArguments, ConninfoError, Environment, Password,
};
use crate::net::{self, ConnectError, Connection};
use crate::pg::OsError;

/// How often the progress display is brought up to date.
const TICK: Duration = Duration::from_millis(250);

/// Why there was no backup to begin with.
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
}

/// Takes the backup that the command line asks for.
pub(super) fn run(program: &Program, request: BasebackupRequest) -> ExitCode {
    match take(program, &request) {
        Ok(Ok(_)) => ExitCode::SUCCESS,
        // The reporter has told why.
        Ok(Err(_)) => ExitCode::FAILURE,
        Err(failure) => {
            Messages::to_stderr(program.name()).error(failure);
            ExitCode::FAILURE
        }
    }
}

fn take(
    program: &Program,
    request: &BasebackupRequest,
) -> Result<Result<BackupSummary, BackupError>, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (connection, connect) = connect(program, &request.connection).await?;
        // Not before: until something is created, and while a password is typed, a signal just ends us.
        let interrupt = signals::first_interrupt()?;
        let progress = Arc::new(Progress::default());
        let reporter = TerminalReporter::on_stderr(program, request, Arc::clone(&progress));
        let config = &request.config;
        let job = BackupJob { config, connect: &connect, reporter: &reporter, progress: &progress };
        tokio::select! {
            outcome = backup::run(job, connection, interrupt.cancelled()) => Ok(outcome),
            () = tick(&reporter) => unreachable!("the display ticks until the backup ends"),
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

/// Connects; asks for a password where one is needed and may be asked for.
async fn connect(
    program: &Program,
    typed: &ConnectionArgs,
) -> Result<(Connection, ConnectOptions), Failure> {
    let mut arguments = connection_arguments(typed);
    if typed.password_prompt == PasswordPrompt::Always {
        arguments.password = Some(prompt()?);
    }
    loop {
        let environment = net::service::load(&arguments, Environment::from_process())?;
        let options = ConnectOptions::resolve(&arguments, program.name(), &environment)?;
        let mut warnings = Vec::new();
        let connected = net::connect(&options, &mut warnings).await;
        for warning in warnings {
            // libpq prints this itself, without the program's name.
            Messages::to_stderr(program.name()).raw(format_args!("WARNING: {warning}"));
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
        connection_string: typed.dbname.clone(),
        host: typed.host.clone(),
        port: typed.port.clone(),
        user: typed.user.clone(),
        password: None,
    }
}
