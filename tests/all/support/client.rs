//! Runs of our program and of the original, with a limit on their time.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use super::installation::client_program;
use super::scratch::Scratch;
use super::server::Server;
use super::{PATIENCE, POLL_INTERVAL};

/// Our program.
const PGSIPHON: &str = env!("CARGO_BIN_EXE_pgsiphon");

/// What a released program and its libraries have in memory of themselves, as measured with 0.1.0.
const RELEASED_PROGRAM_KIB: u64 = 8 * 1024;

/// Which tool is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Basebackup,
    Receivewal,
    Verifybackup,
    Bench,
    Serve,
    Status,
}

impl Tool {
    /// The command of our program.
    fn command(self) -> &'static str {
        match self {
            Tool::Basebackup => "basebackup",
            Tool::Receivewal => "receivewal",
            Tool::Verifybackup => "verifybackup",
            Tool::Bench => "bench",
            Tool::Serve => "serve",
            Tool::Status => "status",
        }
    }

    /// The original's name; ours, where there is none.
    fn original(self) -> &'static str {
        match self {
            Tool::Basebackup => "pg_basebackup",
            Tool::Receivewal => "pg_receivewal",
            Tool::Verifybackup => "pg_verifybackup",
            Tool::Bench | Tool::Serve | Tool::Status => "pgsiphon",
        }
    }
}

/// A run that is being prepared.
#[derive(Debug)]
pub struct Client {
    tool: Tool,
    command: Command,
    /// Holds the link under which our program plays the original.
    disguise: Option<Scratch>,
}

impl Client {
    /// Our program under its own name: `pgsiphon basebackup`.
    pub fn pgsiphon() -> Self {
        Client::own(Tool::Basebackup)
    }

    /// Our program under the name of the original `pg_basebackup`.
    pub fn drop_in() -> Self {
        Client::disguised(Tool::Basebackup)
    }

    /// The original `pg_basebackup`.
    pub fn original() -> Self {
        Client::installed(Tool::Basebackup)
    }

    /// Our program under its own name: `pgsiphon receivewal`.
    pub fn receivewal() -> Self {
        Client::own(Tool::Receivewal)
    }

    /// Our program under the name of the original `pg_receivewal`.
    pub fn receivewal_drop_in() -> Self {
        Client::disguised(Tool::Receivewal)
    }

    /// The original `pg_receivewal`.
    pub fn receivewal_original() -> Self {
        Client::installed(Tool::Receivewal)
    }

    /// Our program under its own name: `pgsiphon verifybackup`.
    pub fn verifybackup() -> Self {
        Client::own(Tool::Verifybackup)
    }

    /// Our program under the name of the original `pg_verifybackup`.
    pub fn verifybackup_drop_in() -> Self {
        Client::disguised(Tool::Verifybackup)
    }

    /// The original `pg_verifybackup`.
    pub fn verifybackup_original() -> Self {
        Client::installed(Tool::Verifybackup)
    }

    /// Our program under its own name: `pgsiphon bench`.
    pub fn bench() -> Self {
        Client::own(Tool::Bench)
    }

    /// Our program as a service: `pgsiphon serve`.
    pub fn serve(config: &Path) -> Self {
        Client::own(Tool::Serve).arg("--config").arg(config)
    }

    /// Our program looking at a service: `pgsiphon status`.
    pub fn status() -> Self {
        Client::own(Tool::Status)
    }

    /// Our program under another program's control, given with the arguments in front of it.
    pub fn under(program: &str, arguments: &[&str]) -> Self {
        Client::own(Tool::Basebackup).controlled_by(program, arguments)
    }

    /// Puts it under another program's control, given with the arguments in front of it.
    pub fn controlled_by(self, program: &str, arguments: &[&str]) -> Self {
        let Client { tool, command, disguise } = self;
        let client = Client::new(tool, Path::new(program), disguise);
        client.args(arguments).arg(command.get_program()).args(command.get_args())
    }

    fn own(tool: Tool) -> Self {
        Client::new(tool, Path::new(PGSIPHON), None).arg(tool.command())
    }

    fn disguised(tool: Tool) -> Self {
        let scratch = Scratch::new();
        let link = scratch.join(tool.original());
        symlink(PGSIPHON, &link).unwrap();
        Client::new(tool, &link, Some(scratch))
    }

    fn installed(tool: Tool) -> Self {
        Client::new(tool, &client_program(tool.original()), None)
    }

    /// Only what the test says reaches the program: no variable or file of the developer's.
    fn new(tool: Tool, program: &Path, disguise: Option<Scratch>) -> Self {
        let mut command = Command::new(program);
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("LC_ALL", "C").env("HOME", "/nonexistent");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Client { tool, command, disguise }
    }

    /// Leads it to a server's socket, as a superuser; a backup begins with a fast checkpoint.
    pub fn to(self, server: &Server) -> Self {
        self.through(&server.sockets(), server.port())
    }

