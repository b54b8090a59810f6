//! Whether the service as a whole gets on.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longer than any work between two confirmations: the end of a server's threads is waited for at most so long.
const AGE_MAX: Duration = Duration::from_secs(30);

/// The last moment at which everything was known to get on.
///
/// Its owner confirms it while all threads get on, so that it stops when one of them stands still, and the owner too.
#[derive(Debug)]
pub struct Liveness {
    last: Mutex<Instant>,
}

impl Liveness {
    /// Begins now.
    pub fn new() -> Self {
        Liveness { last: Mutex::new(Instant::now()) }
    }

    /// Says that everything gets on.
    pub fn confirm(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Says whether everything got on a short time ago.
    pub fn is_alive(&self) -> bool {
        self.is_alive_at(Instant::now())
    }

    fn is_alive_at(&self, now: Instant) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        now.saturating_duration_since(last) <= AGE_MAX
    }
}

impl Default for Liveness {
    fn default() -> Self {
        Liveness::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_when_nobody_confirms_it() {
        let began = Instant::now();
        let liveness = Liveness::new();
        assert!(liveness.is_alive());
        let late = began + AGE_MAX + Duration::from_secs(1);
        assert!(!liveness.is_alive_at(late));
        liveness.confirm();
        assert!(liveness.is_alive_at(late - Duration::from_secs(2)));
    }
}
