//! The service as a process that is killed again and again, while its servers crash, move and are cut off: nothing that
//! it acknowledged is lost.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::account::give_to_server;
use crate::support::acknowledged::Target;
use crate::support::client::{Client, Running};
use crate::support::installation::Installation;
use crate::support::log::{Log, source};
use crate::support::proxy::{Fault, Proxy};
use crate::support::random::Random;
use crate::support::scratch::{Scratch, run};
use crate::support::server::Server;
use crate::support::session::Session;
use crate::support::timelines::{promote, standby_of};
use crate::support::wait_until;
use crate::support::workload::Flood;

on_servers!(a_hundred_kills_beside_three_troubled_servers_lose_nothing_acknowledged: pg18);
on_servers!(recovery_has_every_commit_that_waited_for_the_service: pg13 pg18);
on_servers!(wal_that_a_promoted_standby_never_had_does_not_stop_the_service: pg13 pg18);

/// How long a service lives, in milliseconds: some do not come to stream.
const LIFE: std::ops::Range<u64> = 20..300;

/// Load on each server, in bytes a second.
const LOAD: usize = 1 << 20;

/// A configuration file that grows by servers. The slot and the directory of each have its name.
struct Configuration {
    scratch: Scratch,
    text: String,
}

impl Configuration {
    fn new() -> Self {
        let text = "[http]\nenabled = false\n\n[defaults]\nfsync = \"at-once\"\n".to_owned();
        Configuration { scratch: Scratch::new(), text }
    }

