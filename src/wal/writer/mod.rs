//! Writing received WAL: a thread that proves it, writes it into segments and brings it to stable storage
//! beside the receipt of the next bytes.
//!
//! ```text
//! session ──inbox──▶ wal-writer: prove, append ──▶ wal-closer: sync, final name
//!    ▲                    │ sync what somebody waits for     │
//!    └────── WalProgress ─┴──────────────────────────────────┘
//! ```
//!
//! While the writer waits for a sync, the next bytes gather in its inbox and share the next one. Little that somebody
//! waits for is written and synced by the session's own thread, in turn with the writer's: see [`InPlace`].

mod closer;
mod error;
mod log_writer;
mod prior;
mod progress;
mod segment;
mod turns;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::{SyncPolicy, SyncTimes};
use crate::pg::{Compression, Lsn, TimelineId, WalSegmentSize};
use crate::pipeline::{Ended, InPlace, InboxSender, Worker, inbox};
use crate::storage::DirectIo;
use crate::walrecord::{WalFormat, WalRecord};

pub use error::WalWriteError;
use log_writer::LogWriter;
use progress::Acknowledger;
pub use progress::{Heartbeat, WalProgress};
use turns::Turns;

/// Received bytes that wait for the writer at most. Enough for what a fast server sends during a slow sync
/// (100 ms at 80 MB/s), and well within the memory limit.
const INBOX_BYTES_MAX: usize = 8 << 20;

/// What is written on the thread that received it, at most: so little that nothing is gained beside the receipt of
/// the next bytes, and a hand-over would cost more.
const IN_PLACE_BYTES_MAX: usize = 64 << 10;

/// What is written, and where.
#[derive(Clone, Debug)]
pub struct WalWriterConfig {
    /// The directory of the segments.
    pub directory: PathBuf,
    /// Permission bits of the files.
    pub file_mode: u32,
    /// Whether whole blocks may go past the page cache.
    pub direct_io: DirectIo,
    /// When WAL is brought to stable storage.
    pub sync: SyncPolicy,
    /// How segments are compressed.
    pub compression: Option<Compression>,
    /// The timeline.
    pub timeline: TimelineId,
    /// The cluster's segment size.
    pub segment_size: WalSegmentSize,
    /// Where the stream begins; a segment begins there too.
    pub start: Lsn,
    /// The form of the log; without it, nothing is proved.
    pub format: Option<WalFormat>,
    /// The cluster's identifier, which each segment repeats.
    pub system_identifier: Option<u64>,
    /// Where it is counted how long syncs take, if somebody wants to know.
    pub sync_times: Option<Arc<SyncTimes>>,
}

/// What the writer is given.
#[derive(Debug)]
pub enum WalInput {
    /// The next bytes of the log.
    Data {
        /// The position of the first one.
        start: Lsn,
        /// The bytes.
        bytes: Bytes,
        /// Whether the server had no more when it sent them.
        is_latest: bool,
    },
    /// Somebody waits until everything so far is on stable storage.
    Sync,
}

/// Hears of each record that is proved.
pub type RecordSink = Box<dyn FnMut(&WalRecord) + Send>;

/// The way to the writer of one timeline's stream. Dropping it lets the writer finish.
pub struct WalInbox {
    queue: InboxSender<WalInput>,
    turns: Arc<Turns>,
    in_place: Option<InPlace>,
}

impl fmt::Debug for WalInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WalInbox").finish_non_exhaustive()
    }
}

impl WalInbox {
    /// Waits until there is room for more. Cancellation safe.
    ///
    /// # Errors
    /// [`Ended`] if writing failed; [`WalWriter::finish`] tells why.
    pub async fn room(&self) -> Result<(), Ended> {
        self.queue.room().await
    }

    /// Hands input over, which is as heavy as the memory that it takes: its own, or that of all that came with it
    /// (`received` bytes), in whose buffers it lies.
    pub fn push(&self, input: Vec<WalInput>, received: usize) {
        let own = input.iter().map(WalInput::weight).sum();
        let weight = received.max(own);
        let is_for_now = input.last().is_some_and(WalInput::is_last_for_now);
        match &self.in_place {
            Some(in_place) if is_for_now && own <= IN_PLACE_BYTES_MAX && self.turns.is_free() => {
                self.queue.push_unnoticed(input, weight);
                let turns = Arc::clone(&self.turns);
                in_place.leave(move || turns.write_in_place());
            }
            Some(_) | None => self.queue.push(input, weight),
        }
    }
}

/// The writer of one timeline's stream.
#[derive(Debug)]
pub struct WalWriter {
    worker: Worker<(), Result<Suspended, WalWriteError>>,
    progress: watch::Receiver<WalProgress>,
    heartbeat: Heartbeat,
}

/// What is left behind when a stream ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspended {
    /// The name that the last segment did not get, because it is not complete.
    pub not_renamed: Option<String>,
}

impl WalWriter {
    /// Starts the thread. Little that somebody waits for is left `in_place`, if there is such a place.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(
        config: WalWriterConfig,
        on_record: RecordSink,
        in_place: Option<InPlace>,
    ) -> Result<(WalInbox, Self), WalWriteError> {
        let (sender, receiver) = inbox(INBOX_BYTES_MAX);
        let (acknowledger, progress) = Acknowledger::new(config.start);
        let heartbeat = acknowledger.heartbeat().clone();
        // To compress takes long, and a compressor's memory is not to be taken by two threads in turn, each of which
        // keeps what it once had.
        let in_place = in_place.filter(|_| config.compression.is_none());
        let alarm = acknowledger.panic_alarm();
        let writer = LogWriter::new(config, acknowledger, on_record)?;
        let turns = Arc::new(Turns::new(receiver, writer));
        let shared = Arc::clone(&turns);
        let worker = Worker::spawn("wal-writer", 1, move |_| {
            let _alarm = alarm;
            shared.run()
        });
        let worker = worker.map_err(WalWriteError::Thread)?;
        let inbox = WalInbox { queue: sender, turns, in_place };
        Ok((inbox, WalWriter { worker, progress, heartbeat }))
    }

    /// Returns how far the writer is, and hears of changes.
    pub fn progress(&self) -> watch::Receiver<WalProgress> {
        self.progress.clone()
    }

    /// Returns what shows whether the writer gets on.
    pub fn heartbeat(&self) -> Heartbeat {
        self.heartbeat.clone()
    }

    /// Waits until the writer, whose inbox must be gone, has written and synced everything.
    ///
    /// # Errors
    /// The first failure.
    pub async fn finish(self) -> Result<Suspended, WalWriteError> {
        self.worker.finish().await
    }
}

impl WalInput {
    /// Says whether nothing comes behind it at the moment, as far as is known.
    fn is_last_for_now(&self) -> bool {
        matches!(self, WalInput::Data { is_latest: true, .. } | WalInput::Sync)
    }

    fn weight(&self) -> usize {
        match self {
            WalInput::Data { bytes, .. } => size_of::<Self>() + bytes.len(),
            WalInput::Sync => size_of::<Self>(),
        }
    }
}

#[cfg(test)]
mod tests;
