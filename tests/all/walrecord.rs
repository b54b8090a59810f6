//! The log of real servers, read by our own reader: it finds what `pg_waldump` finds, accepts what servers
//! write before, between and after crashes, and finds what is damaged.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use pgsiphon::pg::{Lsn, ServerVersion, TimelineId, WalSegmentSize};
use pgsiphon::walrecord::{RecordKind, WalDamage, WalFormat, WalOrigin, WalReader, WalRecord};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::installation::Installation;
use crate::support::random::Random;
use crate::support::scratch::{names, run};
use crate::support::server::Server;
use crate::support::wait_until;
use crate::support::workload::WriteLoad;

on_servers!(records_and_commit_times_are_those_of_pg_waldump: pg16 pg17 pg18);
on_servers!(what_a_server_writes_is_accepted_and_a_flipped_bit_is_found:
    pg13 pg14 pg15 pg16 pg17 pg18);
on_servers!(records_that_a_crash_cut_short_are_passed_over: pg13 pg14 pg15 pg16 pg17 pg18);
on_servers!(the_log_goes_on_over_a_promotion: pg13 pg14 pg15 pg16 pg17 pg18);

/// The smallest segments, so that a test has many.
const SEGMENT_SIZE: u64 = 1 << 20;

const PAGE_SIZE: usize = 8192;

/// What `read` of a socket may give; no multiple or divisor of anything.
const PIECE_SIZE: usize = 100_003;

fn start(installation: Installation, settings: &[&str]) -> Server {
    let builder = Server::builder(installation).initdb(&["--wal-segsize=1"]);
    let kept = ["wal_keep_size=20GB", "max_wal_size=40GB", "max_prepared_transactions=5"];
    // With few buffers, a record is on disk in parts before it is complete.
    let logical = ["wal_level=logical", "wal_buffers=64kB"];
    let settings = [&kept[..], &logical, settings].concat();
    settings.into_iter().fold(builder, |builder, setting| builder.setting(setting)).start()
}

/// Writes records of many kinds and sizes, and ends the segment.
fn write(server: &Server) {
    drop(WriteLoad::start(server));
    let table = [
        "CREATE TABLE written AS SELECT id, md5(id::text) AS t FROM generate_series(1, 9999) id",
        "CREATE INDEX ON written (t)",
        "CHECKPOINT",
        "UPDATE written SET t = t || 'x' WHERE id % 7 = 0",
        "SELECT pg_switch_wal()",
        "BEGIN; DELETE FROM written WHERE id = 1; PREPARE TRANSACTION 'one'",
        "BEGIN; DELETE FROM written WHERE id = 2; PREPARE TRANSACTION 'two'",
        "COMMIT PREPARED 'one'",
        "ROLLBACK PREPARED 'two'",
        "BEGIN; SAVEPOINT s; DELETE FROM written WHERE id = 3; RELEASE s; COMMIT",
        // A commit that names its origin.
        "SELECT pg_replication_origin_create('elsewhere');
         SELECT pg_replication_origin_session_setup('elsewhere');
         DELETE FROM written WHERE id = 4",
        // A record over several segments.
        "SELECT pg_logical_emit_message(true, 'long', repeat('x', 3000000))",
        "SELECT pg_switch_wal()",
        "DROP TABLE written",
    ];
    for statement in table {
        server.sql(statement);
    }
}

/// The log of a server that is complete, in memory.
struct Log {
    origin: WalOrigin,
    /// The names of the segments.
    names: Vec<String>,
    bytes: Vec<u8>,
}

