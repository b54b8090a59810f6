//! Names of files inside a backup.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A path below the root of a backup: relative, not empty, without `.`, `..` or empty components.
///
/// The bytes need not be UTF-8. Because it cannot climb, joining it to a directory stays inside as
/// long as no component is a symbolic link.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberPath(Box<[u8]>);

/// A name that cannot be a path inside a backup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsafePath {
    /// No name at all, or nothing but `./`.
    #[error("tar member has empty name")]
    Empty,
    /// Absolute, climbing, or holding a zero byte.
    #[error("tar member has unsafe path name: \"{0}\"")]
    Unsafe(String),
}

impl MemberPath {
    /// Checks the name of a tar member; a leading `./` and trailing slashes are dropped.
    ///
    /// # Errors
    /// If the name is empty, absolute, contains a zero byte or an empty, `.` or `..` component.
    pub fn from_member_name(name: &[u8]) -> Result<Self, UnsafePath> {
        let mut path = name;
        while let Some(rest) = path.strip_prefix(b"./") {
            path = rest;
        }
        while let Some(rest) = path.strip_suffix(b"/").filter(|rest| !rest.is_empty()) {
            path = rest;
        }
        if path.is_empty() || path == b"." {
            return Err(UnsafePath::Empty);
        }
        let harmless = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
        if path.split(|&byte| byte == b'/').all(harmless) {
            Ok(MemberPath(path.into()))
        } else {
            Err(UnsafePath::Unsafe(String::from_utf8_lossy(name).into_owned()))
        }
    }

    /// Returns the path's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the path for the file system.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Returns the remainder below a directory, or `None` if the path is not inside it.
    pub fn strip_directory(&self, directory: &[u8]) -> Option<&[u8]> {
        self.0.strip_prefix(directory)?.strip_prefix(b"/")
    }
}

impl fmt::Display for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(f)
    }
}

impl fmt::Debug for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_kept() {
        let table: [(&[u8], &[u8]); 4] = [
            (b"base/1/1259", b"base/1/1259"),
            (b"./pg_wal/", b"pg_wal"),
            (b"pg_tblspc/16384", b"pg_tblspc/16384"),
            (b"caf\xe9..txt", b"caf\xe9..txt"),
        ];
        for (name, path) in table {
            let member = MemberPath::from_member_name(name).expect("a safe name");
            assert_eq!(member.as_bytes(), path);
        }
    }

    #[test]
    fn names_that_leave_the_backup_are_refused() {
        let names: [&[u8]; 9] = [
            b"/etc/passwd",
            b"..",
            b"../x",
            b"a/../../x",
            b"a/..",
            b"a//b",
            b"a/./b",
            b"//",
            b"a\0b",
        ];
        for name in names {
            let refusal = MemberPath::from_member_name(name);
            assert!(matches!(refusal, Err(UnsafePath::Unsafe(_))), "{name:?}: {refusal:?}");
        }
        for name in [&b""[..], b".", b"./", b"././"] {
            assert_eq!(MemberPath::from_member_name(name), Err(UnsafePath::Empty));
        }
    }
}
