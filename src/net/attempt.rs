//! One attempt to get a session out of one address.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use rustix::net::sockopt;
use tokio::net::{TcpSocket, UnixStream};

use super::connection::Wire;
use super::conninfo::{
    ClientCertificate, ConnectOptions, GssEncryption, Keepalives, Password, SslMode, SslNegotiation,
};
use super::gss::{self, Credentials, GssError};
use super::request::Answer;
use super::tls::{self, TlsError};
use super::{Connection, ConnectionError, PeerError, Problem, Stream};
use crate::protocol::{AuthPolicy, PolicyError, Startup, StartupError, Transport};

/// Where one attempt connects to.
#[derive(Debug)]
pub(super) enum Address {
    Socket(PathBuf),
    Tcp {
        /// What messages call the host.
        shown: String,
        /// The host's name as the user gave it, if that was not just an address to connect to.
        name: Option<String>,
        address: SocketAddr,
    },
}

impl Address {
    /// Returns the host's name, for which it should have a certificate or a key; empty if there is none.
    fn host(&self) -> &str {
        match self {
            Address::Socket(_) => "",
            Address::Tcp { name, .. } => name.as_deref().unwrap_or_default(),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Socket(path) => write!(f, "on socket \"{}\"", path.display()),
            Address::Tcp { shown, address, .. } if shown.parse() == Ok(address.ip()) => {
                write!(f, "at \"{shown}\", port {}", address.port())
            }
            Address::Tcp { shown, address, .. } => {
                write!(f, "at \"{shown}\" ({}), port {}", address.ip(), address.port())
            }
        }
    }
}

/// A way to protect a connection, or not to.
#[derive(Debug)]
enum Encryption {
    Plain,
    Tls,
    Gss(Credentials),
}

/// Lists the ways to try, in order; the next one is for when a server refuses what came before.
async fn encryptions(
    options: &ConnectOptions,
    address: &Address,
) -> Result<Vec<Encryption>, GssError> {
    let over_socket = matches!(address, Address::Socket(_));
    let credentials = gss::credentials_for(options.gss.encryption, over_socket).await?;
    let mut ways: Vec<_> = credentials.map(Encryption::Gss).into_iter().collect();
    if options.gss.encryption != GssEncryption::Require {
        ways.extend(match (over_socket, options.tls.mode) {
            (true, _) | (_, SslMode::Disable) => vec![Encryption::Plain],
            (_, SslMode::Allow) => vec![Encryption::Plain, Encryption::Tls],
            (_, SslMode::Prefer) => vec![Encryption::Tls, Encryption::Plain],
            (_, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull) => {
                vec![Encryption::Tls]
            }
        });
    }
    Ok(ways)
}

/// What went wrong in one of the ways.
struct Failure {
    problem: Problem,
    /// Whether another way may be better.
    is_refusal: bool,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Failure { problem, is_refusal: false }
    }
}

/// Connects to an address and signs in, in each of the ways that the user allows until one works.
///
/// # Errors
/// What went wrong in the last way, which decides; what went wrong before is added to `problems`.
pub(super) async fn attempt(
    options: &ConnectOptions,
    address: &Address,
    password: Option<&Password>,
    problems: &mut Vec<Problem>,
) -> Result<Connection, Problem> {
    Attempt { options, address, password }.try_encryptions(problems).await
}

/// How far one of the ways led.
enum Outcome {
    SignedIn(Connection),
    /// The server does not have it, which is a problem if there is no other way. Nothing is at stake
    /// yet, and the connection can be used on.
    NotOffered(Stream, Problem),
}

struct Attempt<'a> {
    options: &'a ConnectOptions,
    address: &'a Address,
    password: Option<&'a Password>,
}

