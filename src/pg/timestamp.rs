//! Moments as PostgreSQL counts them.

use std::fmt;
use std::str::FromStr;

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

/// The text was not a moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid timestamp: \"{0}\"")]
pub struct ParseTimestampError(pub String);

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    /// Reads what is printed; the fraction of the second may have fewer digits or be absent.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ParseTimestampError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (year_and_month, day) = date.rsplit_once('-')?;
    let (year, month) = year_and_month.rsplit_once('-')?;
    let (hour, minutes) = time.split_once(':')?;
    let (minute, seconds) = minutes.split_once(':')?;
    let (second, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));

    let date = (parse_year(year)?, two_digits(month, 12)?, two_digits(day, 31)?);
    let (hour, minute) = (two_digits(hour, 23)?, two_digits(minute, 59)?);
    let seconds = day_number(date) * SECONDS_PER_DAY + hour * 3600 + minute * 60;
    let seconds = seconds + two_digits(second, 59)?;
    // The first second that there is begins before the first microsecond that can be counted.
    let micros = i128::from(seconds) * i128::from(MICROS_PER_SECOND);
    let micros = micros + i128::from(parse_fraction(fraction)?);
    let moment = Timestamp(i64::try_from(micros).ok()?);
    // There is no 30th of February: it would be another day.
    (moment.date() == date).then_some(moment)
}

/// Returns the number of a day, counted from 2000-01-01.
fn day_number((year, month, day): (i64, i64, i64)) -> i64 {
    // Years begin in March, so that the leap day is the last one; 400 years repeat.
    let (year, month_from_march) = (year - i64::from(month <= 2), (month + 9) % 12);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - DAYS_TO_EPOCH
}

/// Reads a year: at least four characters, and no more digits than the last year that can be counted has.
fn parse_year(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let year = number(digits).filter(|_| text.len() >= 4 && digits.len() <= 6)?;
    Some(if digits.len() < text.len() { -year } else { year })
}

/// Reads the digits behind the point as microseconds.
fn parse_fraction(digits: &str) -> Option<i64> {
    let missing = 6_u32.checked_sub(u32::try_from(digits.len()).ok()?)?;
    Some(number(digits)? * 10_i64.pow(missing))
}

fn two_digits(text: &str, max: i64) -> Option<i64> {
    number(text).filter(|number| text.len() == 2 && *number <= max)
}

/// Reads digits and nothing else.
fn number(digits: &str) -> Option<i64> {
    digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            assert_eq!(text.parse(), Ok(Timestamp::from_micros(micros)));
        }
    }

    #[test]
    fn fractions_may_be_short() {
        let table = [
            ("2000-01-01T00:00:01Z", 1_000_000),
            ("2000-01-01T00:00:01.5Z", 1_500_000),
            ("2000-01-01T00:00:01.00001Z", 1_000_010),
        ];
        for (text, micros) in table {
            assert_eq!(text.parse(), Ok(Timestamp::from_micros(micros)), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let table = [
            "",
            "Z",
            "2000-01-01",
            "2000-01-01T00:00:00",
            "2000-01-01 00:00:00Z",
            "2000-01-01T00:00:00+00",
            "2000-01-01T00:00Z",
            "2000-01-01T24:00:00Z",
            "2000-01-01T00:60:00Z",
            "2000-01-01T00:00:60Z",
            "2000-01-01T00:00:00.Z",
            "2000-01-01T00:00:00.1234567Z",
            "2000-01-01T00:00:00.-1Z",
            "2000-1-01T00:00:00Z",
            "2000-00-01T00:00:00Z",
            "2000-13-01T00:00:00Z",
            "2000-01-00T00:00:00Z",
            "2000-02-30T00:00:00Z",
            "2001-02-29T00:00:00Z",
            "200-01-01T00:00:00Z",
            "+200-01-01T00:00:00Z",
            "--200-01-01T00:00:00Z",
            "300000-01-01T00:00:00Z",
            "-300000-01-01T00:00:00Z",
            "9999999-01-01T00:00:00Z",
            "2000-01-01T00:00:00Z\0",
        ];
        for text in table {
            assert_eq!(text.parse::<Timestamp>(), Err(ParseTimestampError(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_can_be_read(micros: i64) {
            let moment = Timestamp::from_micros(micros);
            prop_assert_eq!(moment.to_string().parse(), Ok(moment));
        }

        #[test]
        fn no_text_makes_it_panic(text in "-?[0-9T:.Z-]{0,32}") {
            let _ = text.parse::<Timestamp>();
        }
    }

    #[test]
    fn the_ends_of_time_can_be_read() {
        for micros in [i64::MIN, i64::MIN + 1, i64::MAX] {
            let moment = Timestamp::from_micros(micros);
            assert_eq!(moment.to_string().parse(), Ok(moment), "{moment}");
        }
    }
}
