//! A run of a receiver, and what it took.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::support::AnyError;

/// How often its memory is looked at, and whether it ended.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The unit of times in /proc: part of Linux's interface, the same everywhere that matters.
const TICKS_PER_SECOND: f64 = 100.0;

/// What the run took.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// From its start to its end.
    pub seconds: f64,
    /// Of all its threads, in user mode and in the kernel.
    pub cpu_seconds: f64,
    /// The most memory that it had, in MiB.
    pub peak_mib: f64,
}

impl Usage {
    /// Nobody ran, or nobody looked.
    pub const UNKNOWN: Self =
        Usage { seconds: f64::NAN, cpu_seconds: f64::NAN, peak_mib: f64::NAN };
}

/// A running receiver; it is killed with the value.
pub struct Receiver {
    process: Child,
    started: Instant,
    peak_mib: f64,
    messages: PathBuf,
}

impl Receiver {
    /// Starts one; it receives into a directory. What it says goes into a file beside that.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        program: &Path,
        server: &str,
        directory: &Path,
        arguments: &[&str],
    ) -> Result<Self, AnyError> {
        let messages = directory.with_extension("log");
        let mut command = Command::new(program);
        command.arg("-d").arg(server).arg("-D").arg(directory).args(["--no-loop", "-w"]);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&messages)?);
        let started = Instant::now();
        let process = command.spawn()?;
        Ok(Receiver { process, started, peak_mib: f64::NAN, messages })
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It failed; with what it said.
    pub fn wait(mut self) -> Result<Usage, AnyError> {
        while !self.has_ended()? {
            self.peak_mib = self.peak_mib.max(self.memory_peak().unwrap_or(f64::NAN));
            sleep(POLL_INTERVAL);
        }
        let seconds = self.started.elapsed().as_secs_f64();
        // Its times are there until somebody asks for its exit code.
        let cpu_seconds = self.cpu_seconds().unwrap_or(f64::NAN);
        let status = self.process.wait()?;
        if !status.success() {
            return Err(format!("the receiver failed: {status}: {}", self.said()).into());
        }
        Ok(Usage { seconds, cpu_seconds, peak_mib: self.peak_mib })
    }

    /// Ends it with SIGINT.
    ///
    /// # Errors
    /// It failed; with what it said.
    pub fn stop(self) -> Result<Usage, AnyError> {
        kill_process(Pid::from_child(&self.process), Signal::INT)?;
        self.wait()
    }

    /// Waits until something is true that the receiver does its part for.
    ///
    /// # Errors
    /// That of the question, or the receiver ended.
    pub fn wait_until(
        &mut self,
        mut is_true: impl FnMut() -> Result<bool, AnyError>,
    ) -> Result<(), AnyError> {
        while !is_true()? {
            if self.has_ended()? {
                let status = self.process.wait()?;
                return Err(format!("the receiver ended: {status}: {}", self.said()).into());
            }
            sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    fn has_ended(&self) -> Result<bool, AnyError> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(Pid::from_child(&self.process)), options)?.is_some())
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.messages).unwrap_or_default()
    }

    fn proc_file(&self, name: &str) -> Option<String> {
        fs::read_to_string(format!("/proc/{}/{name}", self.process.id())).ok()
    }

    fn memory_peak(&self) -> Option<f64> {
        let status = self.proc_file("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib / 1024.0)
    }

    fn cpu_seconds(&self) -> Option<f64> {
        let stat = self.proc_file("stat")?;
        // Behind the name, which may contain anything, the twelfth and thirteenth field.
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        Some(ticks.sum::<Result<f64, _>>().ok()? / TICKS_PER_SECOND)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
