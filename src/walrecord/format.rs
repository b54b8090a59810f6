//! What differs between releases.

use crate::pg::ServerVersion;

/// The form of the log that a major release writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalFormat {
    /// The number that begins each page (`XLOG_PAGE_MAGIC`).
    page_magic: u16,
}

impl WalFormat {
    /// Returns the form that a server writes; `None` if the release is not known.
    pub fn of_server(version: ServerVersion) -> Option<WalFormat> {
        let _ = version;
        None
    }

    /// Returns the form whose pages begin so; `None` if no known release writes it.
    pub fn of_page_magic(page_magic: u16) -> Option<WalFormat> {
        Some(WalFormat { page_magic })
    }
}
