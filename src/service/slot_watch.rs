//! The host that WAL comes from, as it shows itself: its role, its WAL, and the slot that keeps WAL for us.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::config::{Limits, OnSlotAtRisk, SlotConfig, SlotPolicy};
use super::server::{Server, is_same_host};
use super::sql::{HostView, SqlError, SqlSession};
use super::status::{EventKind, ServerRole, SlotStatus, WalStatus};
use crate::net::conninfo::Host;
use crate::pg::Lsn;

/// How often the host is asked.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How long ago the host may have been asked last, if nothing is to be concluded from before: a few looks.
const SIGHT_MAX: Duration = LOOK_INTERVAL.saturating_mul(5);

/// How long what was seen last is shown when nothing can be seen: for a look or two that fail.
const MEMORY_MAX: Duration = Duration::from_secs(5);

/// How long nothing may be flushed here, while the server has more, before a slot may be given up for that.
const STUCK_MIN: Duration = Duration::from_secs(30);

/// How long that may last for slots that are made anew meanwhile, at most.
const STUCK_MAX: Duration = Duration::from_secs(3600);

/// Watches for as long as it is polled.
pub(super) async fn run(server: Arc<Server>) {
    let mut source = server.source.subscribe();
    let mut watch = SlotWatch::new(Arc::clone(&server));
    loop {
        let host = source.borrow_and_update().clone();
        if let Some(host) = host {
            watch.look_at(&host).await;
        }
        tokio::select! {
            () = sleep(LOOK_INTERVAL) => {}
            // The sender lives as long as the server.
            _ = source.changed() => {}
        }
    }
}

struct SlotWatch {
    server: Arc<Server>,
    session: Option<(Host, SqlSession)>,
    /// When something was seen last.
    seen: Instant,
    /// What went wrong when it was last tried.
    problem: Option<String>,
    danger: Danger,
    standstill: Standstill,
    arrears: Arrears,
}

impl SlotWatch {
    fn new(server: Arc<Server>) -> Self {
        let standstill = Standstill::new();
        let (danger, arrears) = (Danger::None, Arrears::default());
        let seen = Instant::now();
        SlotWatch { server, session: None, seen, problem: None, danger, standstill, arrears }
    }

    /// Looks once; a problem is told when it is new.
    async fn look_at(&mut self, host: &Host) {
        let Err(error) = self.try_to_look_at(host).await else {
            self.problem = None;
            return;
        };
        self.session = None;
        self.forget();
        let problem = Some(error.to_string());
        if problem != self.problem {
            self.server.state.warn(format_args!("could not look after the slot: {error}"));
            self.problem = problem;
        }
    }

    async fn try_to_look_at(&mut self, host: &Host) -> Result<(), SqlError> {
        let kept = self.session.take().filter(|(known, _)| is_same_host(known, host));
        let mut session = match kept {
            Some((_, session)) => session,
            None => SqlSession::open(&self.server, host).await?,
        };
        let slot = self.server.config.slot.clone();
        let view = session.look(slot.as_ref().map(|slot| slot.name.as_str())).await?;
        // Of another cluster, nothing is shown, nor touched.
        if self.is_our_cluster(&session) {
            self.seen = Instant::now();
            let flushed = self.note(&view);
            let is_stuck = self.standstill.is_stuck(flushed, view.flushed, Instant::now());
            if let (Some(wanted), Some(found)) = (slot, &view.slot) {
                self.judge(&wanted, found, is_stuck, &mut session).await?;
            }
        } else {
            self.forget();
        }
        self.session = Some((host.clone(), session));
        Ok(())
    }

    /// Stops to show what was seen long ago.
    fn forget(&self) {
        if self.seen.elapsed() < MEMORY_MAX {
            return;
        }
        self.server.state.change(|status| {
            status.forget_slot();
            // A stream says it, too.
            if !status.phase.is_connected() {
                status.forget_server();
            }
        });
    }

