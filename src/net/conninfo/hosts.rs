//! The servers to try, from the lists in `host`, `hostaddr` and `port`. Follows
//! `pqConnectOptions2` of libpq's `fe-connect.c`.

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::parameters::parse_integer;
use super::{ConninfoError, Keyword, Parameters};

/// The port where none is given.
const DEFAULT_PORT: u16 = 5432;

/// What fits into `sun_path` besides its zero byte (Linux).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// One server to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// How the server is reached.
    pub kind: HostKind,
    /// Its port, which is also part of a socket's name. Never 0.
    pub port: u16,
    /// The address at which it was reached before; the name is not looked up again.
    pub reached: Option<SocketAddr>,
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// Over TCP.
    Tcp {
        /// The host's name, or its address if that is all that was given.
        name: String,
        /// The address, where it was given so that the name need not be looked up.
        address: Option<IpAddr>,
        /// Whether a name was given, which a certificate can be compared with.
        is_named: bool,
    },
    /// Over a socket in this directory. With a leading `@` the name is in Linux's abstract
    /// namespace, in which there are no directories.
    UnixDirectory(PathBuf),
}

impl Host {
    /// Returns the path of the server's socket, or `None` for TCP. With a leading `@` it is the
    /// name of an abstract socket, in which a zero byte stands for the `@`.
    pub fn socket_path(&self) -> Option<PathBuf> {
        match &self.kind {
            HostKind::Tcp { .. } => None,
            HostKind::UnixDirectory(directory) => {
                let mut path = OsString::from(directory);
                path.push(format!("/.s.PGSQL.{}", self.port));
                Some(path.into())
            }
        }
    }
}

impl fmt::Display for Host {
    /// Prints `name:port`, or `directory:port`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            HostKind::UnixDirectory(directory) => {
                write!(f, "{}:{}", directory.display(), self.port)
            }
            // The colons of an address would run into that of the port.
            HostKind::Tcp { name, .. } if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            HostKind::Tcp { name, .. } => write!(f, "{name}:{}", self.port),
        }
    }
}

/// Makes the list of servers; it is never empty.
pub(super) fn resolve(
    parameters: &Parameters,
    default_directory: &Path,
) -> Result<Vec<Host>, ConninfoError> {
    let names = list(parameters, Keyword::Host);
    let addresses = list(parameters, Keyword::Hostaddr);
    let ports = list(parameters, Keyword::Port);
    let count = [addresses.len(), names.len()].into_iter().find(|len| *len > 0).unwrap_or(1);
    if !names.is_empty() && names.len() != count {
        return Err(ConninfoError::HostCount { names: names.len(), addresses: count });
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(ConninfoError::PortCount { ports: ports.len(), hosts: count });
    }
    (0..count)
        .map(|index| {
            let port = entry(&ports, if ports.len() == 1 { 0 } else { index });
            let kind =
                host_kind(entry(&names, index), entry(&addresses, index), default_directory)?;
            checked(Host { kind, port: parse_port(port)?, reached: None })
        })
        .collect()
}

/// Splits a comma-separated value; an unset or empty one has no entries.
pub(super) fn list(parameters: &Parameters, keyword: Keyword) -> Vec<&str> {
    parameters.non_empty(keyword).map_or_else(Vec::new, |value| value.split(',').collect())
}

pub(super) fn entry<'a>(list: &[&'a str], index: usize) -> &'a str {
    list.get(index).copied().unwrap_or_default()
}

fn host_kind(
    name: &str,
    address: &str,
    default_directory: &Path,
) -> Result<HostKind, ConninfoError> {
    if !address.is_empty() {
        let invalid = |_| ConninfoError::InvalidAddress(address.to_owned());
        let is_named = !name.is_empty();
        let name = if is_named { name } else { address };
        let address = Some(address.parse().map_err(invalid)?);
        return Ok(HostKind::Tcp { name: name.to_owned(), address, is_named });
    }
    Ok(match name {
        "" => HostKind::UnixDirectory(default_directory.to_owned()),
        name if name.starts_with(['/', '@']) => HostKind::UnixDirectory(name.into()),
        name => HostKind::Tcp { name: name.to_owned(), address: None, is_named: true },
    })
}

fn parse_port(port: &str) -> Result<u16, ConninfoError> {
    if port.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    u16::try_from(parse_integer(Keyword::Port, port)?)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| ConninfoError::InvalidPort(port.to_owned()))
}

