//! Numbers, read as C's library reads them: blanks and signs in front, anything behind.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use super::{ValueError, shown};

/// The rates that servers take, in kilobytes a second: `MAX_RATE_LOWER` and `MAX_RATE_UPPER`.
const RATE_KB_MIN: f64 = 32.0;
const RATE_KB_MAX: f64 = 1_048_576.0;

/// The longest status interval in seconds, as many as have their milliseconds in a C `int`.
pub(super) const STATUS_INTERVAL_MAX: u64 = 2_147_483;

/// The first numbers past 32 and 64 bits.
const U32_END: f64 = 4_294_967_296.0;
const U64_END: f64 = 18_446_744_073_709_551_616.0;

/// Reads the value of `-r` (`parse_max_rate`): kilobytes a second, `M` for 1024 times as many. Decimals are
/// cut off.
pub fn max_rate_kb(value: OsString) -> Result<u32, ValueError> {
    let typed = || shown(&value);
    let Some((number, rest)) = leading_float(value.as_bytes()) else {
        return Err(ValueError::RateNotANumber(typed()));
    };
    let number = number.ok_or_else(|| ValueError::RateNotRepresentable(typed()))?;
    if number <= 0.0 {
        return Err(ValueError::RateNotPositive);
    }
    let unit = skip_blanks(rest);
    let (rate, rest) = match unit {
        [b'k', rest @ ..] => (number, rest),
        [b'M', rest @ ..] => (number * 1024.0, rest),
        rest => (number, rest),
    };
    if !skip_blanks(rest).is_empty() {
        return Err(ValueError::RateUnit(String::from_utf8_lossy(unit).into_owned()));
    }
    // Past 64 bits C leaves the conversion undefined; the original says that it is out of range.
    if rate.is_nan() || (U32_END..U64_END).contains(&rate) {
        return Err(ValueError::RateExceedsInteger(typed()));
    }
    if !(RATE_KB_MIN..=RATE_KB_MAX).contains(&rate) {
        return Err(ValueError::RateOutOfRange(typed()));
    }
    Ok(rate as u32)
}

/// Reads the value of `-s` (`option_parse_int`): seconds.
pub fn status_interval(value: OsString) -> Result<Duration, ValueError> {
    let (number, rest) = leading_integer(value.as_bytes());
    if !skip_blanks(rest).is_empty() {
        return Err(ValueError::StatusInterval(shown(&value)));
    }
    match u64::try_from(number) {
        Ok(seconds) if seconds <= STATUS_INTERVAL_MAX => Ok(Duration::from_secs(seconds)),
        _ => Err(ValueError::StatusIntervalOutOfRange),
    }
}

/// Reads an integer as `strtol` does: what does not fit becomes the nearest that does, and without a digit
/// nothing is read. Returns it with what follows.
pub(super) fn leading_integer(text: &[u8]) -> (i64, &[u8]) {
    let (is_negative, unsigned) = split_sign(skip_blanks(text));
    let (digits, rest) = split_while(unsigned, u8::is_ascii_digit);
    if digits.is_empty() {
        return (0, text);
    }
    let magnitude = digits.iter().fold(0_i64, |number, digit| {
        number.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
    });
    (if is_negative { -magnitude } else { magnitude }, rest)
}

/// Reads a number as `strtod` does: decimal, hexadecimal, infinity or none. Returns it with what follows;
/// the number is `None` where its magnitude has no good representation, and C would set `ERANGE`.
fn leading_float(text: &[u8]) -> Option<(Option<f64>, &[u8])> {
    let (is_negative, unsigned) = split_sign(skip_blanks(text));
    let (magnitude, rest) =
        named(unsigned).or_else(|| hexadecimal(unsigned)).or_else(|| decimal(unsigned))?;
    let sign = if is_negative { -1.0 } else { 1.0 };
    Some((magnitude.map(|magnitude| sign * magnitude), rest))
}

fn named(text: &[u8]) -> Option<(Option<f64>, &[u8])> {
    let names = [("infinity", f64::INFINITY), ("inf", f64::INFINITY), ("nan", f64::NAN)];
    names.into_iter().find_map(|(name, number)| {
        let (typed, rest) = text.split_at_checked(name.len())?;
        typed.eq_ignore_ascii_case(name.as_bytes()).then_some((Some(number), rest))
    })
}

fn hexadecimal(text: &[u8]) -> Option<(Option<f64>, &[u8])> {
    let digits = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X"))?;
    let mantissa = Mantissa::split(digits, u8::is_ascii_hexdigit)?;
    let (exponent, rest) = split_exponent(mantissa.rest, b'p');
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map_or(0.0, f64::from);
    let whole = mantissa.whole.iter().fold(0.0, |number, byte| number * 16.0 + digit(byte));
    let fraction =
        mantissa.fraction.iter().rfold(0.0, |number, byte| (number + digit(byte)) / 16.0);
    let number = (whole + fraction) * 2_f64.powi(exponent);
    Some((mantissa.represented(number), rest))
}

fn decimal(text: &[u8]) -> Option<(Option<f64>, &[u8])> {
    let mantissa = Mantissa::split(text, u8::is_ascii_digit)?;
    let (_, rest) = split_exponent(mantissa.rest, b'e');
    let typed = text.get(..text.len() - rest.len())?;
    let number = str::from_utf8(typed).ok()?.parse().ok()?;
    Some((mantissa.represented(number), rest))
}