    fn is_our_cluster(&self, session: &SqlSession) -> bool {
        let known = self.server.state.change(|status| status.system_identifier.clone());
        known.is_some_and(|known| known == session.system_identifier)
    }

    /// Takes over what the host shows; returns what is flushed here.
    fn note(&mut self, view: &HostView) -> Option<Lsn> {
        let arrears = &mut self.arrears;
        self.server.state.change(|status| {
            status.role = Some(ServerRole::of(view.is_in_recovery));
            status.server_flushed = view.flushed.or(status.server_flushed);
            status.slot.clone_from(&view.slot);
            status.update_lag();
            if let Some(least) = arrears.least(status.received, view.flushed, Instant::now()) {
                let lag = status.lag_seconds.unwrap_or(0.0).max(least.as_secs_f64());
                status.lag_seconds = Some(lag);
            }
            status.flushed
        })
    }

    /// Tells when a slot gets into danger, or out of it, and gives it up if that is the policy.
    async fn judge(
        &mut self,
        wanted: &SlotConfig,
        found: &SlotStatus,
        is_stuck: bool,
        session: &mut SqlSession,
    ) -> Result<(), SqlError> {
        let (state, limits) = (&self.server.state, &self.server.config.limits);
        let danger = Danger::of(found, limits);
        let before = std::mem::replace(&mut self.danger, danger);
        let cause = describe(found);
        match (before, danger) {
            (before, now) if before == now => {}
            (_, Danger::Lost) => state.tell(EventKind::SlotLost, &cause),
            (_, Danger::AtRisk | Danger::TooMuch) => state.tell(EventKind::SlotAtRisk, &cause),
            (_, Danger::None) => state.tell(EventKind::Recovered, &cause),
        }
        if is_given_up(danger, is_stuck, wanted.policy, limits.on_slot_at_risk) {
            self.standstill.try_again();
            if session.drop_slot(found).await? {
                state.tell(EventKind::SlotDropped, &cause);
                state.change(|status| status.slot = None);
            }
        }
        Ok(())
    }
}

/// In what danger a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Danger {
    None,
    /// The server may remove what it keeps.
    AtRisk,
    /// It keeps more than the user wants.
    TooMuch,
    /// What it kept is gone.
    Lost,
}

impl Danger {
    fn of(slot: &SlotStatus, limits: &Limits) -> Self {
        let is_too_much = limits.slot_retained_max.is_some_and(|max| slot.retained > Some(max));
        match slot.wal_status {
            Some(WalStatus::Lost) => Danger::Lost,
            _ if is_too_much => Danger::TooMuch,
            Some(WalStatus::Unreserved) => Danger::AtRisk,
            Some(WalStatus::Reserved | WalStatus::Extended) | None => Danger::None,
        }
    }
}

/// Says whether a slot is dropped: one that serves nobody, so that it is made anew; or one that keeps too much while
/// nothing gets on here, so that the server does not stop for want of room.
fn is_given_up(danger: Danger, is_stuck: bool, policy: SlotPolicy, on_risk: OnSlotAtRisk) -> bool {
    match danger {
        Danger::Lost => policy == SlotPolicy::Recreate,
        Danger::TooMuch => on_risk == OnSlotAtRisk::Drop && is_stuck,
        Danger::None | Danger::AtRisk => false,
    }
}

fn describe(slot: &SlotStatus) -> String {
    let SlotStatus { name, retained, wal_status, safe_wal_size, .. } = slot;
    let status = match wal_status {
        Some(WalStatus::Reserved) => "reserved",
        Some(WalStatus::Extended) => "extended",
        Some(WalStatus::Unreserved) => "unreserved",
        Some(WalStatus::Lost) => "lost",
        None => "not told",
    };
    let mut text = format!("slot \"{name}\": wal_status is {status}");
    if let Some(retained) = retained {
        text += &format!(", {retained} bytes of WAL are kept");
    }
    if let Some(size) = safe_wal_size {
        text += &format!(", {size} more bytes are safe");
    }
    text
}

