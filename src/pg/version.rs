//! Server versions.

use std::fmt;
use std::str::FromStr;

/// A server's version as a number: major × 10000 + minor, as `server_version_num` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion(u32);

/// The text does not begin with a version number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid server version: \"{0}\"")]
pub struct InvalidVersion(pub String);

impl ServerVersion {
    /// Returns the first version of a major release, 10 or newer.
    pub const fn major_release(major: u32) -> Self {
        ServerVersion(major * 10_000)
    }

    /// Returns the major release.
    pub const fn major(self) -> u32 {
        self.0 / 10_000
    }

    /// Says whether BASE_BACKUP takes its options in parentheses and answers with one COPY that
    /// carries all archives (15 and newer).
    pub fn has_multiplexed_base_backup(self) -> bool {
        self.major() >= 15
    }

    /// Says whether the server keeps WAL summaries in `pg_wal/summaries` (17 and newer).
    pub fn has_wal_summaries(self) -> bool {
        self.major() >= 17
    }
}

impl FromStr for ServerVersion {
    type Err = InvalidVersion;

    /// Reads the `server_version` parameter: `15.18 (Debian 15.18-0+deb12u1)`, `19rc1`, `19devel`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let leading = |part: &str| {
            let end = part.bytes().take_while(u8::is_ascii_digit).count();
            part.get(..end).and_then(|digits| digits.parse::<u32>().ok())
        };
        let major = leading(text).filter(|major| (1..=9_999).contains(major));
        let minor = text.split_once('.').and_then(|(_, rest)| leading(rest)).unwrap_or(0);
        major
            .map(|major| ServerVersion(major * 10_000 + minor.min(9_999)))
            .ok_or_else(|| InvalidVersion(text.to_owned()))
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.0 % 10_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_version_parameter_is_read() {
        let table = [
            ("13.23", 130_023),
            ("15.18 (Debian 15.18-0+deb12u1)", 150_018),
            ("18.6", 180_006),
            ("19rc1", 190_000),
            ("19devel", 190_000),
        ];
        for (text, number) in table {
            assert_eq!(text.parse(), Ok(ServerVersion(number)), "{text}");
        }
        for text in ["", "x", "99999999999", ".5", "0.1"] {
            assert!(text.parse::<ServerVersion>().is_err(), "{text:?} was read");
        }
    }
}
