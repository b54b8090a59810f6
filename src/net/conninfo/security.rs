//! What the user wants of the connection's security: encryption, and who may sign in how.

use std::fmt;
use std::path::PathBuf;

use super::Password;
pub use crate::protocol::{AuthMethod, ChannelBinding, RequireAuth};

/// How much the user wants TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SslMode {
    /// Never.
    Disable,
    /// Only if the server refuses a plain connection.
    Allow,
    /// If the server has it.
    #[default]
    Prefer,
    /// In any case, whoever the server is.
    Require,
    /// With a certificate from a trusted authority.
    VerifyCa,
    /// With a certificate from a trusted authority for this very host.
    VerifyFull,
}

impl SslMode {
    pub(super) const NAMES: [(&'static str, Self); 6] = [
        ("disable", SslMode::Disable),
        ("allow", SslMode::Allow),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ];

    /// Says whether a connection without TLS would break the user's will.
    pub fn requires_tls(self) -> bool {
        match self {
            SslMode::Disable | SslMode::Allow | SslMode::Prefer => false,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => true,
        }
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::NAMES.iter().find(|(_, mode)| mode == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}

/// What TLS must be like, where it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// Whether it is used, and what is checked.
    pub mode: SslMode,
    /// How it begins.
    pub negotiation: SslNegotiation,
    /// The authorities that are trusted to sign servers' certificates.
    pub roots: RootCertificates,
    /// A file of revoked certificates, in PEM; it need not exist.
    pub crl_file: Option<PathBuf>,
    /// A directory of files of revoked certificates, named by OpenSSL's rules.
    pub crl_directory: Option<PathBuf>,
    /// Whether we show a certificate.
    pub client_certificate: ClientCertificate,
    /// Our certificate, with the chain behind it; `None` without a home directory.
    pub certificate_file: Option<PathBuf>,
    /// Our private key; `None` without a home directory.
    pub key_file: Option<PathBuf>,
    /// What our private key is encrypted with.
    pub key_password: Option<Password>,
    /// Whether the server is told the name under which it was called (SNI).
    pub sends_server_name: bool,
    /// The oldest version of TLS that is good enough; `None` for no wish.
    pub version_min: Option<TlsVersion>,
    /// The newest version of TLS that may be used; `None` for no wish.
    pub version_max: Option<TlsVersion>,
    /// Where the session's keys are written for somebody who looks into the network's traffic.
    pub key_log_file: Option<PathBuf>,
}

/// How TLS begins (`sslnegotiation`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SslNegotiation {
    /// PostgreSQL's request first.
    #[default]
    Postgres,
    /// TLS from the first byte, with ALPN; for servers from 17 on.
    Direct,
}

impl SslNegotiation {
    pub(super) const NAMES: [(&'static str, Self); 2] =
        [("postgres", SslNegotiation::Postgres), ("direct", SslNegotiation::Direct)];
}

/// The trusted authorities (`sslrootcert`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootCertificates {
    /// Those of the operating system.
    System,
    /// Those of a file, in PEM. The default one need not exist.
    File(PathBuf),
    /// There is no home directory, and so no default file.
    Missing,
}

/// Whether a client certificate is sent (`sslcertmode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificate {
    /// Never.
    Disable,
    /// If there is one and the server asks for it.
    #[default]
    Allow,
    /// The server must ask for one.
    Require,
}

impl ClientCertificate {
    pub(super) const NAMES: [(&'static str, Self); 3] = [
        ("disable", ClientCertificate::Disable),
        ("allow", ClientCertificate::Allow),
        ("require", ClientCertificate::Require),
    ];
}

/// A version of TLS. Those before 1.2 can be named but not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.0
    V1_0,
    /// 1.1
    V1_1,
    /// 1.2
    V1_2,
    /// 1.3
    V1_3,
}

impl TlsVersion {
    pub(super) const NAMES: [(&'static str, Self); 4] = [
        ("TLSv1", TlsVersion::V1_0),
        ("TLSv1.1", TlsVersion::V1_1),
        ("TLSv1.2", TlsVersion::V1_2),
        ("TLSv1.3", TlsVersion::V1_3),
    ];
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::NAMES.iter().find(|(_, version)| version == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}

/// What must hold when we sign in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthOptions {
    /// Whether SCRAM is bound to the TLS session.
    pub channel_binding: ChannelBinding,
    /// The methods that the server may ask for.
    pub require_auth: RequireAuth,
    /// The account that the server's process must have, where it can be seen: over sockets.
    pub require_peer: Option<String>,
}

/// What the user wants of GSSAPI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GssOptions {
    /// Whether it encrypts the connection.
    pub encryption: GssEncryption,
    /// The service part of the server's principal; its host is the other part.
    pub service: String,
    /// Whether the server gets our credentials, to act in our name.
    pub delegates: bool,
}

/// How much the user wants GSSAPI to encrypt the connection (`gssencmode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GssEncryption {
    /// Never.
    Disable,
    /// If there are credentials and the server can, and then instead of TLS.
    #[default]
    Prefer,
    /// In any case.
    Require,
}

impl GssEncryption {
    pub(super) const NAMES: [(&'static str, Self); 3] = [
        ("disable", GssEncryption::Disable),
        ("prefer", GssEncryption::Prefer),
        ("require", GssEncryption::Require),
    ];
}
