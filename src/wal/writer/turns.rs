//! Who writes: the writer's own thread, or, for little, the thread that received it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::log_writer::LogWriter;
use super::{Suspended, WalInput, WalWriteError};
use crate::pipeline::{InboxReceiver, Waited};

/// A writer that threads use in turns, and what waits for it.
pub(super) struct Turns {
    inbox: InboxReceiver<WalInput>,
    state: Mutex<State>,
}

enum State {
    Writing(Box<LogWriter>),
    /// The writer's thread is to tell the failure.
    Failed(WalWriteError),
    Ended,
}

impl Turns {
    pub(super) fn new(inbox: InboxReceiver<WalInput>, writer: LogWriter) -> Self {
        Turns { inbox, state: Mutex::new(State::Writing(Box::new(writer))) }
    }

    /// Writes until the inbox is closed: the life of the writer's thread.
    pub(super) fn run(&self) -> Result<Suspended, WalWriteError> {
        let _end = LastTurn(&self.inbox);
        self.write_until_closed()
    }

    fn write_until_closed(&self) -> Result<Suspended, WalWriteError> {
        let mut waited = Waited::Called;
        while waited != Waited::Closed {
            let patience = {
                let mut state = self.lock();
                let State::Writing(writer) = &mut *state else { break };
                self.take_turn(writer, waited).inspect_err(|_| *state = State::Ended)?
            };
            waited = self.inbox.wait(patience);
        }
        self.lock().end()
    }

    fn take_turn(
        &self,
        writer: &mut LogWriter,
        waited: Waited,
    ) -> Result<Option<Duration>, WalWriteError> {
        // Under the lock, so that nobody writes what came later before this.
        writer.take(self.inbox.take())?;
        if waited == Waited::InVain {
            writer.settle()?;
        }
        writer.prepare()?;
        Ok(writer.patience())
    }

    /// Says whether nobody writes at the moment.
    pub(super) fn is_free(&self) -> bool {
        self.state.try_lock().is_ok()
    }

    /// Writes what arrived, on the calling thread; leaves it to the writer's thread if that is at it, and whatever
    /// nobody waits for in any case.
    pub(super) fn write_in_place(&self) {
        let Ok(mut state) = self.state.try_lock() else { return self.inbox.call() };
        let State::Writing(writer) = &mut *state else { return };
        let is_work_left = match writer.take(self.inbox.take()) {
            Ok(()) => writer.patience().is_some() || writer.can_prepare(),
            Err(failure) => {
                *state = State::Failed(failure);
                true
            }
        };
        drop(state);
        if is_work_left {
            self.inbox.call();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // After a panic, the thread that had it tells.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the inbox, also after a panic, so that nothing more is received for nobody.
struct LastTurn<'a>(&'a InboxReceiver<WalInput>);

impl Drop for LastTurn<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl State {
    /// Closes what is there, if nobody has failed.
    fn end(&mut self) -> Result<Suspended, WalWriteError> {
        match std::mem::replace(self, State::Ended) {
            State::Writing(writer) => writer.suspend(),
            State::Failed(failure) => Err(failure),
            State::Ended => Ok(Suspended { not_renamed: None }),
        }
    }
}
