//! The servers of a configuration: starting, changing and stopping them, each by itself.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::attendant;
use super::config::{Config, ServerConfig};
use super::housekeeper::Housekeeper;
use super::left_slot::LeftSlot;
use super::pulse::Pulse;
use super::server::Server;
use super::state::{Board, ServerState};
use super::status::{EventKind, Phase};
use super::supervisor::{Before, Supervisor};
use crate::pg::{Lsn, OsError};
use crate::pipeline::{InPlace, in_place};

/// How long servers get to end: longer than a stream waits for a disk that does nothing and then for a network that
/// does nothing.
const STOP_MAX: Duration = Duration::from_secs(20);

/// Why a server's threads could not be started.
#[derive(Debug, thiserror::Error)]
#[error("could not start server \"{name}\": {source}")]
pub struct StartError {
    /// The server's name.
    pub name: String,
    /// What the system says.
    pub source: io::Error,
}

/// What a new configuration changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Servers that are new.
    pub started: Vec<String>,
    /// Servers that are received from in another way now.
    pub restarted: Vec<String>,
    /// Servers that are gone.
    pub stopped: Vec<String>,
}

/// The servers that are received from.
#[derive(Debug)]
pub struct Servers {
    board: Arc<Board>,
    running: BTreeMap<String, Running>,
    /// Those that were stopped, but wait for a dead disk.
    left: Vec<Running>,
    /// Whether all that are wanted could be started.
    is_complete: bool,
}

impl Servers {
    /// Starts with none.
    pub fn new() -> Self {
        Servers {
            board: Arc::default(),
            running: BTreeMap::new(),
            left: Vec::new(),
            is_complete: true,
        }
    }