/// Refuses a socket whose path does not fit into an address.
fn checked(host: Host) -> Result<Host, ConninfoError> {
    match host.socket_path() {
        Some(path) if path.as_os_str().as_bytes().len() > SOCKET_PATH_BYTES_MAX => {
            Err(ConninfoError::SocketPathTooLong { path, max_bytes: SOCKET_PATH_BYTES_MAX })
        }
        Some(_) | None => Ok(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts_of(text: &str) -> Result<Vec<Host>, String> {
        let parameters = Parameters::parse(text).expect("a valid connection string");
        resolve(&parameters, Path::new("/run/default")).map_err(|error| error.to_string())
    }

    fn tcp(name: &str, address: Option<&str>, port: u16) -> Host {
        let is_named = address != Some(name);
        let address = address.map(|address| address.parse().expect("an address"));
        let kind = HostKind::Tcp { name: name.to_owned(), address, is_named };
        Host { kind, port, reached: None }
    }

    fn unix(directory: &str, port: u16) -> Host {
        Host { kind: HostKind::UnixDirectory(directory.into()), port, reached: None }
    }

    #[test]
    fn hosts_print_how_they_are_reached() {
        let table = [
            (tcp("a", None, 5432), "a:5432"),
            (tcp("a", Some("::1"), 6), "a:6"),
            (tcp("::1", Some("::1"), 5432), "[::1]:5432"),
            (unix("/tmp", 6), "/tmp:6"),
        ];
        for (host, expected) in table {
            assert_eq!(host.to_string(), expected);
        }
    }

    #[test]
    fn lists_are_matched_entry_by_entry() {
        let table = [
            ("", vec![unix("/run/default", 5432)]),
            ("port=' 6 '", vec![unix("/run/default", 6)]),
            ("host=/tmp port=6", vec![unix("/tmp", 6)]),
            ("host=@pg", vec![unix("@pg", 5432)]),
            ("host=a,b", vec![tcp("a", None, 5432), tcp("b", None, 5432)]),
            ("host=a,b port=6", vec![tcp("a", None, 6), tcp("b", None, 6)]),
            ("host=a,b port=6,", vec![tcp("a", None, 6), tcp("b", None, 5432)]),
            (
                "host=a,,/s",
                vec![tcp("a", None, 5432), unix("/run/default", 5432), unix("/s", 5432)],
            ),
            ("hostaddr=::1", vec![tcp("::1", Some("::1"), 5432)]),
            (
                "host=a,b hostaddr=,10.0.0.1 port=6,7",
                vec![tcp("a", None, 6), tcp("b", Some("10.0.0.1"), 7)],
            ),
        ];
        for (text, hosts) in table {
            assert_eq!(hosts_of(text), Ok(hosts), "{text}");
        }
    }

    #[test]
    fn refusals_have_libpqs_words() {
        let long = format!("host=/{}", "a".repeat(100));
        let long_message = format!(
            "Unix-domain socket path \"/{}/.s.PGSQL.5432\" is too long (maximum 107 bytes)",
            "a".repeat(100)
        );
        let table = [
            ("host=a,b hostaddr=1,2,3", "could not match 2 host names to 3 hostaddr values"),
            ("host=a,b port=1,2,3", "could not match 3 port numbers to 2 hosts"),
            ("port=1,2", "could not match 2 port numbers to 1 hosts"),
            ("port=0", "invalid port number: \"0\""),
            ("port=-1", "invalid port number: \"-1\""),
            ("port=65536", "invalid port number: \"65536\""),
            ("port=1x", "invalid integer value \"1x\" for connection option \"port\""),
            (
                "port=99999999999",
                "invalid integer value \"99999999999\" for connection option \"port\"",
            ),
            ("hostaddr=foo", "could not parse network address \"foo\": Name or service not known"),
            (&long, &long_message),
        ];
        for (text, message) in table {
            assert_eq!(hosts_of(text), Err(message.to_owned()), "{text}");
        }
    }

    #[test]
    fn socket_is_named_after_the_port() {
        let path = |host: Host| host.socket_path();
        assert_eq!(path(unix("/tmp", 6)), Some("/tmp/.s.PGSQL.6".into()));
        assert_eq!(path(unix("@pg", 6)), Some("@pg/.s.PGSQL.6".into()));
        assert_eq!(path(tcp("a", None, 6)), None);
    }
}
