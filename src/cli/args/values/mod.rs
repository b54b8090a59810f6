//! Values of single options, checked while the command line is scanned as the original does: the
//! first value that is wrong ends the program, whatever comes after it.

mod compress;
mod connection_string;
mod mapping;
mod number;
mod position;
mod quantity;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

pub use compress::{CompressWish, Side, compress, compress_here};
pub use connection_string::{ConnectionString, connection_string};
pub use mapping::{Mapping, tablespace_mapping};
pub use number::{max_rate_kb, status_interval};
pub use position::end_position;
pub use quantity::{files, gigabytes, rounds, seconds};

use super::getopt::shown;
use crate::backup::{Checkpoint, DirectIo, SyncMethod};
use crate::receive::HolePolicy;
use crate::verify::BackupForm;

/// The value of an option that cannot be understood. No hint follows these errors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// `-F`.
    #[error("invalid output format \"{0}\", must be \"plain\" or \"tar\"")]
    Format(String),
    /// `-F` of a backup that is stored.
    #[error("invalid backup format \"{0}\", must be \"plain\" or \"tar\"")]
    BackupForm(String),
    /// `-X`.
    #[error("invalid wal-method option \"{0}\", must be \"fetch\", \"stream\", or \"none\"")]
    WalMethod(String),
    /// `-c`.
    #[error("invalid checkpoint argument \"{0}\", must be \"fast\" or \"spread\"")]
    Checkpoint(String),
    /// `-T` with a name that no server takes.
    #[error("directory name too long")]
    DirectoryNameTooLong,
    /// `-T` that would split into more than two names.
    #[error("multiple \"=\" signs in tablespace mapping")]
    MultipleEqualSigns,
    /// `-T` without two names.
    #[error("invalid tablespace mapping format \"{0}\", must be \"OLDDIR=NEWDIR\"")]
    MappingFormat(String),
    /// `-T` with a relative directory on the server.
    #[error("old directory is not an absolute path in tablespace mapping: {0}")]
    OldDirectoryRelative(String),
    /// `-T` with a relative directory on this side.
    #[error("new directory is not an absolute path in tablespace mapping: {0}")]
    NewDirectoryRelative(String),
    /// `-r` that does not begin with a number.
    #[error("transfer rate \"{0}\" is not a valid value")]
    RateNotANumber(String),
    /// `-r` with a number that no floating-point number comes near.
    #[error("invalid transfer rate \"{0}\": Numerical result out of range")]
    RateNotRepresentable(String),
    /// `-r` with nothing or less.
    #[error("transfer rate must be greater than zero")]
    RateNotPositive,
    /// `-r` with something else than `k` or `M` behind the number.
    #[error("invalid --max-rate unit: \"{0}\"")]
    RateUnit(String),
    /// `-r` that 32 bits do not hold.
    #[error("transfer rate \"{0}\" exceeds integer range")]
    RateExceedsInteger(String),
    /// `-r` that servers do not take.
    #[error("transfer rate \"{0}\" is out of range")]
    RateOutOfRange(String),
    /// `-s` that is no integer.
    #[error("invalid value \"{0}\" for option -s/--status-interval")]
    StatusInterval(String),
    /// `-s` that is negative, or whose milliseconds 32 bits do not hold.
    #[error("-s/--status-interval must be in range 0..{max}", max = number::STATUS_INTERVAL_MAX)]
    StatusIntervalOutOfRange,
    /// `--sync-method`.
    #[error("unrecognized sync method: {0}")]
    SyncMethod(String),
    /// `--direct-io`.
    #[error("invalid direct-io option \"{0}\", must be \"auto\" or \"off\"")]
    DirectIo(String),
    /// `-E`.
    #[error("could not parse end position \"{0}\"")]
    EndPosition(String),
    /// `--on-hole`.
    #[error("invalid on-hole option \"{0}\", must be \"stop\" or \"skip\"")]
    OnHole(String),
    /// A part of the benchmark.
    #[error(
        "unrecognized part \"{0}\", must be \"base-backup\", \"verify\", \"small-files\", \
         \"empty-cluster\", \"catch-up\", or \"standby\""
    )]
    BenchPart(String),
    /// A number of our own options.
    #[error("invalid value \"{typed}\" for option {option}, must be in range {lowest}..{highest}")]
    Quantity {
        /// What stands for it.
        typed: String,
        /// The option.
        option: &'static str,
        /// The lowest that is taken.
        lowest: String,
        /// The highest that is taken.
        highest: String,
    },
    /// A text that is sent to the server or looked up, and cannot be.
    #[error("argument \"{0}\" is not valid UTF-8")]
    NotUtf8(String),
}

/// What `-F` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A data directory.
    Plain,
    /// Tar files.
    Tar,
}

/// What `-X` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalWish {
    /// No WAL.
    None,
    /// At the end, with the data.
    Fetch,
    /// Beside the data.
    Stream,
}

/// Reads the value of `-F`.
pub fn format(value: OsString) -> Result<Format, ValueError> {
    match value.as_bytes() {
        b"p" | b"plain" => Ok(Format::Plain),
        b"t" | b"tar" => Ok(Format::Tar),
        _ => Err(ValueError::Format(shown(&value))),
    }
}

/// Reads the value of `-F` for a backup that is stored.
pub fn backup_form(value: OsString) -> Result<BackupForm, ValueError> {
    match value.as_bytes() {
        b"p" | b"plain" => Ok(BackupForm::Plain),
        b"t" | b"tar" => Ok(BackupForm::Tar),
        _ => Err(ValueError::BackupForm(shown(&value))),
    }
}

/// Reads the value of `-X`.
pub fn wal_method(value: OsString) -> Result<WalWish, ValueError> {
    match value.as_bytes() {
        b"n" | b"none" => Ok(WalWish::None),
        b"f" | b"fetch" => Ok(WalWish::Fetch),
        b"s" | b"stream" => Ok(WalWish::Stream),
        _ => Err(ValueError::WalMethod(shown(&value))),
    }
}

/// Reads the value of `-c`, the only one whose case does not matter.
pub fn checkpoint(value: OsString) -> Result<Checkpoint, ValueError> {
    match value.as_bytes().to_ascii_lowercase().as_slice() {
        b"fast" => Ok(Checkpoint::Fast),
        b"spread" => Ok(Checkpoint::Spread),
        _ => Err(ValueError::Checkpoint(shown(&value))),
    }
}

/// Reads the value of `--direct-io`.
pub fn direct_io(value: OsString) -> Result<DirectIo, ValueError> {
    match value.as_bytes() {
        b"auto" => Ok(DirectIo::Auto),
        b"off" => Ok(DirectIo::Off),
        _ => Err(ValueError::DirectIo(shown(&value))),
    }
}

/// Reads the value of `--on-hole`.
pub fn hole_policy(value: OsString) -> Result<HolePolicy, ValueError> {
    match value.as_bytes() {
        b"stop" => Ok(HolePolicy::Refuse),
        b"skip" => Ok(HolePolicy::Skip),
        _ => Err(ValueError::OnHole(shown(&value))),
    }
}

/// Reads the value of `--sync-method`.
pub fn sync_method(value: OsString) -> Result<SyncMethod, ValueError> {
    match value.as_bytes() {
        b"fsync" => Ok(SyncMethod::Fsync),
        b"syncfs" => Ok(SyncMethod::Syncfs),
        _ => Err(ValueError::SyncMethod(shown(&value))),
    }
}

/// Reads a value that is passed on as text.
pub fn text(value: OsString) -> Result<String, ValueError> {
    value.into_string().map_err(|value| ValueError::NotUtf8(shown(&value)))
}