    /// Returns what is known of them.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Receives from the servers of a configuration from now on. Those that did not change go on untouched. Waits
    /// until those that did have ended, for a bounded time.
    ///
    /// # Errors
    /// If threads cannot be started; the other servers run.
    pub fn apply(&mut self, config: &Config) -> Result<Changes, StartError> {
        let mut changes = Changes::default();
        let mut stopped = self.stop_those(|server| !config.servers.contains(&server.config));
        for before in stopped.values() {
            if let Some(left) = LeftSlot::of(before, config) {
                before.state.warn(left);
            }
        }
        let mut outcome = Ok(());
        for server in &config.servers {
            let name = server.name.clone();
            if self.running.contains_key(&name) {
                continue;
            }
            let before = stopped.remove(&name);
            let list = if before.is_some() { &mut changes.restarted } else { &mut changes.started };
            match self.start(server, before) {
                Ok(()) => list.push(name),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        changes.stopped.extend(stopped.into_keys());
        self.board.retain(|name| config.servers.iter().any(|server| server.name == name));
        self.is_complete = outcome.is_ok();
        outcome.map(|()| changes)
    }

    /// Says whether every server has its threads, and they have got on within the last seconds. A disk or a host that is
    /// waited for does not count as standing still: that is told as an event.
    pub fn are_alive(&self) -> bool {
        let mut pulses = self.running.values().flat_map(|running| &running.pulses);
        self.is_complete && pulses.all(|pulse| pulse.is_felt())
    }

    /// Ends all streams in good order. A server whose disk does not answer is left to itself after a while, and
    /// keeps neither the others nor the caller.
    pub fn stop(mut self) {
        self.stop_those(|_| true);
    }

    /// Ends some servers, all at the same time; returns what they were.
    fn stop_those(&mut self, is_meant: impl Fn(&Server) -> bool) -> BTreeMap<String, Arc<Server>> {
        let running = std::mem::take(&mut self.running);
        let (ending, others) =
            running.into_iter().partition(|(_, running)| is_meant(&running.server));
        self.running = others;
        let ending: BTreeMap<String, Running> = ending;
        ending.values().for_each(|running| running.server.stop.cancel());
        let server = |running: &Running| Arc::clone(&running.server);
        let servers =
            ending.iter().map(|(name, running)| (name.clone(), server(running))).collect();
        self.wait_for(ending.into_values().collect());
        servers
    }

    /// Starts a server's threads, with what was known of it before if that is about the same directory.
    fn start(
        &mut self,
        config: &ServerConfig,
        before: Option<Arc<Server>>,
    ) -> Result<(), StartError> {
        let name = &config.name;
        let same = before.filter(|before| before.config.directory == config.directory);
        let state = match same {
            Some(before) => Arc::clone(&before.state),
            None => Arc::new(ServerState::new(name)),
        };
        self.board.put(name, Arc::clone(&state));
        let server = Server::new(config.clone(), Arc::clone(&state));
        let (running, started) = Running::start(server, self.writers_of(&config.directory));
        match started {
            Ok(()) => {
                self.running.insert(name.clone(), running);
                Ok(())
            }
            Err(source) => {
                self.wait_for(vec![running]);
                let error = StartError { name: name.clone(), source };
                show_failure(&state, &error.to_string());
                Err(error)
            }
        }
    }

    /// Returns what shows when those have ended that may still write into a directory.
    fn writers_of(&mut self, directory: &Path) -> Vec<Receiver<Infallible>> {
        self.left.retain(|running| !running.has_ended_by(Instant::now()));
        let into_it = self.left.iter().filter(|left| left.server.config.directory == directory);
        into_it.map(|left| left.ended.clone()).collect()
    }

    /// Waits until servers that were told to stop have ended.
    fn wait_for(&mut self, ending: Vec<Running>) {
        let deadline = Instant::now() + STOP_MAX;
        for running in ending {
            if !running.has_ended_by(deadline) {
                let state = &running.server.state;
                let flushed = state.change(|status| status.flushed.unwrap_or(Lsn::INVALID));
                let cause =
                    format_args!("stopped, but what lies behind {flushed} may not be stored");
                state.tell(EventKind::DiskStalled, cause);
                self.left.push(running);
            }
        }
    }
}

impl Default for Servers {
    fn default() -> Self {
        Servers::new()
    }
}

/// A server with its threads.
#[derive(Debug)]
struct Running {
    server: Arc<Server>,
    /// Of supervisor and attendant.
    pulses: [Arc<Pulse>; 2],
    /// Disconnected when all threads have ended.
    ended: Receiver<Infallible>,
}

impl Running {
    /// Starts the threads; nothing is received before the `writers` of before have ended. If not all can be started, the
    /// others were told to end.
    fn start(server: Server, writers: Vec<Receiver<Infallible>>) -> (Self, io::Result<()>) {
        let server = Arc::new(server);
        let pulses = [Arc::new(Pulse::new()), Arc::new(Pulse::new())];
        let (lives, ended) = bounded(0);
        let started = start_threads(&server, &pulses, &lives, writers);
        let started = started.inspect_err(|_| server.stop.cancel());
        drop(lives);
        (Running { server, pulses, ended }, started)
    }

    /// Waits until all threads have ended; says whether that was so in time.
    fn has_ended_by(&self, deadline: Instant) -> bool {
        match self.ended.recv_deadline(deadline) {
            Ok(never) => match never {},
            Err(RecvTimeoutError::Disconnected) => true,
            Err(RecvTimeoutError::Timeout) => false,
        }
    }
}

/// Starts the three threads of a server; each keeps a sender for as long as it lives.
fn start_threads(
    server: &Arc<Server>,
    pulses: &[Arc<Pulse>; 2],
    lives: &Sender<Infallible>,
    writers: Vec<Receiver<Infallible>>,
) -> io::Result<()> {
    let [supervisor_pulse, attendant_pulse] = pulses.clone();
    let (known, known_cluster) = oneshot::channel();
    let (housekeeper, stop_housekeeping) = Housekeeper::new(Arc::clone(server), known);
    let (of_housekeeper, of_supervisor, of_attendant) =
        (lives.clone(), lives.clone(), lives.clone());
    spawn("housekeeper", move || {
        housekeeper.run();
        drop(of_housekeeper);
    })?;
    let runtime = runtime()?;
    let receiving = Arc::clone(server);
    spawn("supervisor", move || {
        supervise(receiving, &supervisor_pulse, runtime, Before { writers, known_cluster });
        // What was told last is to be in the state file.
        drop(stop_housekeeping);
        drop(of_supervisor);
    })?;
    let runtime = self::runtime()?;
    let attended = Arc::clone(server);
    spawn("attendant", move || {
        runtime.block_on(attendant::run(attended, &attendant_pulse));
        // A name service that hangs is not waited for.
        runtime.shutdown_background();
        drop(of_attendant);
    })
}

fn supervise(server: Arc<Server>, pulse: &Pulse, runtime: Runtime, before: Before) {
    let in_place = InPlace::default();
    let state = Arc::clone(&server.state);
    let _told = PanicIsTold(Arc::clone(&state));
    let supervisor = Supervisor::new(server, in_place.clone());
    let end = in_place::block_on(&runtime, &in_place, async {
        tokio::select! {
            () = supervisor.run(before) => {}
            never = pulse.beat() => never,
        }
    });
    runtime.shutdown_background();
    if let Err(error) = end {
        show_failure(&state, &format!("could not create thread: {}", OsError(&error)));
    }
}

fn show_failure(state: &ServerState, cause: &str) {
    state.change(|status| status.phase = Phase::Failed { cause: cause.to_owned() });
    state.tell(EventKind::Failed, cause);
}

/// Shows that nothing is received any more if the thread panics that holds it. Its pulse is not felt any more then.
struct PanicIsTold(Arc<ServerState>);

impl Drop for PanicIsTold {
    fn drop(&mut self) {
        if thread::panicking() {
            show_failure(&self.0, "thread panicked");
        }
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // How it ends is seen by its sender, and by its pulse.
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_whose_thread_panicked_has_failed() {
        let state = Arc::new(ServerState::new("main"));
        let told = PanicIsTold(Arc::clone(&state));
        let ended = thread::spawn(move || {
            let _told = told;
            panic!("as a test");
        });
        assert!(ended.join().is_err());
        let status = state.status();
        assert_eq!(status.phase, Phase::Failed { cause: "thread panicked".to_owned() });
        assert_eq!(status.events.len(), 1);
    }
}
