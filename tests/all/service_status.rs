//! `pgsiphon status`: what it prints of a service, and of whatever else answers.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use pgsiphon::pg::{Lsn, Timestamp};
use pgsiphon::service::{
    Board, Http, HttpConfig, Liveness, OpenHole, Phase, ServerState, StatusReport,
};

use crate::support::client::Client;

/// A service with a server in a state.
fn service(phase: Phase, open_holes: Vec<OpenHole>) -> (Http, StatusReport) {
    let board = Arc::new(Board::default());
    let state = ServerState::new("main");
    state.change(|status| {
        status.phase = phase;
        status.host = Some("a\u{9b}2J".to_owned());
        status.open_holes = open_holes;
    });
    board.put("main", Arc::new(state));
    let listen = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    let http = HttpConfig { listen };
    let http = Http::start(http, Arc::clone(&board), Arc::new(Liveness::new())).unwrap();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    (http, StatusReport { version, servers: board.statuses() })
}

fn hole() -> OpenHole {
    OpenHole {
        from: None,
        to: Lsn::new(1),
        timeline: 1,
        cause: "empty_directory".to_owned(),
        noticed: Timestamp::from_micros(0),
    }
}

fn status(address: impl ToString) -> Client {
    Client::status().args(["--address", &address.to_string()])
}

#[test]
fn the_exit_code_says_whether_all_is_well() {
    let table = [
        (Phase::Streaming, vec![], 0),
        (Phase::CatchingUp, vec![], 0),
        (Phase::Streaming, vec![hole()], 1),
        (Phase::Connecting, vec![], 1),
        (Phase::Waiting { cause: "no".to_owned() }, vec![], 1),
        (Phase::Failed { cause: "no".to_owned() }, vec![], 1),
        (Phase::Stopped, vec![], 1),
    ];
    for (phase, holes, code) in table {
        let (http, _) = service(phase.clone(), holes);
        let finished = status(http.address()).run();
        assert_eq!(
            (finished.status.code(), finished.stderr.as_str()),
            (Some(code), ""),
            "{phase:?}"
        );
    }
}

#[test]
fn where_no_terminal_is_it_prints_an_object() {
    let (http, report) = service(Phase::Streaming, vec![hole()]);
    let printed = String::from_utf8(status(http.address()).run().stdout).unwrap();
    assert_eq!(serde_json::from_str::<StatusReport>(&printed).unwrap(), report);
    assert_eq!(printed.trim_end_matches('\n').find(char::is_control), None, "{printed:?}");
    assert_eq!(printed.lines().count(), 1);
}

#[test]
fn a_watched_status_is_an_object_a_line() {
    let (http, report) = service(Phase::Streaming, vec![]);
    let (read, write) = std::io::pipe().unwrap();
    let running = status(http.address()).arg("--watch").stdout(write).start();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(read)).take(2);
    for line in lines {
        let read: StatusReport = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(read, report);
    }
    // The reader is gone: the next line cannot be written.
    let finished = running.wait();
    assert_eq!(finished.failed(), "could not write to standard output: Broken pipe");
}

/// Listens, and answers the first request with these bytes.
fn answering(bytes: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        // The client may have had enough before the end.
        let _ = stream.write_all(&bytes);
    });
    address
}

#[test]
fn whoever_answers_otherwise_is_an_error_in_one_line() {
    let answer = |head: &str, body: &str| format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes();
    let deep = "[".repeat(100_000);
    let table = [
        (vec![], "could not get status from ADDRESS: connection closed before message completed"),
        (
            b"220 smtp\r\n".to_vec(),
            "could not get status from ADDRESS: invalid HTTP version parsed",
        ),
        (
            answer("404 Not Found", ""),
            "ADDRESS is no service of this program: HTTP status 404 Not Found",
        ),
        (
            answer("200 OK", ""),
            "ADDRESS sent an invalid status: EOF while parsing a value at line 1 column 0",
        ),
        (
            answer("200 OK", "{\"version\":1}"),
            "ADDRESS sent an invalid status: invalid type: integer `1`, expected a string at line 1 column 12",
        ),
        (
            answer("200 OK", &deep),
            "ADDRESS sent an invalid status: invalid type: sequence, expected a string at line 1 column 1",
        ),
        (
            answer("200 OK\r\nContent-Length: 99999999999", "{"),
            "could not get status from ADDRESS: error reading a body from connection",
        ),
        (
            answer("200 OK", &" ".repeat(65 << 20)),
            "could not get status from ADDRESS: length limit exceeded",
        ),
    ];
    for (bytes, expected) in table {
        let address = answering(bytes);
        let finished = status(address).run();
        let expected = expected.replace("ADDRESS", &format!("\"{address}\""));
        assert_eq!(finished.failed(), expected);
    }
}

#[test]
fn who_does_not_answer_is_not_waited_for() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = silent.local_addr().unwrap();
    let finished = status(address).run();
    let expected = format!("\"{address}\" did not answer within 5 seconds");
    assert_eq!(finished.failed(), expected);
    assert!(finished.took < Duration::from_secs(30), "{finished:?}");
}

#[test]
fn who_is_not_there_is_an_error() {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let expected = format!("could not connect to \"{address}\": Connection refused");
    assert_eq!(status(address).run().failed(), expected);
}
