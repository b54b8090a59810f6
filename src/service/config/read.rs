//! From the file to the configuration.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::file::ConfigFile;
use super::position::Fault;
use super::{Config, ConfigError, ReadConfigError, meaning};

/// The largest file that is read: thousands of servers.
const FILE_BYTES_MAX: u64 = 1 << 20;

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// If it cannot be read, or what is written there cannot be used.
    pub fn read(path: &Path) -> Result<Self, ReadConfigError> {
        let failed = |source| ReadConfigError::Read { path: path.to_owned(), source };
        let contents = contents(path).map_err(failed)?;
        if contents.len() as u64 > FILE_BYTES_MAX {
            let path = path.to_owned();
            return Err(ReadConfigError::TooLarge { path, bytes_max: FILE_BYTES_MAX });
        }
        Ok(match String::from_utf8(contents) {
            Ok(text) => Self::parse(&text, path)?,
            Err(error) => return Err(not_utf8(&error, path).into()),
        })
    }

    /// Understands the text of a configuration file; `path` is for messages.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let file = toml::from_str::<ConfigFile>(text).map_err(Fault::from);
        file.and_then(meaning::of).map_err(|fault| fault.in_file(text, path))
    }
}

/// Reads a file up to the byte that is too many.
fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut contents)?;
    Ok(contents)
}

fn not_utf8(error: &std::string::FromUtf8Error, path: &Path) -> ConfigError {
    let valid = error.utf8_error().valid_up_to();
    let text = String::from_utf8_lossy(error.as_bytes());
    // Up to there, both are the same.
    Fault::at(valid..valid, "invalid UTF-8").in_file(&text, path)
}
