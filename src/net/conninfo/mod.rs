//! From what the user typed to a list of addresses and the parameters to try them with, as libpq
//! does it. Nothing here connects, resolves a name or opens a file.
//!
//! What may be set follows libpq 18 (`fe-connect.c`), with the `servicefile` of 19; messages are
//! libpq's where it has one. What is not supported is refused instead of ignored wherever ignoring
//! it would give the user a weaker connection than the one asked for; see `restrictions`.
//!
//! In reading order: [`Keyword`], [`Parameters`] (read by `string` and `uri`), [`Environment`],
//! [`ConnectionArguments`], [`Service`], [`Host`], [`TlsOptions`], [`ConnectOptions`],
//! [`StandbyConninfo`].

mod arguments;
mod auth;
mod environment;
mod error;
mod hosts;
mod keyword;
mod options;
mod parameters;
mod password;
mod restrictions;
mod security;
mod selection;
mod service;
mod standby;
mod string;
mod tls;
mod uri;

pub use arguments::ConnectionArguments;
pub use environment::{Environment, LocalUserError};
pub use error::ConninfoError;
pub use hosts::{Host, HostKind};
pub use keyword::Keyword;
pub use options::{ConnectOptions, Keepalives, SessionKind};
pub use parameters::Parameters;
pub use password::Password;
pub use security::{
    AuthMethod, AuthOptions, ChannelBinding, ClientCertificate, GssEncryption, GssOptions,
    RequireAuth, RootCertificates, SslMode, SslNegotiation, TlsOptions, TlsVersion,
};
pub use selection::{LoadBalanceHosts, TargetSessionAttrs};
pub use service::{Service, ServiceFileProblem};
pub use standby::StandbyConninfo;
