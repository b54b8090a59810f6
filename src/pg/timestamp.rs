//! Moments as PostgreSQL counts them.

use std::fmt;

/// A moment: microseconds since 2000-01-01 00:00 UTC, which may be negative (`TimestampTz`).
///
/// Prints as ISO 8601 with a `Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Days from 0000-03-01, where the calendar's arithmetic begins, to 2000-01-01.
const DAYS_TO_EPOCH: i64 = 730_425;

impl Timestamp {
    /// Seconds from 1970-01-01, the epoch of Unix, to 2000-01-01.
    pub const UNIX_EPOCH_OFFSET_SECONDS: i64 = 946_684_800;

    /// Returns the moment so many microseconds after 2000-01-01 00:00 UTC.
    pub const fn from_micros(micros: i64) -> Self {
        Timestamp(micros)
    }

    /// Returns the microseconds since 2000-01-01 00:00 UTC.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Returns the microseconds from `earlier` to this moment; negative if it is later.
    pub fn micros_since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns year, month and day of the Gregorian calendar.
    fn date(self) -> (i64, i64, i64) {
        let day = self.0.div_euclid(MICROS_PER_SECOND * SECONDS_PER_DAY) + DAYS_TO_EPOCH;
        // Years begin in March, so that the leap day is the last one; 400 years repeat.
        let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        (era * 400 + year_of_era + i64::from(month <= 2), month, day_of_month)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let micros = self.0.rem_euclid(MICROS_PER_SECOND * SECONDS_PER_DAY);
        let (seconds, micros) = (micros / MICROS_PER_SECOND, micros % MICROS_PER_SECOND);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_print_as_dates() {
        // By Python's datetime, which counts by other rules.
        let table = [
            (0, "2000-01-01T00:00:00.000000Z"),
            (-1, "1999-12-31T23:59:59.999999Z"),
            (5_097_599_999_999, "2000-02-28T23:59:59.999999Z"),
            (5_097_600_000_000, "2000-02-29T00:00:00.000000Z"),
            (5_184_000_000_000, "2000-03-01T00:00:00.000000Z"),
            (848_666_096_123_456, "2026-11-22T12:34:56.123456Z"),
            (-946_684_800_000_000, "1970-01-01T00:00:00.000000Z"),
        ];
        for (micros, text) in table {
            assert_eq!(Timestamp::from_micros(micros).to_string(), text);
        }
    }
}
