//! How PostgreSQL's messages print the operating system's errors.

use std::fmt;
use std::io;

/// Prints an I/O error as C's `%m` does: without the number that Rust appends.
#[derive(Debug)]
pub struct OsError<'a>(pub &'a io::Error);

impl fmt::Display for OsError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let end = text.rfind(" (os error ").unwrap_or(text.len());
        f.write_str(text.get(..end).unwrap_or(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_left_out() {
        let error = io::Error::from_raw_os_error(2);
        assert_eq!(OsError(&error).to_string(), "No such file or directory");
        assert_eq!(OsError(&io::Error::other("own words")).to_string(), "own words");
    }
}
