//! Receiving from beginning to end, over as many connections as it takes.

use std::future::Future;

use super::{Observer, ReceiveConfig, ReceiveError};
use crate::net::Connection;
use crate::net::conninfo::ConnectOptions;

/// WAL to receive.
#[derive(Clone, Copy)]
pub struct ReceiveJob<'a> {
    /// What is wanted.
    pub config: &'a ReceiveConfig,
    /// The server, for later connections.
    pub connect: &'a ConnectOptions,
    /// Hears of events.
    pub observer: &'a dyn Observer,
}

/// Receives WAL, at first over a connection that is ready for commands, until the end position is reached or
/// `interrupted` completes.
///
/// # Errors
/// What another connection would not cure; with [`super::OnDisconnect::Stop`],
/// [`ReceiveError::Disconnected`] after the observer has heard of the failure.
pub async fn run(
    job: ReceiveJob<'_>,
    connection: Connection,
    interrupted: impl Future<Output = ()>,
) -> Result<(), ReceiveError> {
    let _ = (job, connection, interrupted);
    Err(ReceiveError::Disconnected)
}
