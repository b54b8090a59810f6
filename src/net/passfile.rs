//! Password files: lines of `host:port:database:user:password`. Follows `passwordFromFile` of
//! libpq's `fe-connect.c`.

use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::conninfo::{ConnectOptions, Host, HostKind, Password};
use super::file::PlainFile;

/// The largest file that is read: thousands of entries with passwords that are long tokens.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The longest line that is looked at; tokens that stand for passwords have a few kilobytes.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Permission bits of the group and of all others.
const GROUP_AND_OTHERS: u32 = 0o077;

/// The connection that a password is sought for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The host's name, the socket's directory, or `localhost` for the default directory.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: &'a str,
    /// The user.
    pub user: &'a str,
}

/// Why a password file is not used. The connection is tried without it.
#[derive(Debug, thiserror::Error)]
pub enum PassfileWarning {
    /// It is a directory, a pipe or the like.
    #[error("password file \"{}\" is not a plain file", .0.display())]
    NotPlain(PathBuf),
    /// Others could read or change it.
    #[error(
        "password file \"{}\" has group or world access; permissions should be u=rw (0600) or less",
        .0.display()
    )]
    Accessible(PathBuf),
    /// It has more than a few megabytes.
    #[error("password file \"{}\" is too large (maximum {FILE_BYTES_MAX} bytes)", .0.display())]
    TooLarge(PathBuf),
    /// It is there and ours, but the read failed.
    #[error("could not read password file \"{}\": {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

impl<'a> Entry<'a> {
    /// Makes the entry for one of the hosts of a connection; `None` if its socket's directory is
    /// not UTF-8.
    pub fn new(options: &'a ConnectOptions, host: &'a Host) -> Option<Self> {
        let name = match &host.kind {
            HostKind::Tcp { name, .. } => name,
            HostKind::UnixDirectory(path) if *path == options.default_socket_directory => {
                "localhost"
            }
            HostKind::UnixDirectory(path) => path.to_str()?,
        };
        Some(Entry {
            host: name,
            port: host.port,
            database: &options.database,
            user: &options.user,
        })
    }
}

/// Reads a password file. One that is missing, or may not be opened, is as good as empty.
///
/// # Errors
/// With a warning if the file is ignored.
pub fn read(path: &Path) -> Result<Vec<u8>, PassfileWarning> {
    let file = match PlainFile::open(path) {
        Ok(file) => file,
        Err(error) => {
            return match error.kind() {
                ErrorKind::IsADirectory | ErrorKind::InvalidInput => {
                    Err(PassfileWarning::NotPlain(path.to_owned()))
                }
                _ => Ok(Vec::new()),
            };
        }
    };
    if file.metadata.mode() & GROUP_AND_OTHERS != 0 {
        return Err(PassfileWarning::Accessible(path.to_owned()));
    }
    file.read(FILE_BYTES_MAX).map_err(|source| match source.kind() {
        ErrorKind::FileTooLarge => PassfileWarning::TooLarge(path.to_owned()),
        _ => PassfileWarning::Read { path: path.to_owned(), source },
    })
}

/// Finds the password in the first line that matches. An empty one is found, too.
pub fn lookup(contents: &[u8], entry: &Entry<'_>) -> Option<Password> {
    contents
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| line.len() <= LINE_BYTES_MAX && !line.starts_with(b"#"))
        .find_map(|line| password_in_line(line, entry))
}

fn password_in_line(line: &[u8], entry: &Entry<'_>) -> Option<Password> {
    let port = entry.port.to_string();
    let mut rest = line;
    for field in [entry.host, &port, entry.database, entry.user] {
        rest = strip_field(rest, field.as_bytes())?;
    }
    let (password, _) = take_field(rest);
    Some(Password::new(password))
}

/// Returns what follows a field and its colon if the field is `*` or the wanted value.
fn strip_field<'a>(line: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    if let Some(rest) = line.strip_prefix(b"*:") {
        return Some(rest);
    }
    let (field, rest) = take_field(line);
    rest.strip_prefix(b":").filter(|_| field == wanted)
}

