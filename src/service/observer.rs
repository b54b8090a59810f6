//! What receiving tells, and what becomes of it: positions in the status, events, log lines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::failure::{Failure, Remedies};
use super::state::ServerState;
use super::status::{EventKind, Phase, ServerStatus};
use crate::pg::{Lsn, Timestamp};
use crate::receive::{Event, Hole, HoleCause, Observer, ReceiveStatus};
use crate::wal::wall_clock;

/// How far a stream that has caught up may fall behind before it is said to catch up again: what a fast server writes
/// during a slow sync.
const BEHIND_MAX: u64 = 64 << 20;

/// Nothing is waited for; no position is behind this one.
const NEVER: u64 = u64::MAX;

/// Hears of one server's streams.
#[derive(Debug)]
pub(super) struct ServiceObserver {
    state: Arc<ServerState>,
    remedies: Remedies,
    /// What is wrong is over when more than this is written.
    trouble_until: AtomicU64,
    /// The server has accepted a stream, which runs when more than this is received.
    runs_from: AtomicU64,
    told: Mutex<Told>,
}

/// What was told last, so that it is not told with each attempt.
#[derive(Debug, Default)]
struct Told {
    /// Where the stream that is about to begin comes from.
    origin: Origin,
    /// Where it begins, until the server has accepted it.
    start: Option<Lsn>,
    failure: Option<(EventKind, String)>,
    hole: Option<(Option<Lsn>, HoleCause)>,
}

/// Where a stream comes from.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    /// The host.
    pub(super) host: String,
    /// The cluster.
    pub(super) system_identifier: String,
}

impl ServiceObserver {
    /// Begins without trouble.
    pub(super) fn new(state: Arc<ServerState>, remedies: Remedies) -> Self {
        let (trouble_until, runs_from) = (AtomicU64::new(NEVER), AtomicU64::new(NEVER));
        ServiceObserver { state, remedies, trouble_until, runs_from, told: Mutex::default() }
    }

    /// Notes where the next stream is to come from.
    pub(super) fn expect(&self, origin: Origin) {
        self.told().origin = origin;
    }