impl Attempt<'_> {
    /// Tries one way after the other. A server that has no encryption of a kind says so before anything
    /// is at stake, and the connection goes on without; after any other refusal there has to be a new
    /// one.
    async fn try_encryptions(&self, problems: &mut Vec<Problem>) -> Result<Connection, Problem> {
        let ways = encryptions(self.options, self.address).await.map_err(Problem::Gss)?;
        let mut ways = ways.into_iter().peekable();
        let mut unused = None;
        loop {
            let stream = match unused.take() {
                Some(stream) => stream,
                None => self.open().await?,
            };
            let way = ways.next().expect("there is one way, and after a refusal another one");
            match self.try_encryption(way, stream).await {
                Ok(Outcome::SignedIn(connection)) => return Ok(connection),
                Ok(Outcome::NotOffered(stream, problem)) => match ways.peek() {
                    Some(next) => unused = self.can_reuse_connection(next).then_some(stream),
                    None => return Err(problem),
                },
                Err(Failure { problem, is_refusal: true }) if ways.peek().is_some() => {
                    problems.push(problem);
                }
                Err(failure) => return Err(failure.problem),
            }
        }
    }

    async fn try_encryption(
        &self,
        way: Encryption,
        mut stream: Stream,
    ) -> Result<Outcome, Failure> {
        let connection = match way {
            Encryption::Gss(credentials) => match gss::request(&mut stream).await {
                Ok(Answer::Yes) => self.sign_in_over_gss(stream, credentials).await,
                Ok(Answer::No) => {
                    return Ok(Outcome::NotOffered(stream, Problem::Gss(GssError::NotOffered)));
                }
                // Servers before 12 do not know the request.
                Err(problem @ Problem::Gss(GssError::ErrorResponse)) => {
                    return Err(Failure { problem, is_refusal: true });
                }
                Err(problem) => return Err(problem.into()),
            },
            Encryption::Tls => match self.request_tls(&mut stream).await? {
                Answer::Yes => self.sign_in_over_tls(stream).await,
                Answer::No => {
                    return Ok(Outcome::NotOffered(stream, Problem::Tls(TlsError::NotSupported)));
                }
            },
            Encryption::Plain => self.sign_in_without_tls(stream, Transport::Plain).await,
        };
        connection.map(Outcome::SignedIn)
    }

    /// Says whether a way can be gone on a connection on which another one was asked for in vain.
    fn can_reuse_connection(&self, way: &Encryption) -> bool {
        let is_tls = matches!(way, Encryption::Tls);
        !is_tls || self.options.tls.negotiation == SslNegotiation::Postgres
    }

    async fn open(&self) -> Result<Stream, Problem> {
        let failed = |over_socket| move |source| Problem::Connect { source, over_socket };
        match self.address {
            Address::Socket(path) => {
                let connected = UnixStream::connect(socket_name(path)).await;
                let socket = connected.map_err(failed(true))?;
                if let Some(required) = &self.options.auth.require_peer {
                    check_peer(&socket, required).map_err(Problem::Peer)?;
                }
                Ok(Stream::Unix(socket))
            }
            Address::Tcp { address, .. } => {
                let socket = match address {
                    SocketAddr::V4(_) => TcpSocket::new_v4(),
                    SocketAddr::V6(_) => TcpSocket::new_v6(),
                };
                let socket = socket.map_err(failed(false))?;
                set_tcp_options(&socket, self.options)?;
                socket.connect(*address).await.map(Stream::Tcp).map_err(failed(false))
            }
        }
    }

    async fn request_tls(&self, stream: &mut Stream) -> Result<Answer, Problem> {
        match self.options.tls.negotiation {
            SslNegotiation::Postgres => tls::request(stream).await,
            SslNegotiation::Direct => Ok(Answer::Yes),
        }
    }

    async fn sign_in_over_tls(&self, stream: Stream) -> Result<Connection, Failure> {
        let secured = tls::handshake(stream, &self.options.tls, self.address.host()).await;
        let secured =
            secured.map_err(|error| Failure { problem: Problem::Tls(error), is_refusal: true })?;
        let stream = Stream::Tls(Box::new(secured.stream));
        self.sign_in(stream, secured.transport, secured.missing_certificate).await
    }

    async fn sign_in_over_gss(
        &self,
        stream: Stream,
        credentials: Credentials,
    ) -> Result<Connection, Failure> {
        let stream = gss::encrypt(stream, self.gss_target(), credentials)
            .await
            .map_err(|problem| Failure { problem, is_refusal: true })?;
        self.sign_in_without_tls(Stream::Gss(Box::new(stream)), Transport::Gss).await
    }

    async fn sign_in_without_tls(
        &self,
        stream: Stream,
        transport: Transport,
    ) -> Result<Connection, Failure> {
        let missing_certificate = Some(PolicyError::CertificateNotRequested);
        self.sign_in(stream, transport, missing_certificate).await
    }

    fn gss_target(&self) -> gss::Target<'_> {
        gss::Target { options: &self.options.gss, host: self.address.host() }
    }

    async fn sign_in(
        &self,
        stream: Stream,
        transport: Transport,
        missing_certificate: Option<PolicyError>,
    ) -> Result<Connection, Failure> {
        let mut wire = Wire::new(stream);
        let parameters = self.options.startup_parameters();
        let password = self.password.map(Password::as_bytes);
        let must_see = self.options.tls.client_certificate == ClientCertificate::Require;
        let policy = AuthPolicy {
            channel_binding: self.options.auth.channel_binding,
            require_auth: self.options.auth.require_auth.clone(),
            transport,
            missing_certificate: missing_certificate.filter(|_| must_see),
        };
        let mut startup = Startup::begin(&parameters, password, policy, &mut wire.output)
            .map_err(Problem::Startup)?;
        let mut gss = gss::SignIn::new(self.gss_target());
        loop {
            wire.flush().await.map_err(Problem::Lost)?;
            let frame = wire.next_frame().await.map_err(lost_or_broken)?;
            match startup.handle_frame(frame, &mut wire.output).map_err(Problem::Startup) {
                Ok(Some(session)) => return Ok(Connection::new(wire, session)),
                Ok(None) => {}
                Err(problem) => return Err(refusal(problem, &startup)),
            }
            if let Some(request) = startup.poll_gss_request() {
                let answer = gss.answer(request).await.map_err(Problem::Gss)?;
                startup.handle_gss_answer(&answer, &mut wire.output).map_err(Problem::Startup)?;
            }
        }
    }
}

