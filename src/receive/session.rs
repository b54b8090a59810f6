//! One connection: where to start, and one timeline's stream after the other.

use std::ops::ControlFlow;
use std::panic::resume_unwind;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::error::WalLoss;
use super::finish::{Finishing, report_end};
use super::history::{self, FetchedHistory};
use super::holes;
use super::patience::Patience;
use super::plan::{StreamEnd, StreamPlan};
use super::run::{Memory, ReceiveJob};
use super::side_files::SideFiles;
use super::silence::answer;
use super::start_point::{self, Found, StartPoint};
use super::stream::{Follower, Writing};
use super::time_index::{CommitTime, TimeIndexWriter};
use super::{Event, Hole, HoleCause, HolePolicy, OnOtherBranch, ReceiveError, TimeIndex};
use crate::net::{self, Cluster, ClusterError, Connection};
use crate::pg::{Lsn, SegmentNumber, TimelineId, WalFileName};
use crate::protocol::{ProtocolError, Row, command};
use crate::storage::read_stored;
use crate::wal::{RecordSink, WalWriter, WalWriterConfig, wall_clock};
use crate::walrecord::{DamageKind, RecordKind, WalFormat, WalOrigin, WalReader, WalRecord};

/// The oldest release whose WAL is received.
pub const MAJOR_MIN: u32 = 13;

/// The first release that tells over a replication connection whether a slot is there, and where it stands.
pub const READ_SLOT_MAJOR_MIN: u32 = 15;

/// Failures of files beside the WAL that wait to be told. More are not: the first one says it.
const SIDE_FAILURES_MAX: usize = 1;

/// A connection that is ready for commands, and what its server says of itself.
pub(super) struct Session<'a> {
    pub(super) job: ReceiveJob<'a>,
    memory: &'a mut Memory,
    connection: Connection,
    pub(super) cluster: Cluster,
    /// The form of the log, if it is known.
    format: Option<WalFormat>,
}

impl<'a> Session<'a> {
    /// Asks the server about itself, and makes sure that it is the one that was received from before.
    pub(super) async fn begin(
        job: ReceiveJob<'a>,
        memory: &'a mut Memory,
        mut connection: Connection,
    ) -> Result<Self, ReceiveError> {
        let session = connection.session();
        if session.server_version.major() < MAJOR_MIN {
            return Err(ReceiveError::ServerVersion(session.server_version_text.clone()));
        }
        let silence_max = job.config.silence_max;
        let cluster = answer(silence_max, Cluster::ask(&mut connection)).await?;
        let found = &cluster.system_identifier;
        let expected = memory.system_identifier.get_or_insert_with(|| found.clone());
        if expected != found {
            let (expected, found) = (expected.clone(), found.clone());
            return Err(ReceiveError::OtherSystem { expected, found });
        }
        let format = match answer(silence_max, wal_format(&mut connection, &cluster)).await? {
            Ok(format) => Some(format),
            Err(origin) => {
                if !std::mem::replace(&mut memory.unchecked_is_told, true) {
                    job.observer.report(Event::UncheckedFormat { origin });
                }
                None
            }
        };
        Ok(Session { job, memory, connection, cluster, format })
    }

    /// Streams until the user or the end position ends it.
    pub(super) async fn run(mut self) -> Result<(), ReceiveError> {
        let interrupt = self.job.interrupt;
        let found = tokio::select! {
            found = self.start_point() => found?,
            () = interrupt.cancelled() => return Ok(()),
        };
        let StartPoint { at, timeline } = found;
        let Cluster { segment_size, position: server_end, .. } = self.cluster;
        let start = SegmentNumber::containing(at, segment_size).start(segment_size);
        self.job.observer.report(Event::Starting { at: start, timeline });
        let mut plan = StreamPlan { start, timeline, segment_size, server_end };
        loop {
            tokio::select! {
                fetched = self.fetch_history(plan.timeline) => fetched?,
                () = interrupt.cancelled() => return Ok(()),
            }
            if self.job.config.end.is_some_and(|end| end < plan.start) {
                report_end(self.job, plan, StreamEnd::Reached(plan.start));
                return Ok(());
            }
            self.report_switch(plan);
            let (session, end) = self.stream(plan).await?;
            self = session;
            let StreamEnd::Timeline(next) = end else { return Ok(()) };
            let start = SegmentNumber::containing(next.start, segment_size).start(segment_size);
            plan = StreamPlan { start, timeline: next.timeline, ..plan };
        }
    }