    /// Tells of a failed attempt; of one that fails as the last one did, only who looks closely.
    pub(super) fn failed(&self, failure: &Failure) {
        let cause = super::log::one_line(&failure.to_string());
        let kind = failure.event(self.remedies);
        self.runs_from.store(NEVER, Ordering::Relaxed);
        let written = self.state.change(|status| {
            *status.reconnects.entry(failure.reason()).or_default() += 1;
            status.damage_found += u64::from(kind == EventKind::Damage);
            status.forget_server();
            status.phase = match failure.needs_somebody(self.remedies) {
                true => Phase::Failed { cause: cause.clone() },
                false => Phase::Waiting { cause: cause.clone() },
            };
            status.written.unwrap_or(Lsn::INVALID)
        });
        if kind != EventKind::Disconnected {
            self.trouble_until.store(written.offset(), Ordering::Relaxed);
        }
        let is_news = {
            let mut told = self.told();
            let before = told.failure.replace((kind, cause.clone()));
            // That was told when it began; now it is over.
            let is_known =
                |(known, text)| known == kind && (text == cause || kind == EventKind::DiskStalled);
            !before.is_some_and(is_known)
        };
        match is_news {
            true => self.state.tell(kind, cause),
            false => self.state.detail(cause),
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        // At worst, something is told twice.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells at once that the disk does not answer; receiving may wait for it for long.
    pub(super) fn stalled(&self) {
        let cause = "disk does not answer".to_owned();
        self.told().failure = Some((EventKind::DiskStalled, cause.clone()));
        self.state.change(|status| status.phase = Phase::Waiting { cause: cause.clone() });
        self.state.tell(EventKind::DiskStalled, cause);
    }

    /// Begins to wait for the first bytes of a stream: a server that has lost them accepts it all the same.
    fn accepted(&self) {
        if let Some(start) = self.told().start.take() {
            self.runs_from.store(start.offset(), Ordering::Relaxed);
        }
    }

    fn connected(&self, timeline: u32) {
        let Origin { host, system_identifier } = {
            let mut told = self.told();
            told.failure = None;
            told.origin.clone()
        };
        let before = self.state.change(|status| {
            status.phase = Phase::CatchingUp;
            status.timeline = Some(timeline);
            status.system_identifier = Some(system_identifier);
            // Another host may have less.
            status.server_flushed = None;
            status.host.replace(host.clone())
        });
        if let Some(before) = before.filter(|before| *before != host) {
            self.state.tell(EventKind::Failover, format_args!("from {before} to {host}"));
        }
        let cause = format_args!("streaming from {host} on timeline {timeline}");
        self.state.tell(EventKind::Connected, cause);
    }

    fn found_hole(&self, hole: &Hole) {
        let known = (hole.from, hole.cause);
        if self.told().hole.replace(known) == Some(known) {
            return;
        }
        self.state.change(|status| status.holes_noticed += 1);
        let why = match hole.cause {
            HoleCause::EmptyDirectory => "the directory held no WAL",
            HoleCause::SlotWithoutPosition => "the directory held no WAL, nor did the slot",
            HoleCause::RemovedByServer => "the server has removed it",
        };
        let Hole { to, timeline, .. } = hole;
        let cause = match hole.from {
            Some(from) => {
                format!("WAL from {from} to {to} on timeline {timeline} is missing: {why}")
            }
            None => format!("WAL before {to} on timeline {timeline} is missing: {why}"),
        };
        self.state.tell(EventKind::HoleOpened, cause);
    }

    fn skipped(&self, name: &str, size: u64) {
        self.state.warn(format_args!("file \"{name}\" of {size} bytes is no whole segment"));
    }
}

impl Observer for ServiceObserver {
    fn report(&self, event: Event) {
        match event {
            Event::Started { .. } => self.accepted(),
            Event::FinishedSegment { end, timeline } => {
                self.state.change(|status| {
                    status.segments_closed += 1;
                    status.last_segment = Some(wall_clock());
                });
                self.state.detail(format_args!("finished segment at {end} (timeline {timeline})"));
            }
            Event::SwitchedTimeline { timeline, at } => {
                let cause = format_args!("switched to timeline {timeline} at {at}");
                self.state.tell(EventKind::TimelineSwitched, cause);
            }
            Event::OtherBranch { timeline, left_at, stored_to } => {
                let cause = format_args!(
                    "server left timeline {timeline} at {left_at}; stored up to {stored_to}, which it never had"
                );
                self.state.tell(EventKind::TimelineSwitched, cause);
            }
            Event::Hole(hole) => self.found_hole(&hole),
            Event::DiskStalled => self.stalled(),
            Event::Failed(error) => self.failed(&Failure::Receive(error)),
            Event::SkippedFile { name, size, .. } => self.skipped(&name, size),
            Event::UncheckedFormat { origin } => {
                self.state.warn(format_args!("WAL of {origin} is received without a check"));
            }
            Event::SideFileFailed { reason } => self.state.warn(reason),
            Event::Notice(notice) => self.state.warn(notice),
            Event::Starting { at, timeline } => {
                self.told().start = Some(at);
                self.state.detail(format_args!("asking for WAL at {at} (timeline {timeline})"));
            }
            Event::NotRenamed { name } => {
                self.state.detail(format_args!("segment \"{name}\" is not complete yet"));
            }
            Event::ReachedEnd { .. } | Event::Interrupted | Event::Disconnected { .. } => {}
        }
    }

    fn note(&self, seen: ReceiveStatus) {
        let runs_from = self.runs_from.load(Ordering::Relaxed);
        let has_all = runs_from != NEVER && seen.received >= seen.server_end;
        if has_all || seen.received.offset() > runs_from {
            self.runs_from.store(NEVER, Ordering::Relaxed);
            self.connected(seen.timeline.number());
        }
        self.state.change(|status| advance(status, seen, wall_clock()));
        if seen.written.offset() > self.trouble_until.load(Ordering::Relaxed) {
            self.trouble_until.store(NEVER, Ordering::Relaxed);
            self.state.tell(EventKind::Recovered, "WAL is written again");
        }
    }
}

/// Takes positions over.
fn advance(status: &mut ServerStatus, seen: ReceiveStatus, now: Timestamp) {
    let ReceiveStatus { timeline, received, written, flushed, server_end, lag } = seen;
    let known = |position: Lsn| Some(position).filter(|position| *position != Lsn::INVALID);
    status.timeline = Some(timeline.number());
    status.received = Some(received);
    status.written = known(written).or(status.written);
    if known(flushed).is_some() && status.flushed != Some(flushed) {
        status.flushed = Some(flushed);
        status.last_flush = Some(now);
    }
    status.server_flushed = status.server_flushed.max(Some(server_end));
    status.update_lag();
    status.lag_seconds = match Some(received) >= status.server_flushed {
        true => Some(0.0),
        // A stream that falls silent does not tell that there is more; who watches the slot does.
        false => lag.map(|lag: Duration| lag.as_secs_f64()).or(status.lag_seconds),
    };
    let behind = server_end.checked_sub(received).unwrap_or(0);
    match status.phase {
        Phase::CatchingUp if behind == 0 => status.phase = Phase::Streaming,
        Phase::Streaming if behind > BEHIND_MAX => status.phase = Phase::CatchingUp,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::TimelineId;
    use crate::receive::{HolePolicy, ReceiveError};

    fn seen(received: u64, flushed: u64, server_end: u64) -> ReceiveStatus {
        ReceiveStatus {
            timeline: TimelineId::FIRST,
            received: Lsn::new(received),
            written: Lsn::new(flushed),
            flushed: Lsn::new(flushed),
            server_end: Lsn::new(server_end),
            lag: Some(Duration::from_millis(1500)),
        }
    }

    fn observer() -> (Arc<ServerState>, ServiceObserver) {
        let state = Arc::new(ServerState::new("main"));
        let remedies = Remedies { on_hole: HolePolicy::Skip, slot_policy: None };
        let observer = ServiceObserver::new(Arc::clone(&state), remedies);
        (state, observer)
    }

    fn told(state: &ServerState) -> Vec<EventKind> {
        state.status().events.iter().map(|event| event.kind).collect()
    }

    /// Lets the server accept a stream, and send something.
    fn connect(observer: &ServiceObserver) {
        let timeline = TimelineId::FIRST;
        observer.report(Event::Starting { at: Lsn::new(50), timeline });
        observer.report(Event::Started { timeline });
        observer.note(seen(51, 0, 101));
    }

    #[test]
    fn a_server_that_accepts_a_stream_but_sends_nothing_is_not_connected() {
        let (state, observer) = observer();
        let timeline = TimelineId::FIRST;
        for _ in 0..2 {
            observer.report(Event::Starting { at: Lsn::new(50), timeline });
            observer.note(seen(50, 0, 50));
            observer.report(Event::Started { timeline });
            observer.note(seen(50, 0, 51));
            observer.failed(&Failure::Receive(ReceiveError::ServerShutDown));
        }
        assert_eq!(told(&state), [EventKind::Disconnected]);
        observer.report(Event::Starting { at: Lsn::new(50), timeline });
        observer.report(Event::Started { timeline });
        // It has no more.
        observer.note(seen(50, 0, 50));
        observer.note(seen(51, 0, 51));
        assert_eq!(told(&state), [EventKind::Disconnected, EventKind::Connected]);
    }

    #[test]
    fn a_stream_has_caught_up_once_it_has_all_and_until_it_is_far_behind() {
        let (state, observer) = observer();
        let phase_after = |received, server_end| {
            observer.note(seen(received, received, server_end));
            state.status().phase
        };
        assert_eq!(phase_after(1, 1), Phase::Connecting);
        connect(&observer);
        assert_eq!(phase_after(100, 101), Phase::CatchingUp);
        assert_eq!(phase_after(101, 101), Phase::Streaming);
        assert_eq!(phase_after(101, 101 + BEHIND_MAX), Phase::Streaming);
        assert_eq!(phase_after(101, 102 + BEHIND_MAX), Phase::CatchingUp);
    }

    #[test]
    fn positions_and_lag_are_taken_over() {
        let (state, observer) = observer();
        observer.note(seen(300, 200, 1000));
        let status = state.status();
        assert_eq!(status.lag_bytes, Some(800));
        assert_eq!(status.lag_seconds, Some(1.5));
        assert!(status.last_flush.is_some());
        // A new stream knows nothing of what is flushed, which does not make it unknown.
        observer.note(seen(1000, 0, 1000));
        let after = state.status();
        assert_eq!((after.flushed, after.lag_seconds), (Some(Lsn::new(200)), Some(0.0)));
        assert_eq!(after.last_flush, status.last_flush);
    }

    #[test]
    fn a_stream_that_knows_of_nothing_more_does_not_hide_that_there_is() {
        let (state, observer) = observer();
        observer.note(seen(1000, 1000, 1000));
        state.change(|status| {
            status.server_flushed = Some(Lsn::new(2000));
            status.lag_seconds = Some(4.0);
        });
        observer.note(ReceiveStatus { lag: None, ..seen(1000, 1000, 1000) });
        assert_eq!(state.status().lag_seconds, Some(4.0));
        observer.note(ReceiveStatus { lag: None, ..seen(2000, 1000, 1000) });
        assert_eq!(state.status().lag_seconds, Some(0.0));
    }

    #[test]
    fn a_failure_that_repeats_is_counted_each_time_and_told_once() {
        let (state, observer) = observer();
        for _ in 0..3 {
            observer.failed(&Failure::Receive(ReceiveError::ServerShutDown));
        }
        assert_eq!(told(&state), [EventKind::Disconnected]);
        assert_eq!(state.status().reconnects.values().sum::<u64>(), 3);
        connect(&observer);
        observer.failed(&Failure::Receive(ReceiveError::ServerShutDown));
        let expected = [EventKind::Disconnected, EventKind::Connected, EventKind::Disconnected];
        assert_eq!(told(&state), expected);
    }

    #[test]
    fn what_was_wrong_is_over_when_more_is_written() {
        let (state, observer) = observer();
        observer.note(seen(100, 100, 100));
        let stalled = ReceiveError::DiskStalled(Duration::from_secs(5));
        observer.failed(&Failure::Receive(stalled));
        observer.note(seen(200, 100, 200));
        assert_eq!(told(&state), [EventKind::DiskStalled]);
        for _ in 0..2 {
            observer.note(seen(200, 200, 200));
            assert_eq!(told(&state), [EventKind::DiskStalled, EventKind::Recovered]);
        }
    }

    #[test]
    fn another_host_is_a_failover() {
        let (state, observer) = observer();
        for host in ["a:5432", "a:5432", "b:5432"] {
            observer.expect(Origin { host: host.to_owned(), ..Origin::default() });
            connect(&observer);
        }
        let events = state.status().events;
        let failover = events.iter().find(|event| event.kind == EventKind::Failover);
        assert_eq!(failover.unwrap().cause, "from a:5432 to b:5432");
        assert_eq!(events.len(), 4);
    }
}