    fn directory(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// Adds a server that may be behind any of these sockets.
    fn add(&mut self, name: &str, sockets: &[&Path], port: u16) {
        let hosts: Vec<_> = sockets.iter().map(|path| path.display().to_string()).collect();
        let (hosts, directory) = (hosts.join(","), self.directory(name));
        let directory = directory.display();
        self.text += &format!(
            "\n[servers.{name}]\nconninfo = \"host={hosts} port={port} user=postgres application_name={name}\"\n\
             directory = \"{directory}\"\nslot = \"{name}\"\n"
        );
        fs::write(self.file(), &self.text).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.scratch.join("pgsiphon.toml")
    }

    fn serve(&self) -> Running {
        Client::serve(&self.file()).start()
    }
}

/// Lets a service live for a while, and looks at all that it has acknowledged. One that is to get on lives on until it
/// has acknowledged something.
fn live_and_die(
    configuration: &Configuration,
    targets: &[Target<'_>],
    gets_on: bool,
    random: &mut Random,
) {
    let acknowledged = || targets.iter().map(Target::acknowledged).collect::<Vec<_>>();
    let before = acknowledged();
    let running = configuration.serve();
    if gets_on {
        wait_until("an acknowledgement", || acknowledged() != before);
    }
    let millis = LIFE.start + random.below(LIFE.end - LIFE.start);
    thread::sleep(Duration::from_millis(millis));
    running.signal(Signal::KILL);
    running.wait();
    for target in targets {
        target.wait_until_left();
        target.assert_acknowledged_is_held();
    }
}

fn a_hundred_kills_beside_three_troubled_servers_lose_nothing_acknowledged(
    installation: Installation,
) {
    let mut crashing = source(installation).start();
    let cut = source(installation).start();
    let mut moving = source(installation).start();
    let elsewhere = Scratch::new();
    let standby = standby_of(&moving, installation, &elsewhere.join("standby"));
    let faults: Vec<_> = (1..=60).map(|count| Fault::Cut(count * 40_000)).collect();
    let proxy = Proxy::before(&cut, &faults);
    let mut configuration = Configuration::new();
    configuration.add("crashing", &[&crashing.sockets()], crashing.port());
    configuration.add("cut", &[proxy.sockets()], proxy.port());
    configuration.add("moving", &[&moving.sockets(), &standby.sockets()], moving.port());
    let mut random = Random::new(1);

    kill_again_and_again(&configuration, [&crashing, &cut, &moving], Begin::Anew, &mut random);
    // The mirror slot keeps on the standby what is not stored yet.
    let running = configuration.serve();
    wait_until("the mirror slot", || {
        standby.sql("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'moving'") == "1"
    });
    let floods = [&crashing, &cut, &moving].map(|server| Flood::start(server, LOAD));
    let begin = Log::of(&moving).end();
    wait_until("the load", || acknowledges(&moving, "moving", &begin.to_string()));
    crashing.kill();
    moving.kill();
    drop(floods);
    crashing.start_again();
    promote(&standby);
    // The next look begins where the timeline is the new one's alone.
    let end = Log::of(&standby).end_segment();
    wait_until("the new primary's log", || acknowledges(&standby, "moving", &end.to_string()));
    running.signal(Signal::KILL);
    running.wait();
    kill_again_and_again(&configuration, [&crashing, &cut, &standby], Begin::Further, &mut random);

    for name in ["crashing", "cut", "moving"] {
        assert!(!configuration.directory(name).join(".pgsiphon-holes").exists(), "{name}");
    }
}

/// Where receiving begins.
enum Begin {
    /// With new slots and directories.
    Anew,
    /// With those that are there.
    Further,
}

/// Kills the service while all servers write; in the end it gets everything.
fn kill_again_and_again(
    configuration: &Configuration,
    servers: [&Server; 3],
    begin: Begin,
    random: &mut Random,
) {
    const KILLS: usize = 50;
    let logs = servers.map(Log::of);
    let mut targets = Vec::new();
    for (log, name) in logs.iter().zip(["crashing", "cut", "moving"]) {
        let directory = configuration.directory(name);
        targets.push(match begin {
            Begin::Anew => Target::new(log, directory),
            Begin::Further => {
                wait_until("the slot to be free", || !is_active(log, name));
                Target::again(log, directory)
            }
        });
    }
    let floods = servers.map(|server| Flood::start(server, LOAD));
    for number in 0..KILLS {
        // Shown if the test fails.
        eprintln!("kill {number}");
        live_and_die(configuration, &targets, number % 2 == 0, random);
    }
    drop(floods);
    let running = configuration.serve();
    for (target, log) in targets.iter().zip(&logs) {
        target.wait_until_acknowledged(log.end_segment());
    }
    running.signal(Signal::TERM);
    running.wait().succeeded();
    for target in &targets {
        target.assert_acknowledged_is_held();
    }
}

fn wal_that_a_promoted_standby_never_had_does_not_stop_the_service(installation: Installation) {
    let mut primary = source(installation).start();
    let elsewhere = Scratch::new();
    let standby = standby_of(&primary, installation, &elsewhere.join("standby"));
    let mut configuration = Configuration::new();
    let directory = configuration.directory("main");
    fs::create_dir(&directory).unwrap();
    configuration.add("main", &[&primary.sockets(), &standby.sockets()], primary.port());
    let running = configuration.serve();
    wait_until("the mirror slot", || {
        standby.sql("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'main'") == "1"
    });
    standby.sql("ALTER SYSTEM SET primary_conninfo = ''");
    standby.sql("SELECT pg_reload_conf()");
    wait_until("the standby to be alone", || {
        standby.sql("SELECT count(*) FROM pg_stat_wal_receiver") == "0"
    });
    let ahead = Log::of(&primary).write(3_000_000);
    wait_until("the primary's log", || acknowledges(&primary, "main", &ahead.to_string()));
    primary.kill();
    promote(&standby);
    let log = Log::of(&standby);
    let begin = log.end_segment();
    let end = log.end_segment();
    wait_until("the new primary's log", || acknowledges(&standby, "main", &end.to_string()));
    log.assert_held(&directory, begin, end);
    running.signal(Signal::TERM);
    running.wait().succeeded();
}

fn is_active(log: &Log<'_>, slot: &str) -> bool {
    log.ask(&format!("SELECT active FROM pg_replication_slots WHERE slot_name = '{slot}'")) == "t"
}

fn acknowledges(server: &Server, slot: &str, position: &str) -> bool {
    let restart = format!(
        "SELECT restart_lsn >= '{position}' FROM pg_replication_slots WHERE slot_name = '{slot}'"
    );
    server.sql(restart) == "t"
}

fn recovery_has_every_commit_that_waited_for_the_service(installation: Installation) {
    const KILLS: usize = 10;
    let server = source(installation)
        .setting("synchronous_standby_names=main")
        .setting("synchronous_commit=local")
        .start();
    server.sql("CREATE TABLE counted (number int)");
    let mut configuration = Configuration::new();
    let directory = configuration.directory("main");
    fs::create_dir(&directory).unwrap();
    configuration.add("main", &[&server.sockets()], server.port());
    let backup = configuration.scratch.join("backup");
    let first = configuration.serve();
    wait_until("the stream", || {
        server.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1"
    });
    let client = Client::pgsiphon().to(&server).args(["-N", "-X", "none"]);
    client.into_directory(&backup).run().succeeded();
    let (last, is_over) = (Mutex::new(0_u32), AtomicBool::new(false));
    thread::scope(|scope| {
        let counting = scope.spawn(|| count_on(&server, &last, &is_over));
        let mut running = first;
        let mut random = Random::new(2);
        for _ in 0..KILLS {
            let before = *last.lock().unwrap();
            wait_until("a commit", || *last.lock().unwrap() > before || counting.is_finished());
            thread::sleep(Duration::from_millis(random.below(100)));
            running.signal(Signal::KILL);
            running.wait();
            running = configuration.serve();
        }
        is_over.store(true, Ordering::SeqCst);
        counting.join().unwrap();
        running.signal(Signal::KILL);
        running.wait();
    });
    drop(server);
    let counted = recover(installation, &backup, &directory);
    let last = last.into_inner().unwrap();
    assert!(counted >= last, "{last} was committed, {counted} recovered");
}

/// Commits one number after the other, each when the one before is safe.
fn count_on(server: &Server, last: &Mutex<u32>, is_over: &AtomicBool) {
    let mut session = Session::with(server);
    session.ask("SET synchronous_commit = on");
    for number in 1.. {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        session.ask(&format!("INSERT INTO counted VALUES ({number})"));
        *last.lock().unwrap() = number;
    }
}

/// Recovers a backup with stored WAL to its end, and returns the highest number; none is missing below it.
fn recover(installation: Installation, backup: &Path, wal: &Path) -> u32 {
    File::create(backup.join("recovery.signal")).unwrap();
    let settings = File::options().append(true).open(backup.join("postgresql.auto.conf"));
    let wal_shown = wal.display();
    writeln!(
        settings.unwrap(),
        "restore_command = 'cp {wal_shown}/%f %p || cp {wal_shown}/%f.partial %p'\n\
         recovery_target_action = promote\nsynchronous_standby_names = ''"
    )
    .unwrap();
    run(Command::new("chmod").args(["-R", "a+rX"]).arg(wal));
    give_to_server(wal);
    let server = Server::from_backup(installation, backup);
    wait_until("the end of recovery", || server.sql("SELECT pg_is_in_recovery()") == "f");
    assert_eq!(server.sql("SELECT count(*) = coalesce(max(number), 0) FROM counted"), "t");
    server.sql("SELECT coalesce(max(number), 0) FROM counted").parse().unwrap()
}
