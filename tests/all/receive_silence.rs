//! Servers that say nothing: they are asked whether they are there, and given up if they do not answer.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use pgsiphon::net;
use pgsiphon::net::conninfo::{ConnectOptions, ConnectionArguments, Environment};
use pgsiphon::receive::{
    Event, HolePolicy, Memory, Observer, OnDeadDisk, OnDisconnect, OnOtherBranch, ReceiveConfig,
    ReceiveError, ReceiveJob, TimeIndex, attempt,
};
use pgsiphon::storage::DirectIo;
use pgsiphon::wal::SyncPolicy;
use rustix::process::{Pid, Signal, kill_process};
use tokio_util::sync::CancellationToken;

use crate::support::installation::Installation;
use crate::support::receive::source;
use crate::support::scratch::Scratch;
use crate::support::server::Server;
use crate::support::wait_until;

on_servers!(an_idle_server_answers_and_is_kept: pg13 pg18);
on_servers!(a_server_that_does_not_answer_is_given_up: pg13 pg18);

const SILENCE_MAX: Duration = Duration::from_secs(1);

struct NoObserver;

impl Observer for NoObserver {
    fn report(&self, _event: Event) {}
}

/// Receives over one connection until that fails, or the future wants no more.
fn receive_until(server: &Server, end: impl Future<Output = ()>) -> Result<(), ReceiveError> {
    let scratch = Scratch::new();
    let config = ReceiveConfig {
        directory: scratch.directory("wal"),
        slot: None,
        end: None,
        on_disconnect: OnDisconnect::Reconnect,
        sync: SyncPolicy::Segments,
        compression: None,
        // It says nothing by itself, so that the server has no reason to.
        status_interval: None,
        direct_io: DirectIo::Auto,
        on_hole: HolePolicy::Refuse,
        time_index: TimeIndex::None,
        on_dead_disk: OnDeadDisk::GiveUp,
        on_other_branch: OnOtherBranch::Refuse,
        silence_max: Some(SILENCE_MAX),
        sync_times: None,
    };
    let (sockets, port) = (server.sockets(), server.port());
    let text = format!("host={} port={port} user=postgres", sockets.display());
    let arguments =
        ConnectionArguments { connection_string: Some(text), ..ConnectionArguments::default() };
    let connect =
        ConnectOptions::resolve(&arguments, "test", &Environment::from_process()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let interrupt = CancellationToken::new();
        let job = ReceiveJob {
            config: &config,
            connect: &connect,
            observer: &NoObserver,
            interrupt: &interrupt,
            in_place: None,
        };
        let connection = net::connect(&connect, &mut Vec::new()).await.unwrap();
        let mut memory = Memory::default();
        let receiving = attempt(job, &mut memory, Some(connection));
        let ending = async {
            end.await;
            interrupt.cancel();
            pending::<Infallible>().await
        };
        tokio::select! {
            outcome = receiving => outcome,
            never = ending => match never {},
        }
    })
}

fn an_idle_server_answers_and_is_kept(installation: Installation) {
    let server = source(installation).start();
    receive_until(&server, async { tokio::time::sleep(5 * SILENCE_MAX).await }).unwrap();
}

fn a_server_that_does_not_answer_is_given_up(installation: Installation) {
    let server = source(installation).start();
    let sender = || server.sql("SELECT pid FROM pg_stat_replication WHERE state = 'streaming'");
    std::thread::scope(|scope| {
        let stopped = scope.spawn(|| {
            wait_until("the stream", || !sender().is_empty());
            let sender = Pid::from_raw(sender().parse().unwrap()).unwrap();
            kill_process(sender, Signal::STOP).unwrap();
            sender
        });
        let outcome = receive_until(&server, pending());
        kill_process(stopped.join().unwrap(), Signal::CONT).unwrap();
        let words = "could not receive data from WAL stream: server sent nothing for 1 seconds";
        assert_eq!(outcome.unwrap_err().to_string(), words);
    });
}
