//! What the parts of a service share: a status for each server, which its own threads change and everybody may read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::log::{self, one_line};
use super::status::{EventKind, ServerStatus, ServiceEvent, SlotStatus, WalStatus};
use crate::wal::{SyncTimes, wall_clock};

/// Events that are kept of a server: a bad week's, in little memory.
pub(super) const EVENTS_MAX: usize = 64;

/// What is known of one server, shared by its threads and all who show it.
#[derive(Debug)]
pub struct ServerState {
    status: Mutex<ServerStatus>,
    sync_times: Arc<SyncTimes>,
}

impl ServerState {
    /// Begins with nothing known.
    pub fn new(name: &str) -> Self {
        let status = ServerStatus { name: name.to_owned(), ..ServerStatus::default() };
        ServerState { status: Mutex::new(status), sync_times: Arc::default() }
    }

    /// Returns what is known now.
    pub fn status(&self) -> ServerStatus {
        self.change(|status| status.clone())
    }

    /// Changes what is known, in one step for those who read it.
    pub fn change<T>(&self, change: impl FnOnce(&mut ServerStatus) -> T) -> T {
        // At worst, part of a change is there.
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells what happened, to all who read the status, the log or the state file.
    pub fn tell(&self, kind: EventKind, cause: impl fmt::Display) {
        let event = ServiceEvent { at: wall_clock(), kind, cause: one_line(&cause.to_string()) };
        let name = self.change(|status| {
            *status.event_counts.entry(kind).or_default() += 1;
            status.events.push_back(event.clone());
            while status.events.len() > EVENTS_MAX {
                status.events.pop_front();
            }
            status.name.clone()
        });
        log::event(&name, &event);
    }

    /// Logs what is worth a look, but is no event.
    pub(super) fn warn(&self, text: impl fmt::Display) {
        let name = self.change(|status| status.name.clone());
        log::warning(&name, &one_line(&text.to_string()));
    }

    /// Logs what helps whoever looks closely.
    pub(super) fn detail(&self, text: impl fmt::Display) {
        let name = self.change(|status| status.name.clone());
        log::detail(&name, &one_line(&text.to_string()));
    }

    /// Notes that the slot serves nobody any more; says whether that is news.
    pub(super) fn note_slot_loss(&self, name: &str) -> bool {
        self.change(|status| {
            let slot = status.slot.get_or_insert_with(|| SlotStatus::of_name(name));
            slot.wal_status.replace(WalStatus::Lost) != Some(WalStatus::Lost)
        })
    }

    /// Returns how long syncs took.
    pub fn sync_times(&self) -> &Arc<SyncTimes> {
        &self.sync_times
    }
}

/// The states of all servers.
#[derive(Debug, Default)]
pub struct Board {
    servers: RwLock<BTreeMap<String, Arc<ServerState>>>,
}

impl Board {
    /// Returns the states, ordered by name.
    pub fn servers(&self) -> Vec<Arc<ServerState>> {
        let servers = self.servers.read().unwrap_or_else(PoisonError::into_inner);
        servers.values().cloned().collect()
    }

    /// Returns what is known now of all servers, ordered by name.
    pub fn statuses(&self) -> Vec<ServerStatus> {
        self.servers().iter().map(|server| server.status()).collect()
    }

    /// Adds a server, in place of one of the same name.
    pub fn put(&self, name: &str, state: Arc<ServerState>) {
        let mut servers = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        servers.insert(name.to_owned(), state);
    }

    /// Takes all servers away but those whose names are wanted.
    pub fn retain(&self, is_wanted: impl Fn(&str) -> bool) {
        let mut servers = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|name, _| is_wanted(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_of_a_slot_is_news_once() {
        let state = ServerState::new("main");
        assert_eq!([(); 2].map(|()| state.note_slot_loss("wal")), [true, false]);
    }

    #[test]
    fn only_the_last_events_are_kept_and_all_are_counted() {
        let state = ServerState::new("main");
        for number in 0..EVENTS_MAX + 2 {
            state.tell(EventKind::Disconnected, number);
        }
        let ServerStatus { events, event_counts, .. } = state.status();
        assert_eq!(events.len(), EVENTS_MAX);
        assert_eq!(events.front().unwrap().cause, "2");
        assert_eq!(event_counts, [(EventKind::Disconnected, EVENTS_MAX as u64 + 2)].into());
    }
}
