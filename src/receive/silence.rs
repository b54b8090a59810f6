//! How long a server may say nothing, as `wal_receiver_timeout` of a standby bounds it.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::ReceiveError;

/// Watches over one stream's silence. A server that is well answers when it is asked, also if it has nothing to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    /// How long it may last in all: half of that before the server is asked, half after.
    pub(super) max: Duration,
    since: Instant,
    is_asked: bool,
}

/// What silence calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// To ask the server whether it is there.
    Ask,
    /// To give it up.
    GiveUp,
}

impl Silence {
    /// Begins now.
    pub(super) fn new(max: Duration, now: Instant) -> Self {
        Silence { max, since: now, is_asked: false }
    }

    /// Notes that the server said something, or that nobody listened.
    pub(super) fn handle_sound(&mut self, now: Instant) {
        *self = Silence::new(self.max, now);
    }

    /// Returns when [`Self::poll_call`] wants to be asked.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.since + self.max / 2
    }

    /// Returns what is to be done now, if anything. The time to answer begins with the question, so that a process that
    /// stood still itself asks first.
    pub(super) fn poll_call(&mut self, now: Instant) -> Option<Call> {
        if now < self.poll_timeout() {
            return None;
        }
        self.since = now;
        match std::mem::replace(&mut self.is_asked, true) {
            false => Some(Call::Ask),
            true => Some(Call::GiveUp),
        }
    }
}

/// Waits for the answer to a command, which takes a server that works next to no time.
///
/// # Errors
/// What the command gives, or [`ReceiveError::ServerSilent`] if there is a limit and no answer within it.
pub(super) async fn answer<T, E: Into<ReceiveError>>(
    max: Option<Duration>,
    command: impl Future<Output = Result<T, E>>,
) -> Result<T, ReceiveError> {
    let outcome = match max {
        Some(max) => timeout(max, command).await.map_err(|_| ReceiveError::ServerSilent(max))?,
        None => command.await,
    };
    outcome.map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_server_is_asked_and_then_given_up() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut silence = Silence::new(Duration::from_secs(60), began);
        // Seconds, whether something comes, what is called for.
        let table = [
            (29, false, None),
            (30, false, Some(Call::Ask)),
            (31, true, None),
            (60, false, None),
            (61, false, Some(Call::Ask)),
            (90, false, None),
            (91, false, Some(Call::GiveUp)),
        ];
        for (seconds, is_sound, call) in table {
            if is_sound {
                silence.handle_sound(at(seconds));
            }
            assert_eq!(silence.poll_call(at(seconds)), call, "{seconds}");
        }
    }

    #[test]
    fn a_command_that_is_not_answered_is_given_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let command = std::future::pending::<Result<(), ReceiveError>>();
        let outcome = runtime.block_on(async { answer(Some(Duration::ZERO), command).await });
        assert!(matches!(outcome, Err(ReceiveError::ServerSilent(Duration::ZERO))), "{outcome:?}");
    }

    #[test]
    fn whoever_stood_still_himself_asks_first() {
        let began = Instant::now();
        let mut silence = Silence::new(Duration::from_secs(60), began);
        let later = began + Duration::from_secs(3600);
        assert_eq!(silence.poll_call(later), Some(Call::Ask));
        assert_eq!(silence.poll_timeout(), later + Duration::from_secs(30));
    }
}
