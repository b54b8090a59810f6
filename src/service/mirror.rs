//! Our slot on the hosts that WAL does not come from, advanced to what is stored here: so that WAL is still there
//! when one of them becomes the primary.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::config::{SlotConfig, SlotPolicy};
use super::server::Server;
use super::sql::{HostView, SqlError, SqlSession};
use super::state::ServerState;
use super::status::{EventKind, MirrorStatus, ServerRole, SlotStatus, WalStatus};
use crate::net::conninfo::Host;
use crate::pg::Lsn;

/// How often a slot is advanced.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Keeps the slots on all hosts, each by itself, so that one that does not answer keeps nobody waiting.
pub(super) async fn keep_all(server: Arc<Server>) {
    let slot = server.config.slot.clone().filter(|slot| slot.is_mirrored);
    let Some(slot) = slot else { return forget_others(&server.state, &[]) };
    // Why it is not known how to connect is told by the supervisor, which tries on.
    let options = loop {
        match server.connect_options() {
            Ok(options) => break options,
            Err(_) => sleep(LOOK_INTERVAL).await,
        }
    };
    if options.hosts.len() < 2 {
        return forget_others(&server.state, &[]);
    }
    forget_others(&server.state, &options.hosts);
    let mut mirrors = JoinSet::new();
    for host in options.hosts {
        mirrors.spawn(Mirror::new(Arc::clone(&server), slot.clone(), host).keep());
    }
    mirrors.join_all().await;
}

/// Shows nothing any more of hosts that are gone since the configuration was another.
fn forget_others(state: &ServerState, hosts: &[Host]) {
    let names: Vec<String> = hosts.iter().map(Host::to_string).collect();
    state.change(|status| status.mirrors.retain(|mirror| names.contains(&mirror.host)));
}

/// Why a slot is not kept.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Sql(#[from] SqlError),
    #[error("system identifier does not match: expected {expected}, got {found}")]
    OtherCluster { expected: String, found: String },
    #[error("server is a primary too")]
    SecondPrimary,
    #[error("slot \"{0}\" was invalidated by the server")]
    Invalidated(String),
    #[error("slot \"{slot}\" keeps WAL from {from}, but what comes next here is at {needed}")]
    TooLate { slot: String, from: Lsn, needed: Lsn },
}

/// The slot on one host.
struct Mirror {
    server: Arc<Server>,
    slot: SlotConfig,
    host: Host,
    session: Option<SqlSession>,
    problem: Option<String>,
}

/// What is known here, against which a host is compared.
struct Known {
    system_identifier: String,
    /// What the host is that WAL comes from at this moment.
    source: Option<ServerRole>,
    flushed: Lsn,
}

impl Mirror {
    fn new(server: Arc<Server>, slot: SlotConfig, host: Host) -> Self {
        Mirror { server, slot, host, session: None, problem: None }
    }

    async fn keep(mut self) {
        let mut source = self.server.source.subscribe();
        loop {
            source.mark_unchanged();
            match (self.server.is_source(&self.host), self.known()) {
                (true, _) => self.leave(),
                (false, Some(known)) => {
                    let outcome = self.look(&known).await;
                    self.note(outcome);
                }
                // As long as nothing is stored here, no slot can follow.
                (false, None) => {}
            }
            tokio::select! {
                () = sleep(LOOK_INTERVAL) => {}
                // The sender lives as long as the server.
                _ = source.changed() => {}
            }
        }
    }

    fn known(&self) -> Option<Known> {
        self.server.state.change(|status| {
            let system_identifier = status.system_identifier.clone()?;
            let source = status.role.filter(|_| status.phase.is_connected());
            Some(Known { system_identifier, source, flushed: status.flushed? })
        })
    }

    /// The slot is in use by the stream itself.
    fn leave(&mut self) {
        (self.session, self.problem) = (None, None);
        let name = self.host.to_string();
        self.server.state.change(|status| status.mirrors.retain(|mirror| mirror.host != name));
    }

