//! `-T OLD=NEW`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use super::{ValueError, shown};

/// Longest directory name in a tablespace mapping, in bytes: PostgreSQL's `MAXPGPATH`.
const DIRECTORY_NAME_BYTES_MAX: usize = 1024;

/// One `-T`, not canonicalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The directory on the server.
    pub old: PathBuf,
    /// The directory on this side.
    pub new: PathBuf,
}

/// Reads the value of `-T` (`tablespace_list_append` in `pg_basebackup.c`): `\=` stands for an equal
/// sign that does not separate, and the server's directory may be absolute by Windows's rules too.
pub fn tablespace_mapping(value: OsString) -> Result<Mapping, ValueError> {
    let (old, new) = split_mapping(value.as_bytes())?;
    if old.is_empty() || new.is_empty() {
        return Err(ValueError::MappingFormat(shown(&value)));
    }
    if !is_absolute_anywhere(&old) {
        return Err(ValueError::OldDirectoryRelative(shown(OsStr::from_bytes(&old))));
    }
    if !new.starts_with(b"/") {
        return Err(ValueError::NewDirectoryRelative(shown(OsStr::from_bytes(&new))));
    }
    let path = |bytes| PathBuf::from(OsString::from_vec(bytes));
    Ok(Mapping { old: path(old), new: path(new) })
}

/// Splits at the equal sign. A second one right after the first is passed over, as in the original.
fn split_mapping(value: &[u8]) -> Result<(Vec<u8>, Vec<u8>), ValueError> {
    let (mut old, mut new) = (Vec::new(), Vec::new());
    let mut is_new = false;
    let mut previous = None;
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let directory = if is_new { &mut new } else { &mut old };
        if directory.len() >= DIRECTORY_NAME_BYTES_MAX {
            return Err(ValueError::DirectoryNameTooLong);
        }
        match byte {
            b'\\' if bytes.peek() == Some(&b'=') => {}
            b'=' if previous != Some(b'\\') && is_new && !directory.is_empty() => {
                return Err(ValueError::MultipleEqualSigns);
            }
            b'=' if previous != Some(b'\\') => is_new = true,
            _ => directory.push(byte),
        }
        previous = Some(byte);
    }
    Ok((old, new))
}

fn is_absolute_anywhere(path: &[u8]) -> bool {
    match path {
        [b'/' | b'\\', ..] => true,
        [drive, b':', b'/' | b'\\', ..] => drive.is_ascii_alphabetic(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(value: &str) -> Result<(String, String), String> {
        tablespace_mapping(value.into())
            .map(|mapping| (shown(mapping.old.as_os_str()), shown(mapping.new.as_os_str())))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn tablespace_mappings_split_at_the_equal_sign_that_is_not_escaped() {
        let table = [
            ("/a=/b", "/a", "/b"),
            (r"/a\=b=/c", "/a=b", "/c"),
            (r"/a=/b\=c", "/a", "/b=c"),
            ("/a==/b", "/a", "/b"),
            (r"C:\x=/b", r"C:\x", "/b"),
            (r"\\host=/b", r"\\host", "/b"),
            (r"/a\b=/c", r"/a\b", "/c"),
        ];
        for (value, old, new) in table {
            assert_eq!(mapping(value), Ok((old.into(), new.into())), "{value}");
        }
    }

    #[test]
    fn tablespace_mappings_that_make_no_sense_are_refused_in_the_original_words() {
        let long = format!("/{}=/b", "a".repeat(1023));
        let invalid = |value: &str| {
            format!("invalid tablespace mapping format \"{value}\", must be \"OLDDIR=NEWDIR\"")
        };
        let multiple = || "multiple \"=\" signs in tablespace mapping".to_owned();
        let table = [
            ("", invalid("")),
            ("a", invalid("a")),
            ("=b", invalid("=b")),
            ("/a=", invalid("/a=")),
            ("/a=/b=/c", multiple()),
            ("=/a=/b", multiple()),
            ("/a=/b=", multiple()),
            ("a=b", "old directory is not an absolute path in tablespace mapping: a".into()),
            ("C:x=/b", "old directory is not an absolute path in tablespace mapping: C:x".into()),
            ("/a=b", "new directory is not an absolute path in tablespace mapping: b".into()),
            (&long, "directory name too long".into()),
        ];
        for (value, error) in table {
            assert_eq!(mapping(value), Err(error), "{value}");
        }
        assert!(mapping(&long.replacen('a', "", 1)).is_ok());
    }

    #[test]
    fn paths_in_mappings_may_be_any_bytes() {
        let value = OsString::from_vec(b"/a\xff=/b\xfe".to_vec());
        let path = |bytes| PathBuf::from(OsStr::from_bytes(bytes));
        let mapping = Mapping { old: path(b"/a\xff"), new: path(b"/b\xfe") };
        assert_eq!(tablespace_mapping(value), Ok(mapping));
    }
}