    /// Leads it to a socket directory.
    pub fn through(self, sockets: &Path, port: u16) -> Self {
        let host = sockets.as_os_str();
        let client = self.args(["-h".as_ref(), host, "-p".as_ref(), port.to_string().as_ref()]);
        let client = client.args(["-U", "postgres", "-w"]);
        match client.tool {
            Tool::Basebackup => client.args(["-c", "fast"]),
            Tool::Receivewal | Tool::Verifybackup | Tool::Bench | Tool::Serve | Tool::Status => {
                client
            }
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Names the target directory.
    pub fn into_directory(self, directory: &Path) -> Self {
        self.arg("-D").arg(directory)
    }

    /// Lets it run in a directory.
    pub fn within(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sends its standard output elsewhere.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Finished {
        self.start().wait()
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        let what = format!("{:?}", self.command);
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
        let stdout = child.stdout.take().map(Heard::from);
        let stderr = child.stderr.take().map(Heard::from).expect("nobody sends it elsewhere");
        Running { what, child, stdout, stderr, started: Instant::now(), _disguise: self.disguise }
    }
}

/// What a program writes to a pipe, read on a thread, so that the program never waits for us.
#[derive(Debug)]
struct Heard {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Heard {
    fn from(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                heard.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Heard { bytes, reader: Some(reader) }
    }

    /// Returns what came until now.
    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// Returns all of it, when the program has ended.
    fn whole(&mut self) -> Vec<u8> {
        self.reader.take().map(JoinHandle::join).transpose().unwrap();
        std::mem::take(&mut self.bytes.lock().unwrap())
    }
}

/// A program that runs. It is killed with the value.
#[derive(Debug)]
pub struct Running {
    what: String,
    child: Child,
    stdout: Option<Heard>,
    stderr: Heard,
    started: Instant,
    _disguise: Option<Scratch>,
}

impl Running {
    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        // It may have ended meanwhile, but its process id is not given away before it is waited for.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Returns what everyone can read of its arguments; nothing while it replaces itself.
    pub fn visible_arguments(&self) -> String {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.child.id())).unwrap();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    }

    /// Returns what it has said on standard error until now.
    pub fn said(&self) -> String {
        self.stderr.so_far()
    }

    /// Says whether it has a thread of this name. Those that wait for a dead disk outlast its end.
    pub fn has_thread(&self, name: &str) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten();
        let names = tasks.flatten().map(|task| fs::read_to_string(task.path().join("comm")));
        names.flatten().any(|found| found.trim_end() == name)
    }

    /// Lets it open a single file more than it has open; returns the limit of before.
    pub fn limit_files(&self) -> u64 {
        let is_free = |number: &u64| {
            fs::symlink_metadata(format!("/proc/{}/fd/{number}", self.child.id())).is_err()
        };
        self.set_files_limit((0..).find(is_free).unwrap() + 1)
    }

    /// Lets it open as many files as a limit says; returns the limit of before.
    pub fn set_files_limit(&self, limit: u64) -> u64 {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit { current: Some(limit), maximum };
        let before = prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit);
        before.unwrap().current.unwrap()
    }

    /// Says whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end; also returns the most memory it had, in KiB.
    pub fn wait_watching_memory(mut self) -> (Finished, u64) {
        let mut peak_kib = 0;
        while !self.has_ended() && self.started.elapsed() < PATIENCE {
            peak_kib = self.peak_memory_kib().unwrap_or(0).max(peak_kib);
            thread::sleep(POLL_INTERVAL);
        }
        assert!(peak_kib > 0, "{} was never seen", self.what);
        (self.wait(), peak_kib)
    }

    /// Returns the most memory it had so far, in KiB; `None` once it has ended. What is tested is larger itself than
    /// what is released, which is not counted.
    pub fn peak_memory_kib(&self) -> Option<u64> {
        // Before it becomes the program, the process is a copy of this one.
        let program = fs::read_link(format!("/proc/{}/exe", self.child.id())).ok()?;
        if std::env::current_exe().is_ok_and(|tests| tests == program) {
            return None;
        }
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let kib = |field: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(field))?;
            line.trim().strip_suffix(" kB")?.parse().ok()
        };
        let program_kib = kib("RssFile:")?;
        Some(kib("VmHWM:")? - program_kib.saturating_sub(RELEASED_PROGRAM_KIB))
    }

    /// Waits for its end; panics if that takes too long.
    pub fn wait(mut self) -> Finished {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.started.elapsed() > PATIENCE {
                let _ = self.child.kill();
                panic!("{} hangs; it said: {}", self.what, self.stderr.so_far());
            }
            thread::sleep(POLL_INTERVAL);
        };
        let took = self.started.elapsed();
        let stdout = self.stdout.as_mut().map(Heard::whole).unwrap_or_default();
        let stderr = String::from_utf8_lossy(&self.stderr.whole()).into_owned();
        Finished { what: std::mem::take(&mut self.what), status, stdout, stderr, took }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let said = self.said();
        if thread::panicking() && !said.is_empty() {
            eprintln!("{} said until then: {said}", self.what);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    what: String,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub took: std::time::Duration,
}

impl Finished {
    /// Makes sure that it succeeded.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        let Finished { what, status, stderr, .. } = &self;
        assert!(status.success(), "{what}: {status}: {stderr}");
        self
    }

    /// Makes sure that it failed in good order: exit code 1 and one error, in one line behind its name.
    /// Returns the error without its prefix.
    #[track_caller]
    pub fn failed(&self) -> &str {
        let Finished { what, status, stderr, .. } = self;
        assert_eq!(status.code(), Some(1), "{what}: {status}: {stderr}");
        assert!(!stderr.contains("panicked"), "{what}: {stderr}");
        let errors = self.errors();
        assert_eq!(errors.len(), 1, "{what} does not print one error: {stderr}");
        errors[0]
    }

    /// Returns the errors that it printed, without their prefix.
    pub fn errors(&self) -> Vec<&str> {
        let errors = self.stderr.lines().filter_map(|line| line.split_once(": error: "));
        errors.map(|(_, text)| text).collect()
    }

    /// Says whether a signal ended it.
    pub fn was_killed(&self) -> bool {
        self.status.signal().is_some()
    }
}
