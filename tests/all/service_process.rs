//! The service as a process: how it begins and ends, what systemd hears, reloads, and what is never written.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::client::{Client, Running};
use crate::support::installation::Installation;
use crate::support::scratch::Scratch;
use crate::support::server::Server;
use crate::support::{PATIENCE, wait_until};

on_servers!(systemd_hears_of_each_step: pg18);
on_servers!(a_reload_moves_what_changed_and_nothing_else: pg18);
on_servers!(a_password_is_never_written: pg18);

/// A configuration file, and what it says.
struct Setup {
    scratch: Scratch,
    address: SocketAddr,
    conninfo: String,
}

impl Setup {
    fn new(conninfo: impl Into<String>) -> Self {
        let scratch = Scratch::new();
        scratch.directory("wal");
        let setup = Setup { scratch, address: free_address(), conninfo: conninfo.into() };
        setup.write("");
        setup
    }

    fn of(server: &Server) -> Self {
        let (sockets, port) = (server.sockets(), server.port());
        Setup::new(format!("host={} port={port} user=postgres", sockets.display()))
    }

    fn file(&self) -> PathBuf {
        self.scratch.join("pgsiphon.toml")
    }

    /// Writes the file, with something more at its end.
    fn write(&self, more: &str) {
        let Setup { scratch, address, conninfo } = self;
        let wal = scratch.join("wal");
        let text = format!(
            "[http]\nlisten = \"{address}\"\n\n[log]\nlevel = \"debug\"\n\n\
             [servers.main]\nconninfo = \"{conninfo}\"\ndirectory = \"{}\"\nslot = \"pgsiphon\"\n{more}",
            wal.display()
        );
        fs::write(self.file(), text).unwrap();
    }

    fn start(&self) -> Running {
        Client::serve(&self.file()).start()
    }

    /// Waits until the service answers.
    fn wait_until_listening(&self) {
        wait_until("an answer", || TcpStream::connect(self.address).is_ok());
    }
}

/// An address of this machine that is free now.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Makes sure that a service ends in good order.
#[track_caller]
fn end(running: Running) -> String {
    running.signal(Signal::TERM);
    running.wait().succeeded().stderr
}

#[test]
fn what_keeps_it_from_starting_is_said_in_one_line() {
    let setup = Setup::new("host=/nonexistent");
    let file = setup.file().display().to_string();
    let error = |setup: &Setup| setup.start().wait().failed().to_owned();

    let taken = TcpListener::bind(setup.address).unwrap();
    let expected = format!("could not listen on \"{}\": Address already in use", setup.address);
    assert_eq!(error(&setup), expected);
    drop(taken);

    setup.write("nonsense = 1\n");
    let message = error(&setup);
    assert!(message.starts_with(&format!("{file}:11:1: ")), "{message}");

    fs::remove_file(setup.file()).unwrap();
    let expected =
        format!("could not read configuration file \"{file}\": No such file or directory");
    assert_eq!(error(&setup), expected);
}

/// What systemd would hear.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    _scratch: Scratch,
}

impl Manager {
    fn new() -> Self {
        let scratch = Scratch::new();
        let path = scratch.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager { socket, path, _scratch: scratch }
    }

    fn start(&self, setup: &Setup) -> Running {
        let client = Client::serve(&setup.file()).env("NOTIFY_SOCKET", &self.path);
        client.env("WATCHDOG_USEC", "1000000").start()
    }

    /// Returns the next message.
    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let size = self.socket.recv(&mut buffer).expect("a message in time");
        String::from_utf8(buffer[..size].to_vec()).unwrap()
    }

    /// Waits until nothing comes for longer than a ping may take.
    fn wait_for_silence(&self) {
        self.socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        wait_until("silence", || self.socket.recv(&mut [0; 4096]).is_err());
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// Returns the next message with a beginning; returns those before it, too.
    #[track_caller]
    fn wait_for(&self, beginning: &str) -> (String, Vec<String>) {
        let mut before = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "{beginning:?} did not come, but {before:?}");
            let message = self.next();
            if message.starts_with(beginning) {
                return (message, before);
            }
            before.push(message);
        }
    }
}

