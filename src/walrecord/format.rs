//! What differs between releases.

use crate::pg::ServerVersion;

/// The form of the log that a major release writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalFormat {
    /// The major release.
    major: u32,
    /// The number that begins each page (`XLOG_PAGE_MAGIC`).
    page_magic: u16,
}

/// The releases whose log can be read. Since 13 they agree on the layout of pages and records.
const FORMATS: [WalFormat; 6] = [
    WalFormat { major: 13, page_magic: 0xD106 },
    WalFormat { major: 14, page_magic: 0xD10D },
    WalFormat { major: 15, page_magic: 0xD110 },
    WalFormat { major: 16, page_magic: 0xD113 },
    WalFormat { major: 17, page_magic: 0xD116 },
    WalFormat { major: 18, page_magic: 0xD118 },
];

/// The highest number of a built-in resource manager, in all releases (`RM_MAX_BUILTIN_ID`).
const BUILT_IN_MANAGER_MAX: u8 = 21;

/// The lowest number of an extension's resource manager (`RM_MIN_CUSTOM_ID`).
const CUSTOM_MANAGER_MIN: u8 = 128;

/// The first release with resource managers of extensions.
const CUSTOM_MANAGERS_SINCE: u32 = 15;

impl WalFormat {
    /// The size of the pages of a log that can be read, in bytes: what servers are built with unless somebody wants
    /// something else (`XLOG_BLCKSZ`).
    pub const BLOCK_SIZE: u32 = 8192;

    /// Returns the form that a server writes; `None` if the release is not known.
    pub fn of_server(version: ServerVersion) -> Option<WalFormat> {
        FORMATS.into_iter().find(|format| format.major == version.major())
    }

    /// Returns the form whose pages begin so; `None` if no known release writes it.
    pub fn of_page_magic(page_magic: u16) -> Option<WalFormat> {
        FORMATS.into_iter().find(|format| format.page_magic == page_magic)
    }

    /// Returns the number that begins each page.
    pub(super) fn page_magic(self) -> u16 {
        self.page_magic
    }

    /// Says whether a resource manager can have this number (`RmgrIdIsValid`).
    pub(super) fn has_resource_manager(self, manager: u8) -> bool {
        manager <= BUILT_IN_MANAGER_MAX
            || (manager >= CUSTOM_MANAGER_MIN && self.major >= CUSTOM_MANAGERS_SINCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_known_by_version_and_by_page() {
        for format in FORMATS {
            let version = ServerVersion::major_release(format.major);
            assert_eq!(WalFormat::of_server(version), Some(format));
            assert_eq!(WalFormat::of_page_magic(format.page_magic), Some(format));
        }
        for major in [12, 19] {
            assert_eq!(WalFormat::of_server(ServerVersion::major_release(major)), None);
        }
        for magic in [0, 0xD105, 0xD119, 0x06D1] {
            assert_eq!(WalFormat::of_page_magic(magic), None);
        }
    }

    #[test]
    fn extensions_have_resource_managers_since_15() {
        for format in FORMATS {
            let valid = |manager| format.has_resource_manager(manager);
            assert!(valid(0) && valid(21) && !valid(22) && !valid(127));
            assert_eq!([valid(128), valid(255)], [format.major >= 15; 2]);
        }
    }
}
