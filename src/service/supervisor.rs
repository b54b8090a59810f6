//! Receiving from one server for as long as it is wanted: attempt after attempt, on one host or another.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::config::{ServerConfig, SlotPolicy};
use super::failure::Failure;
use super::observer::ServiceObserver;
use super::server::{HostName, Server};
use super::slots;
use super::status::{EventKind, Phase};
use crate::net::conninfo::ConnectOptions;
use crate::net::{self, Cluster, Connection};
use crate::pipeline::InPlace;
use crate::receive::{
    self, Memory, OnDisconnect, Pauses, ReceiveConfig, ReceiveError, ReceiveJob, TimeIndex,
};
use crate::storage::DirectIo;

/// Receives from one server.
pub(super) struct Supervisor {
    server: Arc<Server>,
    in_place: InPlace,
    receive: ReceiveConfig,
    observer: ServiceObserver,
    memory: Memory,
    pauses: Pauses,
    /// The host of the list that is tried first.
    first_host: usize,
    /// Hosts that were refused in a row.
    refused_hosts: usize,
    /// Whether the server has invalidated the slot.
    slot_is_lost: bool,
}

/// What became of all attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SupervisorEnd {
    /// Everything is written.
    InGoodOrder,
    /// Threads wait for a dead disk, and write when it comes back.
    WriterLeft,
}

impl Supervisor {
    /// Begins with nothing received. Little that somebody waits for is written `in_place`.
    pub(super) fn new(server: Arc<Server>, in_place: InPlace) -> Self {
        let sync_times = Arc::clone(server.state.sync_times());
        let receive =
            ReceiveConfig { sync_times: Some(sync_times), ..receive_config(&server.config) };
        let observer = ServiceObserver::new(Arc::clone(&server.state), server.config.on_hole);
        Supervisor {
            server,
            in_place,
            receive,
            observer,
            memory: Memory::default(),
            pauses: Pauses::default(),
            first_host: 0,
            refused_hosts: 0,
            slot_is_lost: false,
        }
    }

    /// Receives until nothing more is wanted. `known_cluster` brings the cluster that was received from before, when
    /// the disk has told.
    pub(super) async fn run(
        mut self,
        known_cluster: oneshot::Receiver<Option<String>>,
    ) -> SupervisorEnd {
        let server = Arc::clone(&self.server);
        tokio::select! {
            // Whoever looks it up ends without an answer only if nothing is wanted any more.
            known = known_cluster => self.memory = Memory::of_cluster(known.unwrap_or(None)),
            () = server.stop.cancelled() => {}
        }
        let mut end = SupervisorEnd::InGoodOrder;
        while !server.stop.is_cancelled() {
            let Err(failure) = self.attempt().await else { continue };
            self.observer.failed(&failure);
            if let Failure::Receive(ReceiveError::WriterLeft { .. }) = failure {
                end = SupervisorEnd::WriterLeft;
                break;
            }
            tokio::select! {
                () = self.pause(&failure) => {}
                () = server.stop.cancelled() => {}
            }
        }
        server.state.change(|status| status.phase = Phase::Stopped);
        end
    }

    /// Makes one attempt; without an error, it ended because nothing more is wanted.
    async fn attempt(&mut self) -> Result<(), Failure> {
        let server = Arc::clone(&self.server);
        server.state.change(|status| status.phase = Phase::Connecting);
        let options = self.options()?;
        let connection = tokio::select! {
            connection = self.connect(&options) => connection?,
            () = server.stop.cancelled() => return Ok(()),
        };
        let job = ReceiveJob {
            config: &self.receive,
            connect: &options,
            observer: &self.observer,
            interrupt: &server.stop,
            in_place: Some(&self.in_place),
        };
        let outcome = receive::attempt(job, &mut self.memory, Some(connection)).await;
        if self.memory.take_success() {
            self.pauses.reset();
            (self.first_host, self.refused_hosts) = (0, 0);
        }
        Ok(outcome?)
    }

    /// Returns how to connect, with the host in front whose turn it is.
    fn options(&self) -> Result<ConnectOptions, Failure> {
        let mut options = self.server.connect_options()?;
        let count = options.hosts.len().max(1);
        options.hosts.rotate_left(self.first_host % count);
        Ok(options)
    }