/// Since when the server is seen to have more than what is received, while nothing comes: a stream that has fallen
/// silent cannot tell.
#[derive(Debug, Default)]
struct Arrears {
    received: Option<Lsn>,
    since: Option<Instant>,
}

impl Arrears {
    /// Returns how long more has been waited for at least, if that is seen not for the first time.
    fn least(&mut self, here: Option<Lsn>, there: Option<Lsn>, now: Instant) -> Option<Duration> {
        let is_behind = here.is_some() && here < there;
        let is_same = std::mem::replace(&mut self.received, here) == here;
        let since = self.since.filter(|_| is_behind && is_same);
        self.since = is_behind.then_some(since.unwrap_or(now));
        since.map(|since| now.saturating_duration_since(since))
    }
}

/// Since when nothing was flushed here, as far as that was seen: of a host that cannot be asked, nobody knows whether
/// it had more.
#[derive(Debug)]
struct Standstill {
    flushed: Option<Lsn>,
    since: Instant,
    /// When the host was asked last.
    seen: Option<Instant>,
    /// How long nothing may be flushed.
    patience: Duration,
}

impl Standstill {
    fn new() -> Self {
        Standstill { flushed: None, since: Instant::now(), seen: None, patience: STUCK_MIN }
    }

    /// Begins to wait anew, twice as long: a new slot keeps more and more too, as long as nothing gets on.
    fn try_again(&mut self) {
        self.since = Instant::now();
        self.patience = (self.patience * 2).min(STUCK_MAX);
    }

    /// Takes what is flushed here and on the server; says whether that differs for too long.
    fn is_stuck(&mut self, flushed: Option<Lsn>, on_server: Option<Lsn>, now: Instant) -> bool {
        let seen = self.seen.replace(now);
        if seen.is_none_or(|seen| now.duration_since(seen) > SIGHT_MAX) {
            self.since = now;
        }
        if flushed != self.flushed || flushed >= on_server {
            (self.flushed, self.since, self.patience) = (flushed, now, STUCK_MIN);
        }
        now.duration_since(self.since) >= self.patience
    }
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use super::*;

    fn slot(wal_status: WalStatus, retained: u64) -> SlotStatus {
        SlotStatus {
            name: "wal".to_owned(),
            restart_lsn: Some(Lsn::new(1)),
            wal_status: Some(wal_status),
            safe_wal_size: Some(-5),
            retained: Some(retained),
        }
    }

    #[test]
    fn danger_is_what_the_server_says_or_more_than_the_limit() {
        let limits = |max| Limits {
            disk_free_min: 0,
            slot_retained_max: max,
            on_slot_at_risk: OnSlotAtRisk::Report,
        };
        let table = [
            (WalStatus::Reserved, 100, None, Danger::None),
            (WalStatus::Reserved, 100, Some(100), Danger::None),
            (WalStatus::Extended, 101, Some(100), Danger::TooMuch),
            (WalStatus::Unreserved, 101, None, Danger::AtRisk),
            (WalStatus::Unreserved, 101, Some(100), Danger::TooMuch),
            (WalStatus::Lost, 101, Some(100), Danger::Lost),
        ];
        for (status, retained, max, danger) in table {
            let found = Danger::of(&slot(status, retained), &limits(max));
            assert_eq!(found, danger, "{status:?} {retained} {max:?}");
        }
    }

    #[test]
    fn a_slot_is_given_up_only_where_the_user_said_so() {
        use OnSlotAtRisk::{Drop, Report};
        use SlotPolicy::{Create, Recreate, Require};
        let table = [
            (Danger::Lost, false, Require, Drop, false),
            (Danger::Lost, false, Create, Drop, false),
            (Danger::Lost, false, Recreate, Report, true),
            (Danger::TooMuch, true, Create, Report, false),
            (Danger::TooMuch, false, Create, Drop, false),
            (Danger::TooMuch, true, Require, Drop, true),
            (Danger::AtRisk, true, Recreate, Drop, false),
            (Danger::None, true, Recreate, Drop, false),
        ];
        for (danger, is_stuck, policy, on_risk, expected) in table {
            let found = is_given_up(danger, is_stuck, policy, on_risk);
            assert_eq!(found, expected, "{danger:?} {is_stuck} {policy:?} {on_risk:?}");
        }
    }

