//! A private server with a cluster that is as small as can be.
//!
//! A physical WAL sender connects to no database: it needs the shared catalogs and sends whatever
//! files it finds. So most of `base/` can be taken away from a stopped cluster; the server does not
//! notice, and its manifest and archives are as true as ever.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Result;

/// Settings that keep the server small and still; it never comes to harm that syncing would avert.
const CONFIGURATION: &str = "\
listen_addresses = ''
fsync = off
autovacuum = off
max_connections = 10
max_wal_senders = 4
shared_buffers = 1MB
min_wal_size = 2MB
max_wal_size = 4MB
log_timezone = UTC
timezone = UTC
logging_collector = off
";

const HBA: &str = "\
local replication scram scram-sha-256
local all all trust
local replication all trust
";

/// Files of a database that stay: enough for members of several messages, of one page and of none.
const KEPT_FILES: [&str; 4] = ["PG_VERSION", "pg_filenode.map", "1259", "2662"];

/// A cluster with its server, which runs or not.
pub struct Server {
    programs: PathBuf,
    directory: PathBuf,
    is_running: bool,
}

impl Server {
    /// Makes a cluster below `directory`, with page checksums and WAL segments of 1 MB.
    pub fn create(programs: &Path, directory: &Path) -> Result<Self> {
        let server = Server {
            programs: programs.to_owned(),
            directory: directory.to_owned(),
            is_running: false,
        };
        let options = ["-k", "-N", "-A", "trust", "-U", "postgres", "--no-locale", "-E", "UTF8"];
        let mut initdb = unprivileged(&server.programs.join("initdb"));
        run(initdb
            .args(options)
            .arg("--wal-segsize=1")
            .arg("-D")
            .arg(server.data())
            .stdout(Stdio::null()))?;
        let sockets = format!("unix_socket_directories = '{}'\n", directory.display());
        fs::write(server.data().join("postgresql.conf"), CONFIGURATION.to_owned() + &sockets)?;
        fs::write(server.data().join("pg_hba.conf"), HBA)?;
        Ok(server)
    }

    /// Returns the data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Returns the server's socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join(".s.PGSQL.5432")
    }

    /// Starts the server and waits until it takes connections.
    pub fn start(&mut self) -> Result<()> {
        self.control(&["start", "-l"], self.directory.join("log").as_os_str())?;
        self.is_running = true;
        Ok(())
    }

    /// Stops the server in good order.
    pub fn stop(&mut self) -> Result<()> {
        self.is_running = false;
        self.control(&["stop", "-m"], OsStr::new("fast"))
    }

    fn control(&self, action: &[&str], argument: &OsStr) -> Result<()> {
        let mut control = unprivileged(&self.programs.join("pg_ctl"));
        control.args(["-w", "-s", "-D"]).arg(self.data()).args(action).arg(argument);
        run(control.stdout(Stdio::null()))
    }

    /// Runs statements, each in a transaction of its own.
    pub fn execute(&self, psql: &Path, statements: &[String]) -> Result<()> {
        let mut command = Command::new(psql);
        command.args(["-XqU", "postgres", "-v", "ON_ERROR_STOP=1", "-h"]).arg(&self.directory);
        statements.iter().for_each(|statement| {
            command.arg("-c").arg(statement);
        });
        run(command.stdout(Stdio::null()))
    }

    /// Takes away what the recording does not need; the server must be stopped.
    pub fn shrink(&self) -> Result<()> {
        let is_kept = |path: &Path| {
            let is_empty = fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0);
            is_empty || KEPT_FILES.iter().any(|name| path.ends_with(name))
        };
        // The templates have the lower identifiers; `postgres` stays.
        let mut databases = entries(&self.data().join("base"))?;
        databases.sort_by_key(|path| identifier(path));
        let Some(postgres) = databases.pop() else { return Err("no database".into()) };
        databases.iter().try_for_each(fs::remove_dir_all)?;
        for file in entries(&postgres)?.iter().filter(|file| !is_kept(file)) {
            fs::remove_file(file)?;
        }
        for file in entries(&self.data().join("global"))? {
            let name = file.to_string_lossy();
            if name.ends_with("_fsm") || name.ends_with("_vm") {
                fs::remove_file(&file)?;
            }
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_running {
            let _ = self.stop();
        }
    }
}

/// Reads the identifier that is a database's directory name.
fn identifier(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.parse().ok()
}

/// Lists a directory.
pub fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let list = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path()));
    Ok(list.collect::<std::io::Result<_>>()?)
}

/// Makes a directory that everyone may use.
pub fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path)?;
    Ok(fs::set_permissions(path, PermissionsExt::from_mode(0o777))?)
}

/// Servers refuse to run as root; then they run as user postgres.
fn unprivileged(program: &Path) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
    command
}

fn run(command: &mut Command) -> Result<()> {
    match command.stdin(Stdio::null()).status()? {
        status if status.success() => Ok(()),
        status => Err(format!("{command:?}: {status}").into()),
    }
}
