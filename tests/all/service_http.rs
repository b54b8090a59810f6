//! Metrics, health and status over HTTP: what is answered, and what clients that mean harm can do.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgsiphon::service::{
    Board, Http, HttpConfig, Liveness, Phase, ServerState, ServerStatus, StatusReport,
};

/// Far more than an answer takes, and less than a client may take for its request.
const AT_ONCE: Duration = Duration::from_secs(3);

const ANY_PORT: HttpConfig =
    HttpConfig { listen: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0) };

fn serve(phases: &[(&str, Phase)]) -> (Http, Arc<Board>) {
    let board = Arc::new(Board::default());
    for (name, phase) in phases {
        put(&board, name, phase.clone());
    }
    let http = Http::start(ANY_PORT, Arc::clone(&board), Arc::new(Liveness::new())).unwrap();
    (http, board)
}

fn put(board: &Board, name: &str, phase: Phase) {
    let state = ServerState::new(name);
    state.change(|status| status.phase = phase);
    board.put(name, Arc::new(state));
}

fn waiting(cause: &str) -> Phase {
    Phase::Waiting { cause: cause.to_owned() }
}

fn connect(http: &Http) -> TcpStream {
    let stream = TcpStream::connect(http.address()).unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    stream
}

/// Sends bytes and returns all that is answered.
fn exchange(http: &Http, request: &[u8]) -> String {
    let mut stream = connect(http);
    // Who sends too much is cut off, maybe in the middle.
    let _ = stream.write_all(request);
    answer(stream)
}

/// Reads until the other side closes.
fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Returns the status and the body of an answer.
fn get(http: &Http, path: &str) -> (String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = exchange(http, request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    (head[9..12].to_owned(), body.to_owned())
}

#[test]
fn it_is_ready_when_every_server_streams() {
    let answer = |status: &str, body: &str| (status.to_owned(), body.to_owned());
    let (http, board) = serve(&[
        ("a", Phase::Streaming),
        ("b", waiting("connection refused")),
        ("c", Phase::CatchingUp),
    ]);
    let expected = answer("503", "b: waiting: connection refused\nc: catching up\n");
    assert_eq!(get(&http, "/readyz"), expected);
    assert_eq!(get(&http, "/healthz"), answer("200", "alive\n"));
    put(&board, "b", Phase::Streaming);
    board.retain(|name| name != "c");
    assert_eq!(get(&http, "/readyz"), answer("200", "ready\n"));
}

#[test]
fn the_status_can_be_read_as_what_it_was() {
    let (http, board) = serve(&[("a", Phase::Streaming), ("b", waiting("\"\n\u{1b}é"))]);
    let (status, body) = get(&http, "/status");
    let report: StatusReport = serde_json::from_str(&body).unwrap();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    assert_eq!(status, "200");
    assert_eq!(report, StatusReport { version, servers: board.statuses() });
}

#[test]
fn metrics_are_those_of_the_moment() {
    let (http, board) = serve(&[("a", Phase::Streaming)]);
    let streams = |server: &str| {
        let (status, body) = get(&http, "/metrics");
        assert_eq!((status.as_str(), body.ends_with("# EOF\n")), ("200", true));
        let line = format!("pgsiphon_phase{{server=\"{server}\",phase=\"streaming\"}} 1\n");
        body.contains(&line)
    };
    assert!(streams("a") && !streams("b"));
    board.retain(|name| name != "a");
    put(&board, "b", Phase::Streaming);
    assert!(!streams("a") && streams("b"));
}

#[test]
fn nothing_else_is_answered() {
    let (http, _board) = serve(&[]);
    let table = [
        ("GET / HTTP/1.1", "HTTP/1.1 404"),
        ("GET /metrics/ HTTP/1.1", "HTTP/1.1 404"),
        ("GET /../../etc/passwd HTTP/1.1", "HTTP/1.1 404"),
        ("GET /status?x=%00 HTTP/1.1", "HTTP/1.1 200"),
        ("HEAD /status HTTP/1.1", "HTTP/1.1 200"),
        ("POST /status HTTP/1.1", "HTTP/1.1 405"),
        ("DELETE /metrics HTTP/1.1", "HTTP/1.1 405"),
        ("PUT /nothing HTTP/1.1", "HTTP/1.1 404"),
        ("CONNECT localhost:22 HTTP/1.1", "HTTP/1.1 404"),
        ("GET /healthz HTTP/1.0", "HTTP/1.0 200"),
        ("GET /healthz HTTP/2.0", ""),
        ("nonsense", "HTTP/1.1 400"),
        ("\0\0\0\0\u{7f}", "HTTP/1.1 400"),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}", "HTTP/1.1 400"),
    ];
    for (request, beginning) in table {
        let answer = exchange(&http, format!("{request}\r\nHost: localhost\r\n\r\n").as_bytes());
        assert!(answer.starts_with(beginning), "{request:?}: {answer:?}");
    }
    assert_eq!(get(&http, "/healthz").0, "200");
}

