//! A server of the benchmark's own, with the settings of one that means its promises.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::unistd::{Uid, User};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::AnyError;

/// No checkpoint happens by itself, so that no run pays for the ones before it.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'
shared_buffers = 512MB
max_wal_size = 16GB
checkpoint_timeout = 1h
autovacuum = off
max_connections = 60
";

/// PostgreSQL refuses to run as root; this is who it runs as then.
const SERVER_USER: &str = "postgres";

/// A running server; it is stopped with the value.
pub struct Server {
    programs: PathBuf,
    directory: PathBuf,
    port: u16,
    process: Child,
}

impl Server {
    /// Creates one in a directory and starts it.
    ///
    /// # Errors
    /// What its programs said.
    pub fn start(programs: &Path, directory: PathBuf) -> Result<Self, AnyError> {
        fs::create_dir(&directory)?;
        if let Some(user) = server_user()? {
            chown(&directory, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        let data = directory.join("data");
        let common = ["-k", "-N", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale"];
        output(server_command(&programs.join("initdb"))?.args(common).arg("-D").arg(&data))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut configuration = File::options().append(true).open(data.join("postgresql.conf"))?;
        let sockets = directory.display();
        write!(configuration, "{SETTINGS}unix_socket_directories = '{sockets}'\nport = {port}\n")?;
        let mut postgres = server_command(&programs.join("postgres"))?;
        postgres.arg("-D").arg(data).stdin(Stdio::null());
        let process = postgres.stderr(File::create(directory.join("log"))?).spawn()?;
        let mut server = Server { programs: programs.to_owned(), directory, port, process };
        while let Err(error) = server.sql("select") {
            if server.process.try_wait()?.is_some() {
                return Err(error);
            }
        }
        Ok(server)
    }

    /// Returns how it is reached over its socket.
    pub fn over_socket(&self) -> String {
        format!("host={} port={} user=postgres", self.directory.display(), self.port)
    }

    /// Returns how it is reached over TCP.
    pub fn over_tcp(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres sslmode=disable", self.port)
    }

    /// Prepares a client program with what leads it here.
    pub fn client(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.arg("-h").arg(&self.directory).args(["-p", &self.port.to_string()]);
        command.args(["-U", "postgres"]).stdin(Stdio::null());
        command
    }

    /// Runs SQL and returns its output, without the last newline.
    ///
    /// # Errors
    /// What the server said.
    pub fn sql(&self, text: &str) -> Result<String, AnyError> {
        let mut psql = self.client("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-c", text]);
        Ok(output(&mut psql)?.trim_end().to_owned())
    }

    /// Runs SQL that gives a number.
    ///
    /// # Errors
    /// What the server said, or that it is no number.
    pub fn number(&self, text: &str) -> Result<f64, AnyError> {
        let answer = self.sql(text)?;
        answer.parse().map_err(|_| format!("{text}: \"{answer}\" is no number").into())
    }

    /// Writes everything out now, so that it does not happen while something is measured.
    ///
    /// # Errors
    /// What the server said.
    pub fn checkpoint(&self) -> Result<(), AnyError> {
        self.sql("checkpoint").map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::QUIT);
        let _ = self.process.wait();
    }
}

/// Prepares a program that must not run as root.
fn server_command(program: &Path) -> Result<Command, AnyError> {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C").current_dir("/");
    if let Some(user) = server_user()? {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    Ok(command)
}

/// Returns whose account the server needs; none where it may have ours.
fn server_user() -> Result<Option<User>, AnyError> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let user = User::from_name(SERVER_USER)?;
    Ok(Some(user.ok_or_else(|| format!("there is no user {SERVER_USER}"))?))
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// It failed; with what it said.
pub fn output(command: &mut Command) -> Result<String, AnyError> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}: {said}", output.status).into())
}
