//! SIGINT, SIGTERM and SIGHUP.

use std::io;
use std::sync::mpsc::{Receiver, channel};
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

/// What a signal asks a service for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// To end in good order.
    End,
    /// To read its configuration again.
    Reload,
}

/// Returns what signals ask for from now on. The second one that asks for the end ends the process at once.
///
/// # Errors
/// If signals cannot be listened to.
pub(super) fn wishes() -> io::Result<Receiver<Wish>> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let (mut interrupts, mut terminations, mut hangups) = {
        let _guard = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        )
    };
    let (wish, wishes) = channel();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            let mut is_ending = false;
            loop {
                let wished = tokio::select! {
                    _ = interrupts.recv() => Wish::End,
                    _ = terminations.recv() => Wish::End,
                    _ = hangups.recv() => Wish::Reload,
                };
                if wished == Wish::End && is_ending {
                    std::process::exit(1);
                }
                is_ending |= wished == Wish::End;
                // Who ends does not listen any more.
                let _ = wish.send(wished);
            }
        });
    })?;
    Ok(wishes)
}
