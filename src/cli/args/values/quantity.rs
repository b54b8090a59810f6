//! Numbers of our own options, read strictly.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::{ValueError, shown};

/// Nobody waits for more.
const ROUNDS: RangeInclusive<usize> = 1..=1000;

/// A day.
const SECONDS: RangeInclusive<u32> = 1..=86_400;

/// From next to nothing to what a large disk holds.
const GIGABYTES: RangeInclusive<f64> = 0.01..=100_000.0;

/// So many as a file system's directory takes without complaint.
const FILES: RangeInclusive<u32> = 2..=10_000_000;

/// Reads how often something is done.
pub fn rounds(value: OsString) -> Result<usize, ValueError> {
    within(&value, "--rounds", ROUNDS)
}

/// Reads a time in seconds.
pub fn seconds(value: OsString) -> Result<u32, ValueError> {
    within(&value, "--seconds", SECONDS)
}

/// Reads a number of files.
pub fn files(value: OsString) -> Result<u32, ValueError> {
    within(&value, "--files", FILES)
}

/// Reads a size in gigabytes and returns it in bytes.
pub fn gigabytes(value: OsString) -> Result<u64, ValueError> {
    Ok((within(&value, "--size and --backlog", GIGABYTES)? * 1e9) as u64)
}

fn within<T: FromStr + PartialOrd + ToString>(
    value: &OsString,
    option: &'static str,
    range: RangeInclusive<T>,
) -> Result<T, ValueError> {
    let number = value.to_str().and_then(|text| text.parse().ok());
    number.filter(|number| range.contains(number)).ok_or_else(|| ValueError::Quantity {
        typed: shown(value),
        option,
        lowest: range.start().to_string(),
        highest: range.end().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_within_their_range_and_nothing_else() {
        assert_eq!(rounds("3".into()), Ok(3));
        assert_eq!(gigabytes("0.5".into()), Ok(500_000_000));
        for typed in ["0", "1001", "-1", "3x", "", "NaN"] {
            let expected =
                format!("invalid value \"{typed}\" for option --rounds, must be in range 1..1000");
            assert_eq!(rounds(typed.into()).unwrap_err().to_string(), expected);
        }
        for typed in ["NaN", "inf", "-1", "1e30"] {
            assert!(gigabytes(typed.into()).is_err(), "{typed}");
        }
    }
}
