//! A queue whose reader takes much at once.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Ended;

/// The share of a full queue that the reader takes at once: what it takes leaves room in the queue, so that there can
/// be so much more than the queue holds.
const SHARE_TAKEN: usize = 8;

/// Creates a queue for items of at most `weight_max` together; one heavier item alone is let in too.
pub fn inbox<T>(weight_max: usize) -> (InboxSender<T>, InboxReceiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            pieces: VecDeque::new(),
            weight: 0,
            is_called: false,
            is_closed: false,
        }),
        weight_max,
        filled: Condvar::new(),
        emptied: Notify::new(),
    });
    (InboxSender(Arc::clone(&shared)), InboxReceiver(shared))
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    weight_max: usize,
    filled: Condvar,
    emptied: Notify,
}

#[derive(Debug)]
struct State<T> {
    pieces: VecDeque<Piece<T>>,
    weight: usize,
    /// The reader is to look at what there is.
    is_called: bool,
    /// One of both sides is gone.
    is_closed: bool,
}

/// What was pushed at once.
#[derive(Debug)]
struct Piece<T> {
    items: Vec<T>,
    weight: usize,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that is done under the lock leaves a state that is not whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_all();
        self.emptied.notify_waiters();
    }
}

/// The asynchronous side, which fills the queue. Dropping it closes the queue.
#[derive(Debug)]
pub struct InboxSender<T>(Arc<Shared<T>>);

impl<T> InboxSender<T> {
    /// Waits until the queue has room. Cancellation safe.
    ///
    /// # Errors
    /// [`Ended`] if the reader is gone.
    pub async fn room(&self) -> Result<(), Ended> {
        loop {
            let emptied = self.0.emptied.notified();
            tokio::pin!(emptied);
            // From here on, no notification is missed.
            emptied.as_mut().enable();
            {
                let state = self.0.lock();
                if state.is_closed {
                    return Err(Ended);
                }
                if state.weight < self.0.weight_max {
                    return Ok(());
                }
            }
            emptied.await;
        }
    }

    /// Adds items of a weight, whether there is room or not: [`Self::room`] comes first.
    pub fn push(&self, items: impl Into<Vec<T>>, weight: usize) {
        self.push_unnoticed(items, weight);
        self.0.filled.notify_one();
    }

    /// Adds items as [`Self::push`] does, but leaves the reader asleep: somebody else sees to it that they are
    /// taken.
    pub fn push_unnoticed(&self, items: impl Into<Vec<T>>, weight: usize) {
        let mut state = self.0.lock();
        state.pieces.push_back(Piece { items: items.into(), weight });
        state.weight = state.weight.saturating_add(weight);
    }
}

impl<T> Drop for InboxSender<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Why the reader waits no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// There is something to take.
    Filled,
    /// Somebody called.
    Called,
    /// Nothing came in time.
    InVain,
    /// Nothing is there and nothing more will come.
    Closed,
}

/// The blocking side. Dropping it refuses all that comes.
#[derive(Debug)]
pub struct InboxReceiver<T>(Arc<Shared<T>>);

impl<T> InboxReceiver<T> {
    /// Waits until something is there, or a call comes; for ever or so long.
    pub fn wait(&self, patience: Option<Duration>) -> Waited {
        let deadline = patience.map(|patience| Instant::now() + patience);
        let mut state = self.0.lock();
        loop {
            let is_called = std::mem::take(&mut state.is_called);
            match (state.pieces.is_empty(), state.is_closed) {
                (false, _) => return Waited::Filled,
                (true, _) if is_called => return Waited::Called,
                (true, true) => return Waited::Closed,
                (true, false) => {}
            }
            state =
                match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                    None => self.0.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
                    Some(Duration::ZERO) => return Waited::InVain,
                    Some(left) => {
                        let waited = self.0.filled.wait_timeout(state, left);
                        waited.unwrap_or_else(PoisonError::into_inner).0
                    }
                };
        }
    }

    /// Takes what is there, or the first of it, an eighth of what there may be or little more.
    pub fn take(&self) -> Vec<T> {
        let mut state = self.0.lock();
        let (mut taken, mut weight) = (Vec::new(), 0_usize);
        while weight < self.0.weight_max / SHARE_TAKEN
            && let Some(piece) = state.pieces.pop_front()
        {
            taken.extend(piece.items);
            weight = weight.saturating_add(piece.weight);
        }
        state.weight = state.weight.saturating_sub(weight);
        drop(state);
        self.0.emptied.notify_waiters();
        taken
    }

    /// Refuses all that comes.
    pub fn close(&self) {
        self.0.close();
    }

    /// Makes whoever waits look at what there is.
    pub fn call(&self) {
        self.0.lock().is_called = true;
        self.0.filled.notify_one();
    }
}

impl<T> Drop for InboxReceiver<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn what_gathered_is_taken_in_portions() {
        let (sender, receiver) = inbox(80);
        sender.push([1, 2], 9);
        sender.push([3], 1);
        sender.push([4], 1);
        assert_eq!((receiver.wait(None), receiver.take()), (Waited::Filled, vec![1, 2, 3]));
        assert_eq!((receiver.wait(None), receiver.take()), (Waited::Filled, vec![4]));
        assert_eq!(receiver.wait(Some(Duration::ZERO)), Waited::InVain);
        receiver.call();
        assert_eq!(receiver.wait(None), Waited::Called);
        sender.push_unnoticed([5], 1);
        drop(sender);
        assert_eq!((receiver.wait(None), receiver.take()), (Waited::Filled, vec![5]));
        assert_eq!(receiver.wait(None), Waited::Closed);
    }

    #[test]
    fn a_full_queue_has_room_again_when_it_was_taken() {
        let (sender, receiver) = inbox(10);
        block_on(async {
            sender.room().await.unwrap();
            sender.push([0], 10);
            let full = tokio::time::timeout(Duration::from_millis(10), sender.room()).await;
            assert!(full.is_err());
            let reader = std::thread::spawn(move || {
                assert_eq!((receiver.wait(None), receiver.take()), (Waited::Filled, vec![0]));
                receiver
            });
            sender.room().await.unwrap();
            drop(reader.join().unwrap());
            assert_eq!(sender.room().await, Err(Ended));
        });
    }

    #[test]
    fn a_thousand_items_arrive_in_order_over_two_threads() {
        let (sender, receiver) = inbox(24);
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            while receiver.wait(None) != Waited::Closed {
                all.extend(receiver.take());
            }
            all
        });
        block_on(async {
            for number in 0..1000 {
                sender.room().await.unwrap();
                sender.push([number], 3);
            }
        });
        drop(sender);
        assert!(reader.join().unwrap().into_iter().eq(0..1000));
    }
}
