//! What the service says of its servers, compared with what they say themselves.

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use pgsiphon::pg::Lsn;
use rustix::process::Signal;

use crate::support::client::{Client, Running};
use crate::support::installation::Installation;
use crate::support::proxy::{Fault, Proxy};
use crate::support::receive::{end_segment, source, write_wal};
use crate::support::scratch::{Scratch, names};
use crate::support::server::Server;
use crate::support::timelines::begin_timeline;
use crate::support::wait_until;

on_servers!(metrics_agree_with_the_server_at_every_step: pg13 pg18);
on_servers!(a_stream_that_stands_still_shows_as_lag_and_is_given_up: pg18);

/// A service with one server, `main`, and the slot `pgsiphon`.
struct Service {
    running: Running,
    address: SocketAddr,
    directory: PathBuf,
    _scratch: Scratch,
}

impl Service {
    fn start(sockets: &Path, port: u16) -> Self {
        let scratch = Scratch::new();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let directory = scratch.join("main");
        let (host, wal) = (sockets.display(), directory.display());
        let text = format!(
            "[http]\nlisten = \"{address}\"\n[servers.main]\n\
             conninfo = \"host={host} port={port} user=postgres\"\n\
             directory = \"{wal}\"\nslot = \"pgsiphon\"\nfsync = \"at-once\"\n"
        );
        let file = scratch.join("pgsiphon.toml");
        fs::create_dir(&directory).unwrap();
        fs::write(&file, text).unwrap();
        let running = Client::serve(&file).start();
        wait_until("an answer", || TcpStream::connect(address).is_ok());
        Service { running, address, directory, _scratch: scratch }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Returns the samples by their names and labels, without the server's.
    fn samples(&self) -> HashMap<String, f64> {
        let answer = self.get("/metrics");
        let (_, text) = answer.split_once("\r\n\r\n").unwrap();
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            let name = name.replace("server=\"main\",", "").replace("{server=\"main\"}", "");
            Some((name, value.parse().ok()?))
        };
        text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
    }

    fn sample(&self, name: &str) -> Option<f64> {
        self.samples().get(name).copied()
    }

    #[track_caller]
    fn wait_for(&self, name: &str, is_so: impl Fn(Option<f64>) -> bool) {
        wait_until(name, || is_so(self.sample(name)));
    }

    fn end(self) {
        self.running.signal(Signal::TERM);
        self.running.wait().succeeded();
    }
}

/// Asks a server for a position; nothing while it has none.
fn position(server: &Server, expression: &str) -> Option<f64> {
    let lsn: Lsn = server.sql(format!("SELECT {expression}")).parse().ok()?;
    Some(lsn.offset() as f64)
}

const SLOT: &str = "(SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'pgsiphon')";
const STREAM: &str = "(SELECT flush_lsn FROM pg_stat_replication)";

/// Waits until everything is received, and what both say is the same.
#[track_caller]
fn agree(service: &Service, server: &Server) {
    wait_until("agreement", || {
        let samples = service.samples();
        let sample = |name: &str| samples.get(name).copied();
        let end = position(server, "pg_current_wal_flush_lsn()");
        let flushed = sample("pgsiphon_flushed_lsn_bytes");
        flushed == end
            && flushed == position(server, STREAM)
            && sample("pgsiphon_server_flushed_lsn_bytes") == end
            && sample("pgsiphon_slot_restart_lsn_bytes") == position(server, SLOT)
            && sample("pgsiphon_slot_wal_status{status=\"reserved\"}") == Some(1.0)
            && sample("pgsiphon_lag_bytes") == Some(0.0)
            && sample("pgsiphon_phase{phase=\"streaming\"}") == Some(1.0)
            && sample("pgsiphon_phase{phase=\"waiting\"}") == Some(0.0)
            && sample("pgsiphon_role{role=\"primary\"}") == Some(1.0)
    });
    assert!(service.get("/readyz").starts_with("HTTP/1.1 200 "));
}

fn metrics_agree_with_the_server_at_every_step(installation: Installation) {
    let mut server = source(installation).start();
    let service = Service::start(&server.sockets(), server.port());
    agree(&service, &server);

    write_wal(&server, 3_000_000);
    end_segment(&server);
    agree(&service, &server);
    let is_complete = |name: &String| name.len() == 24;
    let closed = names(&service.directory).iter().filter(|name| is_complete(name)).count();
    assert_eq!(service.sample("pgsiphon_segments_closed_total"), Some(closed as f64));
    assert!(service.sample("pgsiphon_fsync_duration_seconds_count") > Some(0.0));
    let holes = fs::read_to_string(service.directory.join(".pgsiphon-holes")).unwrap_or_default();
    assert_eq!(service.sample("pgsiphon_open_holes"), Some(holes.lines().count() as f64));

    server.stop();
    service.wait_for("pgsiphon_phase{phase=\"waiting\"}", |value| value == Some(1.0));
    assert_eq!(service.sample("pgsiphon_phase{phase=\"streaming\"}"), Some(0.0));
    assert!(service.get("/readyz").starts_with("HTTP/1.1 503 "));
    wait_until("nothing to be shown that is not known", || {
        let of_server = ["pgsiphon_slot_", "pgsiphon_server_flushed_", "pgsiphon_lag_"];
        let is_known = |name: &String| of_server.iter().any(|of| name.starts_with(of));
        !service.samples().keys().any(is_known)
    });
    server.start_again();
    agree(&service, &server);
    let reconnects = |samples: HashMap<String, f64>| -> f64 {
        let of_all_reasons = |(name, _): &(&String, &f64)| name.starts_with("pgsiphon_reconnects");
        samples.iter().filter(of_all_reasons).map(|(_, count)| count).sum()
    };
    assert!(reconnects(service.samples()) >= 1.0);

    begin_timeline(&mut server, Server::kill);
    write_wal(&server, 1000);
    agree(&service, &server);
    assert_eq!(service.sample("pgsiphon_timeline"), Some(2.0));
    assert!(service.sample("pgsiphon_events_total{kind=\"timeline_switched\"}") >= Some(1.0));
    service.end();
}

fn a_stream_that_stands_still_shows_as_lag_and_is_given_up(installation: Installation) {
    // More than what comes of the segment in which the stream begins.
    const BEFORE: u64 = 2_000_000;
    let server = source(installation).initdb(&["--wal-segsize=1"]).start();
    let proxy = Proxy::before(&server, &[Fault::Stall(BEFORE)]);
    let service = Service::start(proxy.sockets(), proxy.port());
    agree(&service, &server);
    write_wal(&server, 3_000_000);
    proxy.wait_for_stall();
    wait_until("the lag", || {
        let end = position(&server, "pg_current_wal_flush_lsn()");
        let behind = end.zip(position(&server, SLOT)).map(|(end, flushed)| end - flushed);
        behind >= Some(1_000_000.0) && service.sample("pgsiphon_lag_bytes") == behind
    });
    service.wait_for("pgsiphon_lag_seconds", |seconds| seconds > Some(0.0));
    wait_until("another attempt", || service.get("/readyz").starts_with("HTTP/1.1 503 "));
    agree(&service, &server);
    assert_eq!(service.sample("pgsiphon_reconnects_total{reason=\"network\"}"), Some(1.0));
    service.end();
}
