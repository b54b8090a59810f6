//! Receiving from one server for as long as it is wanted: attempt after attempt, on one host or another.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::config::{ServerConfig, SlotPolicy};
use super::failure::{Failure, Remedies};
use super::observer::{Origin, ServiceObserver};
use super::server::{SILENCE_MAX, Server, is_same_host};
use super::slots;
use super::status::{EventKind, Phase, ServerRole};
use crate::net::conninfo::{ConnectOptions, Host};
use crate::net::passfile::PassfileWarning;
use crate::net::{self, Cluster, Connection};
use crate::pipeline::InPlace;
use crate::receive::{
    self, Memory, OnDeadDisk, OnDisconnect, OnOtherBranch, Pauses, ReceiveConfig, ReceiveError,
    ReceiveJob, TimeIndex,
};
use crate::storage::DirectIo;

/// How long the disk may take for a small file before that is told.
const DISK_PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether others have ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// How long a server may take for a few commands.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Receives from one server.
pub(super) struct Supervisor {
    server: Arc<Server>,
    remedies: Remedies,
    in_place: InPlace,
    receive: ReceiveConfig,
    observer: ServiceObserver,
    memory: Memory,
    pauses: Pauses,
    /// The host of the list that is tried first.
    first_host: usize,
    /// Hosts that were refused in a row.
    refused_hosts: usize,
    /// The host that has invalidated the slot, until another one is reached.
    slot_lost_on: Option<Host>,
    /// What was wrong with password files at the last attempt.
    warnings: String,
}

/// What is waited for before the first attempt.
#[derive(Debug)]
pub(super) struct Before {
    /// Disconnected when those have ended that wrote into the directory before.
    pub(super) writers: Vec<Receiver<Infallible>>,
    /// Brings the cluster that was received from before, when the directory is locked.
    pub(super) known_cluster: oneshot::Receiver<Option<String>>,
}

impl Supervisor {
    /// Begins with nothing received. Little that somebody waits for is written `in_place`.
    pub(super) fn new(server: Arc<Server>, in_place: InPlace) -> Self {
        let sync_times = Arc::clone(server.state.sync_times());
        let receive =
            ReceiveConfig { sync_times: Some(sync_times), ..receive_config(&server.config) };
        let remedies = Remedies::of(&server.config);
        let observer = ServiceObserver::new(Arc::clone(&server.state), remedies);
        Supervisor {
            server,
            remedies,
            in_place,
            receive,
            observer,
            memory: Memory::default(),
            pauses: Pauses::default(),
            first_host: 0,
            refused_hosts: 0,
            slot_lost_on: None,
            warnings: String::new(),
        }
    }

    /// Receives until nothing more is wanted and everything is written.
    pub(super) async fn run(mut self, before: Before) {
        let server = Arc::clone(&self.server);
        tokio::select! {
            known = self.wait_for_disk(before) => self.memory = Memory::of_cluster(known),
            () = server.stop.cancelled() => {}
        }
        while !server.stop.is_cancelled() {
            let Err(failure) = self.attempt().await else { continue };
            self.observer.failed(&failure);
            tokio::select! {
                () = self.pause(&failure) => {}
                () = server.stop.cancelled() => {}
            }
        }
        server.state.change(|status| status.phase = Phase::Stopped);
    }

    /// Waits until nobody else writes into the directory, and the disk has told which cluster was received from.
    async fn wait_for_disk(&self, before: Before) -> Option<String> {
        let Before { writers, known_cluster } = before;
        let has_ended =
            |writer: &Receiver<Infallible>| writer.try_recv() == Err(TryRecvError::Disconnected);
        let mut waiting = pin!(async {
            while !writers.iter().all(has_ended) {
                sleep(LOOK_INTERVAL).await;
            }
            // Whoever looks it up only ends without an answer if that is not wanted any more.
            known_cluster.await.unwrap_or(None)
        });
        match timeout(DISK_PATIENCE, &mut waiting).await {
            Ok(known) => known,
            Err(_) => {
                // That another receiver has the directory is told already.
                if self.server.state.change(|status| status.phase.cause().is_none()) {
                    self.observer.stalled();
                }
                waiting.await
            }
        }
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
        self.show(&warnings);
        // A host that hangs up is not to keep us from the others for ever.
        let mut connection = connected.inspect_err(|_| self.first_host += 1)?;
        self.note_host(&connection);
        match timeout(ANSWER_MAX, self.prepare(&mut connection)).await {
            Ok(prepared) => prepared.map(|()| connection),
            Err(_) => Err(Failure::NoAnswer(ANSWER_MAX)),
        }
    }

