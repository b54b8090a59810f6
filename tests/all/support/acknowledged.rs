//! What receivers have acknowledged, and whether it is there.
//!
//! A slot tells it: the server moves it to what the receiver says is flushed, and nobody else does. It also
//! hears what a receiver said that is gone meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pgsiphon::pg::Lsn;
use rustix::process::Signal;

use super::client::{Client, Running};
use super::log::Log;
use super::receive::Program;
use super::wait_until;

/// Prepares our receiver, which says every second what it has; where tests are proved of the original, that.
pub fn receiver() -> Client {
    let client = match Program::ours() {
        Program::Original => Client::receivewal_original(),
        Program::DropIn | Program::Native => Client::receivewal(),
    };
    client.args(["-s", "1"])
}

/// A directory that receivers with a slot of its name fill, one after the other.
#[derive(Debug)]
pub struct Target<'a> {
    log: &'a Log<'a>,
    slot: String,
    directory: PathBuf,
    /// Where the first segment begins.
    begin: Lsn,
    /// Where the slot was before there was a receiver.
    initial: Lsn,
    /// The last position that ever was acknowledged, and seen to be there.
    checked: Mutex<Lsn>,
}

impl<'a> Target<'a> {
    /// Makes the directory, and the slot, which keeps the log from here on.
    pub fn new(log: &'a Log<'a>, directory: PathBuf) -> Self {
        fs::create_dir(&directory).unwrap();
        let slot = directory.file_name().unwrap().to_str().unwrap();
        // The slot begins at the last checkpoint, and this one soon after the beginning of a segment.
        log.end_segment();
        log.ask("CHECKPOINT");
        log.ask(&format!("SELECT pg_create_physical_replication_slot('{slot}', true)"));
        Target::again(log, directory)
    }

    /// Goes on with a directory and a slot, from the segment that was acknowledged last.
    pub fn again(log: &'a Log<'a>, directory: PathBuf) -> Self {
        let slot = directory.file_name().unwrap().to_str().unwrap().to_owned();
        let initial = log.position(&of_slot(&slot, "restart_lsn"));
        let begin = log.segment_start(initial);
        Target { log, slot, directory, begin, initial, checked: Mutex::new(begin) }
    }

    /// Returns where the first segment begins that a receiver gets.
    pub fn begin(&self) -> Lsn {
        self.begin
    }

    /// Returns the directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Leads a receiver to the server, the slot and the directory.
    pub fn prepare(&self, receiver: Client) -> Client {
        self.prepare_through(receiver, &self.log.server().sockets(), self.log.server().port())
    }

    /// Leads a receiver to a socket, the slot and the directory.
    pub fn prepare_through(&self, receiver: Client, sockets: &Path, port: u16) -> Client {
        self.complete(receiver.through(sockets, port))
    }

    /// Leads a receiver that knows its server to the slot and the directory.
    pub fn complete(&self, receiver: Client) -> Client {
        receiver.args(["-S", &self.slot]).into_directory(&self.directory)
    }

    /// Starts a receiver, and waits until it gets the log.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut running = self.prepare(receiver()).args(arguments).start();
        self.wait_until_streaming(&mut running);
        running
    }

    /// Returns up to where the log was acknowledged.
    pub fn acknowledged(&self) -> Lsn {
        let position = self.log.position(&of_slot(&self.slot, "restart_lsn"));
        if position == self.initial { self.begin } else { position }
    }

    /// Waits until the log is acknowledged to a position.
    #[track_caller]
    pub fn wait_until_acknowledged(&self, position: Lsn) {
        wait_until("the acknowledgement", || self.acknowledged() >= position);
    }

    /// Returns an expression over `pg_stat_replication`; nothing while no receiver is there.
    pub fn status(&self, expression: &str) -> String {
        let Target { slot, .. } = self;
        self.log.ask(&format!(
            "SELECT {expression} FROM pg_stat_replication JOIN pg_replication_slots
             ON pid = active_pid WHERE slot_name = '{slot}'"
        ))
    }

    /// Waits until an expression over `pg_stat_replication` is true.
    #[track_caller]
    pub fn wait_until_status(&self, expression: &str) {
        wait_until(expression, || self.status(expression) == "t");
    }

    /// Waits until a receiver gets the log.
    #[track_caller]
    pub fn wait_until_streaming(&self, running: &mut Running) {
        wait_until("the stream", || {
            assert_runs(running);
            self.status("state IN ('catchup', 'streaming')") == "t"
        });
    }

    /// Kills a receiver, and waits until the server has heard all that it said.
    pub fn kill(&self, running: Running) {
        running.signal(Signal::KILL);
        running.wait();
        self.wait_until_left();
    }

    /// Waits until the server knows that no receiver is there.
    pub fn wait_until_left(&self) {
        let is_active = format!("SELECT {}", of_slot(&self.slot, "active"));
        wait_until("the slot to be free", || self.log.ask(&is_active) == "f");
    }

    /// Makes sure that everything is there that was acknowledged since the segment in which the last such look
    /// ended; also if the receiver, which began anew, acknowledges less at the moment.
    #[track_caller]
    pub fn assert_acknowledged_is_held(&self) {
        let acknowledged = self.acknowledged();
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let from = self.log.segment_start(*checked);
        *checked = acknowledged.max(*checked);
        self.log.assert_held(&self.directory, from, *checked);
    }

    /// Lets a receiver that runs finish a segment; then everything has to be there, from the beginning.
    #[track_caller]
    pub fn finish(&self, mut running: Running) {
        let end = self.log.end_segment();
        wait_until("the last acknowledgement", || {
            assert_runs(&mut running);
            self.acknowledged() >= end
        });
        running.signal(Signal::INT);
        running.wait().succeeded();
        self.wait_until_left();
        self.log.assert_held(&self.directory, self.begin, self.acknowledged());
        self.log.assert_named(&self.directory, self.begin, end);
    }
}

fn of_slot(slot: &str, column: &str) -> String {
    format!("(SELECT {column} FROM pg_replication_slots WHERE slot_name = '{slot}')")
}

#[track_caller]
fn assert_runs(running: &mut Running) {
    assert!(!running.has_ended(), "it ended: {}", running.said());
}

/// Waits until a receiver that goes on has said something.
#[track_caller]
pub fn wait_until_said(running: &mut Running, words: &str) {
    wait_until(words, || {
        assert_runs(running);
        running.said().contains(words)
    });
}