impl Log {
    /// Ends the present segment and loads what is before it: on each timeline up to the next one.
    fn load(server: &Server, installation: Installation) -> Self {
        server.sql("SELECT pg_switch_wal()");
        // Without a record in the next segment, the position is still in the one before.
        server.sql("CHECKPOINT");
        let current = server.sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn())");
        let directory = server.data().join("pg_wal");
        let names = finished_segments(&directory, &current);
        let read = |name: &String| fs::read(directory.join(name)).unwrap();
        let version = ServerVersion::major_release(installation.major);
        let identifier = server.sql("SELECT system_identifier FROM pg_control_system()");
        let origin = WalOrigin {
            start: segment_start(&names[0]),
            timeline: timeline(&current),
            segment_size: WalSegmentSize::from_bytes(SEGMENT_SIZE).unwrap(),
            format: WalFormat::of_server(version).unwrap(),
            system_identifier: Some(identifier.parse().unwrap()),
        };
        let bytes = names.iter().flat_map(read).collect();
        Log { origin, names, bytes }
    }

    /// Reads it in pieces.
    fn read(&self) -> (Vec<WalRecord>, Option<WalDamage>) {
        read(self.origin, &self.bytes)
    }

    /// Reads it and makes sure that nothing is wrong.
    #[track_caller]
    fn records(&self) -> Vec<WalRecord> {
        let (records, damage) = self.read();
        assert_eq!(damage, None);
        // The last one is the switch record, and reaches to the end.
        let end = self.origin.start.checked_add(self.bytes.len() as u64);
        assert_eq!(records.last().map(|record| record.end), end);
        records
    }

    fn offset(&self, position: Lsn) -> usize {
        position.checked_sub(self.origin.start).unwrap() as usize
    }

    /// Lists flags and timelines of the pages, unused ones included.
    fn pages(&self) -> impl Iterator<Item = (u16, u32)> {
        self.bytes.chunks(PAGE_SIZE).map(|page| {
            let timeline = u32::from_le_bytes(page[4..8].try_into().unwrap());
            (u16::from_le_bytes([page[2], page[3]]), timeline)
        })
    }
}

fn read(origin: WalOrigin, bytes: &[u8]) -> (Vec<WalRecord>, Option<WalDamage>) {
    let mut reader = WalReader::new(origin);
    let mut records = Vec::new();
    let mut handle = |piece| reader.handle(piece, &mut |record| records.push(record));
    let damage = bytes.chunks(PIECE_SIZE).find_map(|piece| handle(piece).err());
    (records, damage)
}

/// Lists the segments before `current` in order, those of each timeline up to where the next one begins.
fn finished_segments(directory: &Path, current: &str) -> Vec<String> {
    let mut segments = names(directory);
    segments.retain(|name| name.len() == 24 && name.as_str() < current);
    let newer: Vec<_> =
        segments.iter().map(|name| (name[8..].to_owned(), timeline(name))).collect();
    segments.retain(|name| {
        let is_newer = |(number, branch): &(String, TimelineId)| {
            *branch > timeline(name) && number.as_str() <= &name[8..]
        };
        !newer.iter().any(is_newer)
    });
    let starts: Vec<_> = segments.iter().map(|name| segment_start(name)).collect();
    for pair in starts.windows(2) {
        assert_eq!(pair[1].checked_sub(pair[0]), Some(SEGMENT_SIZE), "{segments:?}");
    }
    segments
}

fn timeline(segment: &str) -> TimelineId {
    TimelineId::try_from(u32::from_str_radix(&segment[..8], 16).unwrap()).unwrap()
}

fn segment_start(segment: &str) -> Lsn {
    let part = |digits| u64::from_str_radix(digits, 16).unwrap();
    Lsn::new((part(&segment[8..16]) << 32) + part(&segment[16..]) * SEGMENT_SIZE)
}

fn records_and_commit_times_are_those_of_pg_waldump(installation: Installation) {
    let server = start(installation, &[]);
    write(&server);
    let log = Log::load(&server, installation);
    let ours: Vec<_> = log.records().iter().map(as_printed).collect();
    let theirs = dumped(&server, installation, &log.names);
    assert!(ours.len() > 10_000, "{}", ours.len());
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    let commits = ours.iter().filter(|(_, time)| time.is_some()).count();
    assert!(commits > 20, "{commits}");
}

/// A record's position, and the time if it is a commit.
fn as_printed(record: &WalRecord) -> (Lsn, Option<String>) {
    let time = match record.kind {
        RecordKind::Commit(time) => Some(time.to_string()),
        RecordKind::Switch | RecordKind::Other => None,
    };
    (record.start, time)
}

