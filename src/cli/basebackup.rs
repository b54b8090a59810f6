//! Runs a base backup from the command line.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use super::args::{BasebackupRequest, ConnectionArgs, PasswordPrompt};
use super::{Messages, Program, TerminalReporter, password, signals};
use crate::backup::{self, BackupError, BackupJob, Progress};
use crate::net::conninfo::{
    ConnectOptions, ConnectionArguments, ConninfoError, Environment, Password,
};

/// How often the progress display is brought up to date.
const TICK: Duration = Duration::from_millis(250);

/// Why the program fails.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Conninfo(#[from] ConninfoError),
    #[error("could not read password: {0}")]
    Password(io::Error),
    #[error("could not start: {0}")]
    Start(io::Error),
    #[error(transparent)]
    Backup(#[from] BackupError),
}

/// Takes the backup that the command line asks for.
pub(super) fn run(program: &Program, request: BasebackupRequest) -> ExitCode {
    let progress = Arc::new(Progress::default());
    let reporter = TerminalReporter::on_stderr(program, &request, Arc::clone(&progress));
    let outcome = take(program, &request, &reporter, &progress);
    let mut messages = reporter.finish();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            explain(&failure, &mut messages);
            ExitCode::FAILURE
        }
    }
}

fn explain(failure: &Failure, messages: &mut Messages<impl io::Write>) {
    if let Failure::Backup(error @ BackupError::Damaged(..)) = failure {
        error.to_string().lines().for_each(|finding| messages.error(finding));
        messages.detail("What was received is not what the server listed in the manifest.");
        messages.hint("The files are kept for inspection; do not use them as a backup.");
    } else {
        messages.error(failure);
    }
}

fn take(
    program: &Program,
    request: &BasebackupRequest,
    reporter: &TerminalReporter<io::Stderr>,
    progress: &Arc<Progress>,
) -> Result<(), Failure> {
    let interrupt = signals::first_interrupt().map_err(Failure::Start)?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::Start)?;
    let mut arguments = connection_arguments(&request.connection);
    if request.connection.password_prompt == PasswordPrompt::Always {
        arguments.password = Some(prompt()?);
    }
    loop {
        let environment = Environment::from_process();
        let connect = ConnectOptions::resolve(&arguments, program.name(), &environment)?;
        let job = BackupJob { config: &request.config, connect: &connect, reporter, progress };
        let outcome = runtime.block_on(take_while_ticking(job, reporter, &interrupt));
        match outcome {
            Err(error)
                if error.needs_password()
                    && arguments.password.is_none()
                    && request.connection.password_prompt == PasswordPrompt::Auto =>
            {
                arguments.password = Some(prompt()?);
            }
            outcome => return Ok(outcome.map(|_summary| ())?),
        }
    }
}

async fn take_while_ticking(
    job: BackupJob<'_>,
    reporter: &TerminalReporter<io::Stderr>,
    interrupt: &CancellationToken,
) -> Result<backup::BackupSummary, BackupError> {
    let tick = async {
        let mut interval = tokio::time::interval(TICK);
        loop {
            interval.tick().await;
            reporter.tick(Instant::now());
        }
    };
    tokio::select! {
        outcome = backup::run(job, interrupt.cancelled()) => outcome,
        () = tick => unreachable!("the display ticks until the backup ends"),
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
