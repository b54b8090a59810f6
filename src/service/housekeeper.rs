//! What is done with the disk beside the WAL: keeping other receivers out, how much room there is, which holes are open,
//! and the state file. On a thread of its own, which a dead disk may keep for as long as it likes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tokio::sync::oneshot;

use super::disk_room::{DiskRoom, RoomChange};
use super::open_holes::OpenHoles;
use super::server::Server;
use super::state_file::{self, Saved};
use super::status::{EventKind, Phase};
use crate::storage::{DirectoryLock, StorageError};

/// How often it looks. What happens meanwhile may miss in the state file if the process is killed.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Looks after one server's disk.
pub(super) struct Housekeeper {
    server: Arc<Server>,
    /// Takes the cluster that was received from before, when nobody else receives into the directory.
    known_cluster: oneshot::Sender<Option<String>>,
    stop: Receiver<()>,
}

impl Housekeeper {
    /// Begins when it is run; it ends when the sender that is returned is dropped.
    pub(super) fn new(
        server: Arc<Server>,
        known_cluster: oneshot::Sender<Option<String>>,
    ) -> (Self, Sender<()>) {
        let (sender, stop) = bounded(0);
        (Housekeeper { server, known_cluster, stop }, sender)
    }

    /// Looks until it is to end; all the time, the directory is locked.
    pub(super) fn run(self) {
        let Some(_lock) = self.lock() else { return };
        let Housekeeper { server, known_cluster, stop } = self;
        let mut rounds = Rounds::new(server);
        let known = rounds.restore();
        // Who waits for it need not wait for anything else. He may have ended.
        let _ = known_cluster.send(known);
        rounds.look();
        while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(LOOK_INTERVAL) {
            rounds.look();
        }
        rounds.save();
    }

    /// Waits until the directory is not locked by another receiver; nothing if it is to end before.
    fn lock(&self) -> Option<DirectoryLock> {
        let Server { config, state, .. } = &*self.server;
        let mut told = None;
        loop {
            let cause = match DirectoryLock::take(&config.directory) {
                Ok(Some(lock)) => {
                    if told.is_some() {
                        state.tell(EventKind::Recovered, "directory can be used");
                    }
                    return Some(lock);
                }
                Ok(None) => {
                    let directory = config.directory.display();
                    format!("directory \"{directory}\" is in use by another receiver")
                }
                Err(error) => error.to_string(),
            };
            if told.as_ref() != Some(&cause) {
                state.change(|status| status.phase = Phase::Failed { cause: cause.clone() });
                state.tell(EventKind::Failed, &cause);
                told = Some(cause);
            }
            if self.stop.recv_timeout(LOOK_INTERVAL) != Err(RecvTimeoutError::Timeout) {
                return None;
            }
        }
    }
}

/// What is known from one look to the next.
struct Rounds {
    server: Arc<Server>,
    room: DiskRoom,
    holes: OpenHoles,
    /// What the state file holds.
    saved: Option<Saved>,
    /// What went wrong when it was last tried, by what was tried.
    problems: [Option<String>; 3],
}

impl Rounds {
    fn new(server: Arc<Server>) -> Self {
        let room = DiskRoom::new(server.config.limits.disk_free_min);
        let holes = OpenHoles::new(&server.config);
        Rounds { server, room, holes, saved: None, problems: Default::default() }
    }

    /// Reads the state file; returns the cluster that was received from.
    fn restore(&mut self) -> Option<String> {
        match state_file::read(&self.server.config.directory) {
            Ok(saved) => {
                let (state, holes) = (&self.server.state, &mut self.holes);
                state.change(|status| {
                    if let Some(saved) = saved.clone() {
                        saved.restore(status);
                    }
                    holes.know(&status.open_holes);
                });
                self.saved = saved;
            }
            Err(error) => self.server.state.warn(format_args!("state file is ignored: {error}")),
        }
        self.server.state.change(|status| {
            status.is_restored = true;
            status.system_identifier.clone()
        })
    }

    fn look(&mut self) {
        let room = self.look_at_room();
        self.note_problem(0, room);
        let holes = self.look_for_holes();
        self.note_problem(1, holes);
        self.save();
    }

    fn save(&mut self) {
        let now = self.server.state.change(|status| Saved::of(status));
        if self.saved.as_ref() == Some(&now) {
            return;
        }
        let written = state_file::write(&self.server.config.directory, &now);
        if written.is_ok() {
            self.saved = Some(now);
        }
        self.note_problem(2, written);
    }

    fn look_at_room(&mut self) -> Result<(), StorageError> {
        let free = super::disk_room::free(&self.server.config.directory)?;
        let change = self.room.take(free, Instant::now());
        let state = &self.server.state;
        state.change(|status| {
            status.disk_free = Some(free);
            status.disk_full_in = self.room.full_in();
        });
        match change {
            Some(RoomChange::Low) => {
                state.tell(EventKind::DiskLow, format_args!("{free} bytes are free"));
            }
            Some(RoomChange::Enough) => {
                state.tell(EventKind::Recovered, format_args!("{free} bytes are free"));
            }
            None => {}
        }
        Ok(())
    }

    fn look_for_holes(&mut self) -> Result<(), StorageError> {
        let state = &self.server.state;
        let cluster = state.change(|status| status.system_identifier.clone());
        let cluster = cluster.and_then(|text| text.parse().ok());
        let found = self.holes.look(cluster, &mut |problem| state.warn(problem))?;
        state.change(|status| status.open_holes.clone_from(&found.open));
        for (hole, backup) in found.covered {
            let before = hole.to;
            let cause = format_args!("backup \"{backup}\" covers the hole before {before}");
            state.tell(EventKind::HoleCovered, cause);
        }
        found.backups
    }

    /// Tells of a problem when it is new.
    fn note_problem(&mut self, of: usize, outcome: Result<(), StorageError>) {
        let problem = outcome.err().map(|error| error.to_string());
        let Some(before) = self.problems.get_mut(of) else { return };
        if let Some(problem) = problem.as_ref().filter(|_| *before != problem) {
            self.server.state.warn(problem);
        }
        *before = problem;
    }
}