#[test]
fn a_request_without_end_is_cut() {
    let (http, _board) = serve(&[]);
    let table = [
        (format!("GET /{}", "a".repeat(4 << 20)), "a path"),
        (format!("GET /status HTTP/1.1\r\nX: {}", "a".repeat(4 << 20)), "a header"),
        (format!("GET /status HTTP/1.1\r\n{}", "X: a\r\n".repeat(1 << 20)), "headers"),
    ];
    for (request, what) in table {
        let began = Instant::now();
        let answer = exchange(&http, request.as_bytes());
        assert!(!answer.starts_with("HTTP/1.1 200"), "{what}: {answer:?}");
        assert!(began.elapsed() < AT_ONCE, "{what}");
    }
    // A body is not read at all.
    let body = "a".repeat(4 << 20);
    let head =
        format!("GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len());
    exchange(&http, (head + &body).as_bytes());
    assert_eq!(get(&http, "/healthz").0, "200");
}

#[test]
fn who_sends_nothing_is_cut_after_seconds() {
    let (http, _board) = serve(&[]);
    let mut slow: Vec<_> = ["", "GET /sta", "GET /status HTTP/1.1\r\nHost:"]
        .map(|part| {
            let mut stream = connect(&http);
            stream.write_all(part.as_bytes()).unwrap();
            stream
        })
        .into();
    let began = Instant::now();
    for stream in slow.drain(..) {
        assert!(!answer(stream).starts_with("HTTP/1.1 200"));
    }
    assert!(began.elapsed() < Duration::from_secs(20), "it took {:?}", began.elapsed());
}

#[test]
fn many_who_hold_connections_open_keep_nobody_out() {
    let (http, _board) = serve(&[]);
    let held: Vec<TcpStream> = (0..300).map(|_| connect(&http)).collect();
    let began = Instant::now();
    assert_eq!(get(&http, "/healthz").0, "200");
    assert!(began.elapsed() < AT_ONCE, "it took {:?}", began.elapsed());
    drop(held);
}

#[test]
fn an_address_that_is_taken_is_an_error_in_one_line() {
    let other = TcpListener::bind(ANY_PORT.listen).unwrap();
    let listen = other.local_addr().unwrap();
    let error = Http::start(HttpConfig { listen }, Arc::default(), Arc::new(Liveness::new()));
    let expected = format!("could not listen on \"{listen}\": Address already in use");
    assert_eq!(error.unwrap_err().to_string(), expected);
}

#[test]
fn it_does_not_listen_when_it_is_dropped() {
    let (http, _board) = serve(&[("a", Phase::Streaming)]);
    let address = http.address();
    let held = connect(&http);
    drop(http);
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(answer(held), "");
    TcpListener::bind(address).unwrap();
}

#[test]
fn a_hundred_servers_with_all_their_events_are_no_trouble() {
    let (http, board) = serve(&[]);
    for index in 0..100 {
        let state = ServerState::new(&format!("server{index}"));
        let status = ServerStatus { system_identifier: Some("x".repeat(10_000)), ..state.status() };
        state.change(|known| *known = status);
        board.put(&format!("server{index}"), Arc::new(state));
    }
    let report: StatusReport = serde_json::from_str(&get(&http, "/status").1).unwrap();
    assert_eq!(report.servers.len(), 100);
    assert!(get(&http, "/metrics").1.ends_with("# EOF\n"));
}