/// Splits before the first colon that no backslash protects, and drops the backslashes.
fn take_field(line: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut field = Vec::new();
    let mut rest = line;
    while let Some((&first, after)) = rest.split_first() {
        let (byte, after) = match (first, after.split_first()) {
            (b':', _) => break,
            (b'\\', Some((&escaped, after))) => (escaped, after),
            _ => (first, after),
        };
        field.push(byte);
        rest = after;
    }
    (field, rest)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;
    use crate::net::conninfo::{ConnectionArguments, Environment};

    const ENTRY: Entry<'static> =
        Entry { host: "db.example", port: 5432, database: "replication", user: "u:\\" };

    #[test]
    fn first_matching_line_counts() {
        let user = r"u\:\\";
        let table = [
            (String::new(), None),
            (format!("db.example:5432:replication:{user}:p"), Some("p")),
            (format!("db.example:5432:replication:{user}:p\r\n"), Some("p")),
            (format!("x:*:*:*:no\n\n:::\n*:*:*:{user}:yes\n*:*:*:*:late"), Some("yes")),
            ("#*:*:*:*:no\n*:*:*:*:yes".to_owned(), Some("yes")),
            ("*:*:*:*:".to_owned(), Some("")),
            (r"*:*:*:*:a\:b\\c\d:comment".to_owned(), Some(r"a:b\cd")),
            (r"*:*:*:*:a\".to_owned(), Some(r"a\")),
            (r"d\b.example:*:*:*:p".to_owned(), Some("p")),
            ("*:*:*:*".to_owned(), None),
            ("*x:*:*:*:p".to_owned(), None),
            ("*:543:*:*:p".to_owned(), None),
            ("*:*:postgres:*:p".to_owned(), None),
            (format!("*:*:*:*:{}\n*:*:*:*:p", "x".repeat(LINE_BYTES_MAX)), Some("p")),
        ];
        for (contents, password) in table {
            let expected = password.map(|password| Password::new(password.as_bytes()));
            assert_eq!(lookup(contents.as_bytes(), &ENTRY), expected, "{contents:.60}");
        }
    }

    #[test]
    fn default_socket_directory_is_localhost() {
        let environment = Environment::new("u", "/run/default");
        let table = [
            ("host=''", "localhost"),
            ("host=/run/default", "localhost"),
            ("host=/tmp", "/tmp"),
            ("host=a hostaddr=::1", "a"),
            ("hostaddr=::1", "::1"),
        ];
        for (text, name) in table {
            let arguments = ConnectionArguments {
                connection_string: Some(text.to_owned()),
                ..Default::default()
            };
            let options = ConnectOptions::resolve(&arguments, "p", &environment).expect(text);
            let host = options.hosts.first().expect("one host");
            let expected = Entry { host: name, port: 5432, database: "replication", user: "u" };
            assert_eq!(Entry::new(&options, host), Some(expected));
        }
    }

    #[test]
    fn only_a_private_plain_file_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pgpass");
        assert_eq!(read(&path).expect("missing is empty"), b"");
        fs::write(&path, "line").expect("a file");
        let table = [(0o600, false), (0o640, true), (0o601, true)];
        for (mode, is_refused) in table {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            let message = is_refused.then(|| {
                format!(
                    "password file \"{}\" has group or world access; \
                     permissions should be u=rw (0600) or less",
                    path.display()
                )
            });
            assert_eq!(read(&path).err().map(|error| error.to_string()), message, "{mode:o}");
        }
        let refusal = read(directory.path()).expect_err("a directory");
        let message =
            format!("password file \"{}\" is not a plain file", directory.path().display());
        assert_eq!(refusal.to_string(), message);
    }

    #[test]
    fn too_large_file_is_not_read() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(FILE_BYTES_MAX + 1).expect("a length");
        let refusal = read(file.path()).expect_err("too large");
        let message = format!(
            "password file \"{}\" is too large (maximum 4194304 bytes)",
            file.path().display()
        );
        assert_eq!(refusal.to_string(), message);
    }

    proptest! {
        #[test]
        fn any_contents_are_searched(contents: Vec<u8>, text in "[*:\\\\#\nu]*") {
            let _ = lookup(&contents, &ENTRY);
            let _ = lookup(text.as_bytes(), &ENTRY);
        }

        #[test]
        fn escaped_fields_are_found(host in "[a-z][^\n\r\0]*", password in "[^\n\r\0]*") {
            let escape = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
            let line = format!("{}:*:*:*:{}", escape(&host), escape(&password));
            let entry = Entry { host: &host, ..ENTRY };
            prop_assert_eq!(
                lookup(line.as_bytes(), &entry),
                Some(Password::new(password.into_bytes()))
            );
        }
    }
}
