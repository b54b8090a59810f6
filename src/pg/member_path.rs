//! Names of files inside a backup.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A path below the root of a backup: relative, without `.`, `..` or empty components; or that root itself, as `.`.
///
/// The bytes need not be UTF-8. Because it cannot climb, joining it to a directory stays inside as
/// long as no component is a symbolic link.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberPath(Box<[u8]>);

/// A name that cannot be a path inside a backup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsafePath {
    /// No name at all.
    #[error("tar member has empty name")]
    Empty,
    /// Absolute, climbing, or holding a zero byte.
    #[error("tar member has unsafe path name: \"{0}\"")]
    Unsafe(String),
}

impl MemberPath {
    /// Checks the name of a tar member; components that are empty or `.` are dropped, as what `tar -c .` writes has them.
    ///
    /// # Errors
    /// If the name is empty, absolute, contains a zero byte or a `..` component.
    pub fn from_member_name(name: &[u8]) -> Result<Self, UnsafePath> {
        if name.is_empty() {
            return Err(UnsafePath::Empty);
        }
        let parts = || name.split(|&byte| byte == b'/');
        if name.starts_with(b"/") || name.contains(&0) || parts().any(|part| part == b"..") {
            return Err(UnsafePath::Unsafe(String::from_utf8_lossy(name).into_owned()));
        }
        let named: Vec<_> = parts().filter(|part| !matches!(*part, b"" | b".")).collect();
        let path = if named.is_empty() { b".".to_vec() } else { named.join(&b'/') };
        Ok(MemberPath(path.into()))
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
    fn harmless_names_are_kept_without_what_says_nothing() {
        let table: [(&[u8], &[u8]); 10] = [
            (b"base/1/1259", b"base/1/1259"),
            (b"./pg_wal/", b"pg_wal"),
            (b"././pg_wal//", b"pg_wal"),
            (b"a//b", b"a/b"),
            (b"a/./b", b"a/b"),
            (b".", b"."),
            (b"./", b"."),
            (b".//.", b"."),
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
        let names: [&[u8]; 8] =
            [b"/etc/passwd", b"..", b"../x", b"a/../../x", b"a/..", b"./../x", b"//", b"a\0b"];
        for name in names {
            let refusal = MemberPath::from_member_name(name);
            assert!(matches!(refusal, Err(UnsafePath::Unsafe(_))), "{name:?}: {refusal:?}");
        }
        assert_eq!(MemberPath::from_member_name(b""), Err(UnsafePath::Empty));
    }
}
