//! The server under test: how it is reached, asked, and left as it was.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::child::output;
use super::error::BenchError;
use super::private::PrivateServer;
use super::process;
use crate::net::conninfo::{ConnectOptions, ConnectionArguments, Environment, Keyword, Parameters};
use crate::net::{self, Connection};

/// How a server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// Over its Unix-domain socket; a given server as it was given.
    Socket,
    /// Over TCP on loopback.
    Tcp,
    /// The same, encrypted by TLS.
    Tls,
}

/// A server to measure with.
pub(super) struct Server<'a> {
    originals: &'a Path,
    reach: Reach,
    postmaster: Option<u32>,
    /// What leaves a given server as it was, the last first.
    undo: Vec<String>,
}

enum Reach {
    Private(PrivateServer),
    Given(Parameters),
}

impl<'a> Server<'a> {
    /// Takes a server of the benchmark's own.
    pub(super) fn private(originals: &'a Path, server: PrivateServer) -> Self {
        let postmaster = Some(server.pid());
        Server { originals, reach: Reach::Private(server), postmaster, undo: Vec::new() }
    }

    /// Takes the server of somebody else.
    ///
    /// # Errors
    /// It cannot be asked.
    pub(super) fn given(originals: &'a Path, parameters: Parameters) -> Result<Self, BenchError> {
        let reach = Reach::Given(parameters);
        let mut server = Server { originals, reach, postmaster: None, undo: Vec::new() };
        server.sql("select")?;
        server.postmaster = server.local_postmaster();
        Ok(server)
    }

    /// Returns whether it can be reached in some way.
    pub(super) fn offers(&self, transport: Transport) -> bool {
        matches!(self.reach, Reach::Private(_)) || transport == Transport::Socket
    }

    /// Returns how it is reached.
    pub(super) fn target(&self, transport: Transport) -> ConnectionTarget {
        match &self.reach {
            Reach::Private(server) => ConnectionTarget::new(server.parameters(transport)),
            Reach::Given(parameters) => ConnectionTarget::new(parameters.clone()),
        }
    }

    /// Prepares one of PostgreSQL's client programs that takes a connection string for the database's name.
    pub(super) fn client(&self, name: &str) -> Command {
        let mut command = Command::new(self.originals.join(name));
        self.target(Transport::Socket).give(&mut command);
        command
    }

    /// Runs SQL and returns what it gives.
    ///
    /// # Errors
    /// What the server said.
    pub(super) fn sql(&self, text: &str) -> Result<String, BenchError> {
        let mut psql = self.client("psql");
        output(psql.args(["-XAtqw", "-v", "ON_ERROR_STOP=1", "-c", text]))
    }

    /// Runs SQL that gives a number.
    ///
    /// # Errors
    /// What the server said, or that it is no number.
    pub(super) fn number(&self, text: &str) -> Result<f64, BenchError> {
        let answer = self.sql(text)?;
        answer.parse().map_err(|_| BenchError::Answer { program: "psql", answer })
    }

    /// Changes something, and notes what undoes it.
    ///
    /// # Errors
    /// What the server said.
    pub(super) fn change(&mut self, text: &str, undo: &str) -> Result<(), BenchError> {
        self.sql(text)?;
        self.undo.push(undo.to_owned());
        Ok(())
    }

    /// Undoes every change, even if one cannot be undone. A private server needs none of that.
    ///
    /// # Errors
    /// What the server said first.
    pub(super) fn restore(&mut self) -> Result<(), BenchError> {
        let undo: Vec<String> = self.undo.drain(..).rev().collect();
        if matches!(self.reach, Reach::Private(_)) {
            return Ok(());
        }
        let outcomes: Vec<_> = undo.iter().map(|text| self.sql(text)).collect();
        outcomes.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
    }

    /// Stops it in order, if it is a private one.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub(super) fn stop(mut self) -> Result<(), BenchError> {
        match &mut self.reach {
            Reach::Private(server) => server.stop(),
            Reach::Given(_) => Ok(()),
        }
    }

    /// Returns the processor time that its processes have used so far, in seconds; `None` if it is on another
    /// machine.
    pub(super) fn cpu_seconds(&self) -> Option<f64> {
        process::family_cpu_seconds(self.postmaster?)
    }

    /// Finds the server's first process by its socket's lock file, if it is on this machine.
    fn local_postmaster(&self) -> Option<u32> {
        let target = self.target(Transport::Socket).parameters;
        let is_local = target.non_empty(Keyword::Host).is_none_or(|host| host.starts_with('/'));
        if !is_local {
            return None;
        }
        let lock = self.sql(
            "select split_part(current_setting('unix_socket_directories'), ',', 1) \
             || '/.s.PGSQL.' || current_setting('port') || '.lock'",
        );
        let lock = fs::read_to_string(lock.ok()?).ok()?;
        let pid = lock.lines().next()?.trim().parse().ok()?;
        // In a container its numbers are others.
        process::is_named(pid, "postgres").then_some(pid)
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        // Where nobody asked what came of it: the run failed already.
        let _ = self.restore();
    }
}

/// How programs reach a server.
#[derive(Clone)]
pub(super) struct ConnectionTarget {
    parameters: Parameters,
}

impl ConnectionTarget {
    fn new(parameters: Parameters) -> Self {
        ConnectionTarget { parameters }
    }

    /// Sets the name under which the server shows the connection.
    pub(super) fn named(mut self, name: &str) -> Self {
        self.parameters.set(Keyword::ApplicationName, name);
        self
    }

    /// Tells a program where to connect. Everybody can see its arguments, so a password is not among them.
    pub(super) fn give(&self, command: &mut Command) {
        let mut shown = self.parameters.clone();
        if let Some(password) = shown.take(Keyword::Password) {
            command.env("PGPASSWORD", password);
        }
        command.arg("-d").arg(shown.to_connection_string());
    }

    /// Opens a replication connection.
    ///
    /// # Errors
    /// There is none to be had.
    pub(super) async fn open(&self) -> Result<Connection, BenchError> {
        let arguments = ConnectionArguments {
            connection_string: Some(self.parameters.to_connection_string()),
            ..ConnectionArguments::default()
        };
        let environment = net::service::load(&arguments, Environment::from_process())?;
        let options = ConnectOptions::resolve(&arguments, "pgsiphon bench", &environment)?;
        Ok(net::connect(&options, &mut Vec::new()).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_no_argument() {
        let parameters = Parameters::parse("postgres://u:s3cret@h/d").unwrap();
        let mut command = Command::new("psql");
        ConnectionTarget::new(parameters).named("x").give(&mut command);
        let arguments: Vec<_> = command.get_args().map(|arg| arg.to_str().unwrap()).collect();
        assert_eq!(arguments, ["-d", "user=u dbname=d host=h application_name=x"]);
        let variables: Vec<_> = command.get_envs().collect();
        assert_eq!(variables, [("PGPASSWORD".as_ref(), Some("s3cret".as_ref()))]);
    }
}
