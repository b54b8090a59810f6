//! Proving the log and writing it into segments.

use std::time::{Duration, Instant};

use super::closer::Closer;
use super::progress::Acknowledger;
use super::segment::Segment;
use super::{RecordSink, Suspended, WalInput, WalWriteError, WalWriterConfig};
use crate::pg::{Lsn, Timestamp};
use crate::storage::durable;
use crate::wal::{SyncPolicy, SyncTimes};
use crate::walrecord::{RecordKind, WalDamage, WalOrigin, WalReader, WalRecord};

/// How long bytes wait for a sync, or to be written, while the stream never pauses. Long enough to gather what a
/// sync costs on a fast device many times over, short enough that nobody feels it.
const SETTLE_DELAY_MAX: Duration = Duration::from_millis(5);

pub(super) struct LogWriter {
    config: WalWriterConfig,
    acknowledger: Acknowledger,
    on_record: RecordSink,
    reader: Option<WalReader>,
    closer: Closer,
    segment: Option<Segment>,
    /// Everything before this was appended.
    position: Lsn,
    last_commit: Option<Timestamp>,
    /// Since when there is something that was not written out, or not synced if that is the policy.
    unsettled_since: Option<Instant>,
    /// Whether somebody waits for a sync.
    sync_wanted: bool,
    /// Whether the server had no more than what came last.
    is_latest: bool,
    /// Whether one small sync was done, so that others follow soon.
    more_syncs_follow: bool,
}

impl LogWriter {
    pub(super) fn new(
        config: WalWriterConfig,
        acknowledger: Acknowledger,
        on_record: RecordSink,
    ) -> Result<Self, WalWriteError> {
        let closer = Closer::start(&config, acknowledger.clone())?;
        let WalWriterConfig { start, timeline, segment_size, system_identifier, .. } = config;
        let reader = config.format.map(|format| {
            WalReader::new(WalOrigin { start, timeline, segment_size, format, system_identifier })
        });
        Ok(LogWriter {
            config,
            acknowledger,
            on_record,
            reader,
            closer,
            segment: None,
            position: start,
            last_commit: None,
            unsettled_since: None,
            sync_wanted: false,
            is_latest: false,
            more_syncs_follow: false,
        })
    }

    /// Takes what arrived, and settles it if the server has no more or somebody waits for it.
    pub(super) fn take(&mut self, items: Vec<WalInput>) -> Result<(), WalWriteError> {
        if items.is_empty() {
            return Ok(());
        }
        for item in items {
            self.handle(item)?;
            self.settle_if_overdue()?;
        }
        if self.sync_wanted || self.is_latest { self.settle() } else { Ok(()) }
    }

