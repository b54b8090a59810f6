//! What the parts of a service share: a status for each server, which its own threads change and everybody may read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::status::ServerStatus;
use crate::wal::SyncTimes;

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

    /// Takes a server away.
    pub fn remove(&self, name: &str) {
        self.servers.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}
