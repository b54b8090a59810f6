//! Whether a thread gets on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::interval;

/// How often a thread shows that it gets on.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);

/// How long a thread may be silent: far longer than any piece of work of its own on a busy machine.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Shows that a thread's runtime gets on.
#[derive(Debug)]
pub(super) struct Pulse {
    begun: Instant,
    /// Milliseconds from the beginning to the last beat.
    last_ms: AtomicU64,
}

impl Pulse {
    /// Begins now.
    pub(super) fn new() -> Self {
        Pulse { begun: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    /// Beats for as long as it is polled.
    pub(super) async fn beat(&self) -> ! {
        let mut beats = interval(BEAT_INTERVAL);
        loop {
            beats.tick().await;
            let elapsed = u64::try_from(self.begun.elapsed().as_millis());
            self.last_ms.store(elapsed.unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Says whether the last beat is not too long ago.
    pub(super) fn is_felt(&self) -> bool {
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(last) <= SILENCE_MAX
    }
}