    /// Finds out where to start: by the directory, then the slot, then the server.
    async fn start_point(&mut self) -> Result<StartPoint, ReceiveError> {
        let Cluster { position, timeline, .. } = self.cluster;
        let at_server = StartPoint { at: position, timeline };
        if let Some(from) = self.memory.skip_from.take() {
            self.record_hole(Some(from), at_server, HoleCause::RemovedByServer).await?;
            return Ok(at_server);
        }
        let found = self.stored(None).await?;
        if let Some(Found { point, name }) = found {
            self.refuse_other_cluster(name).await?;
            return match self.job.config.on_other_branch {
                OnOtherBranch::Refuse => Ok(point),
                OnOtherBranch::Follow => self.on_servers_branch(point).await,
            };
        }
        let cause = match self.job.config.slot.as_deref() {
            Some(slot) if self.cluster.version.major() >= READ_SLOT_MAJOR_MIN => {
                if let Some(point) = self.slot_position(slot).await? {
                    return Ok(point);
                }
                HoleCause::SlotWithoutPosition
            }
            Some(_) | None => HoleCause::EmptyDirectory,
        };
        self.record_hole(None, at_server, cause).await?;
        Ok(at_server)
    }

    /// Looks up to where WAL is stored, of one timeline or of all.
    pub(super) async fn stored(
        &mut self,
        timeline: Option<TimelineId>,
    ) -> Result<Option<Found>, ReceiveError> {
        let Cluster { segment_size, .. } = self.cluster;
        let directory = self.job.config.directory.clone();
        let (found, events) = on_disk(move || {
            let mut events = Vec::new();
            let mut report = |event| events.push(event);
            let found = start_point::find(&directory, segment_size, timeline, &mut report);
            (found, events)
        })
        .await;
        events.into_iter().for_each(|event| self.job.observer.report(event));
        found.map_err(ReceiveError::Directory)
    }

    /// Refuses to go on behind a segment of another cluster.
    async fn refuse_other_cluster(&mut self, name: WalFileName) -> Result<(), ReceiveError> {
        let Cluster { segment_size, .. } = self.cluster;
        let Some(format) = self.format else { return Ok(()) };
        let mut reader = WalReader::new(WalOrigin {
            start: name.segment.start(segment_size),
            timeline: name.timeline,
            segment_size,
            format,
            system_identifier: self.cluster.system_identifier.parse().ok(),
        });
        let path = self.job.config.directory.join(name.file_name(segment_size));
        let file = path.clone();
        let damage = on_disk(move || {
            let mut damage = None;
            // The first page says it; what else may be wrong there is not looked for.
            let read = read_stored(&path, name.compression, &mut |bytes| {
                damage = reader.handle(bytes.get(..8192).unwrap_or(bytes), &mut |_| {}).err();
                ControlFlow::Break(())
            });
            read.map(|_| damage)
        });
        let damage = damage.await.map_err(ReceiveError::Directory)?;
        match damage.map(|damage| damage.kind) {
            Some(DamageKind::SystemIdentifier { found, expected }) => {
                Err(ReceiveError::OtherCluster { file, found, expected })
            }
            _ => Ok(()),
        }
    }

    /// Asks where the slot stands; nowhere if it was never used or has lost its WAL.
    async fn slot_position(&mut self, slot: &str) -> Result<Option<StartPoint>, ReceiveError> {
        let text = command::read_slot(slot);
        let rows = self.query("READ_REPLICATION_SLOT", &text).await?;
        let field = |index| rows.first().and_then(|row: &Row| row.text(index));
        match field(0) {
            Some("physical") => {}
            Some(other) => return Err(ReceiveError::SlotNotPhysical(other.to_owned())),
            None => return Err(ReceiveError::SlotMissing(slot.to_owned())),
        }
        let Some(position) = field(1) else { return Ok(None) };
        let timeline = field(2).and_then(|timeline| timeline.parse::<TimelineId>().ok());
        let at = position.parse::<Lsn>().ok();
        let point = at.zip(timeline).map(|(at, timeline)| StartPoint { at, timeline });
        point.map(Some).ok_or_else(|| ReceiveError::SlotPosition {
            slot: slot.to_owned(),
            position: position.to_owned(),
        })
    }

