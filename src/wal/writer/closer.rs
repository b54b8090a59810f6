//! Bringing complete segments to stable storage and giving them their final names, beside the receipt of the next
//! one.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};

use super::prior::digest;
use super::progress::{Acknowledger, Heartbeat};
use super::segment::{FinishedSegment, Segment};
use super::{WalWriteError, WalWriterConfig};
use crate::pg::{CompressionFormat, Digest, TimelineId, WalSegmentSize};
use crate::storage::{StorageError, durable, read_stored};
use crate::wal::{SyncPolicy, SyncTimes};

/// Complete segments that wait at most. One is enough to keep the writer going; more would only be more that a
/// slow disk owes.
const SEGMENTS_MAX: usize = 1;

/// As [`SEGMENTS_MAX`], of compressed ones: each has a compressor, whose blocks take more memory than all the rest.
const COMPRESSED_SEGMENTS_MAX: usize = 0;

/// The thread that closes segments, one after the other.
#[derive(Debug)]
pub(super) struct Closer {
    segments: Option<Sender<Segment>>,
    thread: Option<JoinHandle<Result<(), WalWriteError>>>,
}

impl Closer {
    /// Starts the thread.
    pub(super) fn start(
        config: &WalWriterConfig,
        acknowledger: Acknowledger,
    ) -> Result<Self, WalWriteError> {
        let waiting_max = match config.compression {
            Some(_) => COMPRESSED_SEGMENTS_MAX,
            None => SEGMENTS_MAX,
        };
        let (sender, segments) = bounded::<Segment>(waiting_max);
        let closing = Closing {
            sync: config.sync,
            format: config.compression.map(|compression| compression.format()),
            segment_size: config.segment_size,
            timeline: config.timeline,
            sync_times: config.sync_times.clone(),
            heartbeat: acknowledger.heartbeat().clone(),
        };
        let work = move || {
            let _alarm = acknowledger.panic_alarm();
            for segment in segments {
                let end = segment.end();
                // Who waits for this segment must not wait until the next one is full.
                closing.close(segment).inspect_err(|_| acknowledger.failed())?;
                acknowledger.heartbeat().beat();
                acknowledger.closed(end);
            }
            Ok(())
        };
        let thread = std::thread::Builder::new().name("wal-closer".to_owned()).spawn(work);
        let thread = thread.map_err(WalWriteError::Thread)?;
        Ok(Closer { segments: Some(sender), thread: Some(thread) })
    }

    /// Hands a complete segment over; waits while others wait.
    pub(super) fn close(&mut self, segment: Segment) -> Result<(), WalWriteError> {
        let is_taken = self.segments.as_ref().is_some_and(|queue| queue.send(segment).is_ok());
        // If not, the thread has failed.
        if is_taken { Ok(()) } else { self.finish() }
    }

    /// Waits until all segments are closed.
    pub(super) fn finish(&mut self) -> Result<(), WalWriteError> {
        self.segments = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // Whoever drops it without `finish` has an error of its own to tell.
            let _ = self.finish();
        }
    }
}

/// How segments are closed.
#[derive(Clone, Debug)]
struct Closing {
    sync: SyncPolicy,
    format: Option<CompressionFormat>,
    segment_size: WalSegmentSize,
    timeline: TimelineId,
    sync_times: Option<Arc<SyncTimes>>,
    heartbeat: Heartbeat,
}

impl Closing {
    fn close(&self, segment: Segment) -> Result<(), WalWriteError> {
        let end = segment.end();
        let FinishedSegment { file, final_path, obsolete } = segment.finish()?;
        let path = file.path().to_owned();
        if self.sync != SyncPolicy::Never {
            SyncTimes::measure(self.sync_times.as_deref(), || file.sync_contents())?;
        }
        file.close()?;
        if !self.may_replace(&final_path, &path)? {
            let file = final_path.display().to_string();
            return Err(WalWriteError::Diverged { at: end, timeline: self.timeline, file });
        }
        let renamed = match self.sync {
            SyncPolicy::Never => durable::rename_unsynced(&path, &final_path),
            SyncPolicy::Segments | SyncPolicy::AtOnce => durable::rename(&path, &final_path),
        };
        renamed?;
        match obsolete.map(|path| (fs::remove_file(&path), path)) {
            Some((Err(error), path)) => Err(StorageError::new("remove file", path, error).into()),
            Some((Ok(()), _)) | None => Ok(()),
        }
    }

    /// Says whether a file under the final name, if there is one, holds nothing but the beginning of the new one,
    /// so that nothing is lost with it.
    fn may_replace(&self, old: &Path, new: &Path) -> Result<bool, StorageError> {
        let exists = fs::exists(old).map_err(|error| StorageError::new("stat file", old, error))?;
        if !exists {
            return Ok(true);
        }
        let size = self.size(old)?;
        let is_beginning = size <= self.segment_size.bytes();
        Ok(is_beginning && self.digest(old, size)? == self.digest(new, size)?)
    }

    /// Returns the size of the contents of a file, or more than a segment if they are larger.
    fn size(&self, path: &Path) -> Result<u64, StorageError> {
        let mut size = 0;
        read_stored(path, self.format, &mut |bytes| {
            self.heartbeat.beat();
            size += bytes.len() as u64;
            match size > self.segment_size.bytes() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        Ok(size)
    }

    fn digest(&self, path: &Path, size: u64) -> Result<Digest, StorageError> {
        digest(path, self.format, size, &self.heartbeat)
    }
}
