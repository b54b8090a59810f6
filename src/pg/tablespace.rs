//! Tablespaces, their locations, and the user's mappings of them.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// An object identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oid(pub u32);

impl FromStr for Oid {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Oid)
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a tablespace's files lie on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TablespaceLocation {
    /// The data directory itself: the archive `base.tar`.
    DataDirectory,
    /// A directory inside the data directory, `pg_tblspc/OID` (listed by servers 16 and newer).
    InPlace(PathBuf),
    /// A directory of its own, reached through a symbolic link in `pg_tblspc`.
    Directory(PathBuf),
}

/// One row of the server's list of tablespaces in a base backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tablespace {
    /// The tablespace's identifier; `None` for the data directory.
    pub oid: Option<Oid>,
    /// Where its files lie.
    pub location: TablespaceLocation,
    /// The estimated size in kilobytes, if the server was asked to estimate.
    pub size_kb: Option<u64>,
}

/// Tidies a path as text, as PostgreSQL's `canonicalize_path` does: no doubled or trailing slashes, no
/// `.`, and `..` taken back against the component before it. Links are not followed.
pub fn canonicalize(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let absolute = bytes.starts_with(b"/");
    let mut kept: Vec<&[u8]> = Vec::new();
    for part in bytes.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if kept.last().is_some_and(|last| *last != b"..") => {
                kept.pop();
            }
            b".." if absolute => {}
            _ => kept.push(part),
        }
    }
    let mut tidy = if absolute { b"/".to_vec() } else { Vec::new() };
    tidy.extend(kept.join(&b'/'));
    if tidy.is_empty() && !bytes.is_empty() {
        tidy.push(b'.');
    }
    PathBuf::from(OsString::from_vec(tidy))
}

/// The user's `--tablespace-mapping` options: where a tablespace goes instead of the server's place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablespaceMappings(Vec<(PathBuf, PathBuf)>);

impl TablespaceMappings {
    /// Adds a mapping; both paths are canonicalised.
    pub fn add(&mut self, old: &Path, new: &Path) {
        self.0.push((canonicalize(old), canonicalize(new)));
    }

    /// Returns where the tablespace at `location` goes: the first mapping of exactly that path, or the
    /// path itself.
    pub fn map(&self, location: &Path) -> PathBuf {
        let location = canonicalize(location);
        let mapped = self.0.iter().find(|(old, _)| *old == location);
        mapped.map_or(location, |(_, new)| new.clone())
    }
}

impl TablespaceLocation {
    /// Reads the location of a tablespace row: absent, relative, or absolute.
    pub fn from_row(location: Option<&[u8]>) -> Self {
        match location {
            None => Self::DataDirectory,
            Some(path) if path.starts_with(b"/") => {
                Self::Directory(PathBuf::from(OsStr::from_bytes(path)))
            }
            Some(path) => Self::InPlace(PathBuf::from(OsStr::from_bytes(path))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_tidied_as_text() {
        let table = [
            ("/a//b/./c/", "/a/b/c"),
            ("/a/../b", "/b"),
            ("/..", "/"),
            ("a/..", "."),
            ("../a", "../a"),
            ("a/../../b", "../b"),
            ("", ""),
            (".", "."),
        ];
        for (path, tidy) in table {
            assert_eq!(canonicalize(Path::new(path)), Path::new(tidy), "{path}");
        }
    }

    #[test]
    fn the_first_mapping_of_a_path_wins_and_others_stay_in_place() {
        let mut mappings = TablespaceMappings::default();
        mappings.add(Path::new("/old/"), Path::new("/new//place"));
        mappings.add(Path::new("/old"), Path::new("/second"));
        assert_eq!(mappings.map(Path::new("/old")), Path::new("/new/place"));
        assert_eq!(mappings.map(Path::new("/older")), Path::new("/older"));
    }
}