/// A server that refuses us may do so for the way in which we came, unless it has let us in before or
/// cannot take anybody now.
fn refusal(problem: Problem, startup: &Startup) -> Failure {
    let is_refusal = problem.server_message().is_some()
        && !startup.is_authenticated()
        && !problem.is_temporary_refusal();
    Failure { problem, is_refusal }
}

/// Checks the account of the server's process.
fn check_peer(socket: &UnixStream, required: &str) -> Result<(), PeerError> {
    let id = socket.peer_cred().map_err(PeerError::Credentials)?.uid();
    let user = User::from_uid(Uid::from_raw(id))
        .map_err(|errno| PeerError::Credentials(io::Error::from_raw_os_error(errno as i32)))?;
    let actual = user.ok_or(PeerError::Nameless(id))?.name;
    if actual != required {
        return Err(PeerError::Other { required: required.to_owned(), actual });
    }
    Ok(())
}

/// Returns the name of a socket as the system has it: that of an abstract one starts with a zero byte.
fn socket_name(path: &Path) -> Cow<'_, Path> {
    match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => PathBuf::from(OsString::from_vec([b"\0", name].concat())).into(),
        None => path.into(),
    }
}

fn set_tcp_options(socket: &TcpSocket, options: &ConnectOptions) -> Result<(), Problem> {
    let set = |name, result: rustix::io::Result<()>| {
        result.map_err(|errno| Problem::SocketOption { name, source: errno.into() })
    };
    set("TCP_NODELAY", sockopt::set_tcp_nodelay(socket, true))?;
    if let Some(Keepalives { idle, interval, count }) = options.keepalives {
        set("SO_KEEPALIVE", sockopt::set_socket_keepalive(socket, true))?;
        if let Some(idle) = idle {
            set("TCP_KEEPIDLE", sockopt::set_tcp_keepidle(socket, idle))?;
        }
        if let Some(interval) = interval {
            set("TCP_KEEPINTVL", sockopt::set_tcp_keepintvl(socket, interval))?;
        }
        if let Some(count) = count {
            set("TCP_KEEPCNT", sockopt::set_tcp_keepcnt(socket, count))?;
        }
    }
    if let Some(limit) = options.tcp_user_timeout {
        let milliseconds = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        set("TCP_USER_TIMEOUT", sockopt::set_tcp_user_timeout(socket, milliseconds))?;
    }
    Ok(())
}

/// A peer that does not speak the protocol has decided; a lost connection has not.
fn lost_or_broken(error: ConnectionError) -> Problem {
    match error {
        ConnectionError::Protocol(error) => Problem::Startup(StartupError::Protocol(error)),
        lost => Problem::Lost(lost),
    }
}
