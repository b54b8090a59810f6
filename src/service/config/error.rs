//! Why there is no configuration.

use std::io;
use std::path::PathBuf;

use crate::pg::OsError;

/// Why a configuration cannot be used, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {message}", path.display())]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted from 1 in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Why a configuration file gives no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ReadConfigError {
    /// It cannot be read.
    #[error("could not read configuration file \"{}\": {}", path.display(), OsError(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Nobody has written this by hand.
    #[error("configuration file \"{}\" is too large (maximum {bytes_max} bytes)", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What would be read.
        bytes_max: u64,
    },
    /// What is written there cannot be used.
    #[error(transparent)]
    Invalid(#[from] ConfigError),
}
