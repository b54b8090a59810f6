//! The command line and the terminal: arguments, messages, progress, exit codes. The only place that
//! prints.

mod args;
mod basebackup;
mod bench;
mod check;
mod concealed;
mod connect;
mod logs;
mod messages;
mod password;
mod program;
mod progress;
mod receivewal;
mod receivewal_observer;
mod report;
mod reporter;
mod serve;
mod signals;
mod status;
mod verify_report;
mod verifybackup;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::pg::OsError;

pub use args::{
    BasebackupRequest, BenchRequest, CheckRequest, Confirmation, Conflict, ConnectionArgs,
    ConnectionString, OptionsError, Outcome, PasswordPrompt, ReceivewalAction, ReceivewalRequest,
    ReportForm, ServeRequest, ShowProgress, StatusRequest, StatusSource, SyntaxError, UsageError,
    ValueError, Verbosity, VerifybackupRequest, interpret,
};
pub use messages::{Colors, Messages};
pub use password::prompt as prompt_password;
pub use program::{Job, Program, Role, Tool};
pub use progress::{
    ProgressBars, ProgressDisplay, ProgressLine, ProgressObjects, Screen, Share, VerifyDisplay,
    VerifyLine,
};
pub use receivewal_observer::TerminalObserver;
pub use report::{
    Line, Phase, ProgressObject, Report, Run, Status, Warning, Warnings, WarningsKeeper,
};
pub use reporter::TerminalReporter;
pub use verify_report::{Effort, VerifyReport};

/// Runs the program with all its arguments, `argv[0]` first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let program = Program::called(arguments.next().as_deref());
    let arguments: Vec<OsString> = arguments.collect();
    concealed::restore_name(program.name());
    match interpret(&program, &arguments) {
        Ok(Outcome::Print(text)) => print(&program, &text),
        Ok(Outcome::Basebackup(request)) => {
            conceal_password(&program, &arguments, request.connection.dbname.as_ref());
            basebackup::run(&program, &request)
        }
        Ok(Outcome::Receivewal(request)) => {
            conceal_password(&program, &arguments, request.connection.dbname.as_ref());
            receivewal::run(&program, &request)
        }
        Ok(Outcome::Verifybackup(request)) => verifybackup::run(&program, &request),
        Ok(Outcome::Serve(request)) => serve::run(&program, &request),
        Ok(Outcome::Check(request)) => check::run(&program, &request),
        Ok(Outcome::Status(request)) => status::run(&program, &request),
        Ok(Outcome::Bench(request)) => {
            conceal_password(&program, &arguments, request.server.as_ref());
            bench::run(&program, &request)
        }
        Err(error) => {
            refuse(&program, &error, &mut Messages::to_stderr(program.name()));
            ExitCode::FAILURE
        }
    }
}

fn conceal_password(
    program: &Program,
    arguments: &[OsString],
    connection: Option<&ConnectionString>,
) {
    if let Some(typed) = connection {
        concealed::conceal(program.invoked_as(), arguments, typed.reveal());
    }
}

fn print(program: &Program, text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => unwritable(&mut Messages::to_stderr(program.name()), &error),
    }
}

/// Says that standard output does not take what was asked for.
fn unwritable(messages: &mut Messages<impl io::Write>, error: &io::Error) -> ExitCode {
    messages.error(format_args!("could not write to standard output: {}", OsError(error)));
    ExitCode::FAILURE
}

/// Says why the command line is not carried out, and where to look.
fn refuse(program: &Program, error: &UsageError, messages: &mut Messages<impl io::Write>) {
    match error {
        UsageError::Options(_, OptionsError::Syntax(fault)) => {
            messages.raw(format_args!("{}: {fault}", program.invoked_as()));
        }
        UsageError::Options(_, OptionsError::Misplaced) => {}
        UsageError::Options(_, OptionsError::Value(_) | OptionsError::Conflict(_))
        | UsageError::UnknownCommand(_)
        | UsageError::NoCommand
        | UsageError::NoShell
        | UsageError::UnknownShell(_)
        | UsageError::UnknownProgram { .. }
        | UsageError::UnknownPage { .. }
        | UsageError::TooManyOperands(_) => messages.error(error),
    }
    if let Some(command) = error.helpful_command(program) {
        messages.hint(format_args!("Try \"{command} --help\" for more information."));
    }
}
