//! Threads that work on pieces side by side, whose results come back in order.

use std::collections::VecDeque;
use std::io;
use std::panic::resume_unwind;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, unbounded};

/// A few threads that turn each `I` into an `O`. Its owner bounds how many are on their way; dropping it
/// takes back what no thread has begun, and waits for the rest.
#[derive(Debug)]
pub(super) struct Pool<I, O> {
    jobs: Option<Sender<Job<I, O>>>,
    /// Where each result comes from, in the order of the jobs.
    results: VecDeque<Receiver<O>>,
    /// The threads' end of the queue, to empty it.
    queue: Receiver<Job<I, O>>,
    threads: Vec<JoinHandle<()>>,
}

struct Job<I, O> {
    input: I,
    result: Sender<O>,
}

impl<I: Send + 'static, O: Send + 'static> Pool<I, O> {
    /// Starts threads; `worker` makes what each of them does.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    pub(super) fn start<W>(name: &str, threads: usize, worker: impl Fn() -> W) -> io::Result<Self>
    where
        W: FnMut(I) -> O + Send + 'static,
    {
        // The owner bounds it.
        let (sender, jobs) = unbounded::<Job<I, O>>();
        let mut pool =
            Pool { jobs: Some(sender), results: VecDeque::new(), queue: jobs, threads: Vec::new() };
        for _ in 0..threads {
            let (jobs, mut work) = (pool.queue.clone(), worker());
            let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
                for Job { input, result } in jobs {
                    // Nobody may be there to hear it, when the owner gave up.
                    let _ = result.send(work(input));
                }
            })?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Hands out a piece.
    pub(super) fn submit(&mut self, input: I) {
        let (result, receiver) = bounded(1);
        self.results.push_back(receiver);
        if let Some(jobs) = &self.jobs {
            // If all threads are gone, waiting for the result tells.
            let _ = jobs.send(Job { input, result });
        }
    }

    /// Returns how many pieces were handed out whose results were not taken.
    pub(super) fn in_flight(&self) -> usize {
        self.results.len()
    }

    /// Takes the next result in order, if it is there.
    pub(super) fn try_next(&mut self) -> Option<O> {
        match self.results.front()?.try_recv() {
            Ok(output) => {
                self.results.pop_front();
                Some(output)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => self.resume_panic(),
        }
    }

    /// Waits for the next result in order; `None` if nothing was handed out.
    pub(super) fn next(&mut self) -> Option<O> {
        match self.results.pop_front()?.recv() {
            Ok(output) => Some(output),
            Err(_) => self.resume_panic(),
        }
    }

    /// A thread ended without a result, so it panicked, and joining it panics here.
    fn resume_panic(&mut self) -> ! {
        self.join();
        unreachable!("each piece ends with a result or a panic")
    }
}

impl<I, O> Pool<I, O> {
    fn join(&mut self) {
        self.results.clear();
        self.jobs = None;
        self.queue.try_iter().for_each(drop);
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
    }
}

impl<I, O> Drop for Pool<I, O> {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.join();
        }
    }
}
