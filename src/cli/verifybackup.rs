//! Verifies a stored backup from the command line.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::args::{ReportForm, ShowProgress, Verbosity, VerifybackupRequest};
use super::progress::VerifyDisplay;
use super::verify_report::{Effort, VerifyReport};
use super::{Messages, Program, print, unwritable};
use crate::verify::{Finding, Problem, Verdict, VerifyError, VerifyProgress, verify};

/// How often the progress display is brought up to date.
const TICK: Duration = Duration::from_millis(100);

/// Verifies the backup that the command line names.
pub(super) fn run(program: &Program, request: &VerifybackupRequest) -> ExitCode {
    let started = Instant::now();
    let progress = VerifyProgress::default();
    let outcome = match request.progress {
        ShowProgress::Yes => verify_watched(program, request, &progress),
        ShowProgress::No => verify(&request.config, &progress),
    };
    let mut messages = Messages::to_stderr(program.name());
    match &outcome {
        Ok(verdict) => verdict.findings.iter().for_each(|finding| tell(&mut messages, finding)),
        Err(error) => messages.error(error),
    }
    let is_verified = outcome.as_ref().is_ok_and(|verdict| verdict.findings.is_empty());
    if request.report == ReportForm::Json {
        let effort = Effort { bytes: progress.done(), elapsed: started.elapsed() };
        let report = VerifyReport::new(outcome.as_ref(), effort);
        if let Err(error) = report.write(&mut io::stdout()) {
            return unwritable(&mut messages, &error);
        }
    }
    match (is_verified, request.report, request.verbosity) {
        (false, _, _) => ExitCode::FAILURE,
        (true, ReportForm::Messages, Verbosity::Verbose) => {
            print(program, "backup successfully verified\n")
        }
        (true, ReportForm::Json, _) | (true, _, Verbosity::Quiet) => ExitCode::SUCCESS,
    }
}

/// Verifies while another thread shows how far that is.
fn verify_watched(
    program: &Program,
    request: &VerifybackupRequest,
    progress: &VerifyProgress,
) -> Result<Verdict, VerifyError> {
    let mut display = VerifyDisplay::choose(program);
    // Nothing is sent: that the sender is gone is the message.
    let (running, ended) = mpsc::channel::<()>();
    let show = move || {
        while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            display.tick(Instant::now(), progress.into());
        }
        display.finish(progress.into());
    };
    thread::scope(|scope| {
        let screen = thread::Builder::new().name("progress".to_owned());
        screen.spawn_scoped(scope, show).map_err(VerifyError::Thread)?;
        let outcome = verify(&request.config, progress);
        drop(running);
        outcome
    })
}

/// Prints a finding; that of WAL has its reason in a line of its own, as if another program had told it.
fn tell(messages: &mut Messages<impl Write>, finding: &Finding) {
    let text = finding.to_string();
    if matches!(finding.problem, Problem::Wal { .. }) {
        text.lines().for_each(|line| messages.error(line));
    } else {
        // A name may have line breaks.
        messages.error(text);
    }
}
