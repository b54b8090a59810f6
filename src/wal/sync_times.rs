//! How long syncs took, for whoever watches a receiver.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Upper ends of the counted ranges: from a cached SSD to a disk that stands still.
const BOUNDS: [Duration; 14] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// Counts syncs by how long they took. Counting costs a few atomic additions.
#[derive(Debug, Default)]
pub struct SyncTimes {
    /// One for each bound, and one for what is longer than all.
    counts: [AtomicU64; BOUNDS.len() + 1],
    total_micros: AtomicU64,
}

impl SyncTimes {
    /// Counts one.
    pub fn add(&self, duration: Duration) {
        let range = BOUNDS.partition_point(|bound| *bound < duration);
        if let Some(count) = self.counts.get(range) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.total_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Does what is a sync, and counts it if somebody wants to know. One that failed counts too: it may have taken long.
    pub(super) fn measure<T>(times: Option<&Self>, sync: impl FnOnce() -> T) -> T {
        let Some(times) = times else { return sync() };
        let begun = Instant::now();
        let outcome = sync();
        times.add(begun.elapsed());
        outcome
    }

    /// Returns the sum of all, in seconds.
    pub fn total_seconds(&self) -> f64 {
        self.total_micros.load(Ordering::Relaxed) as f64 / 1e6
    }

    /// Returns the upper end of each range in seconds, the last one infinite, and how many syncs were in it.
    pub fn ranges(&self) -> Vec<(f64, u64)> {
        let ends = BOUNDS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        ends.zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_counts_where_it_is_not_longer_than_the_end() {
        let times = SyncTimes::default();
        for micros in [0, 100, 101, 5_000_000, 5_000_001] {
            times.add(Duration::from_micros(micros));
        }
        let ranges = times.ranges();
        let counted = |end: f64| ranges.iter().find(|range| range.0 == end).unwrap().1;
        assert_eq!([1e-4, 2.5e-4, 5.0, f64::INFINITY].map(counted), [2, 1, 1, 1]);
        assert_eq!(times.total_seconds(), 10.000_202);
    }
}
