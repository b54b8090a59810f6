//! What the archive thread knows of the bytes that the network task will get.

use std::sync::atomic::{AtomicU64, Ordering};

/// Up to where the archives are certain to go on, counted in payload of all of them since the beginning: tar says
/// before a member how long it is. The archive thread tells it, the network task asks.
#[derive(Debug, Default)]
pub(super) struct Foresight(AtomicU64);

impl Foresight {
    /// Takes note that so many bytes are handled, and so many of the same member follow.
    pub(super) fn note(&self, handled: u64, coming: u64) {
        // Relaxed is enough: the number speaks of nothing else in memory. A hostile size goes nowhere but here.
        self.0.store(handled.saturating_add(coming), Ordering::Relaxed);
    }

    /// Returns how many bytes are certain to come behind those that are received.
    pub(super) fn coming(&self, received: u64) -> u64 {
        self.0.load(Ordering::Relaxed).saturating_sub(received)
    }
}