fn systemd_hears_of_each_step(installation: Installation) {
    let server = Server::start(installation);
    let setup = Setup::of(&server);
    let manager = Manager::new();
    let running = manager.start(&setup);

    let (_, before) = manager.wait_for("READY=1\n");
    assert!(before.contains(&"STATUS=1 server: 1 streaming\n".to_owned()), "{before:?}");
    manager.wait_for("WATCHDOG=1\n");

    running.signal(Signal::HUP);
    let (reloading, _) = manager.wait_for("RELOADING=1\nMONOTONIC_USEC=");
    let moment = reloading.trim_end().rsplit_once('=').unwrap().1;
    assert!(moment.parse::<u64>().is_ok_and(|moment| moment > 0), "{reloading}");
    assert_eq!(manager.next(), "READY=1\n");

    running.signal(Signal::TERM);
    manager.wait_for("STOPPING=1\n");
    running.wait().succeeded();
}

#[test]
fn it_is_not_ready_while_a_server_is_not_there() {
    let setup = Setup::new("host=/nonexistent");
    let manager = Manager::new();
    let running = manager.start(&setup);
    let (_, before) = manager.wait_for("STATUS=1 server: 1 waiting (main: connection to server");
    let (_, between) = manager.wait_for("WATCHDOG=1\n");
    let messages = [before, between].concat();
    assert!(!messages.iter().any(|message| message.contains("READY")), "{messages:?}");
    end(running);
}

#[test]
fn a_second_signal_ends_it_at_once_or_it_has_ended() {
    let setup = Setup::new("host=/nonexistent");
    let running = setup.start();
    setup.wait_until_listening();
    running.signal(Signal::INT);
    running.signal(Signal::TERM);
    let finished = running.wait();
    assert!(matches!(finished.status.code(), Some(0 | 1)), "{finished:?}");
    assert!(finished.took < PATIENCE / 10, "{finished:?}");
}

#[test]
fn a_server_that_could_not_be_started_stops_the_watchdog_until_it_is() {
    let setup = Setup::new("host=/nonexistent");
    let manager = Manager::new();
    let running = manager.start(&setup);
    manager.wait_for("WATCHDOG=1\n");
    setup.scratch.directory("more");
    let directory = setup.scratch.join("more");
    setup.write(&format!(
        "[servers.more]\nconninfo = \"host=/nonexistent\"\ndirectory = \"{}\"\n",
        directory.display()
    ));
    let unlimited = running.limit_files();
    let said = "could not start server \\\"more\\\": Too many open files";
    wait_until(said, || {
        running.signal(Signal::HUP);
        running.said().contains(said)
    });
    manager.wait_for_silence();
    running.set_files_limit(unlimited);
    running.signal(Signal::HUP);
    manager.wait_for("WATCHDOG=1\n");
    end(running);
}

fn a_reload_moves_what_changed_and_nothing_else(installation: Installation) {
    let server = Server::start(installation);
    let mut setup = Setup::of(&server);
    let running = setup.start();
    let streams = || server.sql("SELECT pid FROM pg_stat_replication");
    wait_until("a stream", || !streams().is_empty());
    let stream = streams();

    let before = setup.address;
    setup.address = free_address();
    setup.write("");
    running.signal(Signal::HUP);
    setup.wait_until_listening();
    wait_until("nobody at the old address", || TcpStream::connect(before).is_err());

    // None of these takes anything away that is there.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let good = setup.address;
    setup.address = taken.local_addr().unwrap();
    setup.write("");
    running.signal(Signal::HUP);
    let said = format!("HTTP stays where it is: could not listen on \\\"{}\\\"", setup.address);
    wait_until(&said, || running.said().contains(&said));
    setup.address = good;
    setup.write("nonsense = 1\n");
    running.signal(Signal::HUP);
    let said = "configuration stays as it is: ";
    wait_until(said, || running.said().contains(said));
    assert!(TcpStream::connect(good).is_ok());
    assert_eq!(streams(), stream);
    end(running);
}

