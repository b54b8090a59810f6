//! How long to wait before the next attempt.

use std::time::Duration;

/// The first pause, and the longest: a server that restarts is met soon, one that is away for hours is not
/// bothered.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Pauses that grow from one failure to the next.
#[derive(Debug)]
pub struct Pauses {
    next: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Pauses { next: FIRST }
    }
}

impl Pauses {
    /// Returns the next pause; the one behind it is twice as long.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        pause
    }

    /// Lets the next pause be the longest, where only somebody's act may help.
    pub fn lengthen(&mut self) {
        self.next = LONGEST;
    }

    /// Begins anew after a success.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_a_success() {
        let mut pauses = Pauses::default();
        let mut seconds =
            |count| (0..count).map(|_| pauses.next_pause().as_secs()).collect::<Vec<_>>();
        assert_eq!(seconds(7), [1, 2, 4, 8, 16, 30, 30]);
        pauses.reset();
        assert_eq!(pauses.next_pause().as_secs(), 1);
        pauses.lengthen();
        assert_eq!(pauses.next_pause().as_secs(), 30);
    }
}
