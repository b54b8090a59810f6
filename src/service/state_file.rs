//! The state file: what is to be known after a restart, beside the WAL.
//!
//! [`FILE_NAME`] is a JSON object. It is written anew as a whole and gets its name when it is safe, so that a crash
//! leaves the old one or the new one.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::log::one_line;
use super::state::EVENTS_MAX;
use super::status::{OpenHole, ReconnectReason, ServerStatus, ServiceEvent};
use crate::storage::{LineFile, NewFile, StorageError, durable};

/// The file's name. Tools that list the directory pass over names that begin with a dot.
const FILE_NAME: &str = ".pgsiphon-state.json";

/// Permission bits of the file: causes may name hosts and files.
const FILE_MODE: u32 = 0o600;

/// What is read at most: many times what is ever written.
const SIZE_MAX: u64 = 4 << 20;

/// What is kept of a status: what happened, not how far the stream is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Saved {
    system_identifier: Option<String>,
    host: Option<String>,
    timeline: Option<u32>,
    reconnects: BTreeMap<ReconnectReason, u64>,
    holes_noticed: u64,
    open_holes: Vec<OpenHole>,
    damage_found: u64,
    events: VecDeque<ServiceEvent>,
}

impl Saved {
    /// Takes over what is to be kept.
    pub(super) fn of(status: &ServerStatus) -> Self {
        Saved {
            system_identifier: status.system_identifier.clone(),
            host: status.host.clone(),
            timeline: status.timeline,
            reconnects: status.reconnects.clone(),
            holes_noticed: status.holes_noticed,
            open_holes: status.open_holes.clone(),
            damage_found: status.damage_found,
            events: status.events.clone(),
        }
    }

    /// Puts what was kept in front of what is known, of a server about which nothing was known in this run.
    pub(super) fn restore(mut self, status: &mut ServerStatus) {
        if status.system_identifier.is_some() {
            return;
        }
        // Somebody may have edited the file.
        self.events.drain(..self.events.len().saturating_sub(EVENTS_MAX));
        self.events.iter_mut().for_each(|event| event.cause = one_line(&event.cause));
        self.events.append(&mut status.events);
        self.events.drain(..self.events.len().saturating_sub(EVENTS_MAX));
        status.system_identifier = self.system_identifier;
        status.host = self.host;
        status.timeline = self.timeline;
        status.reconnects = self.reconnects;
        status.holes_noticed = self.holes_noticed;
        status.open_holes = self.open_holes;
        status.damage_found = self.damage_found;
        status.events = self.events;
    }
}

/// Why a state file is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateFileError {
    /// It cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// It means nothing.
    #[error("could not parse file \"{FILE_NAME}\": {0}")]
    Json(#[from] serde_json::Error),
}

/// Reads the file in a directory, if there is one.
///
/// # Errors
/// If it cannot be read, or means nothing.
pub(super) fn read(directory: &Path) -> Result<Option<Saved>, StateFileError> {
    match LineFile::tail_of(&directory.join(FILE_NAME), SIZE_MAX)? {
        Some(text) => Ok(Some(serde_json::from_str(&text)?)),
        None => Ok(None),
    }
}

/// Writes the file; it is on stable storage afterwards.
///
/// # Errors
/// If the disk fails. The file is the old one then, or the new one.
pub(super) fn write(directory: &Path, saved: &Saved) -> Result<(), StorageError> {
    let path = directory.join(FILE_NAME);
    let unfinished = directory.join(format!("{FILE_NAME}.tmp"));
    let text = serde_json::to_string_pretty(saved);
    let text = text.map_err(|error| StorageError::new("write to file", &path, error))?;
    // The name is ours alone: a run that was killed left the file.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StorageError::new("remove file", unfinished, error));
        }
        Ok(()) | Err(_) => {}
    }
    let file = NewFile::create(unfinished.clone(), FILE_MODE)?;
    file.write_at(text.as_bytes(), 0)?;
    file.sync()?;
    file.close()?;
    durable::rename(&unfinished, &path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::{Lsn, Timestamp};
    use crate::service::{EventKind, ServerState};

    fn status() -> ServerStatus {
        let state = ServerState::new("main");
        state.tell(EventKind::Damage, "CRC");
        state.change(|status| {
            status.system_identifier = Some("7".to_owned());
            status.host = Some("a:5432".to_owned());
            status.timeline = Some(3);
            status.reconnects.insert(ReconnectReason::Network, 2);
            status.open_holes.push(OpenHole {
                from: None,
                to: Lsn::new(0x100_0000),
                timeline: 1,
                cause: "empty_directory".to_owned(),
                noticed: Timestamp::from_micros(5),
            });
        });
        state.status()
    }

    #[test]
    fn what_was_written_is_known_after_a_restart() {
        let scratch = tempfile::tempdir().unwrap();
        assert_eq!(read(scratch.path()).unwrap(), None);
        let before = status();
        for _ in 0..2 {
            write(scratch.path(), &Saved::of(&before)).unwrap();
        }
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
        let mut after = ServerStatus { name: "main".to_owned(), ..ServerStatus::default() };
        read(scratch.path()).unwrap().unwrap().restore(&mut after);
        assert_eq!(Saved::of(&after), Saved::of(&before));
        assert_eq!(after.events, before.events);
    }

    #[test]
    fn positions_alone_are_no_reason_to_write() {
        let before = status();
        let received = Some(Lsn::new(9));
        let later = ServerStatus { received, flushed: received, ..before.clone() };
        assert_eq!(Saved::of(&later), Saved::of(&before));
    }

    #[test]
    fn a_file_that_means_nothing_is_refused() {
        let event = r#"{"at":"2000-01-01T00:00:00Z","kind":"explosion","cause":""}"#;
        let deep = "[".repeat(1 << 20);
        let texts =
            ["", "{\"events\": [", "[]x", "\0\0", &format!("{{\"events\":[{event}]}}"), &deep];
        for text in texts {
            let scratch = tempfile::tempdir().unwrap();
            fs::write(scratch.path().join(FILE_NAME), text).unwrap();
            let refusal = read(scratch.path()).unwrap_err().to_string();
            let words = "could not parse file \".pgsiphon-state.json\": ";
            assert!(refusal.starts_with(words), "{refusal}");
        }
    }

    #[test]
    fn more_events_than_are_kept_are_left_out() {
        let mut saved = Saved::of(&status());
        let event = saved.events.front().unwrap().clone();
        saved.events.extend(std::iter::repeat_n(event, 10 * EVENTS_MAX));
        let mut status = ServerStatus::default();
        saved.restore(&mut status);
        assert_eq!(status.events.len(), EVENTS_MAX);
    }
}
