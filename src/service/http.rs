//! Metrics, health and status over HTTP.
//!
//! | path | what it says |
//! |---|---|
//! | `/metrics` | metrics as OpenMetrics text |
//! | `/healthz` | 200 while everything gets on, 503 if something stands still: a restart may help |
//! | `/readyz` | 200 if every server streams and has caught up, else 503 and a line for each that does not |
//! | `/status` | a [`StatusReport`] as JSON |
//!
//! Nothing can be changed, and nothing that a client sends or leaves out costs more than a bound of memory and time.
//! It has a thread of its own, so that it answers whatever the servers do.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::config::HttpConfig;
use super::connections::Connections;
use super::liveness::Liveness;
use super::metrics;
use super::state::Board;
use super::status::{Phase, ServerStatus, StatusReport};
use crate::pg::OsError;

/// Whoever has not sent a request by then is not going to.
const HEADER_TIME_MAX: Duration = Duration::from_secs(5);

/// From the first byte of a request to the last one of the answer.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(15);

/// The least that the HTTP library takes, and much more than a request of Prometheus has.
const HEADER_SIZE_MAX: usize = 8 << 10;

/// For a moment without file descriptors to pass.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be had.
    #[error("could not listen on \"{address}\": {}", OsError(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// There is no thread for it.
    #[error("could not start serving HTTP: {}", OsError(.0))]
    Start(#[from] io::Error),
}

impl HttpError {
    /// Says whether somebody else listens there, or at an address that this one includes.
    pub fn is_address_taken(&self) -> bool {
        match self {
            HttpError::Listen { source, .. } => source.kind() == io::ErrorKind::AddrInUse,
            HttpError::Start(_) => false,
        }
    }
}

/// Serves metrics, health and status until it is dropped.
#[derive(Debug)]
pub struct Http {
    config: HttpConfig,
    address: SocketAddr,
    end: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// What is shown.
#[derive(Debug)]
struct Shown {
    board: Arc<Board>,
    liveness: Arc<Liveness>,
}

impl Http {
    /// Begins to serve.
    ///
    /// # Errors
    /// If the address cannot be had, or there is no thread for it.
    pub fn start(
        config: HttpConfig,
        board: Arc<Board>,
        liveness: Arc<Liveness>,
    ) -> Result<Self, HttpError> {
        let at_address = |source| HttpError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).map_err(at_address)?;
        let address = listener.local_addr().map_err(at_address)?;
        listener.set_nonblocking(true)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let end = CancellationToken::new();
        let ended = end.clone();
        let router = router(Shown { board, liveness });
        let thread = thread::Builder::new().name("http".to_owned());
        let thread = thread.spawn(move || serve(&runtime, listener, &router, &ended))?;
        Ok(Http { config, address, end, thread: Some(thread) })
    }

    /// Returns what it was started with.
    pub fn config(&self) -> HttpConfig {
        self.config
    }

    /// Returns where it listens, also if the system was to choose the port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.end.cancel();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("serving HTTP had ended by a fault of this program");
        }
    }
}

fn serve(runtime: &Runtime, listener: TcpListener, router: &Router, end: &CancellationToken) {
    runtime.block_on(async {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => {
                end.run_until_cancelled(accept(&listener, router)).await;
            }
            Err(error) => tracing::error!("could not serve HTTP: {}", OsError(&error)),
        }
    });
}

async fn accept(listener: &tokio::net::TcpListener, router: &Router) {
    let mut connections = Connections::default();
    let mut is_failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                is_failing = false;
                connections.add(tokio::spawn(answer(stream, router.clone())));
            }
            Err(error) => {
                if !is_failing {
                    tracing::warn!("could not accept an HTTP connection: {}", OsError(&error));
                }
                is_failing = true;
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

/// Answers one request. Whoever sends another one connects again: that costs little, and a connection that lasts
/// could not be told from one that hangs.
async fn answer(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .max_buf_size(HEADER_SIZE_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(CONNECTION_TIME_MAX, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("could not answer an HTTP request: {error}"),
        Err(_) => tracing::debug!("could not answer an HTTP request: the client was too slow"),
    }
}

fn router(shown: Shown) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .with_state(Arc::new(shown))
}

async fn metrics(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::text(&shown.board))
}

async fn healthz(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    match shown.liveness.is_alive() {
        true => (StatusCode::OK, "alive\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "something stands still\n"),
    }
}

async fn readyz(State(shown): State<Arc<Shown>>) -> impl IntoResponse {
    let lagging: String = shown.board.statuses().iter().filter_map(what_is_missing).collect();
    match lagging.is_empty() {
        true => (StatusCode::OK, "ready\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, lagging),
    }
}

async fn status(State(shown): State<Arc<Shown>>) -> Json<StatusReport> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Json(StatusReport { version, servers: shown.board.statuses() })
}

/// Returns a line that says why a server has not caught up, unless it has.
fn what_is_missing(server: &ServerStatus) -> Option<String> {
    let ServerStatus { name, phase, .. } = server;
    if *phase == Phase::Streaming {
        return None;
    }
    let cause = phase.cause().map(|cause| format!(": {cause}")).unwrap_or_default();
    Some(format!("{name}: {}{cause}\n", phase.name().replace('_', " ")))
}
