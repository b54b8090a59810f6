//! Receives WAL from the command line, or creates or drops the slot that holds it.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{self, ExitCode};

use super::args::{ReceivewalAction, ReceivewalRequest, Verbosity};
use super::connect::{NotConnected, block_on, block_on_in_place, connect};
use super::{Messages, Program, TerminalObserver, signals};
use crate::net::CommandError;
use crate::pg::OsError;
use crate::pipeline::InPlace;
use crate::receive::{self, IfSlotExists, ReceiveConfig, ReceiveError, ReceiveJob};
use crate::storage::StorageError;

/// Why the program did not do what was asked for.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Directory(StorageError),
    #[error(transparent)]
    NotConnected(#[from] NotConnected),
    #[error("could not start: {}", OsError(.0))]
    Start(#[from] io::Error),
    #[error(transparent)]
    Slot(#[from] CommandError),
    #[error(transparent)]
    Receive(#[from] ReceiveError),
}

/// Does what the command line asks for.
pub(super) fn run(program: &Program, request: &ReceivewalRequest) -> ExitCode {
    let outcome = match &request.action {
        ReceivewalAction::Receive(config) => receive(program, request, config),
        ReceivewalAction::CreateSlot { name, if_exists } => {
            create_slot(program, request, name, *if_exists)
        }
        ReceivewalAction::DropSlot(name) => drop_slot(program, request, name),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            Messages::to_stderr(program.name()).error(failure);
            ExitCode::FAILURE
        }
    }
}

fn receive(
    program: &Program,
    request: &ReceivewalRequest,
    config: &ReceiveConfig,
) -> Result<(), Failure> {
    // Before the server is bothered, as the original does.
    make_sure_it_opens(&config.directory).map_err(Failure::Directory)?;
    let in_place = InPlace::default();
    block_on_in_place(&in_place, async {
        let (connection, connect) = connect(program, &request.connection, drop).await?;
        // Not before: until there is a stream, and while a password is typed, a signal just ends us.
        let interrupt = signals::first_interrupt()?;
        signals::ignore_hangups()?;
        let observer = TerminalObserver::on_stderr(program, request.verbosity, request.progress);
        let job = ReceiveJob {
            config,
            connect: &connect,
            observer: &observer,
            interrupt: &interrupt,
            in_place: Some(&in_place),
        };
        match receive::run(job, connection).await {
            Err(error @ ReceiveError::WriterLeft { .. }) => leave(program, &error),
            outcome => Ok(outcome?),
        }
    })
}

/// Ends the process at once. A thread that waits for a dead disk is not waited for; it may even be the one that has to
/// return.
fn leave(program: &Program, error: &ReceiveError) -> ! {
    Messages::to_stderr(program.name()).error(error);
    process::exit(1)
}

fn make_sure_it_opens(directory: &Path) -> Result<(), StorageError> {
    match fs::read_dir(directory) {
        Ok(_) => Ok(()),
        Err(error) => Err(StorageError::new("open directory", directory, error)),
    }
}

fn create_slot(
    program: &Program,
    request: &ReceivewalRequest,
    name: &str,
    if_exists: IfSlotExists,
) -> Result<(), Failure> {
    block_on(async {
        let (mut connection, _) = connect(program, &request.connection, drop).await?;
        tell(program, request.verbosity, &format!("creating replication slot \"{name}\""));
        receive::create_slot(&mut connection, name, if_exists).await?;
        connection.terminate().await;
        Ok(())
    })
}

fn drop_slot(program: &Program, request: &ReceivewalRequest, name: &str) -> Result<(), Failure> {
    block_on(async {
        let (mut connection, _) = connect(program, &request.connection, drop).await?;
        tell(program, request.verbosity, &format!("dropping replication slot \"{name}\""));
        receive::drop_slot(&mut connection, name).await?;
        connection.terminate().await;
        Ok(())
    })
}

fn tell(program: &Program, verbosity: Verbosity, step: &str) {
    if verbosity == Verbosity::Verbose {
        Messages::to_stderr(program.name()).info(step);
    }
}
