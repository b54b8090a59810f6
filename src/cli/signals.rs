//! SIGINT, SIGTERM and SIGHUP.

use std::io;
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Returns a token that is cancelled by the first SIGINT or SIGTERM.
///
/// The second one ends the process at once: clean-up waits for writes under way, and a write to a pipe
/// that nobody reads never ends. That is why signals have a thread of their own.
///
/// # Errors
/// If signals cannot be listened to.
pub(super) fn first_interrupt() -> io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let first = token.clone();
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let (mut interrupts, mut terminations) = {
        let _guard = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupts.recv() => {}
                    _ = terminations.recv() => {}
                }
                if first.is_cancelled() {
                    std::process::exit(1);
                }
                first.cancel();
            }
        });
    })?;
    Ok(token)
}

/// Makes SIGHUP do nothing from now on: there is no configuration to read again.
///
/// # Errors
/// If the signal cannot be caught.
///
/// # Panics
/// Outside of a runtime.
pub(super) fn ignore_hangups() -> io::Result<()> {
    // The handler stays for as long as the process lives, whoever still listens.
    signal(SignalKind::hangup()).map(drop)
}