    /// Returns how long to wait for more before [`Self::settle`]; for ever if everything is settled.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.unsettled_since.map(|_| SETTLE_DELAY_MAX)
    }

    /// Says whether [`Self::prepare`] would do something.
    pub(super) fn can_prepare(&self) -> bool {
        self.more_syncs_follow && self.segment.as_ref().is_some_and(Segment::is_at_end_of_zeros)
    }

    /// Does what makes the next syncs cheaper, while nobody waits.
    pub(super) fn prepare(&mut self) -> Result<(), WalWriteError> {
        match &mut self.segment {
            Some(segment) if self.more_syncs_follow => Ok(segment.write_zeros_ahead()?),
            Some(_) | None => Ok(()),
        }
    }

    fn handle(&mut self, input: WalInput) -> Result<(), WalWriteError> {
        match input {
            WalInput::Data { start, bytes, is_latest } => {
                self.is_latest = is_latest;
                self.unsettled_since.get_or_insert_with(Instant::now);
                self.prove_and_append(start, &bytes)?;
                self.acknowledger.heartbeat().beat();
                Ok(())
            }
            WalInput::Sync => {
                self.sync_wanted = true;
                Ok(())
            }
        }
    }

    fn prove_and_append(&mut self, start: Lsn, bytes: &[u8]) -> Result<(), WalWriteError> {
        match self.prove(bytes) {
            Ok(()) => self.append(start, bytes),
            Err(damage) => {
                let sound =
                    damage.at.checked_sub(start).and_then(|size| usize::try_from(size).ok());
                self.append(start, sound.and_then(|size| bytes.get(..size)).unwrap_or_default())?;
                self.settle()?;
                Err(damage.into())
            }
        }
    }

    fn prove(&mut self, bytes: &[u8]) -> Result<(), WalDamage> {
        let LogWriter { reader, on_record, last_commit, .. } = self;
        let Some(reader) = reader else { return Ok(()) };
        reader.handle(bytes, &mut |record: WalRecord| {
            if let RecordKind::Commit(moment) = record.kind {
                *last_commit = Some(moment);
            }
            on_record(&record);
        })
    }

    /// Appends bytes, which may belong to several segments.
    fn append(&mut self, mut start: Lsn, mut bytes: &[u8]) -> Result<(), WalWriteError> {
        while !bytes.is_empty() {
            let segment = match &mut self.segment {
                Some(segment) => segment,
                None => {
                    let heartbeat = self.acknowledger.heartbeat();
                    self.segment.insert(Segment::open(&self.config, start, heartbeat)?)
                }
            };
            let space = segment.end().checked_sub(start).unwrap_or(0);
            let space = usize::try_from(space).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(space.min(bytes.len()));
            segment.append(start, now, &self.config)?;
            start = start.checked_add(now.len() as u64).unwrap_or(segment.end());
            self.position = start;
            bytes = later;
            if start == segment.end()
                && let Some(complete) = self.segment.take()
            {
                self.acknowledger.closing();
                self.closer.close(complete)?;
            }
        }
        Ok(())
    }

    /// Settles what arrived, if somebody may have waited for it long enough.
    fn settle_if_overdue(&mut self) -> Result<(), WalWriteError> {
        let is_overdue = self.config.sync == SyncPolicy::AtOnce
            && self.unsettled_since.is_some_and(|since| since.elapsed() >= SETTLE_DELAY_MAX);
        if is_overdue { self.settle() } else { Ok(()) }
    }

    /// Writes everything out, and syncs it if somebody waits for that.
    pub(super) fn settle(&mut self) -> Result<(), WalWriteError> {
        self.unsettled_since = None;
        if self.segment.as_ref().is_some_and(|segment| segment.is_behind(self.is_latest)) {
            // It is not the disk that keeps anybody waiting.
            self.acknowledger.heartbeat().beat();
            return Ok(());
        }
        let sync = std::mem::take(&mut self.sync_wanted) || self.config.sync == SyncPolicy::AtOnce;
        let mut synced = None;
        if let Some(segment) = &mut self.segment {
            match (sync, self.config.sync) {
                (true, SyncPolicy::AtOnce | SyncPolicy::Segments) => {
                    SyncTimes::measure(self.config.sync_times.as_deref(), || segment.sync())?
                }
                (true, SyncPolicy::Never) => segment.flush()?,
                (false, _) => segment.write_out()?,
            }
            synced = sync.then_some(self.position);
        }
        self.more_syncs_follow = sync && self.config.sync == SyncPolicy::AtOnce && self.is_latest;
        self.acknowledger.settled(self.written(), synced, self.last_commit);
        Ok(())
    }

    /// Returns up to where everything is written after [`Segment::write_out`], whatever is synced. What a compressor
    /// holds is only given up where somebody waits, as it costs some of the compression, and at the end of a segment,
    /// beside the next one: then it is written with all before it only when it is synced.
    fn written(&self) -> Lsn {
        if self.config.compression.is_none() { self.position } else { Lsn::INVALID }
    }

    /// Closes what is there; a segment that is not complete keeps its partial name.
    pub(super) fn suspend(mut self) -> Result<Suspended, WalWriteError> {
        let mut not_renamed = None;
        if let Some(segment) = self.segment.take() {
            let is_behind = segment.is_behind(false);
            let (file, name) = segment.suspend()?;
            if !is_behind && self.config.sync != SyncPolicy::Never {
                let times = self.config.sync_times.as_deref();
                SyncTimes::measure(times, || file.sync_contents())?;
                durable::sync_directory(&self.config.directory)?;
            }
            file.close()?;
            if !is_behind {
                self.acknowledger.settled(self.written(), Some(self.position), self.last_commit);
            }
            not_renamed = Some(name);
        }
        self.closer.finish()?;
        self.acknowledger.settled(self.position, None, self.last_commit);
        Ok(Suspended { not_renamed })
    }
}
