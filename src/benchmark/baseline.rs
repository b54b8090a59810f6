//! The least that can be done with what the server sends: it is received and thrown away.

use std::fs::File;
use std::io::Read as _;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use tokio_util::sync::CancellationToken;

use super::error::BenchError;
use super::sample::Sample;
use super::server::ConnectionTarget;
use super::workspace::failed;
use crate::pg::{Lsn, TimelineId};
use crate::protocol::command::{BaseBackup, Compression, Manifest, start_replication};
use crate::protocol::{
    BackupEvent, BaseBackupStream, FlushReports, ManifestExpected, WalEvent, WalStream,
    WalStreamConfig,
};

/// How much of a file is read at once; more is not faster.
const READ_SIZE: usize = 256 * 1024;

/// Receives a base backup. Returns also how many bytes its archives have, as they come.
///
/// # Errors
/// The server refused it, or the connection broke.
pub(super) fn receive_backup(
    target: &ConnectionTarget,
    compression: Option<&str>,
    stop: &CancellationToken,
) -> Result<(Sample, u64), BenchError> {
    timed(async {
        let mut connection = target.open().await?;
        let version = connection.session().server_version;
        connection.send_command(&command(compression).to_command(version)).await?;
        let mut stream = BaseBackupStream::new(version, ManifestExpected::Yes);
        let mut bytes = 0;
        while !stream.is_completed() {
            while let Some(message) = connection.buffered_message()? {
                if let Some(BackupEvent::ArchiveData(data)) = stream.handle_message(message)? {
                    bytes += data.len() as u64;
                }
            }
            if stop.is_cancelled() {
                return Err(BenchError::Interrupted);
            }
            if !stream.is_completed() {
                connection.receive().await?;
            }
        }
        Ok(bytes)
    })
}

/// The same work for the server as in a real backup, manifest included.
fn command(compression: Option<&str>) -> BaseBackup<'_> {
    BaseBackup {
        label: "thrown away",
        progress: false,
        fast_checkpoint: true,
        include_wal: false,
        wait_for_archive: false,
        tablespace_map: false,
        verify_checksums: true,
        manifest: Some(Manifest { force_encode: false, checksums: None }),
        max_rate_kb: None,
        target: None,
        compression: compression.map(|algorithm| Compression { algorithm, detail: None }),
    }
}

/// WAL of one timeline.
#[derive(Clone, Copy, Debug)]
pub(super) struct WalSpan {
    /// The timeline.
    pub(super) timeline: TimelineId,
    /// Where it begins, at the start of a segment.
    pub(super) start: Lsn,
    /// Where it ends; a receiver stops when it has got past this.
    pub(super) end: Lsn,
}

/// Receives WAL.
///
/// # Errors
/// The server refused it, or the connection broke.
pub(super) fn receive_wal(
    target: &ConnectionTarget,
    WalSpan { timeline, start, end }: WalSpan,
    stop: &CancellationToken,
) -> Result<Sample, BenchError> {
    let received = timed(async {
        let mut connection = target.open().await?;
        let command = start_replication(None, start, timeline);
        connection.send_command(&command).await?;
        let mut stream = WalStream::new(WalStreamConfig {
            start,
            status_interval: None,
            flush_reports: FlushReports::Withhold,
        });
        while stream.received() <= end {
            while let Some(message) = connection.buffered_message()? {
                if let Some(WalEvent::ServerShutDown) = stream.handle_message(message)? {
                    return Err(BenchError::ServerShutDown);
                }
            }
            if stop.is_cancelled() {
                return Err(BenchError::Interrupted);
            }
            if stream.received() <= end {
                connection.receive().await?;
            }
        }
        Ok(())
    });
    received.map(|(sample, ())| sample)
}

/// Reads files on every processor.
///
/// # Errors
/// One cannot be read.
pub(super) fn read_files(files: Vec<PathBuf>) -> Result<Sample, BenchError> {
    let started = Instant::now();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let files = Mutex::new(files);
    let next = || files.lock().ok().and_then(|mut files| files.pop());
    let read_all = || -> Result<(), BenchError> {
        let mut buffer = vec![0; READ_SIZE];
        while let Some(path) = next() {
            read_file(&path, &mut buffer)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(read_all)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })?;
    Ok(Sample { seconds: started.elapsed().as_secs_f64(), ..Sample::default() })
}

fn read_file(path: &Path, buffer: &mut [u8]) -> Result<(), BenchError> {
    let mut file = File::open(path).map_err(failed("open file", path))?;
    while file.read(buffer).map_err(failed("read file", path))? > 0 {}
    Ok(())
}

/// Runs a receiver on this thread, and says what that took.
fn timed<T>(
    receiver: impl Future<Output = Result<T, BenchError>>,
) -> Result<(Sample, T), BenchError> {
    let unrunnable =
        |source| BenchError::Program { program: PathBuf::from("pgsiphon bench"), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(unrunnable)?;
    let (started, cpu_before) = (Instant::now(), thread_cpu_seconds());
    let outcome = runtime.block_on(receiver)?;
    let seconds = started.elapsed().as_secs_f64();
    let client_cpu_seconds =
        thread_cpu_seconds().zip(cpu_before).map(|(after, before)| after - before);
    Ok((Sample { seconds, client_cpu_seconds, ..Sample::default() }, outcome))
}

/// Returns the processor time of this thread, in seconds.
fn thread_cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).ok()?;
    let microseconds = (usage.user_time() + usage.system_time()).num_microseconds();
    Some(microseconds as f64 / 1e6)
}
