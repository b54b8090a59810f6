//! Work that blocks, done by the thread that runs a future, between its polls. A hand-over to another thread would
//! cost more than the work, as long as that is short; if it is not, a second thread goes on with the future.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// How often a second thread looks whether it has to go on with the future, while there is work; it does so after
/// twice that time at most.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

type Work = Box<dyn FnOnce() + Send>;

/// Where a future leaves work for the thread that runs it; see [`block_on`].
#[derive(Clone, Default)]
pub struct InPlace(Arc<Mutex<VecDeque<Work>>>);

impl InPlace {
    /// Leaves work that is done as soon as the future waits.
    pub fn leave(&self, work: impl FnOnce() + Send + 'static) {
        lock(&self.0).push_back(Box::new(work));
    }

    fn take(&self) -> Option<Work> {
        lock(&self.0).pop_front()
    }
}

impl fmt::Debug for InPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InPlace").field(&lock(&self.0).len()).finish()
    }
}

/// Runs a future to its end on a runtime of this thread, and does the work that it leaves meanwhile. The future makes
/// progress also while work takes long.
///
/// # Errors
/// If the operating system gives no second thread.
pub fn block_on<F>(runtime: &Runtime, in_place: &InPlace, future: F) -> io::Result<F::Output>
where
    F: Future + Send,
    F::Output: Send,
{
    let future = pin!(future);
    let relay = Arc::new(Relay::default());
    let run = Run {
        runtime,
        in_place,
        waker: Waker::from(Arc::clone(&relay)),
        relay,
        future: Mutex::new(future),
        output: Mutex::new(None),
        watch: Mutex::default(),
        changed: Condvar::new(),
        work_is_done: Notify::new(),
    };
    thread::scope(|scope| {
        let second = thread::Builder::new().name("second".to_owned());
        second.spawn_scoped(scope, || run.stand_by())?;
        let _end = EndOfRun(&run);
        Ok(run.run())
    })
}

/// A future that two threads run, one at a time.
struct Run<'a, F: Future> {
    runtime: &'a Runtime,
    in_place: &'a InPlace,
    /// Wakes whichever thread waits for the future.
    relay: Arc<Relay>,
    waker: Waker,
    future: Mutex<Pin<&'a mut F>>,
    /// What the future has returned to the second thread.
    output: Mutex<Option<F::Output>>,
    watch: Mutex<Watch>,
    changed: Condvar,
    work_is_done: Notify,
}

/// What the first thread is seen to do.
#[derive(Debug, Default)]
struct Watch {
    /// Pieces of work that were begun.
    begun: u64,
    /// Whether the last one is not done yet.
    is_busy: bool,
    /// Whether the second thread runs the future meanwhile.
    is_replaced: bool,
    /// Whether the second thread waits until there is work.
    is_unwatched: bool,
    is_over: bool,
}

/// What the first thread does next.
enum Step<T> {
    Return(T),
    Work(Work),
}