/// Lists the records as `pg_waldump` prints them.
fn dumped(
    server: &Server,
    installation: Installation,
    segments: &[String],
) -> Vec<(Lsn, Option<String>)> {
    let mut waldump = Command::new(installation.verifier().0.with_file_name("pg_waldump"));
    waldump.env("TZ", "UTC").env("LC_ALL", "C");
    waldump.arg("-p").arg(server.data().join("pg_wal"));
    waldump.args([segments.first(), segments.last()].map(Option::unwrap));
    let output = String::from_utf8(run(&mut waldump).stdout).unwrap();
    output.lines().map(dumped_record).collect()
}

/// Reads a line: `rmgr: Transaction len (rec/tot): 34/ 34, tx: 748, lsn: 0/01A0, prev 0/0158, desc: COMMIT
/// 2026-01-02 03:04:05.678901 UTC; ...`.
fn dumped_record(line: &str) -> (Lsn, Option<String>) {
    let (_, from_position) = line.split_once(", lsn: ").unwrap();
    let (position, rest) = from_position.split_once(',').unwrap();
    let (_, description) = rest.split_once("desc: ").unwrap();
    let commit = description.strip_prefix("COMMIT_PREPARED ").map(|rest| rest.split_once(": "));
    let commit = commit.map(|parts| parts.unwrap().1).or(description.strip_prefix("COMMIT "));
    let is_transaction = line.starts_with("rmgr: Transaction");
    let time = commit.filter(|_| is_transaction).map(|rest| {
        let (time, _) = rest.split_once(" UTC").unwrap();
        format!("{}Z", time.replace(' ', "T"))
    });
    (position.parse().unwrap(), time)
}

fn what_a_server_writes_is_accepted_and_a_flipped_bit_is_found(installation: Installation) {
    let server = start(installation, &[]);
    write(&server);
    let mut log = Log::load(&server, installation);
    let records = log.records();
    let commits = records.iter().filter(|r| matches!(r.kind, RecordKind::Commit(_))).count();
    let switches = records.iter().filter(|r| r.kind == RecordKind::Switch).count();
    assert!(commits > 20 && switches == 3, "{commits} commits, {switches} switch records");
    let mut random = Random::new(installation.major.into());
    for _ in 0..500 {
        let record = records[random.below(records.len() as u64 - 100) as usize];
        let (offset, bit) = flip_in(&mut log, record, &mut random);
        // To the page behind the record, for a length that is too large shows there.
        let first = log.offset(record.start) / PAGE_SIZE * PAGE_SIZE;
        let last = (log.offset(record.end) / PAGE_SIZE + 2) * PAGE_SIZE;
        let start = log.origin.start.checked_add(first as u64).unwrap();
        let (before, damage) = read(WalOrigin { start, ..log.origin }, &log.bytes[first..last]);
        assert!(damage.is_some(), "bit {bit:02X} at offset {offset:X}");
        assert!(before.iter().all(|before| before.end <= record.start));
        log.bytes[offset] ^= bit;
    }
}

/// Flips a bit of a record; returns the offset of its byte, and the bit.
fn flip_in(log: &mut Log, record: WalRecord, random: &mut Random) -> (usize, u8) {
    let start = log.offset(record.start);
    let size = u32::from_le_bytes(log.bytes[start..start + 4].try_into().unwrap()) as usize;
    let end = match record.kind {
        RecordKind::Switch => start + 8,
        // Behind it are the zeros that align it.
        _ => log.offset(record.end) - (size.next_multiple_of(8) - size),
    };
    loop {
        let offset = start + random.below((end - start) as u64) as usize;
        let is_in_header = offset % PAGE_SIZE < 40 && offset / PAGE_SIZE != start / PAGE_SIZE;
        if !is_in_header {
            let bit = 1 << random.below(8);
            log.bytes[offset] ^= bit;
            return (offset, bit);
        }
    }
}

/// `XLP_FIRST_IS_OVERWRITE_CONTRECORD`.
const OVERWRITES: u16 = 8;

