//! What systemd is told (`sd_notify(3)`): readiness, reloads, the end, a line of status, and that all is alive.
//!
//! The service is ready when every server has streamed and caught up once, or cannot be received from for a while: one
//! that is down must keep neither the watchdog of the others from beginning nor reloads from being answered. Where
//! nobody listens, nothing is said.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::status::{Phase, ServerStatus};
use crate::pg::OsError;

/// systemd shows one line; datagrams have a limit, too.
const LINE_CHARS_MAX: usize = 400;

/// How long a server that cannot be received from is waited for: several attempts, and more than a restart takes.
const TROUBLE_MAX: Duration = Duration::from_secs(60);

/// Tells systemd what happens, each thing once.
#[derive(Debug)]
pub struct Notifier {
    caught_up: BTreeSet<String>,
    /// When an attempt was first seen to have failed, by server.
    in_trouble: BTreeMap<String, Instant>,
    is_ready: bool,
    line: String,
    ping_interval: Option<Duration>,
    last_ping: Option<Instant>,
    is_failing: bool,
}

impl Notifier {
    /// Begins; the environment says whether pings are awaited.
    pub fn from_environment() -> Self {
        Notifier {
            caught_up: BTreeSet::new(),
            in_trouble: BTreeMap::new(),
            is_ready: false,
            line: String::new(),
            // As `sd_watchdog_enabled(3)` recommends.
            ping_interval: sd_notify::watchdog_enabled().map(|limit| limit / 2),
            last_ping: None,
            is_failing: false,
        }
    }

    /// Returns how often pings are due, if they are awaited.
    pub fn ping_interval(&self) -> Option<Duration> {
        self.ping_interval
    }

    /// Tells how the servers are; also that all is alive, if it is and a ping is due.
    pub fn tell(&mut self, servers: &[ServerStatus], is_alive: bool, now: Instant) {
        let line = status_line(servers);
        if line != self.line {
            self.send(&[NotifyState::Status(&line)]);
            self.line = line;
        }
        self.note_phases(servers, now);
        if !self.is_ready && servers.iter().all(|server| self.is_waited_for_no_more(server, now)) {
            self.is_ready = true;
            self.send(&[NotifyState::Ready]);
        }
        if is_alive && self.is_ping_due(now) {
            self.last_ping = Some(now);
            self.send(&[NotifyState::Watchdog]);
        }
    }

    /// Tells that the configuration is read again. Before the service is ready, nobody waits for that.
    pub fn reloading(&mut self) {
        if self.is_ready {
            match NotifyState::monotonic_usec_now() {
                Ok(now) => self.send(&[NotifyState::Reloading, now]),
                Err(error) => self.failed(&error),
            }
        }
    }

    /// Tells that it was read, or that the old one is kept.
    pub fn reloaded(&mut self) {
        if self.is_ready {
            self.send(&[NotifyState::Ready]);
        }
    }

    /// Tells that the service ends.
    pub fn stopping(&mut self) {
        self.send(&[NotifyState::Stopping]);
    }

    fn note_phases(&mut self, servers: &[ServerStatus], now: Instant) {
        let streaming = servers.iter().filter(|server| server.phase == Phase::Streaming);
        self.caught_up.extend(streaming.map(|server| server.name.clone()));
        for server in servers.iter().filter(|server| server.phase.cause().is_some()) {
            self.in_trouble.entry(server.name.clone()).or_insert(now);
        }
    }

    /// Says whether a server has caught up once, or is in trouble for too long. While WAL comes, it may still catch up.
    fn is_waited_for_no_more(&self, server: &ServerStatus, now: Instant) -> bool {
        let is_too_long = |since: &Instant| now >= *since + TROUBLE_MAX;
        let is_given_up = self.in_trouble.get(&server.name).is_some_and(is_too_long);
        self.caught_up.contains(&server.name) || (is_given_up && !server.phase.is_connected())
    }

    fn is_ping_due(&self, now: Instant) -> bool {
        let is_over = |interval| self.last_ping.is_none_or(|last| now >= last + interval);
        self.ping_interval.is_some_and(is_over)
    }

