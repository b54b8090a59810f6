//! A program that is run, and what that took.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio_util::sync::CancellationToken;

use super::error::BenchError;
use super::process;
use super::sample::Sample;
use super::workspace::failed;

/// How often a program's memory is looked at, and whether it has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// How many lines of what a failed program said are repeated.
const LINES_REPEATED: usize = 3;

/// A running program; it is killed with the value.
pub(super) struct Running<'a> {
    program: PathBuf,
    process: Child,
    started: Instant,
    peak_memory_bytes: Option<u64>,
    messages: PathBuf,
    stop: &'a CancellationToken,
}

impl<'a> Running<'a> {
    /// Starts a program; what it prints and says goes into a file.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(
        mut command: Command,
        messages: &Path,
        stop: &'a CancellationToken,
    ) -> Result<Self, BenchError> {
        let program = PathBuf::from(command.get_program());
        let file = File::create(messages).map_err(failed("create file", messages))?;
        let same_file = file.try_clone().map_err(failed("open file", messages))?;
        command.stdin(Stdio::null()).stdout(file).stderr(same_file);
        let started = Instant::now();
        match command.spawn() {
            Ok(process) => Ok(Running {
                program,
                process,
                started,
                peak_memory_bytes: None,
                messages: messages.to_owned(),
                stop,
            }),
            Err(source) => Err(BenchError::Program { program, source }),
        }
    }

    /// Waits until it ends by itself, and returns what it printed.
    ///
    /// # Errors
    /// As of [`Self::wait`].
    pub(super) fn wait_for_output(self) -> Result<String, BenchError> {
        let messages = self.messages.clone();
        self.wait()?;
        fs::read_to_string(&messages).map_err(failed("read file", &messages))
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It failed, or the user interrupted the wait.
    pub(super) fn wait(mut self) -> Result<Sample, BenchError> {
        while !self.has_ended()? {
            let peak = process::peak_memory_bytes(self.process.id());
            self.peak_memory_bytes = self.peak_memory_bytes.max(peak);
            self.pause()?;
        }
        let seconds = self.started.elapsed().as_secs_f64();
        let client_cpu_seconds = process::cpu_seconds(self.process.id());
        self.reap()?;
        Ok(Sample {
            seconds,
            client_cpu_seconds,
            peak_memory_bytes: self.peak_memory_bytes,
            ..Sample::default()
        })
    }

    /// Ends it with SIGINT.
    ///
    /// # Errors
    /// As of [`Self::wait`].
    pub(super) fn interrupt(self) -> Result<Sample, BenchError> {
        let sent = kill_process(Pid::from_child(&self.process), Signal::INT);
        sent.map_err(|error| self.unwatchable(error.into()))?;
        self.wait()
    }

    /// Waits until something is true to which it contributes.
    ///
    /// # Errors
    /// That of the question; or the program ended, or the user interrupted the wait.
    pub(super) fn wait_until(
        &mut self,
        mut is_true: impl FnMut() -> Result<bool, BenchError>,
    ) -> Result<(), BenchError> {
        while !is_true()? {
            if self.has_ended()? {
                return Err(self.failure());
            }
            self.pause()?;
        }
        Ok(())
    }

    fn pause(&self) -> Result<(), BenchError> {
        if self.stop.is_cancelled() {
            return Err(BenchError::Interrupted);
        }
        sleep(POLL_INTERVAL);
        Ok(())
    }

    /// Says whether it has ended, and leaves its times to be read.
    ///
    /// # Errors
    /// It cannot be watched.
    pub(super) fn has_ended(&self) -> Result<bool, BenchError> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = waitid(WaitId::Pid(Pid::from_child(&self.process)), options);
        Ok(ended.map_err(|error| self.unwatchable(error.into()))?.is_some())
    }

    fn reap(&mut self) -> Result<(), BenchError> {
        match self.process.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(self.failure()),
            Err(source) => Err(self.unwatchable(source)),
        }
    }

    fn failure(&mut self) -> BenchError {
        match self.process.wait() {
            Ok(status) => {
                let said = last_lines(&fs::read_to_string(&self.messages).unwrap_or_default());
                BenchError::Failed { program: self.program.clone(), status, said }
            }
            Err(source) => self.unwatchable(source),
        }
    }

    fn unwatchable(&self, source: std::io::Error) -> BenchError {
        BenchError::Program { program: self.program.clone(), source }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// It cannot be started, or failed.
pub(super) fn output(command: &mut Command) -> Result<String, BenchError> {
    let program = PathBuf::from(command.get_program());
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
        }
        Ok(output) => {
            let said = last_lines(&String::from_utf8_lossy(&output.stderr));
            Err(BenchError::Failed { program, status: output.status, said })
        }
        Err(source) => Err(BenchError::Program { program, source }),
    }
}

/// Puts the last lines of a text into one.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(LINES_REPEATED)..).unwrap_or_default().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn run(script: &str, stop: &CancellationToken) -> Result<Sample, BenchError> {
        let directory = tempfile::tempdir().unwrap();
        Running::start(shell(script), &directory.path().join("said"), stop)?.wait()
    }

    #[test]
    fn a_run_has_its_time_and_its_memory() {
        let sample = run("sleep 0.1", &CancellationToken::new()).unwrap();
        assert!((0.1..10.0).contains(&sample.seconds), "{sample:?}");
        assert!(sample.client_cpu_seconds.is_some() && sample.peak_memory_bytes.is_some());
    }

    #[test]
    fn what_a_failed_program_said_is_told_in_one_line() {
        let error = run("printf 'a\nb\nc\nd\n' >&2; exit 3", &CancellationToken::new());
        let expected = "program \"sh\" failed (exit status: 3): b; c; d";
        assert_eq!(error.unwrap_err().to_string(), expected);
        let error = output(&mut shell("echo no >&2; false")).unwrap_err().to_string();
        assert_eq!(error, "program \"sh\" failed (exit status: 1): no");
    }

    #[test]
    fn an_interrupted_wait_ends_the_program() {
        let stop = CancellationToken::new();
        stop.cancel();
        assert!(matches!(run("sleep 600", &stop), Err(BenchError::Interrupted)));
    }
}