    /// Tells of a hole and records it, before anything is received behind it.
    async fn record_hole(
        &mut self,
        from: Option<Lsn>,
        to: StartPoint,
        cause: HoleCause,
    ) -> Result<(), ReceiveError> {
        let segment_size = self.cluster.segment_size;
        let hole = Hole {
            from,
            to: SegmentNumber::containing(to.at, segment_size).start(segment_size),
            timeline: to.timeline,
            cause,
            noticed: wall_clock(),
            directory: self.job.config.directory.clone(),
        };
        // Without anything before it, receiving goes on whatever the policy is.
        let policy = if from.is_some() { self.job.config.on_hole } else { HolePolicy::Skip };
        let (files, recorded) = (self.side_files(), hole.clone());
        on_disk(move || holes::record(&files, &recorded, policy)).await?;
        self.job.observer.report(Event::Hole(hole));
        Ok(())
    }

    /// Looks whether an error says that the WAL from a position on is gone. Then that is a hole, and with
    /// [`HolePolicy::Skip`] a later attempt may begin behind it.
    async fn note_if_wal_is_gone(
        &mut self,
        from: Lsn,
        error: &ReceiveError,
    ) -> Result<(), ReceiveError> {
        let Some(loss) = error.wal_loss() else { return Ok(()) };
        match (self.job.config.on_hole, loss) {
            (HolePolicy::Skip, WalLoss::Removed) => self.memory.gone_from = Some(from),
            // A slot that was invalidated serves nobody any more, wherever he starts.
            (HolePolicy::Refuse, _) | (HolePolicy::Skip, WalLoss::SlotInvalidated) => {
                if self.memory.told_gone_from != Some(from) {
                    let Cluster { position, timeline, .. } = self.cluster;
                    let at_server = StartPoint { at: position, timeline };
                    self.record_hole(Some(from), at_server, HoleCause::RemovedByServer).await?;
                    self.memory.told_gone_from = Some(from);
                }
            }
        }
        Ok(())
    }

    fn side_files(&self) -> SideFiles {
        SideFiles {
            directory: self.job.config.directory.clone(),
            mode: self.cluster.modes.file,
            sync: self.job.config.sync,
        }
    }

    /// Fetches a timeline's history file. One that is there is compared, so that another timeline of the same number
    /// is noticed; if the server does not give it, it stays as it is.
    async fn fetch_history(&mut self, timeline: TimelineId) -> Result<(), ReceiveError> {
        if timeline == TimelineId::FIRST {
            return Ok(());
        }
        let rows = match self.query_history(timeline).await {
            Err(error) if error.server_message().is_some() => {
                let directory = self.job.config.directory.clone();
                return match on_disk(move || history::is_missing(&directory, timeline)).await? {
                    true => Err(error),
                    false => Ok(()),
                };
            }
            outcome => outcome?,
        };
        let (files, fetched) = (self.side_files(), history_file(&rows, timeline)?);
        Ok(on_disk(move || history::store(&files, &fetched)).await?)
    }

    pub(super) async fn query_history(
        &mut self,
        timeline: TimelineId,
    ) -> Result<Vec<Row>, ReceiveError> {
        self.query("TIMELINE_HISTORY", &command::timeline_history(timeline)).await
    }

    /// Sends a command that is called so in messages, and waits for its answer.
    async fn query(&mut self, name: &'static str, text: &str) -> Result<Vec<Row>, ReceiveError> {
        let rows = self.connection.query(name, text);
        answer(self.job.config.silence_max, async { rows.await.map_err(|error| error.named(name)) })
            .await
    }

    /// Tells that another timeline is streamed than before, if that is so.
    fn report_switch(&mut self, plan: StreamPlan) {
        if let Some((_, at)) =
            self.memory.last_stream.filter(|(before, _)| *before != plan.timeline)
        {
            self.job.observer.report(Event::SwitchedTimeline { timeline: plan.timeline, at });
        }
        self.memory.last_stream = Some((plan.timeline, plan.start));
    }

