//! What receivers have acknowledged, and whether it is there.
//!
//! A slot tells it: the server moves it to what the receiver says is flushed, and nobody else does. It also
//! hears what a receiver said that is gone meanwhile.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pgsiphon::pg::{Lsn, SegmentNumber, TimelineId, WalSegmentSize, history_file_name};
use rustix::process::Signal;

use super::client::{Client, Running};
use super::installation::Installation;
use super::receive::Program;
use super::scratch::names;
use super::server::{Server, ServerBuilder};
use super::session::Session;
use super::stored::Stored;
use super::timelines::begin_timeline;
use super::wait_until;
use super::workload::emit;

/// Prepares our receiver, which says every second what it has; where tests are proved of the original, that.
pub fn receiver() -> Client {
    let client = match Program::ours() {
        Program::Original => Client::receivewal_original(),
        Program::DropIn | Program::Native => Client::receivewal(),
    };
    client.args(["-s", "1"])
}

/// Prepares a server that keeps its log, in small segments, so that many of them end.
pub fn source(installation: Installation) -> ServerBuilder {
    let server = Server::builder(installation).initdb(&["--wal-segsize=1"]);
    server.setting("wal_keep_size=4GB").setting("max_wal_size=4GB")
}

/// Starts a server whose timeline has a history, and began in an earlier segment.
pub fn on_a_later_timeline(installation: Installation) -> Server {
    let mut server = source(installation).start();
    begin_timeline(&mut server, Server::stop);
    server.sql("SELECT pg_switch_wal()");
    server
}

/// The log of a server that removes nothing of it.
#[derive(Debug)]
pub struct Log<'a> {
    server: &'a Server,
    session: Mutex<Session>,
    timeline: TimelineId,
    segment_size: WalSegmentSize,
}

impl<'a> Log<'a> {
    /// Looks at a primary's.
    pub fn of(server: &'a Server) -> Self {
        let mut session = Session::with(server);
        let file = session.ask("SELECT pg_walfile_name(pg_current_wal_lsn())");
        let segment_size = session.ask("SHOW wal_segment_size");
        Log {
            server,
            session: Mutex::new(session),
            timeline: u32::from_str_radix(&file[..8], 16).unwrap().try_into().unwrap(),
            segment_size: segment_size.parse().unwrap(),
        }
    }

    /// Runs statements and returns their output.
    #[track_caller]
    pub fn ask(&self, statements: &str) -> String {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).ask(statements)
    }

    #[track_caller]
    fn position(&self, expression: &str) -> Lsn {
        let text = self.ask(&format!("SELECT {expression}"));
        text.parse().unwrap_or_else(|_| panic!("{expression} is {text:?}"))
    }

    /// Returns up to where the server has written its log.
    pub fn end(&self) -> Lsn {
        self.position("pg_current_wal_flush_lsn()")
    }

    /// Writes at least so many bytes, and returns where they end.
    pub fn write(&self, bytes: usize) -> Lsn {
        self.ask(&emit(bytes));
        self.end()
    }

    /// Ends the segment, so that a receiver can finish it, and returns where the next one begins.
    pub fn end_segment(&self) -> Lsn {
        let last = self.segment_start(self.write(1));
        self.ask("SELECT pg_switch_wal()");
        last.checked_add(self.segment_size.bytes()).unwrap()
    }

    /// Returns where the segment with a position begins.
    pub fn segment_start(&self, position: Lsn) -> Lsn {
        SegmentNumber::containing(position, self.segment_size).start(self.segment_size)
    }

    /// Makes sure that a directory holds the log from the beginning of a segment to a position as the server
    /// does, and that every file with a final name is complete.
    #[track_caller]
    pub fn assert_held(&self, directory: &Path, from: Lsn, to: Lsn) {
        let mut start = from;
        // Also a segment of which nothing is acknowledged: what has a final name is complete.
        while start <= to {
            let needed = to.checked_sub(start).unwrap().min(self.segment_size.bytes());
            self.assert_segment_held(directory, start, needed);
            start = start.checked_add(self.segment_size.bytes()).unwrap();
        }
    }

    #[track_caller]
    fn assert_segment_held(&self, directory: &Path, start: Lsn, needed: u64) {
        let name = self.segment_name(start);
        let stored = Stored::under(directory, &name);
        if needed == 0 && stored.is_empty() {
            return;
        }
        let own = self.own_file(&name);
        let mut held = 0;
        for file in &stored {
            let equal = file.equal_bytes(&own);
            let is_complete = file.is_sound && file.contents == own;
            let path = file.path.display();
            assert!(file.is_partial || is_complete, "{path} is right for {equal} bytes only");
            held = held.max(equal);
        }
        let needed = usize::try_from(needed).unwrap();
        let is_all = held >= needed || says_nothing(&own, held..needed);
        let present = names(directory);
        assert!(is_all, "{name}: {needed} bytes acknowledged, {held} held: {present:?}");
    }

    /// Makes sure that the segments from one position to another have their final names, under which a recovery looks
    /// for them.
    #[track_caller]
    pub fn assert_named(&self, directory: &Path, from: Lsn, to: Lsn) {
        let present = names(directory);
        let mut start = from;
        while start < to {
            let name = self.segment_name(start);
            let is_there = Stored::under(directory, &name).iter().any(|file| !file.is_partial);
            assert!(is_there, "{name} did not get its name: {present:?}");
            start = start.checked_add(self.segment_size.bytes()).unwrap();
        }
    }

    fn segment_name(&self, start: Lsn) -> String {
        let number = SegmentNumber::containing(start, self.segment_size);
        number.file_name(self.timeline, self.segment_size)
    }

    /// Makes sure that the history file of the timeline is not there, or is as the server has it; says which.
    #[track_caller]
    pub fn assert_history_whole_or_absent(&self, directory: &Path) -> bool {
        let name = history_file_name(self.timeline);
        let stored = Stored::under(directory, &name);
        for file in &stored {
            let is_whole = file.is_sound && file.contents == self.own_file(&name);
            assert!(is_whole, "{}", file.path.display());
        }
        !stored.is_empty()
    }

    /// Returns the server's own file of the segment that begins at a position.
    pub fn segment(&self, start: Lsn) -> Vec<u8> {
        self.own_file(&self.segment_name(start))
    }

    fn own_file(&self, name: &str) -> Vec<u8> {
        let path = self.server.data().join("pg_wal").join(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
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
        self.prepare_through(receiver, &self.log.server.sockets(), self.log.server.port())
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

/// Says whether there is nothing but page headers: the rest of a segment that was ended early. A receiver that gets
/// it again need not keep it meanwhile.
fn says_nothing(segment: &[u8], range: Range<usize>) -> bool {
    const PAGE_SIZE: usize = 8192;
    const LONG_HEADER_SIZE: usize = 40;
    range.into_iter().all(|offset| segment[offset] == 0 || offset % PAGE_SIZE < LONG_HEADER_SIZE)
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