impl<F: Future> Run<'_, F> {
    /// Runs the future, and its work in between.
    fn run(&self) -> F::Output {
        loop {
            match self.next_step() {
                Step::Return(output) => return output,
                Step::Work(work) => {
                    self.begin_work();
                    work();
                    self.end_work();
                }
            }
        }
    }

    fn next_step(&self) -> Step<F::Output> {
        let mut future = self.future.lock().expect("the second thread runs it without a panic");
        if let Some(output) = lock(&self.output).take() {
            return Step::Return(output);
        }
        self.runtime.block_on(poll_fn(|context| {
            if let Some(work) = self.in_place.take() {
                return Poll::Ready(Step::Work(work));
            }
            let polled = self.poll(future.as_mut(), context).map(Step::Return);
            match polled.is_pending().then(|| self.in_place.take()).flatten() {
                Some(work) => Poll::Ready(Step::Work(work)),
                None => polled,
            }
        }))
    }

    fn poll(&self, future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.relay.lead_to(Some(context.waker()));
        future.poll(&mut Context::from_waker(&self.waker))
    }

    fn begin_work(&self) {
        // Whoever runs the future next polls it first; to wake this thread up meanwhile would be a system call.
        self.relay.lead_to(None);
        let mut watch = lock(&self.watch);
        watch.begun += 1;
        watch.is_busy = true;
        if watch.is_unwatched {
            self.changed.notify_one();
        }
    }

    fn end_work(&self) {
        let mut watch = lock(&self.watch);
        watch.is_busy = false;
        if watch.is_replaced {
            self.work_is_done.notify_one();
        }
    }

    /// Runs the future whenever work takes too long.
    fn stand_by(&self) {
        let mut seen = 0;
        let mut watch = lock(&self.watch);
        while !watch.is_over {
            if watch.begun != seen {
                seen = watch.begun;
                let waited = self.changed.wait_timeout(watch, LOOK_INTERVAL);
                watch = waited.unwrap_or_else(PoisonError::into_inner).0;
            } else if watch.is_busy {
                drop(watch);
                self.replace(seen);
                watch = lock(&self.watch);
            } else {
                watch.is_unwatched = true;
                watch = self.changed.wait(watch).unwrap_or_else(PoisonError::into_inner);
                watch.is_unwatched = false;
            }
        }
    }

    /// Runs the future until a piece of work is done.
    fn replace(&self, work: u64) {
        let mut future = match self.future.try_lock() {
            Ok(future) => future,
            // The work is done; or, if there was a panic, nothing is left to do.
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => return,
        };
        {
            let mut watch = lock(&self.watch);
            if !watch.is_busy || watch.begun != work {
                return;
            }
            watch.is_replaced = true;
        }
        let returned = self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.work_is_done.notified() => None,
                output = poll_fn(|context| self.poll(future.as_mut(), context)) => Some(output),
            }
        });
        let is_over = returned.is_some();
        *lock(&self.output) = returned;
        let mut watch = lock(&self.watch);
        watch.is_replaced = false;
        watch.is_over |= is_over;
    }
}

/// Tells the second thread that it is not needed any more, also after a panic.
struct EndOfRun<'a, 'b, F: Future>(&'a Run<'b, F>);

impl<F: Future> Drop for EndOfRun<'_, '_, F> {
    fn drop(&mut self) {
        lock(&self.0.watch).is_over = true;
        self.0.changed.notify_one();
    }
}

/// A waker that leads to the thread which waits at the moment.
#[derive(Debug, Default)]
struct Relay(Mutex<Option<Waker>>);

impl Relay {
    fn lead_to(&self, waker: Option<&Waker>) {
        *lock(&self.0) = waker.cloned();
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        if let Some(waker) = &*lock(&self.0) {
            waker.wake_by_ref();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that is done under these locks leaves a state that is not whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::time::sleep;

    use super::*;

    fn run<T: Send>(in_place: &InPlace, future: impl Future<Output = T> + Send) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        block_on(&runtime, in_place, future).unwrap()
    }

    #[test]
    fn work_is_done_by_the_thread_that_runs_the_future() {
        let in_place = InPlace::default();
        let (done, works) = tokio::sync::watch::channel(0);
        let done = Arc::new(done);
        run(&in_place, async {
            let here = thread::current().id();
            let mut works = works;
            for count in 1..=1000 {
                let done = Arc::clone(&done);
                in_place.leave(move || {
                    assert_eq!(thread::current().id(), here);
                    done.send_replace(count);
                });
                works.wait_for(|done| *done == count).await.unwrap();
            }
        });
    }

    #[test]
    fn the_future_goes_on_while_work_takes_long() {
        let in_place = InPlace::default();
        let (release, released) = mpsc::channel();
        let first = thread::current().id();
        let count = run(&in_place, async {
            in_place.leave(move || released.recv().unwrap());
            for _ in 0..20 {
                sleep(Duration::from_millis(5)).await;
            }
            assert_ne!(thread::current().id(), first);
            release.send(()).unwrap();
            // The first thread takes over again.
            while thread::current().id() != first {
                sleep(Duration::from_millis(1)).await;
            }
            20
        });
        assert_eq!(count, 20);
    }

    #[test]
    fn a_future_may_end_while_work_takes_long() {
        let in_place = InPlace::default();
        let (release, released) = mpsc::channel();
        let ended = run(&in_place, async {
            in_place.leave(move || released.recv().unwrap());
            sleep(Duration::from_millis(50)).await;
            release.send(()).unwrap();
            true
        });
        assert!(ended);
    }
}