fn records_that_a_crash_cut_short_are_passed_over(installation: Installation) {
    let server = start(installation, &[]);
    let overwritten = |log: &Log| log.pages().filter(|(flags, _)| flags & OVERWRITES != 0).count();
    let mut log = Log::load(&server, installation);
    for _ in 0..20 {
        let before = checkpointer(&server);
        crash_in_a_record(&server);
        wait_until("the server to recover", || {
            checkpointer(&server).is_some_and(|after| Some(after) != before)
        });
        log = Log::load(&server, installation);
        log.records();
        if overwritten(&log) >= 3 {
            break;
        }
    }
    assert!(overwritten(&log) >= 3, "of {} pages", log.pages().count());
    // The same from each segment on, also from those that begin inside a record.
    for start in (0..log.bytes.len()).step_by(SEGMENT_SIZE as usize) {
        let position = log.origin.start.checked_add(start as u64).unwrap();
        let origin = WalOrigin { start: position, ..log.origin };
        assert_eq!(read(origin, &log.bytes[start..]).1, None);
    }
}

/// Returns a process that a crash replaces, or nothing while there is none to ask.
fn checkpointer(server: &Server) -> Option<String> {
    let mut psql = server.client("psql");
    let query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'";
    let output = psql.args(["-XAtq", "-c", query, "postgres"]).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// Kills a session that writes nothing but long records; this brings down the others.
fn crash_in_a_record(server: &Server) {
    let mut psql = server.client("psql");
    let emit = "SELECT pg_logical_emit_message(true, 'long', repeat('x', 5000000))
                FROM generate_series(1, 10000)";
    psql.args(["-XAtq", "-c", "SELECT pg_backend_pid()", "-c", emit, "postgres"]);
    psql.stdout(Stdio::piped()).stderr(Stdio::null());
    let count_segments = || names(&server.data().join("pg_wal")).len();
    let before = count_segments();
    let mut session = psql.spawn().unwrap();
    let mut process = String::new();
    BufReader::new(session.stdout.take().unwrap()).read_line(&mut process).unwrap();
    // A record has five segments, and one may be made in advance.
    wait_until("a part of a record", || count_segments() > before + 2);
    let process = Pid::from_raw(process.trim_end().parse().unwrap());
    kill_process(process.unwrap(), Signal::KILL).unwrap();
    session.wait().unwrap();
}

fn the_log_goes_on_over_a_promotion(installation: Installation) {
    let mut server = start(installation, &["restart_after_crash=off"]);
    for timeline in [2, 3] {
        crash_in_a_record(&server);
        // It recovers as a standby, which goes on behind the last complete record on a timeline of its own.
        fs::write(server.data().join("standby.signal"), "").unwrap();
        server.start_again();
        server.sql("SELECT pg_promote()");
        wait_until("the promotion", || server.sql("SELECT pg_is_in_recovery()") == "f");
        server.sql(format!("CREATE TABLE t{timeline} AS SELECT generate_series(1, 10000)"));
        let log = Log::load(&server, installation);
        assert_eq!(log.origin.timeline.number(), timeline);
        log.records();
        let has_pages_of = |timeline| log.pages().any(|(_, found)| found == timeline);
        assert!((1..=timeline).all(has_pages_of));
        assert_eq!(end_of_older_timeline(&server, &log), switch_point(&server, timeline));
    }
}

/// Reads the timeline before the log's last one to its end, the last segment included that both have.
fn end_of_older_timeline(server: &Server, log: &Log) -> Lsn {
    let older = TimelineId::try_from(log.origin.timeline.number() - 1).unwrap();
    let common = log.names.iter().position(|name| timeline(name) > older).unwrap();
    let last = format!("{:08X}{}", older.number(), &log.names[common][8..]);
    let mut bytes = log.bytes[..common * SEGMENT_SIZE as usize].to_vec();
    bytes.extend(fs::read(server.data().join("pg_wal").join(last)).unwrap());
    let (records, _) = read(WalOrigin { timeline: older, ..log.origin }, &bytes);
    records.last().unwrap().end
}

/// Returns where a timeline began, as its history file has it.
fn switch_point(server: &Server, timeline: u32) -> Lsn {
    let history = server.data().join(format!("pg_wal/{timeline:08X}.history"));
    let text = fs::read_to_string(history).unwrap();
    text.lines().last().unwrap().split('\t').nth(1).unwrap().parse().unwrap()
}
