//! `-d`, which may hold a password.

use std::ffi::OsString;
use std::fmt;

use super::{ValueError, text};

/// A connection string, URI or name of a database, as it was typed. `Debug` masks it.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionString(String);

impl ConnectionString {
    /// Returns the text, password and all.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for ConnectionString {
    fn from(text: String) -> Self {
        ConnectionString(text)
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionString(***)")
    }
}

/// Reads the value of `-d`. An error does not show it.
pub fn connection_string(value: OsString) -> Result<ConnectionString, ValueError> {
    text(value).map(ConnectionString).map_err(|_| ValueError::NotUtf8("***".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn neither_debug_output_nor_errors_show_what_was_typed() {
        let good = connection_string("password=secret".into()).unwrap();
        assert_eq!(good.reveal(), "password=secret");
        let bad =
            connection_string(OsString::from_vec(b"password=secret\xff".to_vec())).unwrap_err();
        for shown in [format!("{good:?}"), format!("{bad:?}"), bad.to_string()] {
            assert!(!shown.contains("secret"), "{shown}");
        }
    }
}
