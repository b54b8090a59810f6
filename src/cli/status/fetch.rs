//! Getting the status from a service. Whoever answers may be anybody: time and size have bounds.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::cli::connect::block_on;
use crate::pg::OsError;
use crate::service::StatusReport;

/// A service answers at once, whatever its servers do.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Thousands of servers with all their events.
const SIZE_MAX: usize = 64 << 20;

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("could not start: {}", OsError(.0))]
    Start(#[from] io::Error),
    #[error("could not connect to \"{address}\": {}", OsError(source))]
    Connect { address: String, source: io::Error },
    #[error("\"{address}\" did not answer within {} seconds", TIME_MAX.as_secs())]
    TooSlow { address: String },
    #[error("could not get status from \"{address}\": {reason}")]
    Exchange { address: String, reason: String },
    #[error("\"{address}\" is no service of this program: HTTP status {status}")]
    Refused { address: String, status: StatusCode },
    #[error("\"{address}\" sent an invalid status: {source}")]
    Invalid { address: String, source: serde_json::Error },
}

/// Asks the service at an address for its status.
pub(super) fn status(address: &str) -> Result<StatusReport, FetchError> {
    let body = block_on(async {
        let answer = tokio::time::timeout(TIME_MAX, body(address)).await;
        answer.unwrap_or_else(|_| Err(FetchError::TooSlow { address: address.to_owned() }))
    })?;
    serde_json::from_slice(&body)
        .map_err(|source| FetchError::Invalid { address: address.to_owned(), source })
}

async fn body(address: &str) -> Result<Bytes, FetchError> {
    let connect = |source| FetchError::Connect { address: address.to_owned(), source };
    let stream = TcpStream::connect(address).await.map_err(connect)?;
    let broken = |reason: &dyn ToString| FetchError::Exchange {
        address: address.to_owned(),
        reason: reason.to_string(),
    };
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| broken(&error))?;
    // What goes wrong on the connection is what the request fails with.
    tokio::spawn(connection);
    let request = Request::get("/status").header(HOST, address).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| broken(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
    if answer.status() != StatusCode::OK {
        let status = answer.status();
        return Err(FetchError::Refused { address: address.to_owned(), status });
    }
    let body = Limited::new(answer.into_body(), SIZE_MAX).collect().await;
    Ok(body.map_err(|error| broken(&error))?.to_bytes())
}
