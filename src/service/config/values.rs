//! What single values of the configuration file mean.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::Conninfo;
use crate::net::conninfo::{
    ConnectOptions, ConnectionArguments, ConninfoError, Environment, Host, Keyword, Parameters,
};
use crate::pg::{Compression, CompressionError};

/// How often a server may be bothered without need: servers hang up after a minute of silence by default, and nobody
/// waits longer than an hour.
const STATUS_INTERVALS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3600);

/// The longest name of a slot, `NAMEDATALEN - 1`.
const SLOT_NAME_BYTES_MAX: usize = 63;

/// Units of sizes: PostgreSQL's, and those that say more clearly that they are powers of 1024.
const UNITS: [(&str, u32); 9] = [
    ("B", 0),
    ("kB", 10),
    ("KiB", 10),
    ("MB", 20),
    ("MiB", 20),
    ("GB", 30),
    ("GiB", 30),
    ("TB", 40),
    ("TiB", 40),
];

/// A number of bytes.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Size(pub(super) u64);

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let (number, unit) = (number.parse::<u64>().ok(), unit.trim_start());
        let shift = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, shift)| *shift);
        let bytes = number.zip(shift).and_then(|(number, shift)| number.checked_mul(1 << shift));
        bytes.map(Size).ok_or_else(|| {
            format!("invalid size: \"{text}\" (a number with kB, MB, GB or TB is needed)")
        })
    }
}

/// How often a server hears of us without need.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct StatusInterval(pub(super) Duration);

impl TryFrom<String> for StatusInterval {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let interval = humantime::parse_duration(&text)
            .map_err(|error| format!("invalid duration: \"{text}\" ({error})"))?;
        if !STATUS_INTERVALS.contains(&interval) {
            return Err(format!("status_interval \"{text}\" is not between 100ms and 1h"));
        }
        Ok(StatusInterval(interval))
    }
}

/// How segments are compressed: an algorithm's name, and what may follow it behind a colon.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct SegmentCompression(pub(super) Option<Compression>);

impl TryFrom<String> for SegmentCompression {
    type Error = CompressionError;

    fn try_from(text: String) -> Result<Self, CompressionError> {
        let (algorithm, detail) = match text.split_once(':') {
            Some((algorithm, detail)) => (algorithm, Some(detail)),
            None => (text.as_str(), None),
        };
        Compression::parse(algorithm, detail).map(SegmentCompression)
    }
}

/// The name of a replication slot.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct SlotName(pub(super) String);

impl TryFrom<String> for SlotName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let is_known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        match (1..=SLOT_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_known) {
            true => Ok(SlotName(name)),
            false => Err(format!(
                "invalid slot name: \"{name}\" (1 to 63 lower-case letters, digits \
                 and underscores are needed)"
            )),
        }
    }
}

/// A directory, wherever the program was started.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "PathBuf")]
pub(super) struct Directory(pub(super) PathBuf);

impl TryFrom<PathBuf> for Directory {
    type Error = String;

    fn try_from(path: PathBuf) -> Result<Self, String> {
        match path.is_absolute() {
            true => Ok(Directory(path)),
            false => Err(format!("\"{}\" is not an absolute path", path.display())),
        }
    }
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ListenAddress(pub(super) SocketAddr);

impl TryFrom<String> for ListenAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let invalid = |_| format!("invalid address: \"{text}\" (ADDRESS:PORT is needed)");
        text.parse().map(ListenAddress).map_err(invalid)
    }
}

impl TryFrom<String> for Conninfo {
    type Error = ConninfoError;

    fn try_from(text: String) -> Result<Self, ConninfoError> {
        let conninfo = Conninfo(text);
        conninfo.known_hosts().map(|_| conninfo)
    }
}

impl Conninfo {
    /// Returns the hosts that it names itself; none if a service is to name them.
    ///
    /// # Errors
    /// If it cannot be used, whatever the environment is.
    pub(super) fn known_hosts(&self) -> Result<Vec<Host>, ConninfoError> {
        if Parameters::parse(&self.0)?.value(Keyword::Service).is_some() {
            return Ok(Vec::new());
        }
        let arguments =
            ConnectionArguments { connection_string: Some(self.0.clone()), ..Default::default() };
        // User and directory are defaults that a value needs; they are not looked at.
        let environment = Environment::new("postgres", "/tmp");
        Ok(ConnectOptions::resolve(&arguments, "", &environment)?.hosts)
    }
}