    /// Streams one timeline.
    async fn stream(mut self, plan: StreamPlan) -> Result<(Self, StreamEnd), ReceiveError> {
        let text =
            command::start_replication(self.job.config.slot.as_deref(), plan.start, plan.timeline);
        self.connection.send_command(&text).await?;
        let (failures, failed) = mpsc::channel(SIDE_FAILURES_MAX);
        let (config, sink) = (self.writer_config(plan), self.record_sink(plan, failures));
        let (inbox, writer) = WalWriter::start(config, sink, self.job.in_place.cloned())?;
        let writing = Writing {
            inbox,
            progress: writer.progress(),
            patience: Patience::with(writer.heartbeat()),
            side_failures: failed,
        };
        let mut follower = Follower::new(self.job, plan, &mut self.connection, writing);
        let outcome = follower.follow().await;
        let received = follower.received();
        self.memory.last_stream = Some((plan.timeline, received));
        // What only arrived, or was there before, is no success: with a full disk, each attempt gets so far.
        let written = writer.progress().borrow().written;
        self.memory.has_streamed |= written > self.memory.written_max.max(plan.start);
        self.memory.written_max = self.memory.written_max.max(written);
        if received > plan.start {
            // This server has what another one had not.
            self.memory.gone_from = None;
        }
        match outcome {
            Ok(end) => {
                // Whatever happens now, nobody wants another stream.
                self.memory.is_over = !matches!(end, StreamEnd::Timeline(_));
                let (farewell, finished) = follower.finish();
                let finishing = Finishing::new(self.job, finished, writer);
                finishing.in_good_order(farewell, plan, end).await?;
                Ok((self, end))
            }
            Err(error) => {
                let finished = follower.abandon();
                if let Err(failure) = self.note_if_wal_is_gone(received, &error).await {
                    self.job.observer.report(Event::Failed(failure));
                }
                let Session { job, connection, .. } = self;
                // The server is not to wait for the disk.
                drop(connection);
                Err(Finishing::new(job, finished, writer).after(error).await)
            }
        }
    }

    fn writer_config(&self, plan: StreamPlan) -> WalWriterConfig {
        let config = self.job.config;
        WalWriterConfig {
            directory: config.directory.clone(),
            file_mode: self.cluster.modes.file,
            direct_io: config.direct_io,
            sync: config.sync,
            compression: config.compression,
            timeline: plan.timeline,
            segment_size: plan.segment_size,
            start: plan.start,
            format: self.format,
            system_identifier: self.cluster.system_identifier.parse().ok(),
            sync_times: config.sync_times.clone(),
        }
    }

    /// Returns what each record goes through: the time index, if one is kept.
    fn record_sink(&self, plan: StreamPlan, failures: mpsc::Sender<String>) -> RecordSink {
        if self.job.config.time_index == TimeIndex::None {
            return Box::new(|_| {});
        }
        let mut index = TimeIndexWriter::new(&self.side_files());
        Box::new(move |record: &WalRecord| {
            let RecordKind::Commit(committed) = record.kind else { return };
            let commit = CommitTime { timeline: plan.timeline, end: record.end, committed };
            if let Err(error) = index.add(commit) {
                // If another failure waits to be told, that one will do.
                let _ = failures.try_send(error.to_string());
            }
        })
    }
}

/// Does what may wait for the disk on a thread of its own: a dead disk must not keep the runtime, nor whoever wants
/// no more. Then the thread is left to itself; it only reads, or writes what a later attempt would write too.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => resume_unwind(error.into_panic()),
    }
}

/// Takes a timeline's history file out of the server's answer.
pub(super) fn history_file(
    rows: &[Row],
    timeline: TimelineId,
) -> Result<FetchedHistory, ReceiveError> {
    let row = rows.first();
    let file = row.and_then(|row| Some((row.text(0)?.to_owned(), row.bytes(1)?.to_owned())));
    let (name, contents) = file.ok_or_else(|| {
        let error = ProtocolError::answer("TIMELINE_HISTORY", "the file is missing");
        ReceiveError::Connection(error.into())
    })?;
    Ok(FetchedHistory { timeline, name, contents })
}

/// Returns the form of a server's log, or a description of the server if that form is not known.
async fn wal_format(
    connection: &mut Connection,
    cluster: &Cluster,
) -> Result<Result<WalFormat, String>, ClusterError> {
    let block_size = net::wal_block_size(connection).await?;
    if block_size != WalFormat::BLOCK_SIZE {
        return Ok(Err(format!("a server with WAL blocks of {block_size} bytes")));
    }
    let unknown = || format!("server version {}", connection.session().server_version_text);
    Ok(WalFormat::of_server(cluster.version).ok_or_else(unknown))
}