/// Asks over another address of this machine whether the service is alive.
fn is_healthy_at(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let mut answer = String::new();
    let sent = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // It may just be ending there.
    let asked = sent.and_then(|()| stream.read_to_string(&mut answer));
    asked.is_ok() && answer.starts_with("HTTP/1.1 200 ")
}

#[test]
fn a_reload_may_change_the_address_but_not_the_port() {
    let mut setup = Setup::new("host=/nonexistent");
    let running = setup.start();
    setup.wait_until_listening();
    let port = setup.address.port();
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], port));
    for (listen, is_there) in [([0, 0, 0, 0], true), ([127, 0, 0, 1], false)] {
        setup.address = SocketAddr::from((listen, port));
        setup.write("");
        running.signal(Signal::HUP);
        wait_until("the address", || is_healthy_at(elsewhere) == is_there);
    }
    let before = setup.address;
    wait_until("the first address", || is_healthy_at(before));

    // The same port, but it is not we who have it there.
    let taken = TcpListener::bind(elsewhere).unwrap();
    setup.address = elsewhere;
    setup.write("");
    running.signal(Signal::HUP);
    let said = "HTTP stays where it is: could not listen on";
    wait_until(said, || running.said().contains(said));
    assert!(is_healthy_at(before));
    drop(taken);
    end(running);
}

#[test]
fn the_log_is_json_unless_it_is_to_be_text() {
    let setup = Setup::new("host=/nonexistent");
    let running = setup.start();
    setup.wait_until_listening();
    let log = end(running);
    for line in log.lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        let timestamp = object["timestamp"].as_str().unwrap();
        assert!(timestamp.parse::<pgsiphon::pg::Timestamp>().is_ok(), "{line}");
        assert!(object["level"].is_string() && object["message"].is_string(), "{line}");
    }
    assert!(
        log.contains("\"message\":\"started\"") && log.contains("\"message\":\"ended\""),
        "{log}"
    );

    let text = fs::read_to_string(setup.file()).unwrap();
    fs::write(setup.file(), text.replace("[log]", "[log]\nformat = \"text\"")).unwrap();
    let running = setup.start();
    setup.wait_until_listening();
    let log = end(running);
    assert!(log.contains("  INFO started ") && !log.contains('\u{1b}'), "{log}");
}

fn a_password_is_never_written(installation: Installation) {
    const PASSWORD: &str = "wr0ng-s3cret";
    let server = Server::builder(installation).hba("local all replicator scram-sha-256\n");
    let server = server.hba("local replication replicator scram-sha-256\n").start();
    server.sql("CREATE ROLE replicator REPLICATION LOGIN PASSWORD 'right'");
    let (sockets, port) = (server.sockets(), server.port());
    let setup = Setup::new(format!(
        "host={} port={port} user=replicator password={PASSWORD}",
        sockets.display()
    ));
    let running = setup.start();
    let refused = "password authentication failed";
    wait_until(refused, || running.said().contains(refused));
    let status = Client::status().arg("--config").arg(setup.file()).run();
    let shown = String::from_utf8(status.stdout).unwrap();
    assert!(shown.contains(refused), "{shown}");
    setup.write(&format!("conninfo = \"password={PASSWORD}\"\n"));
    running.signal(Signal::HUP);
    let kept = "configuration stays as it is";
    wait_until(kept, || running.said().contains(kept));
    let said = end(running);
    let wal = setup.scratch.join("wal");
    let names = crate::support::scratch::names(&wal);
    let files = names.iter().map(|name| fs::read(wal.join(name)).unwrap());
    let files: Vec<u8> = files.flatten().collect();
    let everything = [said.as_bytes(), shown.as_bytes(), status.stderr.as_bytes(), &files].concat();
    assert!(!String::from_utf8_lossy(&everything).contains(PASSWORD));
}