/// The digits of a number with a point in it.
struct Mantissa<'a> {
    whole: &'a [u8],
    fraction: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Mantissa<'a> {
    /// Splits off digits and a point; without a digit there is no number.
    fn split(text: &'a [u8], is_digit: fn(&u8) -> bool) -> Option<Self> {
        let (whole, rest) = split_while(text, is_digit);
        let (fraction, rest) = match rest {
            [b'.', behind @ ..] => split_while(behind, is_digit),
            _ => (&[][..], rest),
        };
        let has_digit = !(whole.is_empty() && fraction.is_empty());
        has_digit.then_some(Mantissa { whole, fraction, rest })
    }

    /// Returns the number that was made of the digits, unless it lost its size or its precision.
    fn represented(&self, number: f64) -> Option<f64> {
        let is_zero = self.whole.iter().chain(self.fraction).all(|digit| *digit == b'0');
        (is_zero || number.is_normal()).then_some(if is_zero { 0.0 } else { number })
    }
}

/// Splits off an exponent; a marker without digits is none.
fn split_exponent(text: &[u8], marker: u8) -> (i32, &[u8]) {
    match text.split_first() {
        Some((first, behind)) if first.eq_ignore_ascii_case(&marker) => {
            let (is_negative, unsigned) = split_sign(behind);
            let (digits, rest) = split_while(unsigned, u8::is_ascii_digit);
            if digits.is_empty() {
                return (0, text);
            }
            let (number, _) = leading_integer(digits);
            let exponent = i32::try_from(number).unwrap_or(i32::MAX);
            (if is_negative { -exponent } else { exponent }, rest)
        }
        _ => (0, text),
    }
}

pub(super) fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    }
}

/// Passes over what C's `isspace` knows as blank.
pub(super) fn skip_blanks(text: &[u8]) -> &[u8] {
    split_while(text, |byte| matches!(byte, b' ' | b'\t'..=b'\r')).1
}

pub(super) fn split_while(text: &[u8], belongs: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !belongs(byte)).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_kilobytes_or_megabytes_in_any_notation_of_c() {
        let table = [
            ("32", 32),
            ("1048576", 1_048_576),
            (" +100 k ", 100),
            ("1M", 1024),
            ("1023.9M", 1_048_473),
            ("\u{b}1024M\u{c}", 1_048_576),
            ("1e3", 1000),
            ("1e+3k", 1000),
            (".5e2M", 51_200),
            ("100.", 100),
            ("0x40", 64),
            ("0X.8p+8", 128),
            ("0x1.8p5k", 48),
        ];
        for (value, rate) in table {
            assert_eq!(max_rate_kb(value.into()), Ok(rate), "{value:?}");
        }
    }

    /// As `pg_basebackup` 18.6 refuses them.
    #[test]
    fn rates_that_make_no_sense_are_refused_in_the_original_words() {
        let out_of_range = |value: &str| format!("transfer rate \"{value}\" is out of range");
        let exceeds = |value: &str| format!("transfer rate \"{value}\" exceeds integer range");
        let not_a_number = |value: &str| format!("transfer rate \"{value}\" is not a valid value");
        let not_positive = || "transfer rate must be greater than zero".to_owned();
        let unit = |unit: &str| format!("invalid --max-rate unit: \"{unit}\"");
        let errno = |value: &str| {
            format!("invalid transfer rate \"{value}\": Numerical result out of range")
        };
        let table = [
            ("31.9", out_of_range("31.9")),
            ("10 k", out_of_range("10 k")),
            ("2000M", out_of_range("2000M")),
            ("inf", out_of_range("inf")),
            ("1e30", out_of_range("1e30")),
            ("nan", exceeds("nan")),
            ("-nAn", exceeds("-nAn")),
            ("99999999999", exceeds("99999999999")),
            ("4194304M", exceeds("4194304M")),
            ("4294967295.5", out_of_range("4294967295.5")),
            ("", not_a_number("")),
            ("k", not_a_number("k")),
            ("+ 5", not_a_number("+ 5")),
            (".", not_a_number(".")),
            ("0", not_positive()),
            ("-5", not_positive()),
            ("-inf", not_positive()),
            ("0e999", not_positive()),
            ("0x", not_positive()),
            ("100kk", unit("kk")),
            ("100 G ", unit("G ")),
            ("1.5e", unit("e")),
            ("1e+", unit("e+")),
            ("infinit", unit("init")),
            ("1e999", errno("1e999")),
            ("1e-999", errno("1e-999")),
            ("0x1p99999999999", errno("0x1p99999999999")),
        ];
        for (value, text) in table {
            let refused = max_rate_kb(value.into()).map_err(|error| error.to_string());
            assert_eq!(refused, Err(text), "{value:?}");
        }
    }

    #[test]
    fn status_intervals_are_whole_seconds() {
        let invalid =
            |value: &str| Err(format!("invalid value \"{value}\" for option -s/--status-interval"));
        let range = || Err("-s/--status-interval must be in range 0..2147483".to_owned());
        let seconds = |seconds| Ok(Duration::from_secs(seconds));
        let table = [
            ("10", seconds(10)),
            (" +5 ", seconds(5)),
            ("2147483", seconds(2_147_483)),
            ("0", seconds(0)),
            ("-0", seconds(0)),
            ("", seconds(0)),
            ("  ", seconds(0)),
            ("2147484", range()),
            ("-1", range()),
            ("4294967301", range()),
            ("99999999999999999999", range()),
            ("-99999999999999999999", range()),
            ("abc", invalid("abc")),
            ("5x", invalid("5x")),
            ("0x5", invalid("0x5")),
            ("+", invalid("+")),
            ("1.5", invalid("1.5")),
        ];
        for (value, expected) in table {
            let read = status_interval(value.into()).map_err(|error| error.to_string());
            assert_eq!(read, expected, "{value:?}");
        }
    }
}
