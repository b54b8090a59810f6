//! Whether the service as a whole gets on.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longer than any work between two beats: the end of a server's threads is waited for at most so long.
const AGE_MAX: Duration = Duration::from_secs(30);

/// The last moment at which everything was known to get on.
///
/// Its owner beats while all threads get on, so that it stops when one of them stands still, and the owner too.
#[derive(Debug)]
pub struct Pulse {
    last: Mutex<Instant>,
}

impl Pulse {
    /// Begins now.
    pub fn new() -> Self {
        Pulse { last: Mutex::new(Instant::now()) }
    }

    /// Says that everything gets on.
    pub fn beat(&self) {
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

impl Default for Pulse {
    fn default() -> Self {
        Pulse::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_when_nobody_beats() {
        let began = Instant::now();
        let pulse = Pulse::new();
        assert!(pulse.is_alive());
        let late = began + AGE_MAX + Duration::from_secs(1);
        assert!(!pulse.is_alive_at(late));
        pulse.beat();
        assert!(pulse.is_alive_at(late - Duration::from_secs(2)));
    }
}
