//! A server of the benchmark's own, with the settings of one that means its promises.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::unistd::{Uid, User};
use rustix::process::{Pid, Signal, kill_process};
use tokio_util::sync::CancellationToken;

use super::child::output;
use super::error::BenchError;
use super::server::Transport;
use super::workspace::failed;
use crate::net::conninfo::{Keyword, Parameters};

/// Nothing happens by itself while something is measured: no checkpoint, no vacuum.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'
shared_buffers = 512MB
max_wal_size = 64GB
checkpoint_timeout = 1d
autovacuum = off
max_connections = 60
ssl = on
";

/// How a server runs that has only to be filled: nothing is at stake yet.
const FILLING: [&str; 6] = [
    "-cfsync=off",
    "-cfull_page_writes=off",
    "-csynchronous_commit=off",
    "-cwal_level=minimal",
    "-cmax_wal_senders=0",
    "-cmax_locks_per_transaction=2000",
];

/// PostgreSQL refuses to run as root; this is who it runs as then.
const SERVER_USER: &str = "postgres";

/// How often a starting server is asked whether it is ready.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A server of the benchmark's own; it is stopped with the value.
pub(super) struct PrivateServer {
    directory: PathBuf,
    port: u16,
    process: Child,
}

/// A cluster of the benchmark's own that no server runs on.
pub(super) struct Cluster<'a> {
    originals: &'a Path,
    directory: PathBuf,
    port: u16,
}

impl<'a> Cluster<'a> {
    /// Creates one in a new directory.
    ///
    /// # Errors
    /// What its programs said.
    pub(super) fn create(originals: &'a Path, directory: PathBuf) -> Result<Self, BenchError> {
        fs::create_dir(&directory).map_err(failed("create directory", &directory))?;
        give_to_server(&directory)?;
        let data = directory.join("data");
        let common = ["-k", "-N", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale"];
        let mut initdb = server_command(&originals.join("initdb"))?;
        output(initdb.args(common).arg("-D").arg(&data))?;
        write_certificate(&data)?;
        let port = free_port().map_err(failed("find a port for", &directory))?;
        let configuration = data.join("postgresql.conf");
        let sockets = directory.display();
        let settings = format!("{SETTINGS}unix_socket_directories = '{sockets}'\nport = {port}\n");
        let append =
            |path: &Path| File::options().append(true).open(path)?.write_all(settings.as_bytes());
        append(&configuration).map_err(failed("write file", &configuration))?;
        Ok(Cluster { originals, directory, port })
    }

    /// Starts a server that may be filled fast.
    ///
    /// # Errors
    /// It does not start, or the user interrupted that.
    pub(super) fn start_filling(
        &self,
        stop: &CancellationToken,
    ) -> Result<PrivateServer, BenchError> {
        self.start_with(&FILLING, stop)
    }

    /// Starts the server that is measured.
    ///
    /// # Errors
    /// As of [`Self::start_filling`].
    pub(super) fn start(&self, stop: &CancellationToken) -> Result<PrivateServer, BenchError> {
        self.start_with(&[], stop)
    }

    fn start_with(
        &self,
        settings: &[&str],
        stop: &CancellationToken,
    ) -> Result<PrivateServer, BenchError> {
        let program = self.originals.join("postgres");
        let log = self.directory.join("log");
        let log_file = File::create(&log).map_err(failed("create file", &log))?;
        let mut postgres = server_command(&program)?;
        postgres.arg("-D").arg(self.directory.join("data")).args(settings);
        // What the terminal sends to the benchmark is not for the server.
        postgres.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file).process_group(0);
        let unrunnable = |source| BenchError::Program { program: program.clone(), source };
        let process = postgres.spawn().map_err(unrunnable)?;
        let mut server =
            PrivateServer { directory: self.directory.clone(), port: self.port, process };
        while !server.is_ready(self.originals) {
            let ended = server.process.try_wait().map_err(unrunnable)?;
            if let Some(status) = ended {
                let said = fs::read_to_string(&log).unwrap_or_default();
                let said = said.lines().last().unwrap_or_default().to_owned();
                return Err(BenchError::Failed { program, status, said });
            }
            if stop.is_cancelled() {
                return Err(BenchError::Interrupted);
            }
            sleep(POLL_INTERVAL);
        }
        Ok(server)
    }
}

impl PrivateServer {
    /// Returns its first process.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns how it is reached.
    pub(super) fn parameters(&self, transport: Transport) -> Parameters {
        let directory = self.directory.to_string_lossy();
        let (host, ssl_mode) = match transport {
            Transport::Socket => (&*directory, "disable"),
            Transport::Tcp => ("127.0.0.1", "disable"),
            Transport::Tls => ("127.0.0.1", "require"),
        };
        let mut parameters = Parameters::default();
        for (keyword, value) in [
            (Keyword::Host, host),
            (Keyword::Port, &self.port.to_string()),
            (Keyword::User, "postgres"),
            (Keyword::Dbname, "postgres"),
            (Keyword::SslMode, ssl_mode),
            (Keyword::GssEncMode, "disable"),
        ] {
            parameters.set(keyword, value);
        }
        parameters
    }

    /// Stops it in order, so that nothing has to be recovered.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub(super) fn stop(&mut self) -> Result<(), BenchError> {
        let _ = kill_process(Pid::from_child(&self.process), Signal::INT);
        self.process.wait().map(drop).map_err(failed("stop server in", &self.directory))
    }

    fn is_ready(&self, originals: &Path) -> bool {
        let target = self.parameters(Transport::Socket).to_connection_string();
        let mut psql = Command::new(originals.join("psql"));
        output(psql.args(["-Xqw", "-c", "select", "-d", &target])).is_ok()
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::QUIT);
        let _ = self.process.wait();
    }
}

/// Makes what the server shows to those who encrypt; nobody is asked to trust it.
fn write_certificate(data: &Path) -> Result<(), BenchError> {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let files = [
        ("server.crt", certified.cert.pem()),
        ("server.key", certified.signing_key.serialize_pem()),
    ];
    for (name, text) in files {
        let path = data.join(name);
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(failed("write file", &path))?;
        give_to_server(&path)?;
    }
    Ok(())
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Makes a file or directory the server's own.
fn give_to_server(path: &Path) -> Result<(), BenchError> {
    match server_user()? {
        Some(user) => chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .map_err(failed("change the owner of", path)),
        None => Ok(()),
    }
}

/// Prepares a program that must not run as root.
fn server_command(program: &Path) -> Result<Command, BenchError> {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C").current_dir("/");
    if let Some(user) = server_user()? {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    Ok(command)
}

/// Returns whose account the server needs; none where it may have ours.
fn server_user() -> Result<Option<User>, BenchError> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let found = User::from_name(SERVER_USER).ok().flatten();
    found.map(Some).ok_or(BenchError::NoServerUser(SERVER_USER))
}
