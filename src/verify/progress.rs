//! How far verifying is.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are verified and to be verified; written by many threads, read by whoever shows it.
#[derive(Debug, Default)]
pub struct VerifyProgress {
    total: AtomicU64,
    done: AtomicU64,
}

impl VerifyProgress {
    /// Notes that so many bytes more are to be read.
    pub(super) fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes that so many bytes were read.
    pub(super) fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns how many bytes are to be read: those of files that can be compared, or of archives as stored.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Returns how many of them were read.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}