    /// Looks as often as it is done, from one second to another; says whether nothing got on for too long at last.
    fn is_stuck_after(
        standstill: &mut Standstill,
        begun: Instant,
        seconds: RangeInclusive<u64>,
        (here, there): (u64, u64),
    ) -> bool {
        let looks = seconds.step_by(usize::try_from(LOOK_INTERVAL.as_secs()).unwrap());
        let (here, there) = (Some(Lsn::new(here)), Some(Lsn::new(there)));
        let is_stuck =
            |second| standstill.is_stuck(here, there, begun + Duration::from_secs(second));
        looks.map(is_stuck).last().unwrap()
    }

    #[test]
    fn nothing_gets_on_if_the_server_has_more_and_nothing_is_flushed() {
        let table = [
            // Seconds, flushed here and there, whether that is too long.
            (0..=0, (10, 20), false),
            (2..=28, (10, 30), false),
            (30..=30, (10, 30), true),
            (32..=60, (11, 30), false),
            (62..=62, (11, 30), true),
            (64..=98, (30, 30), false),
            (100..=100, (30, 31), false),
        ];
        let (mut standstill, begun) = (Standstill::new(), Instant::now());
        for (seconds, positions, expected) in table {
            let found = is_stuck_after(&mut standstill, begun, seconds.clone(), positions);
            assert_eq!(found, expected, "after {seconds:?} s");
        }
    }

    #[test]
    fn a_slot_that_was_made_anew_gets_twice_the_time() {
        let (mut standstill, begun) = (Standstill::new(), Instant::now());
        assert!(is_stuck_after(&mut standstill, begun, 0..=30, (10, 20)));
        standstill.try_again();
        let table = [
            (32..=60, (10, 20), false),
            (62..=62, (10, 20), true),
            (64..=92, (11, 20), false),
            (94..=94, (11, 20), true),
        ];
        for (seconds, positions, expected) in table {
            let found = is_stuck_after(&mut standstill, begun, seconds.clone(), positions);
            assert_eq!(found, expected, "after {seconds:?} s");
        }
    }

    #[test]
    fn a_standstill_counts_only_for_as_long_as_it_was_seen() {
        let table = [
            // Seconds, whether that is too long.
            (60..=60, false),
            (3600..=3628, false),
            (3630..=3630, true),
            (7200..=7228, false),
        ];
        let (mut standstill, begun) = (Standstill::new(), Instant::now());
        for (seconds, expected) in table {
            let found = is_stuck_after(&mut standstill, begun, seconds.clone(), (10, 20));
            assert_eq!(found, expected, "after {seconds:?} s");
        }
    }

    #[test]
    fn arrears_grow_while_the_server_has_more_and_nothing_comes() {
        let began = Instant::now();
        let at = |position| Some(Lsn::new(position));
        let table = [
            // Seconds, received here, flushed there, the least lag.
            (0, None, at(20), None),
            (2, at(10), None, None),
            (4, at(10), at(10), None),
            (6, at(10), at(20), None),
            (8, at(10), at(20), Some(2)),
            (10, at(10), at(30), Some(4)),
            (12, at(11), at(30), None),
            (14, at(11), at(30), Some(2)),
            (16, at(30), at(30), None),
            (18, at(30), at(31), None),
        ];
        let mut arrears = Arrears::default();
        for (seconds, here, there, least) in table {
            let found = arrears.least(here, there, began + Duration::from_secs(seconds));
            assert_eq!(found, least.map(Duration::from_secs), "after {seconds} s");
        }
    }

    #[test]
    fn the_cause_says_how_the_slot_is() {
        let text = "slot \"wal\": wal_status is unreserved, 7 bytes of WAL are kept, -5 more bytes are safe";
        assert_eq!(describe(&slot(WalStatus::Unreserved, 7)), text);
    }
}
