//! `-E`, a WAL position as `sscanf` reads it with `%X/%X`: blanks, a sign and `0x` may stand before each half,
//! and anything behind the second.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use super::number::{skip_blanks, split_sign, split_while};
use super::{ValueError, shown};
use crate::pg::Lsn;

/// Reads the value of `-E`.
pub fn end_position(value: OsString) -> Result<Lsn, ValueError> {
    let halves = || {
        let (high, rest) = half(value.as_bytes())?;
        let (low, _) = half(rest.strip_prefix(b"/")?)?;
        Some(Lsn::new(u64::from(high) << 32 | u64::from(low)))
    };
    halves().ok_or_else(|| ValueError::EndPosition(shown(&value)))
}

/// Reads a hexadecimal number and returns it with what follows; like C, keeps its last 32 bits.
fn half(text: &[u8]) -> Option<(u32, &[u8])> {
    let (is_negative, unsigned) = split_sign(skip_blanks(text));
    let prefix = [b"0x", b"0X"].iter().find_map(|prefix| unsigned.strip_prefix(*prefix));
    let (digits, rest) = split_while(prefix.unwrap_or(unsigned), u8::is_ascii_hexdigit);
    // The prefix alone is zero for glibc.
    if digits.is_empty() && prefix.is_none() {
        return None;
    }
    let magnitude = digits.iter().try_fold(0_u64, |number, digit| {
        let digit = char::from(*digit).to_digit(16).map_or(0, u64::from);
        number.checked_mul(16)?.checked_add(digit)
    });
    let number = match (magnitude, is_negative) {
        (None, _) => u64::MAX,
        (Some(magnitude), true) => magnitude.wrapping_neg(),
        (Some(magnitude), false) => magnitude,
    };
    Some(((number & 0xFFFF_FFFF) as u32, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_in_any_notation_of_c() {
        let table = [
            ("16/B374D848", 0x16_B374_D848),
            ("0/0", 0),
            (" \t+1/ 2", 0x1_0000_0002),
            ("0x1/0X2", 0x1_0000_0002),
            ("0x/0xg", 0),
            ("1/2/3", 0x1_0000_0002),
            ("1/2 or so", 0x1_0000_0002),
            ("1/123456789", 0x1_2345_6789),
            ("1/-2", 0x1_FFFF_FFFE),
            ("0/11111111111111111", 0xFFFF_FFFF),
        ];
        for (value, offset) in table {
            assert_eq!(end_position(value.into()), Ok(Lsn::new(offset)), "{value:?}");
        }
    }

    /// As `pg_receivewal` 18.6 refuses them.
    #[test]
    fn texts_without_two_numbers_are_refused() {
        for value in ["", "123", "x/2", "/1", "1/", "1/ ", "1 /2", "+/2", "1/-", "1/x"] {
            let text = format!("could not parse end position \"{value}\"");
            assert_eq!(end_position(value.into()).unwrap_err().to_string(), text);
        }
    }
}
