//! Calls of the library that may wait for the network or a disk, on a thread where that hinders nobody.

use tokio::task::spawn_blocking;

use super::{Context, Credentials, GssError};
use crate::net::conninfo::GssEncryption;

/// Looks for the user's credentials.
pub(super) async fn credentials() -> Option<Credentials> {
    on_a_thread(Credentials::acquire).await
}

/// Looks for credentials to encrypt a connection with; there are none if it is not to be encrypted.
///
/// # Errors
/// If the user insists on encryption, and there are none or the connection is over a local socket.
pub(in crate::net) async fn credentials_for(
    encryption: GssEncryption,
    over_socket: bool,
) -> Result<Option<Credentials>, GssError> {
    match (encryption, over_socket) {
        (GssEncryption::Disable, _) | (GssEncryption::Prefer, true) => Ok(None),
        (GssEncryption::Prefer, false) => Ok(credentials().await),
        (GssEncryption::Require, true) => Err(GssError::OverSocket),
        (GssEncryption::Require, false) => {
            credentials().await.map(Some).ok_or(GssError::NoCredentials)
        }
    }
}

/// Takes a step of the context: gives it the server's token, none at first, and returns ours.
pub(super) async fn step(
    mut context: Context,
    token: Option<Vec<u8>>,
) -> Result<(Context, Vec<u8>), GssError> {
    on_a_thread(move || context.step(token.as_deref()).map(|answer| (context, answer))).await
}

async fn on_a_thread<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(call).await.expect("it does not panic, and is not cancelled while it is awaited")
}
