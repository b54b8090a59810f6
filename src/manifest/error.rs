//! What can be wrong with a manifest, in the words of `src/common/parse_manifest.c`.

use std::io;

/// The manifest could not be read, or not be compared with what was received.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The manifest's bytes could not be had, or a line of them is longer than any manifest's.
    #[error("could not read backup manifest: {0}")]
    Read(#[source] io::Error),
    /// The text is not JSON.
    #[error("could not parse backup manifest: {0}")]
    Json(#[source] serde_json::Error),
    /// The text is JSON, but not a manifest.
    #[error("could not parse backup manifest: {0}")]
    Malformed(#[from] Malformed),
    /// A file's checksum is by an algorithm that does not exist.
    #[error("unrecognized checksum algorithm: \"{0}\"")]
    UnrecognizedAlgorithm(String),
    /// A file's checksum is not hexadecimal, or longer than any algorithm's.
    #[error("invalid checksum for file \"{path}\": \"{checksum}\"")]
    InvalidFileChecksum {
        /// The file's path.
        path: String,
        /// The checksum as the manifest has it.
        checksum: String,
    },
    /// A file is listed twice.
    #[error("duplicate path name in backup manifest: \"{0}\"")]
    DuplicatePath(String),
    /// The manifest's checksum of itself is not a SHA-256 in hexadecimal.
    #[error("invalid manifest checksum: \"{0}\"")]
    InvalidManifestChecksum(String),
    /// The manifest's checksum of itself does not fit its text.
    #[error("manifest checksum mismatch")]
    ManifestChecksumMismatch,
    /// What was received could not be recorded or read back.
    #[error("could not access list of received files: {0}")]
    ReceivedLog(#[source] io::Error),
    /// More files differ than are held for joining.
    #[error("backup manifest and received files differ in more than {limit} files")]
    TooManyUnmatched {
        /// The number of files that may wait for their counterparts.
        limit: usize,
    },
}

/// How a JSON text fails to be a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The text broke off.
    #[error("The input string ended unexpectedly.")]
    Truncated,
    /// An object where none may stand.
    #[error("unexpected object start")]
    UnexpectedObjectStart,
    /// The document ended without its checksum.
    #[error("unexpected object end")]
    UnexpectedObjectEnd,
    /// An array where none may stand.
    #[error("unexpected array start")]
    UnexpectedArrayStart,
    /// A plain value where an object or an array must stand.
    #[error("unexpected scalar")]
    UnexpectedScalar,
    /// A key after the manifest's checksum.
    #[error("unexpected object field")]
    UnexpectedObjectField,
    /// The first key is not the version.
    #[error("expected version indicator")]
    ExpectedVersion,
    /// A key that no manifest has.
    #[error("unrecognized top-level field")]
    UnrecognizedTopLevelField,
    /// A key that no file has.
    #[error("unexpected file field")]
    UnexpectedFileField,
    /// A key that no WAL range has.
    #[error("unexpected WAL range field")]
    UnexpectedWalRangeField,
    /// The version is not a number.
    #[error("manifest version not an integer")]
    VersionNotInteger,
    /// The version is neither 1 nor 2.
    #[error("unexpected manifest version")]
    UnexpectedVersion,
    /// The system identifier is not a number.
    #[error("system identifier in manifest not an integer")]
    SystemIdentifierNotInteger,
    /// A file without a path.
    #[error("missing path name")]
    MissingPath,
    /// A file with both forms of a path.
    #[error("both path name and encoded path name")]
    BothPaths,
    /// A file without a size.
    #[error("missing size")]
    MissingSize,
    /// A file with a checksum of no algorithm.
    #[error("checksum without algorithm")]
    ChecksumWithoutAlgorithm,
    /// An encoded path that is not hexadecimal.
    #[error("could not decode file name")]
    UndecodablePath,
    /// A file's size is not a number.
    #[error("file size is not an integer")]
    SizeNotInteger,
    /// A WAL range without a timeline.
    #[error("missing timeline")]
    MissingTimeline,
    /// A WAL range without a start.
    #[error("missing start LSN")]
    MissingStartLsn,
    /// A WAL range without an end.
    #[error("missing end LSN")]
    MissingEndLsn,
    /// A timeline that is not a positive number.
    #[error("timeline is not an integer")]
    TimelineNotInteger,
    /// The start of a WAL range is not a position.
    #[error("could not parse start LSN")]
    InvalidStartLsn,
    /// The end of a WAL range is not a position.
    #[error("could not parse end LSN")]
    InvalidEndLsn,
    /// More WAL ranges than a backup can span.
    #[error("too many WAL ranges")]
    TooManyWalRanges,
    /// There is no line before the one with the checksum.
    #[error("expected at least 2 lines")]
    TooFewLines,
    /// The last line does not end.
    #[error("last line not newline-terminated")]
    UnterminatedLine,
}
