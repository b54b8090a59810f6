//! A PostgreSQL server of a test's own.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use rustix::process::{Pid, Signal, kill_process};

use super::account::{give_to_server, server_command};
use super::installation::{Installation, client_program};
use super::scratch::{Scratch, run};
use super::wait_until;

/// Settings of every server: nothing here survives a power cut, and nothing happens by itself.
const SETTINGS: [&str; 7] = [
    "fsync=off",
    "max_connections=30",
    "shared_buffers=16MB",
    "autovacuum=off",
    "checkpoint_timeout=1h",
    "log_line_prefix=%m [%p] ",
    "timezone=UTC",
];

/// The port in the name of a server's socket, unless it listens on TCP too.
pub const PORT: u16 = 5432;

/// The server sends more than that in a base backup of the smallest cluster, whatever its version.
pub const STREAM_BYTES_MIN: u64 = 22_000_000;

/// Templates are made one at a time, for the next one may want the same.
static TEMPLATES: Mutex<()> = Mutex::new(());

/// What a new server is to be like.
#[derive(Clone, Debug)]
pub struct ServerBuilder {
    installation: Installation,
    initdb: Vec<String>,
    settings: Vec<String>,
    hba: String,
    tcp: bool,
}

impl ServerBuilder {
    /// Adds arguments for `initdb`.
    pub fn initdb(mut self, arguments: &[&str]) -> Self {
        self.initdb.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Adds a setting, `name=value`.
    pub fn setting(mut self, setting: impl Into<String>) -> Self {
        self.settings.push(setting.into());
        self
    }

    /// Puts lines before those of `pg_hba.conf` that trust everybody.
    pub fn hba(mut self, lines: &str) -> Self {
        self.hba.push_str(lines);
        self
    }

    /// Lets it listen on the loopback addresses too.
    pub fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Creates the cluster and starts it.
    pub fn start(self) -> Server {
        let scratch = Scratch::new();
        let data = scratch.join("data");
        self.copy_template(&data);
        let hba = data.join("pg_hba.conf");
        let trusting = fs::read_to_string(&hba).unwrap();
        fs::write(hba, self.hba + &trusting).unwrap();
        // In the file, so that servers made of backups have them too.
        let configuration = File::options().append(true).open(data.join("postgresql.conf"));
        writeln!(configuration.unwrap(), "{}", self.settings.join("\n")).unwrap();
        Server::launch(self.installation, scratch, data, self.tcp)
    }

    /// Copies a fresh cluster, which is far quicker than `initdb`. The template is kept in Cargo's
    /// directory for such files.
    fn copy_template(&self, data: &Path) {
        let _turn = TEMPLATES.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let name = format!("cluster-{}{}", self.installation.major, self.initdb.concat());
        let template = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if !template.exists() {
            let scratch = Scratch::new();
            let fresh = scratch.directory("cluster");
            give_to_server(&fresh);
            let mut initdb = server_command(&self.installation.program("initdb"));
            let common = ["-k", "-N", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale"];
            run(initdb.args(common).args(&self.initdb).arg("-D").arg(&fresh));
            // Whole or not at all, in case another process does the same.
            let unnamed = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            copy(&fresh, &unnamed.path().join("cluster"));
            let _ = fs::rename(unnamed.path().join("cluster"), &template);
        }
        copy(&template, data);
    }
}

/// Copies a cluster. Its WAL is empty, so next to nothing has to be written of that.
fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").args(["-a", "--sparse=always"]).arg(from).arg(to));
}

fn spawn(installation: Installation, data: &Path, settings: &[String], log: &Path) -> Child {
    let log = File::options().create(true).append(true).open(log).unwrap();
    let mut postgres = server_command(&installation.program("postgres"));
    postgres.arg("-D").arg(data);
    for setting in SETTINGS.into_iter().chain(settings.iter().map(String::as_str)) {
        postgres.args(["-c", setting]);
    }
    postgres.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// Returns a port of the loopback addresses that is free now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A running server. It is stopped and taken away with the value.
#[derive(Debug)]
pub struct Server {
    installation: Installation,
    /// Holds the sockets and the log; the data too, if the server is not made of a backup.
    scratch: Scratch,
    data: PathBuf,
    settings: Vec<String>,
    port: u16,
    process: Child,
}

impl Server {
    /// Begins to describe a server.
    pub fn builder(installation: Installation) -> ServerBuilder {
        let (initdb, settings, hba) = (Vec::new(), Vec::new(), String::new());
        ServerBuilder { installation, initdb, settings, hba, tcp: false }
    }

    /// Starts an ordinary server.
    pub fn start(installation: Installation) -> Self {
        Server::builder(installation).start()
    }

    /// Starts a server from a backup, which becomes its data directory.
    pub fn from_backup(installation: Installation, backup: &Path) -> Self {
        give_to_server(backup);
        Server::launch(installation, Scratch::new(), backup.to_owned(), false)
    }

    fn launch(installation: Installation, scratch: Scratch, data: PathBuf, tcp: bool) -> Self {
        let sockets = scratch.directory("sockets");
        give_to_server(&sockets);
        let port = if tcp { free_port() } else { PORT };
        let settings = vec![
            format!("unix_socket_directories={}", sockets.display()),
            format!("port={port}"),
            format!("listen_addresses={}", if tcp { "127.0.0.1,::1" } else { "" }),
        ];
        let log = scratch.join("log");
        let process = spawn(installation, &data, &settings, &log);
        let mut server = Server { installation, scratch, data, settings, port, process };
        let log = || fs::read_to_string(&log).unwrap_or_default();
        assert!(server.becomes_ready(), "the server did not start: {}", log());
        server
    }

    /// Starts it again after it was stopped or killed.
    pub fn start_again(&mut self) {
        wait_until("the server to start again", || {
            let log = self.scratch.join("log");
            self.process = spawn(self.installation, &self.data, &self.settings, &log);
            // It gives up while children of the one that was killed are still there.
            self.becomes_ready()
        });
    }

    /// Waits until the server takes sessions; says whether it came so far. Those of a standby may not write,
    /// those of any other server may, as its recovery is over.
    fn becomes_ready(&mut self) -> bool {
        let mut is_ready = false;
        wait_until("the server to start", || {
            is_ready = self.pid_file_says_ready();
            is_ready || self.process.try_wait().unwrap().is_some()
        });
        is_ready
    }

    fn pid_file_says_ready(&self) -> bool {
        let Ok(contents) = fs::read_to_string(self.data.join("postmaster.pid")) else {
            return false;
        };
        let mut lines = contents.lines();
        lines.next() == Some(&self.process.id().to_string())
            && lines.nth(6).is_some_and(|status| ["ready", "standby"].contains(&status.trim_end()))
    }

    /// Returns the data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Returns the directory of its socket.
    pub fn sockets(&self) -> PathBuf {
        self.scratch.join("sockets")
    }

    /// Returns its port, which is a part of the socket's name too.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes a directory that the server may use, for a tablespace.
    pub fn directory(&self, name: impl AsRef<Path>) -> PathBuf {
        let directory = self.scratch.directory(name);
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
        give_to_server(&directory);
        directory
    }

    /// Prepares a client program with the arguments that lead to this server.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(client_program(program));
        command.env("LC_ALL", "C").arg("-h").arg(self.sockets());
        command.args(["-U", "postgres", "-p", &self.port.to_string()]);
        command
    }

    /// Runs SQL in the database `postgres` and returns its output, without the last newline.
    pub fn sql(&self, text: impl AsRef<OsStr>) -> String {
        self.sql_in("postgres", text)
    }

    /// Runs SQL in a database. Its bytes go to the server as they are.
    pub fn sql_in(&self, database: &str, text: impl AsRef<OsStr>) -> String {
        let mut psql = self.client("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database]).arg("-c").arg(text);
        String::from_utf8_lossy(&run(&mut psql).stdout).trim_end().to_owned()
    }

    /// Shuts it down in good order.
    pub fn stop(&mut self) {
        self.end(Signal::INT);
    }

    /// Kills the server's main process with SIGKILL; its children notice and end.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    fn end(&mut self, signal: Signal) {
        if let Ok(None) = self.process.try_wait() {
            let _ = kill_process(Pid::from_child(&self.process), signal);
            let _ = self.process.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.scratch.join("log")).unwrap_or_default();
            eprintln!("the server's log: {log}");
        }
        self.end(Signal::QUIT);
    }
}
