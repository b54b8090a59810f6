//! The configuration file: what is written there, and what it means.
//!
//! [`Config::read`] goes through `file` (tables and keys), `values` (one value each), `meaning` (what they mean together)
//! and `position` (where in the file something is wrong).

mod error;
mod file;
mod meaning;
mod position;
mod read;
mod values;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::net;
use crate::net::conninfo::{ConnectOptions, ConnectionArguments, ConninfoError, Environment};
use crate::pg::Compression;
use crate::receive::HolePolicy;
use crate::wal::SyncPolicy;

pub use error::{ConfigError, ReadConfigError};

/// What the service is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where metrics and health are served, if they are.
    pub http: Option<HttpConfig>,
    /// What is logged, and how.
    pub log: LogConfig,
    /// The servers, in the order of the file; no two have the same name, directory, or slot on the same hosts.
    pub servers: Vec<ServerConfig>,
}

/// Where metrics and health are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// The address: loopback, unless the user says otherwise.
    pub listen: SocketAddr,
}

impl HttpConfig {
    /// The address where the user says nothing.
    pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9847);
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// How it is written.
    pub format: LogFormat,
    /// What is left out.
    pub level: LogLevel,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people on a terminal, journald where that listens, JSON elsewhere.
    #[default]
    Auto,
    /// Lines for people.
    Text,
    /// An object a line.
    Json,
    /// journald's own protocol.
    Journald,
}

/// The least important of what is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What needs somebody now.
    Error,
    /// What may need somebody.
    Warn,
    /// What happens.
    #[default]
    Info,
    /// Also each segment.
    Debug,
}

/// One cluster to receive from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Its name in logs and metrics.
    pub name: String,
    /// How to connect, to any of several hosts.
    pub conninfo: Conninfo,
    /// Where its WAL goes: a directory of its own.
    pub directory: PathBuf,
    /// The slot that keeps WAL for us.
    pub slot: Option<SlotConfig>,
    /// How segments are compressed.
    pub compression: Option<Compression>,
    /// When WAL is brought to stable storage; [`SyncPolicy::AtOnce`] is what a synchronous standby needs.
    pub sync: SyncPolicy,
    /// How often the server hears of us without need.
    pub status_interval: Duration,
    /// What happens when the server no longer has the WAL that comes next.
    pub on_hole: HolePolicy,
    /// Whether a time index is kept beside the WAL.
    pub time_index: bool,
    /// When somebody should look, or we act.
    pub limits: Limits,
    /// A directory whose subdirectories are base backups: what they cover is no hole any more. Scheduled backups
    /// will go there, too.
    pub backups: Option<PathBuf>,
}

/// How long a host may take to accept a connection if the connection string does not say: a dead one must not
/// hold up those behind it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl ServerConfig {
    /// Works out how to connect for replication: to the primary of several hosts, unless something else is said. See
    /// [`ConnectOptions::into_database`] for SQL.
    ///
    /// # Errors
    /// If the connection string, a service or the environment cannot be used.
    pub fn connect_options(
        &self,
        program_name: &str,
        environment: &Environment,
    ) -> Result<ConnectOptions, ConninfoError> {
        self.conninfo.connect_options(program_name, environment)
    }
}

/// A connection string, which may contain a password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Conninfo(String);

impl Conninfo {
    /// Takes what is in the file.
    pub fn new(text: String) -> Self {
        Conninfo(text)
    }

    /// Returns the text, which nobody is to print.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn connect_options(
        &self,
        program_name: &str,
        environment: &Environment,
    ) -> Result<ConnectOptions, ConninfoError> {
        let arguments =
            ConnectionArguments { connection_string: Some(self.0.clone()), ..Default::default() };
        let environment = net::service::load(&arguments, environment.clone())?;
        let options = ConnectOptions::resolve(&arguments, program_name, &environment)?;
        let mut options = options.preferring_primary();
        options.connect_timeout.get_or_insert(CONNECT_TIMEOUT);
        Ok(options)
    }
}

impl fmt::Debug for Conninfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Conninfo(..)")
    }
}

/// The slot that keeps WAL for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotConfig {
    /// Its name, on every host.
    pub name: String,
    /// What happens when it is not there.
    pub policy: SlotPolicy,
    /// Whether slots of this name are kept on the other hosts, advanced to what is stored here.
    pub is_mirrored: bool,
}

/// What happens when a slot is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SlotPolicy {
    /// That is an error.
    Require,
    /// It is created, with a hole if WAL is gone meanwhile.
    Create,
    /// As `Create`; also one that the server invalidated is dropped and created anew.
    Recreate,
}

/// When somebody should look, or we act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Less room than this in the file system is told.
    pub disk_free_min: u64,
    /// More WAL than this behind the slot is told, and `on_slot_at_risk` says what else happens.
    pub slot_retained_max: Option<u64>,
    /// What happens when the slot holds more than that.
    pub on_slot_at_risk: OnSlotAtRisk,
}

/// What happens when a slot holds more WAL than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnSlotAtRisk {
    /// It is told.
    Report,
    /// The slot is dropped, so that the server does not stop for want of room; a hole may open.
    Drop,
}

#[cfg(test)]
mod tests;
