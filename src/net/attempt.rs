//! One attempt to get a session out of one address.

use std::io;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::SocketAddr as UnixAddress;
use std::path::{Path, PathBuf};

use rustix::net::sockopt;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::connection::Wire;
use super::conninfo::{ConnectOptions, Keepalives, Password};
use super::{Connection, ConnectionError, Problem, Stream};
use crate::protocol::{Session, Startup, StartupError};

/// Where one attempt connects to.
#[derive(Debug)]
pub(super) enum Address {
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

/// Connects to an address and signs in.
pub(super) async fn attempt(
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
