//! What the threads of one server share, and nobody else has.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::config::ServerConfig;
use super::state::ServerState;
use crate::net::conninfo::{ConnectOptions, ConninfoError, Environment, Host};

/// How servers list our sessions, unless the connection string says it.
const APPLICATION_NAME: &str = "pgsiphon";

/// How long a network may be silent that should say something, unless the connection string says it. The system's
/// default is a quarter of an hour. Also how long a server may be, as a standby's `wal_receiver_timeout`.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What the threads of one server share.
#[derive(Debug)]
pub(super) struct Server {
    /// What is wanted.
    pub(super) config: ServerConfig,
    /// What is known.
    pub(super) state: Arc<ServerState>,
    /// Cancelled when nothing more is wanted.
    pub(super) stop: CancellationToken,
    /// The host that WAL comes from, or came from last.
    pub(super) source: watch::Sender<Option<Host>>,
}

impl Server {
    /// Begins without a host.
    pub(super) fn new(config: ServerConfig, state: Arc<ServerState>) -> Self {
        Server { config, state, stop: CancellationToken::new(), source: watch::Sender::new(None) }
    }

    /// Works out how to connect for replication. Passwords and services may have changed since it was asked last.
    ///
    /// # Errors
    /// If the connection string, a service or the environment cannot be used.
    pub(super) fn connect_options(&self) -> Result<ConnectOptions, ConninfoError> {
        connect_options(&self.config)
    }

    /// Says whether WAL comes from a host, or came from it last.
    pub(super) fn is_source(&self, host: &Host) -> bool {
        self.source.borrow().as_ref().is_some_and(|source| is_same_host(source, host))
    }
}

/// Works out how to connect for replication to a server that is wanted.
///
/// # Errors
/// If the connection string, a service or the environment cannot be used.
pub(super) fn connect_options(config: &ServerConfig) -> Result<ConnectOptions, ConninfoError> {
    let environment = Environment::from_process();
    let mut options = config.connect_options(APPLICATION_NAME, &environment)?;
    options.tcp_user_timeout.get_or_insert(SILENCE_MAX);
    if let Some(keepalives) = &mut options.keepalives {
        keepalives.idle.get_or_insert(SILENCE_MAX / 2);
        keepalives.interval.get_or_insert(SILENCE_MAX / 10);
    }
    Ok(options)
}

/// Says whether both are the same entry of the list, wherever its name led.
pub(super) fn is_same_host(one: &Host, other: &Host) -> bool {
    one.kind == other.kind && one.port == other.port
}
