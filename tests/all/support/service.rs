//! The service as a library, in this process.

use std::path::Path;
use std::time::Duration;

use pgsiphon::pg::Lsn;
use pgsiphon::receive::HolePolicy;
use pgsiphon::service::{
    Config, Conninfo, EventKind, Limits, LogConfig, LogFormat, LogLevel, OnSlotAtRisk,
    ServerConfig, ServerStatus, Servers, SlotConfig, SlotPolicy,
};
use pgsiphon::wal::SyncPolicy;

use super::server::Server;
use super::wait_until;

/// The slot of every server.
pub const SLOT: &str = "pgsiphon";

/// Describes a cluster that is received from, by the hosts that it may be on.
pub fn server_config(name: &str, hosts: &[&Server], directory: &Path) -> ServerConfig {
    let sockets: Vec<_> = hosts.iter().map(|host| host.sockets().display().to_string()).collect();
    ServerConfig {
        name: name.to_owned(),
        conninfo: Conninfo::new(format!("host={} user=postgres", sockets.join(","))),
        directory: directory.to_owned(),
        slot: Some(SlotConfig {
            name: SLOT.to_owned(),
            policy: SlotPolicy::Create,
            is_mirrored: false,
        }),
        compression: None,
        sync: SyncPolicy::AtOnce,
        status_interval: Duration::from_secs(1),
        on_hole: HolePolicy::Skip,
        time_index: false,
        limits: Limits {
            disk_free_min: 0,
            slot_retained_max: None,
            on_slot_at_risk: OnSlotAtRisk::Report,
        },
        backups: None,
    }
}

/// Makes a configuration of servers.
pub fn config(servers: &[ServerConfig]) -> Config {
    let log = LogConfig { format: LogFormat::Text, level: LogLevel::Debug };
    Config { http: None, log, servers: servers.to_vec() }
}

/// Receives from servers. It ends in good order with the value.
#[derive(Debug)]
pub struct Service(Option<Servers>);

impl Service {
    /// Starts it.
    pub fn start(servers: &[ServerConfig]) -> Self {
        let mut started = Servers::new();
        started.apply(&config(servers)).unwrap();
        Service(Some(started))
    }

    /// Returns the servers.
    pub fn servers(&mut self) -> &mut Servers {
        self.0.as_mut().unwrap()
    }

    /// Returns what is known of a server.
    pub fn status(&self, name: &str) -> ServerStatus {
        let servers = self.0.as_ref().unwrap();
        let states = servers.board().servers();
        let mut all = states.iter().map(|state| state.status());
        all.find(|status| status.name == name).unwrap()
    }

    /// Waits until what is known of a server is as it should be.
    #[track_caller]
    pub fn wait_for(&self, name: &str, what: &str, is_so: impl Fn(&ServerStatus) -> bool) {
        let mut last = None;
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(what, || is_so(last.insert(self.status(name))));
        }));
        assert!(waited.is_ok(), "{what} did not become true of {last:#?}");
    }

    /// Waits until everything before a position is on stable storage.
    #[track_caller]
    pub fn wait_until_flushed(&self, name: &str, end: Lsn) {
        self.wait_for(name, "flushed", |status| status.flushed >= Some(end));
    }

    /// Waits until something was told.
    #[track_caller]
    pub fn wait_for_event(&self, name: &str, kind: EventKind) {
        self.wait_for(name, kind.name(), |status| count(status, kind) > 0);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(servers) = self.0.take() {
            servers.stop();
        }
    }
}

/// Counts what was told of a kind.
pub fn count(status: &ServerStatus, kind: EventKind) -> usize {
    status.events.iter().filter(|event| event.kind == kind).count()
}
