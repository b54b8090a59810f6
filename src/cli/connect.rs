//! The first connection of a command, with a password from the user where one is needed.

use std::io;
use std::panic::resume_unwind;
use std::thread;

use tokio::runtime::{Builder, Runtime};

use super::args::{ConnectionArgs, PasswordPrompt};
use super::{Messages, Program, concealed, password};
use crate::net::conninfo::{
    ConnectOptions, ConnectionArguments, ConninfoError, Environment, Password,
};
use crate::net::{self, ConnectError, Connection};
use crate::pg::OsError;
use crate::pipeline::{InPlace, in_place};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotConnected {
    #[error(transparent)]
    Conninfo(#[from] ConninfoError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("could not read password: {}", OsError(.0))]
    Password(io::Error),
}

/// Runs a command to its end, on this thread.
pub(super) fn block_on<T, E: From<io::Error>>(
    command: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    with_runtime(|runtime| runtime.block_on(command))?
}

/// Runs a command to its end, and the blocking work that it leaves.
///
/// This thread only waits: the system gives signals to the first thread of a process rather than to others, also
/// while that waits for a dead disk and cannot take them.
pub(super) fn block_on_in_place<T: Send, E: From<io::Error> + Send>(
    place: &InPlace,
    command: impl Future<Output = Result<T, E>> + Send,
) -> Result<T, E> {
    with_runtime(|runtime| {
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("command".to_owned());
            let run = || in_place::block_on(runtime, place, command);
            thread.spawn_scoped(scope, run)?.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    })??
}

fn with_runtime<T>(run: impl FnOnce(&Runtime) -> T) -> io::Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let outcome = run(&runtime);
    // A name service or a KDC that hangs would be waited for. Nothing of the command is on such a thread.
    runtime.shutdown_background();
    Ok(outcome)
}

/// Connects; asks for a password where one is needed and may be asked for. Also returns how to connect once
/// more. `keep` hears the warnings that were printed.
pub(super) async fn connect(
    program: &Program,
    typed: &ConnectionArgs,
    keep: impl Fn(String),
) -> Result<(Connection, ConnectOptions), NotConnected> {
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
            keep(warning.to_string());
        }
        let may_ask = arguments.password.is_none() && typed.password_prompt == PasswordPrompt::Auto;
        match connected {
            Err(error) if error.needs_password() && may_ask => {
                arguments.password = Some(prompt()?);
            }
            connected => return Ok((connected?, options)),
        }
    }
}

fn prompt() -> Result<Password, NotConnected> {
    password::prompt().map(|text| Password::new(text.into_bytes())).map_err(NotConnected::Password)
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
