//! The log of a server, and whether a directory holds it.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use pgsiphon::pg::{Lsn, SegmentNumber, TimelineId, WalSegmentSize, history_file_name};

use super::installation::Installation;
use super::scratch::names;
use super::server::{Server, ServerBuilder};
use super::session::Session;
use super::stored::Stored;
use super::timelines::begin_timeline;
use super::workload::emit;

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

    /// Returns the server.
    pub fn server(&self) -> &Server {
        self.server
    }

    /// Runs statements and returns their output.
    #[track_caller]
    pub fn ask(&self, statements: &str) -> String {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).ask(statements)
    }

    /// Returns a position that the server names.
    #[track_caller]
    pub fn position(&self, expression: &str) -> Lsn {
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
        // In one go: whoever ended the segment in between would leave nothing to end in the next one.
        let said = self.ask(&format!("{}; SELECT pg_switch_wal()", emit(1)));
        let end: Lsn = said.lines().last().unwrap().parse().unwrap();
        // It says where the switch ends in its segment, which may be the end of that.
        let last = self.segment_start(Lsn::new(end.offset() - 1));
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

/// Says whether there is nothing but page headers: the rest of a segment that was ended early. A receiver that gets
/// it again need not keep it meanwhile.
fn says_nothing(segment: &[u8], range: Range<usize>) -> bool {
    const PAGE_SIZE: usize = 8192;
    const LONG_HEADER_SIZE: usize = 40;
    range.into_iter().all(|offset| segment[offset] == 0 || offset % PAGE_SIZE < LONG_HEADER_SIZE)
}