    /// Makes sure that a host is of the cluster and has the slot.
    async fn prepare(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        let cluster = Cluster::ask(connection).await?;
        self.check(&cluster)?;
        let host = connection.host().map(ToString::to_string).unwrap_or_default();
        self.observer.expect(Origin { host, system_identifier: cluster.system_identifier });
        // Older servers than 14 do not say it; the attendant asks.
        let role = connection.session().in_hot_standby.map(ServerRole::of);
        self.server.state.change(|status| status.role = role);
        let Some(slot) = &self.server.config.slot else { return Ok(()) };
        let state = &self.server.state;
        if self.slot_lost_on.is_some() && slot.policy == SlotPolicy::Recreate {
            slots::drop_invalidated(slot, connection, state).await?;
        }
        self.slot_lost_on = None;
        Ok(slots::make_sure_of(slot, connection, state).await?)
    }

    /// Shows warnings about password files, each time that they are others.
    fn show(&mut self, warnings: &[PassfileWarning]) {
        let text = warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        if !text.is_empty() && text != self.warnings {
            self.server.state.warn(&text);
        }
        self.warnings = text;
    }

    /// Lets the attendant know which host was reached. What another one did with its slot says nothing of this one's.
    fn note_host(&mut self, connection: &Connection) {
        let Some(host) = connection.host() else { return };
        self.slot_lost_on.take_if(|other| !is_same_host(other, host));
        self.server.source.send_replace(Some(host.clone()));
    }

    /// Makes sure that a host is of the cluster, before anything is changed there.
    fn check(&self, cluster: &Cluster) -> Result<(), Failure> {
        let found = &cluster.system_identifier;
        if let Some(expected) = self.memory.system_identifier().filter(|known| known != found) {
            let (expected, found) = (expected.to_owned(), found.clone());
            return Err(ReceiveError::OtherSystem { expected, found }.into());
        }
        let received = self.server.state.change(|status| status.timeline);
        match received.filter(|received| *received > cluster.timeline.number()) {
            Some(received) => Err(Failure::LeftBehind { found: cluster.timeline, received }),
            None => Ok(()),
        }
    }

    /// Waits as long as a failure advises; not at all while there are hosts that were not asked.
    async fn pause(&mut self, failure: &Failure) {
        if failure.is_slot_loss() {
            self.slot_lost_on.clone_from(&self.server.source.borrow());
            self.tell_slot_loss(failure);
        }
        if failure.speaks_for_the_host() {
            if self.has_other_host() {
                return;
            }
            self.memory.skip_what_is_gone();
        }
        if failure.needs_somebody(self.remedies) {
            self.pauses.lengthen();
        }
        sleep(self.pauses.next_pause()).await;
    }

    /// Says whether another host of the list was not refused yet since the last success or pause.
    fn has_other_host(&mut self) -> bool {
        let Ok(options) = self.server.connect_options() else { return false };
        let source = self.server.source.borrow().clone();
        let refused = options
            .hosts
            .iter()
            .position(|host| source.as_ref().is_some_and(|source| is_same_host(source, host)));
        self.first_host = refused.map_or(self.first_host, |index| index + 1);
        self.refused_hosts += 1;
        if self.refused_hosts < options.hosts.len() {
            return true;
        }
        self.refused_hosts = 0;
        false
    }

    fn tell_slot_loss(&self, failure: &Failure) {
        let slot = self.server.config.slot.as_ref();
        if slot.is_some_and(|slot| self.server.state.note_slot_loss(&slot.name)) {
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
        on_dead_disk: OnDeadDisk::Wait,
        on_other_branch: OnOtherBranch::Follow,
        silence_max: Some(SILENCE_MAX),
        sync_times: None,
    }
}
