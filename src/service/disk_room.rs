//! How much room there is, and when it is used up.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::storage::StorageError;

/// How far back the rate is taken from, and how close its samples are.
const WINDOW: Duration = Duration::from_secs(300);
const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);

/// Returns how many bytes an ordinary user may still write in the file system of a directory.
///
/// # Errors
/// If the system does not tell.
pub(super) fn free(directory: &Path) -> Result<u64, StorageError> {
    let found = rustix::fs::statvfs(directory);
    let found =
        found.map_err(|error| StorageError::new("stat file system of", directory, error))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Room as it was in the last minutes.
#[derive(Debug)]
pub(super) struct DiskRoom {
    min: u64,
    is_low: bool,
    samples: VecDeque<(Instant, u64)>,
    last: Option<(Instant, u64)>,
}

/// What is worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoomChange {
    /// There is less than the limit.
    Low,
    /// There is enough again.
    Enough,
}

impl DiskRoom {
    /// Begins with nothing known. Less than `min` bytes is low.
    pub(super) fn new(min: u64) -> Self {
        DiskRoom { min, is_low: false, samples: VecDeque::new(), last: None }
    }

    /// Takes the room that there is now.
    pub(super) fn take(&mut self, free: u64, now: Instant) -> Option<RoomChange> {
        self.last = Some((now, free));
        let is_due = |(at, _): &(Instant, u64)| now.duration_since(*at) >= SAMPLE_INTERVAL;
        if self.samples.back().is_none_or(is_due) {
            self.samples.push_back((now, free));
        }
        while self.samples.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.samples.pop_front();
        }
        // A tenth more, so that what goes up and down is not told each time.
        let enough = self.min.saturating_add(self.min / 10);
        match (self.is_low, free) {
            (false, free) if free < self.min => {
                self.is_low = true;
                Some(RoomChange::Low)
            }
            (true, free) if free >= enough => {
                self.is_low = false;
                Some(RoomChange::Enough)
            }
            (false | true, _) => None,
        }
    }

    /// Returns the seconds until nothing is left if it goes on like this; nothing if room does not become less.
    pub(super) fn full_in(&self) -> Option<f64> {
        let ((begun, before), (now, free)) = (*self.samples.front()?, self.last?);
        let used = before.checked_sub(free).filter(|used| *used > 0)?;
        let seconds = now.duration_since(begun).as_secs_f64();
        Some(free as f64 * seconds / used as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_is_told_once_and_so_is_enough() {
        let mut room = DiskRoom::new(1000);
        let now = Instant::now();
        let table = [
            (1000, None),
            (999, Some(RoomChange::Low)),
            (10, None),
            (1099, None),
            (1100, Some(RoomChange::Enough)),
            (1000, None),
        ];
        for (free, expected) in table {
            assert_eq!(room.take(free, now), expected, "{free}");
        }
    }

    #[test]
    fn the_rate_of_the_last_minutes_says_when_the_disk_is_full() {
        let mut room = DiskRoom::new(0);
        let begun = Instant::now();
        // Seconds, free bytes, seconds left.
        let table = [
            (0, 10_000, None),
            (5, 9_000, Some(45.0)),
            (10, 8_000, Some(40.0)),
            (100, 8_000, Some(400.0)),
            (320, 8_000, None),
            (330, 9_000, None),
            (340, 7_000, Some(1680.0)),
        ];
        for (seconds, free, left) in table {
            room.take(free, begun + Duration::from_secs(seconds));
            assert_eq!(room.full_in(), left, "after {seconds} s");
        }
    }

    #[test]
    fn a_directory_that_is_missing_is_named() {
        let error = free(Path::new("/nonexistent")).unwrap_err().to_string();
        let expected = "could not stat file system of \"/nonexistent\": No such file or directory";
        assert_eq!(error, expected);
    }
}
