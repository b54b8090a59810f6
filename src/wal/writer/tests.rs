use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use tempfile::TempDir;

use super::*;
use crate::pg::{CompressionFormat, ServerVersion};
use crate::storage::{StoredEnd, read_stored};
use crate::walrecord::fixture::{SEGMENT_SIZE, START, SYSTEM_IDENTIFIER, WalBuilder};

const SEGMENT: usize = SEGMENT_SIZE as usize;

/// The names of the segment at [`START`] and of the one behind it.
const FIRST: &str = "000000010000000000000003";
const SECOND: &str = "000000010000000000000004";

/// Returns a sound log of at least a size; `seed` tells one from another.
fn log(size: usize, seed: u8) -> Vec<u8> {
    let mut builder = WalBuilder::new();
    for length in (50_usize..).step_by(7) {
        builder.record(10, 0, &vec![seed; length % 9000]);
        if builder.bytes.len() >= size {
            break;
        }
    }
    builder.bytes
}

fn config(directory: &Path, sync: SyncPolicy, compression: Option<Compression>) -> WalWriterConfig {
    WalWriterConfig {
        directory: directory.to_owned(),
        file_mode: 0o600,
        direct_io: DirectIo::Auto,
        sync,
        compression,
        timeline: TimelineId::FIRST,
        segment_size: WalSegmentSize::from_bytes(SEGMENT_SIZE.into()).unwrap(),
        start: Lsn::new(START),
        format: WalFormat::of_server(ServerVersion::major_release(18)),
        system_identifier: Some(SYSTEM_IDENTIFIER),
        sync_times: None,
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Writes a log from its beginning, in pieces, and ends. Returns the last progress too.
fn write(config: WalWriterConfig, log: &[u8]) -> (Result<Suspended, WalWriteError>, WalProgress) {
    block_on(async {
        let mut at = config.start.offset();
        let (inbox, writer) = WalWriter::start(config, Box::new(|_| {}), None).unwrap();
        for piece in log.chunks(100_000) {
            if inbox.room().await.is_err() {
                break;
            }
            // As if the server had more.
            inbox.push(vec![data(at, piece, false)], 0);
            at += piece.len() as u64;
        }
        drop(inbox);
        let progress = writer.progress();
        let outcome = writer.finish().await;
        let progress = *progress.borrow();
        (outcome, progress)
    })
}

fn data(start: u64, bytes: &[u8], is_latest: bool) -> WalInput {
    WalInput::Data { start: Lsn::new(start), bytes: Bytes::copy_from_slice(bytes), is_latest }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn gunzip(path: &Path) -> Vec<u8> {
    let mut contents = Vec::new();
    let end = read_stored(path, Some(CompressionFormat::Gzip), &mut |bytes| {
        contents.extend_from_slice(bytes);
        ControlFlow::Continue(())
    });
    // One that is under way has no end yet.
    assert!(end.unwrap() == StoredEnd::Whole || path.extension().unwrap() == "partial");
    contents
}

const GZIP: Option<Compression> = Some(Compression::Gzip { level: Some(1) });

#[test]
fn complete_segments_get_their_names_and_the_last_one_stays_partial() {
    let log = log(SEGMENT * 5 / 4, 1);
    for sync in [SyncPolicy::Never, SyncPolicy::Segments, SyncPolicy::AtOnce] {
        let directory = TempDir::new().unwrap();
        let (outcome, progress) = write(config(directory.path(), sync, None), &log);
        assert_eq!(outcome.unwrap().not_renamed.as_deref(), Some(SECOND));
        let partial = format!("{SECOND}.partial");
        assert_eq!(names(directory.path()), [FIRST, &partial]);
        assert!(fs::read(directory.path().join(FIRST)).unwrap() == log[..SEGMENT]);
        let rest = fs::read(directory.path().join(partial)).unwrap();
        assert!(rest.len() == SEGMENT && rest.starts_with(&log[SEGMENT..]));
        let end = Lsn::new(START + log.len() as u64);
        assert_eq!((progress.written, progress.flushed), (end, end));
        assert_eq!(progress.finished, Lsn::new(START + SEGMENT as u64));
    }
}

#[test]
fn what_an_earlier_run_stored_is_received_again_and_kept() {
    let whole = log(SEGMENT * 3 / 2, 1);
    for compression in [None, GZIP] {
        // Where the first run ends: in the first page, anywhere, at the end of the segment.
        for first in [100, SEGMENT / 3 + 5, SEGMENT - 1, SEGMENT + 8192] {
            let directory = TempDir::new().unwrap();
            let config = || config(directory.path(), SyncPolicy::AtOnce, compression);
            write(config(), &whole[..first]).0.unwrap();
            // The second one gets less than the first, the third all.
            for size in [first / 2, whole.len()] {
                write(config(), &whole[..size]).0.unwrap();
                let suffix = if compression.is_some() { ".gz" } else { "" };
                let complete = directory.path().join(format!("{FIRST}{suffix}"));
                let path = match size < SEGMENT && !complete.exists() {
                    true => directory.path().join(format!("{FIRST}{suffix}.partial")),
                    false => complete,
                };
                let stored =
                    if compression.is_some() { gunzip(&path) } else { fs::read(&path).unwrap() };
                let kept = first.max(size).min(SEGMENT);
                assert!(stored[..kept] == whole[..kept], "{compression:?} {first} {size}");
            }
            // Complete or partial, but never both, and nothing else.
            assert_eq!(names(directory.path()).len(), 2, "{compression:?} {first}");
        }
    }
}

#[test]
fn other_wal_than_what_is_stored_is_refused_and_what_is_stored_stays() {
    let (stored, other) = (log(SEGMENT / 2, 1), log(SEGMENT * 3 / 2, 2));
    for compression in [None, GZIP] {
        let directory = TempDir::new().unwrap();
        let config = || config(directory.path(), SyncPolicy::Segments, compression);
        write(config(), &stored).0.unwrap();
        let before = names(directory.path());
        let (outcome, progress) = write(config(), &other);
        assert!(matches!(outcome, Err(WalWriteError::Diverged { .. })), "{outcome:?}");
        assert_eq!(progress.flushed, Lsn::INVALID);
        let path = directory.path().join(&before[0]);
        let kept = if compression.is_some() { gunzip(&path) } else { fs::read(&path).unwrap() };
        assert!(kept.starts_with(&stored), "{compression:?}");
    }
}

#[test]
fn what_follows_the_last_whole_record_of_an_earlier_run_may_change() {
    // A server that crashed goes on differently behind the last record that it had flushed.
    let whole = log(SEGMENT / 2, 1);
    let directory = TempDir::new().unwrap();
    let config = || config(directory.path(), SyncPolicy::Segments, None);
    write(config(), &whole).0.unwrap();
    let path = directory.path().join(format!("{FIRST}.partial"));
    let mut torn = fs::read(&path).unwrap();
    torn[whole.len()..whole.len() + 500].fill(77);
    fs::write(&path, torn).unwrap();
    write(config(), &whole).0.unwrap();
    assert!(fs::read(&path).unwrap().starts_with(&whole));
}

#[test]
fn a_file_with_the_final_name_is_replaced_only_if_nothing_is_lost_with_it() {
    let log = log(SEGMENT + 9000, 1);
    let mut other = log[..SEGMENT].to_vec();
    other[SEGMENT - 1] ^= 1;
    let mut longer = log[..SEGMENT].to_vec();
    longer.push(0);
    let table: [(&[u8], bool); 5] = [
        (b"", true),
        (&log[..5000], true),
        (&log[..SEGMENT], true),
        (&other, false),
        (&longer, false),
    ];
    for (there, may_replace) in table {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join(FIRST);
        fs::write(&path, there).unwrap();
        let (outcome, _) = write(config(directory.path(), SyncPolicy::Segments, None), &log);
        assert_eq!(outcome.is_ok(), may_replace, "{}", there.len());
        let expected = if may_replace { &log[..SEGMENT] } else { there };
        assert!(fs::read(&path).unwrap() == expected, "{}", there.len());
    }
}

#[test]
fn damage_is_told_with_its_position_and_never_acknowledged() {
    let mut log = log(SEGMENT / 2, 1);
    let damaged = log.len() / 2;
    log[damaged] ^= 0x10;
    let directory = TempDir::new().unwrap();
    let (outcome, progress) = write(config(directory.path(), SyncPolicy::AtOnce, None), &log);
    let Err(WalWriteError::Damage(damage)) = outcome else { panic!("{outcome:?}") };
    let at = START + damaged as u64;
    assert!((at - 9100..=at).contains(&damage.at.offset()), "{damage}");
    assert!(progress.flushed <= damage.at && progress.flushed > Lsn::new(START));
    assert!(progress.written <= damage.at);
}

#[test]
fn a_form_that_is_not_known_is_written_unchecked() {
    let directory = TempDir::new().unwrap();
    let config =
        WalWriterConfig { format: None, ..config(directory.path(), SyncPolicy::Segments, None) };
    let log = vec![7; SEGMENT];
    write(config, &log).0.unwrap();
    assert!(fs::read(directory.path().join(FIRST)).unwrap() == log);
}

#[test]
fn a_directory_that_is_gone_is_an_error() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("missing");
    let (outcome, _) = write(config(&missing, SyncPolicy::Segments, None), &log(9000, 1));
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains("No such file or directory"), "{text}");
}

#[test]
fn whatever_is_read_or_written_again_shows_that_the_writer_gets_on() {
    let log = log(SEGMENT, 1);
    // How much there is at first, how much comes at once, and how often all that is read or written again: to find
    // the records, to digest them, to write them; or to learn the size of two files, of which one has a digest too.
    for (first, size) in [(SEGMENT - 1, SEGMENT - 1), (SEGMENT, SEGMENT)] {
        let directory = TempDir::new().unwrap();
        let config = || config(directory.path(), SyncPolicy::Segments, None);
        write(config(), &log[..first]).0.unwrap();
        let beats = block_on(async {
            let (inbox, writer) = WalWriter::start(config(), Box::new(|_| {}), None).unwrap();
            inbox.push(vec![data(START, &log[..size], false)], 0);
            drop(inbox);
            let heartbeat = writer.heartbeat();
            writer.finish().await.unwrap();
            heartbeat.count()
        });
        let pieces = 3 * first.div_ceil(256 << 10) as u64;
        assert!(beats >= pieces, "{first}: {beats} of {pieces}");
    }
}

#[test]
fn a_panic_is_noticed_at_once_and_reaches_whoever_finishes_the_writer() {
    let directory = TempDir::new().unwrap();
    let config = config(directory.path(), SyncPolicy::Segments, None);
    block_on(async {
        let sink: RecordSink = Box::new(|_| panic!("a record that a sink does not like"));
        let (inbox, writer) = WalWriter::start(config, sink, None).unwrap();
        inbox.push(vec![data(START, &log(9000, 1), false)], 0);
        let mut progress = writer.progress();
        let failed = progress.wait_for(|progress| progress.has_failed);
        tokio::time::timeout(Duration::from_secs(10), failed).await.unwrap().unwrap();
        assert_eq!(inbox.room().await, Err(Ended));
        drop(inbox);
        assert!(tokio::spawn(writer.finish()).await.unwrap_err().is_panic());
    });
}

/// Lets whoever reads a named pipe find it empty, until told to end.
fn release(fifo: &Path, end: &AtomicBool) {
    let mut options = fs::OpenOptions::new();
    options.write(true).custom_flags(OFlags::NONBLOCK.bits().try_into().unwrap());
    while !end.load(Ordering::Relaxed) {
        // Nobody may read it now, and in the end it is a segment.
        let _ = options.open(fifo);
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_the_compressor_of_a_complete_segment_holds_is_not_told_as_written() {
    let log = log(SEGMENT + 30_000, 1);
    let directory = TempDir::new().unwrap();
    // Looking whether it may be replaced takes until somebody writes to it.
    let fifo = directory.path().join(format!("{FIRST}.gz"));
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let config = config(directory.path(), SyncPolicy::AtOnce, GZIP);
    let second = directory.path().join(format!("{SECOND}.gz.partial"));
    block_on(async {
        let (inbox, writer) = WalWriter::start(config, Box::new(|_| {}), None).unwrap();
        let progress = writer.progress();
        let (before, behind) = log.split_at(SEGMENT + 15_000);
        inbox.push(vec![data(START, before, true)], 0);
        inbox.push(vec![data(START + before.len() as u64, behind, true)], 0);
        // When the second piece is stored, it was told how far the first one is.
        while !second.exists() || gunzip(&second) != log[SEGMENT..] {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(progress.borrow().written, Lsn::INVALID);
        drop(inbox);
        let end = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&end);
        let releasing = thread::spawn(move || release(&fifo, &seen));
        writer.finish().await.unwrap();
        end.store(true, Ordering::Relaxed);
        releasing.join().unwrap();
        assert_eq!(progress.borrow().written, Lsn::new(START + log.len() as u64));
    });
}
