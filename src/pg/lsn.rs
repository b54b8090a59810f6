//! WAL positions.

use std::fmt;
use std::str::FromStr;

/// A position in the write-ahead log: a byte offset from its beginning.
///
/// Prints as servers up to 18 do (`16/B374D848`); parses that and the zero-padded form of 19.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

impl Lsn {
    /// The position that the protocol uses for "none" (`InvalidXLogRecPtr`).
    pub const INVALID: Lsn = Lsn(0);

    /// Returns the position at a byte offset.
    pub const fn new(offset: u64) -> Self {
        Lsn(offset)
    }

    /// Returns the byte offset from the beginning of the log.
    pub const fn offset(self) -> u64 {
        self.0
    }

    /// Returns the position `bytes` further on, or `None` past the end of the address space.
    pub fn checked_add(self, bytes: u64) -> Option<Lsn> {
        self.0.checked_add(bytes).map(Lsn)
    }

    /// Returns the bytes from `earlier` up to this position, or `None` if it lies before it.
    pub fn checked_sub(self, earlier: Lsn) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// The text was not a WAL position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid WAL position: \"{0}\"")]
pub struct ParseLsnError(pub String);

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let half = |digits: &str| {
            let hex = (1..=8).contains(&digits.len())
                && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            hex.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
        };
        text.split_once('/')
            .and_then(|(high, low)| Some(Lsn(half(high)? << 32 | half(low)?)))
            .ok_or_else(|| ParseLsnError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_printed_forms_are_read() {
        let lsn = Lsn::new(0x16_0000_0028);
        assert_eq!(lsn.to_string(), "16/28");
        assert_eq!("16/28".parse(), Ok(lsn));
        assert_eq!("16/00000028".parse(), Ok(lsn));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "/", "1", "1/", "/1", "1/+2", "1/123456789", "x/1", "1/2/3", " 1/2"] {
            assert!(text.parse::<Lsn>().is_err(), "{text:?} was read");
        }
    }
}