    fn send(&mut self, states: &[NotifyState<'_>]) {
        match sd_notify::notify(states) {
            Ok(()) => self.is_failing = false,
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &io::Error) {
        if !self.is_failing {
            tracing::warn!("could not notify systemd: {}", OsError(error));
        }
        self.is_failing = true;
    }
}

/// Returns what there is to say of all servers in one line, whatever their causes contain.
pub fn status_line(servers: &[ServerStatus]) -> String {
    let parts: Vec<String> =
        Phase::NAMES.iter().filter_map(|name| phase_part(servers, name)).collect();
    let count = match servers.len() {
        0 => return "no servers".to_owned(),
        1 => "1 server".to_owned(),
        count => format!("{count} servers"),
    };
    let line = format!("{count}: {}", parts.join(", "));
    // A line feed would begin another assignment.
    let line = line.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(LINE_CHARS_MAX).collect()
}

/// Says how many servers are in a phase, and why, unless there is none.
fn phase_part(servers: &[ServerStatus], phase: &str) -> Option<String> {
    let there: Vec<_> = servers.iter().filter(|server| server.phase.name() == phase).collect();
    let cause =
        |server: &&ServerStatus| Some(format!("{}: {}", server.name, server.phase.cause()?));
    let causes: Vec<String> = there.iter().filter_map(cause).collect();
    let part = format!("{} {}", there.len(), phase.replace('_', " "));
    match (there.is_empty(), causes.is_empty()) {
        (true, _) => None,
        (false, true) => Some(part),
        (false, false) => Some(format!("{part} ({})", causes.join("; "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, phase: Phase) -> ServerStatus {
        ServerStatus { name: name.to_owned(), phase, ..ServerStatus::default() }
    }

    fn waiting(cause: &str) -> Phase {
        Phase::Waiting { cause: cause.to_owned() }
    }

    #[test]
    fn the_status_is_one_line() {
        let failed = || Phase::Failed { cause: "another cluster".to_owned() };
        let table = [
            (vec![], "no servers"),
            (vec![server("a", Phase::Streaming)], "1 server: 1 streaming"),
            (
                vec![
                    server("a", Phase::Streaming),
                    server("b", Phase::Streaming),
                    server("main", waiting("connection refused")),
                ],
                "3 servers: 2 streaming, 1 waiting (main: connection refused)",
            ),
            (
                vec![
                    server("a", waiting("x")),
                    server("b", waiting("y")),
                    server("c", failed()),
                    server("d", Phase::CatchingUp),
                ],
                "4 servers: 1 catching up, 2 waiting (a: x; b: y), 1 failed (c: another cluster)",
            ),
            (
                vec![server("a", waiting("x\nREADY=1\n\x1b[2J"))],
                "1 server: 1 waiting (a: x READY=1  [2J)",
            ),
        ];
        for (servers, line) in table {
            assert_eq!(status_line(&servers), line);
        }
        let endless = server("a", waiting(&"é".repeat(100_000)));
        assert_eq!(status_line(&[endless]).chars().count(), LINE_CHARS_MAX);
    }

    #[test]
    fn it_is_ready_when_each_server_has_caught_up_once() {
        let mut notifier = Notifier::from_environment();
        let now = Instant::now();
        let steps = [
            (Phase::Connecting, Phase::Connecting, false),
            (Phase::Streaming, Phase::Connecting, false),
            (waiting(""), Phase::CatchingUp, false),
            (waiting(""), Phase::Streaming, true),
            (waiting(""), waiting(""), true),
        ];
        for (first, second, is_ready) in steps {
            notifier.tell(&[server("a", first), server("b", second)], true, now);
            assert_eq!(notifier.is_ready, is_ready);
        }
    }

    #[test]
    fn a_server_in_trouble_is_waited_for_no_longer_than_a_minute() {
        let mut notifier = Notifier::from_environment();
        let began = Instant::now();
        // Seconds, the phase of the server in trouble, whether all is ready.
        let steps = [
            (0, waiting("x"), false),
            (1, Phase::Connecting, false),
            (59, waiting("x"), false),
            (60, Phase::CatchingUp, false),
            (61, Phase::Connecting, true),
        ];
        for (seconds, phase, is_ready) in steps {
            let servers = [server("a", Phase::Streaming), server("b", phase)];
            notifier.tell(&servers, true, began + Duration::from_secs(seconds));
            assert_eq!(notifier.is_ready, is_ready, "{seconds}");
        }
    }

    #[test]
    fn pings_are_sent_at_half_of_the_limit_while_all_is_alive() {
        let interval = Duration::from_secs(10);
        let mut notifier =
            Notifier { ping_interval: Some(interval), ..Notifier::from_environment() };
        let began = Instant::now();
        let steps =
            [(0, false, None), (1, true, Some(1)), (10, true, Some(1)), (11, true, Some(11))];
        for (seconds, is_alive, last_ping) in steps {
            notifier.tell(&[], is_alive, began + Duration::from_secs(seconds));
            let expected = last_ping.map(|seconds| began + Duration::from_secs(seconds));
            assert_eq!(notifier.last_ping, expected, "{seconds}");
        }
    }
}