    /// Connects to a host that is of the cluster and has the slot.
    async fn connect(&mut self, options: &ConnectOptions) -> Result<Connection, Failure> {
        let mut warnings = Vec::new();
        let connected = net::connect(options, &mut warnings).await;
        warnings.iter().for_each(|warning| self.server.state.detail(warning));
        // A host that hangs up is not to keep us from the others for ever.
        let mut connection = connected.inspect_err(|_| self.first_host += 1)?;
        self.note_host(&connection);
        let cluster = Cluster::ask(&mut connection).await?;
        self.check(&cluster)?;
        if let Some(slot) = &self.server.config.slot {
            let state = &self.server.state;
            if self.slot_is_lost && slot.policy == SlotPolicy::Recreate {
                slots::drop_invalidated(slot, &mut connection, state).await?;
            }
            self.slot_is_lost = false;
            slots::make_sure_of(slot, &mut connection, state).await?;
        }
        Ok(connection)
    }

    /// Lets everybody know which host was reached, and the next attempt begin with it.
    fn note_host(&mut self, connection: &Connection) {
        let Some(host) = connection.host() else { return };
        self.observer.expect_host(HostName(host).to_string());
        self.server.source.send_replace(Some(host.clone()));
    }

    /// Makes sure that a host is of the cluster, before anything is changed there.
    fn check(&self, cluster: &Cluster) -> Result<(), Failure> {
        let found = &cluster.system_identifier;
        if let Some(expected) = self.memory.system_identifier().filter(|known| known != found) {
            let (expected, found) = (expected.to_owned(), found.clone());
            return Err(ReceiveError::OtherSystem { expected, found }.into());
        }
        let received = self.server.state.change(|status| {
            status.system_identifier = Some(found.clone());
            status.timeline
        });
        match received.filter(|received| *received > cluster.timeline.number()) {
            Some(received) => Err(Failure::LeftBehind { found: cluster.timeline, received }),
            None => Ok(()),
        }
    }

    /// Waits as long as a failure advises; not at all while there are hosts that were not asked.
    async fn pause(&mut self, failure: &Failure) {
        if failure.is_slot_loss() {
            self.slot_is_lost = true;
            self.tell_slot_loss(failure);
        }
        if failure.speaks_for_the_host() && self.has_other_host() {
            return;
        }
        if failure.needs_somebody(self.receive.on_hole) && !self.can_recreate() {
            self.pauses.lengthen();
        }
        sleep(self.pauses.next_pause()).await;
    }

    /// Says whether another host of the list was not refused yet since the last success or pause.
    fn has_other_host(&mut self) -> bool {
        let Ok(options) = self.server.connect_options() else { return false };
        let source = self.server.source.borrow().clone();
        let refused = options.hosts.iter().position(|host| {
            source.as_ref().is_some_and(|source| super::server::is_same_host(source, host))
        });
        self.first_host = refused.map_or(self.first_host, |index| index + 1);
        self.refused_hosts += 1;
        if self.refused_hosts < options.hosts.len() {
            return true;
        }
        self.refused_hosts = 0;
        false
    }

    fn can_recreate(&self) -> bool {
        let policy = self.server.config.slot.as_ref().map(|slot| slot.policy);
        self.slot_is_lost && policy == Some(SlotPolicy::Recreate)
    }

    fn tell_slot_loss(&self, failure: &Failure) {
        if self.server.state.note_slot_loss() {
            self.server.state.tell(EventKind::SlotLost, failure);
        }
    }
}

fn receive_config(config: &ServerConfig) -> ReceiveConfig {
    ReceiveConfig {
        directory: config.directory.clone(),
        slot: config.slot.as_ref().map(|slot| slot.name.clone()),
        end: None,
        on_disconnect: OnDisconnect::Reconnect,
        sync: config.sync,
        compression: config.compression,
        status_interval: Some(config.status_interval),
        direct_io: DirectIo::Auto,
        on_hole: config.on_hole,
        time_index: if config.time_index { TimeIndex::Keep } else { TimeIndex::None },
        sync_times: None,
    }
}