    /// Creates the slot if it is missing, and advances it; returns from where on it keeps WAL.
    async fn look(&mut self, known: &Known) -> Result<Option<Lsn>, Problem> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => SqlSession::open(&self.server, &self.host).await?,
        };
        if session.system_identifier != known.system_identifier {
            let expected = known.system_identifier.clone();
            return Err(Problem::OtherCluster { expected, found: session.system_identifier });
        }
        let name = &self.slot.name;
        let mut view = session.look(Some(name)).await?;
        match known.source {
            _ if view.is_in_recovery => {}
            Some(ServerRole::Standby) => {}
            Some(ServerRole::Primary) => return Err(Problem::SecondPrimary),
            // It may have been promoted just now, and be received from in a moment.
            None => return Ok(view.slot.and_then(|slot| slot.restart_lsn)),
        }
        if let Some(lost) = view.slot.take_if(|slot| is_lost(slot)) {
            if self.slot.policy != SlotPolicy::Recreate {
                return Err(Problem::Invalidated(lost.name));
            }
            session.drop_slot(&lost).await?;
        }
        if view.slot.is_none() {
            session.create_slot(name).await?;
            let cause = format!("slot \"{name}\" was missing on {}", self.host);
            self.server.state.tell(EventKind::SlotCreated, cause);
            view = session.look(Some(name)).await?;
        }
        let restart_lsn = view.slot.as_ref().and_then(|slot| slot.restart_lsn);
        let target = target(&view, known.flushed);
        if let Some(target) = target {
            session.advance_slot(name, target).await?;
        }
        self.session = Some(session);
        match restart_lsn {
            Some(from) if from > known.flushed => {
                Err(Problem::TooLate { slot: name.clone(), from, needed: known.flushed })
            }
            restart_lsn => Ok(target.or(restart_lsn)),
        }
    }

    /// Shows how the slot is; tells of a problem when it is new, and when it is over.
    fn note(&mut self, outcome: Result<Option<Lsn>, Problem>) {
        let name = self.host.to_string();
        let (restart_lsn, problem) = match outcome {
            Ok(restart_lsn) => (restart_lsn, None),
            Err(problem) => {
                let from =
                    if let Problem::TooLate { from, .. } = problem { Some(from) } else { None };
                (from, Some(super::log::one_line(&problem.to_string())))
            }
        };
        let mirror = MirrorStatus { host: name.clone(), restart_lsn, problem: problem.clone() };
        self.server.state.change(|status| {
            match status.mirrors.iter_mut().find(|known| known.host == mirror.host) {
                Some(known) => *known = mirror,
                None => status.mirrors.push(mirror),
            }
        });
        match (&self.problem, &problem) {
            (before, now) if before == now => {}
            (_, Some(now)) => {
                self.server.state.tell(EventKind::MirrorFailed, format_args!("{name}: {now}"));
            }
            (_, None) => {
                let cause = format_args!("{name}: slot \"{}\" is kept again", self.slot.name);
                self.server.state.tell(EventKind::Recovered, cause);
            }
        }
        self.problem = problem;
    }
}

fn is_lost(slot: &SlotStatus) -> bool {
    slot.wal_status == Some(WalStatus::Lost)
}

/// Returns where a slot is to be advanced to: to what is stored here, but no further than the host is; nowhere if it
/// is there already, or if somebody uses it.
fn target(view: &HostView, flushed: Lsn) -> Option<Lsn> {
    let restart_lsn = view.slot.as_ref()?.restart_lsn?;
    let target = view.replayed?.min(flushed);
    (target > restart_lsn && !view.slot_is_active).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::conninfo::HostKind;

    #[test]
    fn hosts_that_are_gone_are_shown_no_more() {
        let state = ServerState::new("main");
        let host = |name: &str| Host {
            kind: HostKind::Tcp { name: name.to_owned(), address: None, is_named: true },
            port: 5432,
            reached: None,
        };
        let mirror =
            |host: Host| MirrorStatus { host: host.to_string(), restart_lsn: None, problem: None };
        let shown = || state.change(|status| status.mirrors.clone());
        state.change(|status| status.mirrors = ["a", "b"].map(|name| mirror(host(name))).into());
        forget_others(&state, &["b", "c"].map(host));
        assert_eq!(shown(), [mirror(host("b"))]);
        forget_others(&state, &[]);
        assert_eq!(shown(), []);
    }

    #[test]
    fn a_slot_follows_what_is_stored_here_as_far_as_its_host_is() {
        let view = |restart_lsn: Option<u64>, replayed: Option<u64>, slot_is_active| HostView {
            is_in_recovery: true,
            flushed: replayed.map(Lsn::new),
            replayed: replayed.map(Lsn::new),
            slot: Some(SlotStatus {
                name: "wal".to_owned(),
                restart_lsn: restart_lsn.map(Lsn::new),
                wal_status: Some(WalStatus::Reserved),
                safe_wal_size: None,
                retained: None,
            }),
            slot_is_active,
        };
        let table = [
            (view(Some(10), Some(50), false), Some(40)),
            (view(Some(10), Some(30), false), Some(30)),
            (view(Some(40), Some(50), false), None),
            (view(Some(45), Some(50), false), None),
            (view(Some(10), None, false), None),
            (view(None, Some(50), false), None),
            (view(Some(10), Some(50), true), None),
            (HostView { slot: None, ..view(Some(10), Some(50), false) }, None),
        ];
        for (view, expected) in table {
            assert_eq!(target(&view, Lsn::new(40)), expected.map(Lsn::new), "{view:?}");
        }
    }
}
