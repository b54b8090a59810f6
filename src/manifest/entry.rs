//! The entries of a manifest, made from the texts of their fields.

use super::{Malformed, ManifestError};
use crate::pg::{ChecksumAlgorithm, Digest, Lsn, TimelineId};

/// A file as the manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// The path below the root of the backup. Nothing vouches that it is a safe one: check it
    /// (see [`crate::pg::MemberPath`]) before a file is opened by it.
    pub path: Vec<u8>,
    /// The file's size in bytes.
    pub size: u64,
    /// The checksum and its algorithm, which is never [`ChecksumAlgorithm::None`].
    pub checksum: Option<(ChecksumAlgorithm, Digest)>,
}

/// A stretch of WAL that the backup needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalRange {
    /// The timeline.
    pub timeline: TimelineId,
    /// The first needed position.
    pub start_lsn: Lsn,
    /// The position after the last needed one.
    pub end_lsn: Lsn,
}

/// The keys of a file's object.
#[derive(Clone, Copy)]
pub(super) enum FileField {
    Path,
    EncodedPath,
    Size,
    LastModified,
    Algorithm,
    Checksum,
}

impl FileField {
    pub(super) fn from_key(key: &str) -> Option<Self> {
        match key {
            "Path" => Some(Self::Path),
            "Encoded-Path" => Some(Self::EncodedPath),
            "Size" => Some(Self::Size),
            "Last-Modified" => Some(Self::LastModified),
            "Checksum-Algorithm" => Some(Self::Algorithm),
            "Checksum" => Some(Self::Checksum),
            _ => None,
        }
    }
}

/// The fields of a file that were seen; of a repeated one, the last counts.
#[derive(Default)]
pub(super) struct FileFields {
    path: Option<String>,
    encoded_path: Option<String>,
    size: Option<String>,
    algorithm: Option<String>,
    checksum: Option<String>,
}

impl FileFields {
    pub(super) fn set(&mut self, field: FileField, value: String) {
        match field {
            FileField::Path => self.path = Some(value),
            FileField::EncodedPath => self.encoded_path = Some(value),
            FileField::Size => self.size = Some(value),
            FileField::LastModified => {}
            FileField::Algorithm => self.algorithm = Some(value),
            FileField::Checksum => self.checksum = Some(value),
        }
    }

    pub(super) fn into_entry(self) -> Result<FileEntry, ManifestError> {
        let path = match (self.path, self.encoded_path) {
            (Some(path), None) => path.into_bytes(),
            (None, Some(hex)) => decode_hex(&hex).ok_or(Malformed::UndecodablePath)?,
            (None, None) => return Err(Malformed::MissingPath.into()),
            (Some(_), Some(_)) => return Err(Malformed::BothPaths.into()),
        };
        let size = self.size.ok_or(Malformed::MissingSize)?;
        let size = size.parse().map_err(|_| Malformed::SizeNotInteger)?;
        let checksum = match (self.algorithm, self.checksum) {
            (None, None) => None,
            (None, Some(_)) => return Err(Malformed::ChecksumWithoutAlgorithm.into()),
            (Some(name), checksum) => parse_checksum(&path, name, checksum.unwrap_or_default())?,
        };
        Ok(FileEntry { path, size, checksum })
    }
}

fn parse_checksum(
    path: &[u8],
    name: String,
    checksum: String,
) -> Result<Option<(ChecksumAlgorithm, Digest)>, ManifestError> {
    let Ok(algorithm) = name.parse() else {
        return Err(ManifestError::UnrecognizedAlgorithm(name));
    };
    let Some(digest) = parse_digest(&checksum) else {
        let path = String::from_utf8_lossy(path).into_owned();
        return Err(ManifestError::InvalidFileChecksum { path, checksum });
    };
    Ok((algorithm != ChecksumAlgorithm::None).then_some((algorithm, digest)))
}

/// The keys of a WAL range's object.
#[derive(Clone, Copy)]
pub(super) enum WalRangeField {
    Timeline,
    StartLsn,
    EndLsn,
}

impl WalRangeField {
    pub(super) fn from_key(key: &str) -> Option<Self> {
        match key {
            "Timeline" => Some(Self::Timeline),
            "Start-LSN" => Some(Self::StartLsn),
            "End-LSN" => Some(Self::EndLsn),
            _ => None,
        }
    }
}

/// The fields of a WAL range that were seen.
#[derive(Default)]
pub(super) struct WalRangeFields {
    timeline: Option<String>,
    start_lsn: Option<String>,
    end_lsn: Option<String>,
}

impl WalRangeFields {
    pub(super) fn set(&mut self, field: WalRangeField, value: String) {
        match field {
            WalRangeField::Timeline => self.timeline = Some(value),
            WalRangeField::StartLsn => self.start_lsn = Some(value),
            WalRangeField::EndLsn => self.end_lsn = Some(value),
        }
    }

    pub(super) fn into_range(self) -> Result<WalRange, Malformed> {
        let timeline = self.timeline.ok_or(Malformed::MissingTimeline)?;
        let start_lsn = self.start_lsn.ok_or(Malformed::MissingStartLsn)?;
        let end_lsn = self.end_lsn.ok_or(Malformed::MissingEndLsn)?;
        Ok(WalRange {
            timeline: timeline.parse().map_err(|_| Malformed::TimelineNotInteger)?,
            start_lsn: start_lsn.parse().map_err(|_| Malformed::InvalidStartLsn)?,
            end_lsn: end_lsn.parse().map_err(|_| Malformed::InvalidEndLsn)?,
        })
    }
}

/// Reads a digest from hexadecimal digits of either case.
pub(super) fn parse_digest(hex: &str) -> Option<Digest> {
    Digest::from_slice(&decode_hex(hex)?)
}

fn decode_hex(hex: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|&[high, low]| Some(nibble(high)? << 4 | nibble(low)?));
    rest.is_empty().then(|| bytes.collect()).flatten()
}
