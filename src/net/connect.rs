//! Trying the servers of a list, one by one, until one gives a session.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::SocketAddr as UnixAddress;
use std::path::{Path, PathBuf};

use rustix::net::sockopt;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

use super::connection::Wire;
use super::conninfo::{ConnectOptions, Host, HostKind, Keepalives, Password};
use super::passfile::{self, PassfileWarning};
use super::{ConnectError, Connection, ConnectionError, FailedAttempt, Problem, Stream};
use crate::protocol::{Session, Startup, StartupError};

/// Connects to the first server of the list that gives a session.
///
/// Every address of every host is tried in order, each for `connect_timeout` at most. A server that
/// decides against us ends the search, as in libpq. Warnings about the password file are added to
/// `warnings`.
///
/// # Errors
/// What each server said. [`ConnectError::needs_password`] tells if asking the user may help.
pub async fn connect(
    options: &ConnectOptions,
    warnings: &mut Vec<PassfileWarning>,
) -> Result<Connection, ConnectError> {
    let mut attempts = Vec::new();
    for host in &options.hosts {
        let addresses = match addresses(host).await {
            Ok(addresses) => addresses,
            Err(source) => {
                let server = lookup_name(host).to_owned();
                attempts.push(FailedAttempt {
                    server,
                    problem: Problem::Lookup(source),
                    passfile: None,
                });
                continue;
            }
        };
        let (password, passfile) = password(options, host, warnings);
        for address in addresses {
            match attempt(options, &address, password.as_ref()).await {
                Ok(connection) => return Ok(connection),
                Err(problem) => {
                    let is_final = !problem.is_worth_another_host();
                    let server = address.to_string();
                    attempts.push(FailedAttempt { server, problem, passfile: passfile.clone() });
                    if is_final {
                        return Err(ConnectError { attempts });
                    }
                }
            }
        }
    }
    Err(ConnectError { attempts })
}

/// Where one attempt connects to.
#[derive(Debug)]
enum Address {
    Socket(PathBuf),
    Tcp { host: String, address: SocketAddr },
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Socket(path) => write!(f, "on socket \"{}\"", path.display()),
            Address::Tcp { host, address } if host.parse() == Ok(address.ip()) => {
                write!(f, "at \"{host}\", port {}", address.port())
            }
            Address::Tcp { host, address } => {
                write!(f, "at \"{host}\" ({}), port {}", address.ip(), address.port())
            }
        }
    }
}

fn lookup_name(host: &Host) -> &str {
    match &host.kind {
        HostKind::Tcp { name, .. } => name,
        HostKind::UnixDirectory(_) => "",
    }
}

/// Lists the addresses of a host; it has at least one.
async fn addresses(host: &Host) -> io::Result<Vec<Address>> {
    let HostKind::Tcp { name, address } = &host.kind else {
        return Ok(host.socket_path().into_iter().map(Address::Socket).collect());
    };
    // Like libpq, call a server by the address if one was given.
    if let Some(address) = address.or_else(|| name.parse::<IpAddr>().ok()) {
        let host_name = address.to_string();
        let address = SocketAddr::new(address, host.port);
        return Ok(vec![Address::Tcp { host: host_name, address }]);
    }
    let tcp = |address| Address::Tcp { host: name.clone(), address };
    let found: Vec<_> = lookup_host((name.as_str(), host.port)).await?.map(tcp).collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "Name or service not known"));
    }
    Ok(found)
}

/// Returns the password for a host, and the file that it came from if it came from one.
fn password(
    options: &ConnectOptions,
    host: &Host,
    warnings: &mut Vec<PassfileWarning>,
) -> (Option<Password>, Option<PathBuf>) {
    if options.password.is_some() {
        return (options.password.clone(), None);
    }
    let Some(path) = &options.passfile else { return (None, None) };
    let Some(entry) = passfile::Entry::new(options, host) else { return (None, None) };
    match passfile::read(path) {
        Ok(contents) => {
            let password = passfile::lookup(&contents, &entry);
            let source = password.is_some().then(|| path.clone());
            (password, source)
        }
        Err(warning) => {
            warnings.push(warning);
            (None, None)
        }
    }
}

async fn attempt(
    options: &ConnectOptions,
    address: &Address,
    password: Option<&Password>,
) -> Result<Connection, Problem> {
    let attempt = async {
        let over_socket = matches!(address, Address::Socket(_));
        let stream = open(options, address)
            .await
            .map_err(|source| Problem::Connect { source, over_socket })?;
        let mut wire = Wire::new(stream);
        let session = start(options, &mut wire, password).await?;
        Ok(Connection::new(wire, session))
    };
    match options.connect_timeout {
        Some(limit) => timeout(limit, attempt).await.unwrap_or(Err(Problem::TimedOut)),
        None => attempt.await,
    }
}

async fn open(options: &ConnectOptions, address: &Address) -> io::Result<Stream> {
    match address {
        Address::Socket(path) => open_socket(path).await.map(Stream::Unix),
        Address::Tcp { address, .. } => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            set_tcp_options(&stream, options)?;
            Ok(Stream::Tcp(stream))
        }
    }
}

async fn open_socket(path: &Path) -> io::Result<UnixStream> {
    let Some(abstract_name) = path.as_os_str().as_bytes().strip_prefix(b"@") else {
        return UnixStream::connect(path).await;
    };
    // Connecting to an abstract socket does not block: the name is there or it is not.
    let address = UnixAddress::from_abstract_name(abstract_name)?;
    let stream = std::os::unix::net::UnixStream::connect_addr(&address)?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

fn set_tcp_options(stream: &TcpStream, options: &ConnectOptions) -> io::Result<()> {
    if let Some(Keepalives { idle, interval, count }) = &options.keepalives {
        sockopt::set_socket_keepalive(stream, true)?;
        let idle = idle.map(|idle| sockopt::set_tcp_keepidle(stream, idle));
        let interval = interval.map(|interval| sockopt::set_tcp_keepintvl(stream, interval));
        let count = count.map(|count| sockopt::set_tcp_keepcnt(stream, count));
        [idle, interval, count].into_iter().flatten().collect::<Result<(), _>>()?;
    }
    if let Some(limit) = options.tcp_user_timeout {
        let milliseconds = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(stream, milliseconds)?;
    }
    Ok(())
}

/// Signs in.
async fn start(
    options: &ConnectOptions,
    wire: &mut Wire,
    password: Option<&Password>,
) -> Result<Session, Problem> {
    let parameters = options.startup_parameters();
    let password = password.map(Password::as_bytes);
    let mut startup =
        Startup::begin(&parameters, password, &mut wire.output).map_err(Problem::Startup)?;
    loop {
        wire.flush().await.map_err(Problem::Lost)?;
        let frame = wire.next_frame().await.map_err(lost_or_broken)?;
        let session = startup.handle_frame(frame, &mut wire.output).map_err(Problem::Startup)?;
        if let Some(session) = session {
            return Ok(session);
        }
    }
}

/// A peer that does not speak the protocol has decided; a lost connection has not.
fn lost_or_broken(error: ConnectionError) -> Problem {
    match error {
        ConnectionError::Protocol(error) => Problem::Startup(StartupError::Protocol(error)),
        lost => Problem::Lost(lost),
    }
}
