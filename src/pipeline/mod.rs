//! A named thread behind a bounded queue, a queue whose reader takes much at once, and blocking work on the
//! thread that runs a future. Knows nothing of PostgreSQL.

pub mod in_place;
mod inbox;

use std::panic::resume_unwind;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

pub use in_place::InPlace;
pub use inbox::{InboxReceiver, InboxSender, Waited, inbox};

/// A thread that takes batches from a bounded queue, in order, and ends with a result.
///
/// The sending side is asynchronous, the thread is plain blocking code. Dropping the worker closes the
/// queue and waits for the thread, so nothing of it outlives its owner.
#[derive(Debug)]
pub struct Worker<B, T> {
    queue: Option<mpsc::Sender<B>>,
    /// Gives the result when the thread has ended; absent once it was taken.
    result: Option<oneshot::Receiver<T>>,
    thread: Option<JoinHandle<()>>,
}

/// The worker's side of the queue.
#[derive(Debug)]
pub struct Batches<B>(mpsc::Receiver<B>);

impl<B> Iterator for Batches<B> {
    type Item = B;

    /// Waits for the next batch; `None` when the worker's owner has closed the queue.
    fn next(&mut self) -> Option<B> {
        self.0.blocking_recv()
    }
}

/// The worker's thread has ended by itself; [`Worker::finish`] tells why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

impl<B: Send + 'static, T: Send + 'static> Worker<B, T> {
    /// Starts a thread. At most `queue_max` batches wait for it.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    pub fn spawn(
        name: &str,
        queue_max: usize,
        work: impl FnOnce(Batches<B>) -> T + Send + 'static,
    ) -> std::io::Result<Self> {
        let (queue, batches) = mpsc::channel(queue_max);
        let (sender, result) = oneshot::channel();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Nobody may be there to hear it, when the owner gave up.
            let _ = sender.send(work(Batches(batches)));
        })?;
        Ok(Worker { queue: Some(queue), result: Some(result), thread: Some(thread) })
    }

    /// Hands over a batch; waits while the queue is full. Cancellation safe: a batch is either handed
    /// over or dropped with the future.
    ///
    /// # Errors
    /// [`Ended`] if the thread takes no more batches.
    pub async fn send(&self, batch: B) -> Result<(), Ended> {
        match &self.queue {
            Some(queue) => queue.send(batch).await.map_err(|_| Ended),
            None => Err(Ended),
        }
    }

    /// Closes the queue and waits for the result.
    pub async fn finish(mut self) -> T {
        self.queue = None;
        let result = self.result.take().expect("taken only here, where the worker is consumed");
        match result.await {
            Ok(result) => result,
            // The thread ended without a result, so it panicked, and joining it panics here.
            Err(_) => {
                self.join();
                unreachable!("a worker's thread ends with a result or a panic")
            }
        }
    }
}

impl<B, T> Worker<B, T> {
    fn join(&mut self) {
        self.queue = None;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            resume_unwind(panic);
        }
    }
}

impl<B, T> Drop for Worker<B, T> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.join();
        }
    }
}

/// Runs blocking code on a thread of its own and waits for its result without blocking the runtime.
///
/// If the future is dropped, that waits for the thread.
///
/// # Errors
/// If the operating system gives no thread.
pub async fn run_blocking<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<T> {
    let worker = Worker::<(), T>::spawn(name, 1, move |_| work())?;
    Ok(worker.finish().await)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn batches_arrive_in_order_and_the_result_comes_back() {
        block_on(async {
            let worker = Worker::spawn("sum", 2, |batches| batches.collect::<Vec<u32>>()).unwrap();
            for number in 0..100 {
                worker.send(number).await.unwrap();
            }
            assert!(worker.finish().await.into_iter().eq(0..100));
        });
    }

    #[test]
    fn a_thread_that_gave_up_refuses_batches_and_tells_why() {
        block_on(async {
            let worker = Worker::<u32, _>::spawn("fail", 1, |_| Err::<(), _>("no space")).unwrap();
            while worker.send(1).await.is_ok() {}
            assert_eq!(worker.finish().await, Err("no space"));
        });
    }

    #[test]
    fn dropping_a_worker_waits_for_its_thread() {
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = std::sync::Arc::clone(&done);
        let worker = Worker::<u32, ()>::spawn("slow", 1, move |batches| {
            batches.for_each(drop);
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        })
        .unwrap();
        drop(worker);
        assert!(seen.load(std::sync::atomic::Ordering::SeqCst));
    }
}
