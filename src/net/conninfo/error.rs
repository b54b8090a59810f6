//! What can be wrong with the parameters of a connection.

use std::path::PathBuf;

use super::{Keyword, LocalUserError, ServiceFileProblem, SslMode};

/// Parameters that cannot be used, in libpq's words where it has them. No variant holds a
/// password: what may be part of one is masked before the error is built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConninfoError {
    /// A word in a connection string is not followed by `=`.
    #[error("missing \"=\" after \"{0}\" in connection info string")]
    MissingEquals(String),
    /// The connection string ends inside quotes.
    #[error("unterminated quoted string in connection info string")]
    UnterminatedQuote,
    /// A connection string sets something that does not exist.
    #[error("invalid connection option \"{0}\"")]
    UnknownOption(String),
    /// A URI sets something that does not exist.
    #[error("invalid URI query parameter: \"{0}\"")]
    UnknownUriParameter(String),
    /// `[` without `]`.
    #[error(
        "end of string reached when looking for matching \"]\" in IPv6 host address in URI: \
         \"{0}\""
    )]
    UnclosedBracket(String),
    /// `[]`.
    #[error("IPv6 host address may not be empty in URI: \"{0}\"")]
    EmptyBrackets(String),
    /// Something follows `]` that cannot.
    #[error(
        "unexpected character \"{character}\" at position {position} in URI \
         (expected \":\" or \"/\"): \"{uri}\""
    )]
    AfterBracket {
        /// What follows.
        character: char,
        /// Where it is, in bytes from 1.
        position: usize,
        /// The URI, without secrets.
        uri: String,
    },
    /// A query parameter of a URI without `=`.
    #[error("missing key/value separator \"=\" in URI query parameter: \"{0}\"")]
    MissingSeparator(String),
    /// A query parameter of a URI with two `=`.
    #[error("extra key/value separator \"=\" in URI query parameter: \"{0}\"")]
    ExtraSeparator(String),
    /// `%` without two hexadecimal digits.
    #[error("invalid percent-encoded token: \"{0}\"")]
    InvalidPercentToken(String),
    /// `%00`.
    #[error("forbidden value %00 in percent-encoded value: \"{0}\"")]
    PercentEncodedZero(String),
    /// A space inside a part of a URI.
    #[error("unexpected spaces found in \"{0}\", use percent-encoded spaces (%20) instead")]
    UnexpectedSpaces(String),
    /// A part of a URI that decodes to bytes that are not UTF-8.
    #[error("invalid UTF-8 in percent-encoded value: \"{0}\"")]
    PercentEncodedNotUtf8(String),
    /// An environment variable whose value is not UTF-8.
    #[error("environment variable \"{0}\" is not valid UTF-8")]
    VariableNotUtf8(String),
    /// No service file has the service.
    #[error("definition of service \"{0}\" not found")]
    ServiceNotFound(String),
    /// A service file cannot be opened.
    #[error("service file \"{}\" not found", .0.display())]
    ServiceFileNotFound(PathBuf),
    /// A service file has more than a few megabytes.
    #[error("service file \"{}\" is too large (maximum {max_bytes} bytes)", path.display())]
    ServiceFileTooLarge {
        /// The file.
        path: PathBuf,
        /// What would be read.
        max_bytes: u64,
    },
    /// A line of a service file does not fit into libpq's buffer.
    #[error("line {line} too long in service file \"{}\"", path.display())]
    ServiceLineTooLong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A line of a service's definition cannot be used.
    #[error("{problem} in service file \"{}\", line {line}", path.display())]
    ServiceFile {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: ServiceFileProblem,
    },
    /// `host` and `hostaddr` have lists of different lengths.
    #[error("could not match {names} host names to {addresses} hostaddr values")]
    HostCount {
        /// Entries of `host`.
        names: usize,
        /// Entries of `hostaddr`.
        addresses: usize,
    },
    /// `port` has neither one entry nor one a host.
    #[error("could not match {ports} port numbers to {hosts} hosts")]
    PortCount {
        /// Entries of `port`.
        ports: usize,
        /// Hosts.
        hosts: usize,
    },
    /// An entry of `hostaddr` that is not a numeric address.
    #[error("could not parse network address \"{0}\": Name or service not known")]
    InvalidAddress(String),
    /// A port outside 1 to 65535.
    #[error("invalid port number: \"{0}\"")]
    InvalidPort(String),
    /// A number that is none, or too large.
    #[error("invalid integer value \"{value}\" for connection option \"{keyword}\"")]
    InvalidInteger {
        /// What was set.
        keyword: Keyword,
        /// What it was set to.
        value: String,
    },
    /// A value that is not one of those that exist.
    #[error("invalid {keyword} value: \"{value}\"")]
    InvalidValue {
        /// What was set.
        keyword: Keyword,
        /// What it was set to.
        value: String,
    },
    /// A socket's path does not fit into an address.
    #[error("Unix-domain socket path \"{}\" is too long (maximum {max_bytes} bytes)", path.display())]
    SocketPathTooLong {
        /// The socket's path.
        path: PathBuf,
        /// What would fit.
        max_bytes: usize,
    },
    /// A version of TLS that does not exist.
    #[error("invalid \"{keyword}\" value: \"{value}\"")]
    InvalidTlsVersion {
        /// What was set.
        keyword: Keyword,
        /// What it was set to.
        value: String,
    },
    /// The oldest version of TLS that is good enough is newer than the newest that may be used.
    #[error("invalid SSL protocol version range")]
    TlsVersionRange,
    /// TLS from the first byte on cannot fall back to a plain connection.
    #[error(
        "weak sslmode \"{0}\" may not be used with sslnegotiation=direct \
         (use \"require\", \"verify-ca\", or \"verify-full\")"
    )]
    WeakForDirectTls(SslMode),
    /// Anybody can get a certificate that the system's authorities vouch for.
    #[error("weak sslmode \"{0}\" may not be used with sslrootcert=system (use \"verify-full\")")]
    WeakForSystemRoots(SslMode),
    /// `require_auth` with an exception behind a method that is allowed.
    #[error("negative require_auth method \"{0}\" cannot be mixed with non-negative methods")]
    AuthMethodNegative(String),
    /// `require_auth` with a method that is allowed behind an exception.
    #[error("require_auth method \"{0}\" cannot be mixed with negative methods")]
    AuthMethodNotNegative(String),
    /// `require_auth` with a method twice.
    #[error("require_auth method \"{0}\" is specified more than once")]
    AuthMethodRepeated(String),
    /// GSSAPI must encrypt the connection, and this program cannot do it.
    #[error("gssencmode value \"require\" invalid when GSSAPI support is not compiled in")]
    GssNotCompiledIn,
    /// The oldest version of PostgreSQL's protocol is newer than the newest.
    #[error("\"min_protocol_version\" is greater than \"max_protocol_version\"")]
    ProtocolVersionRange,
    /// Something that cannot be ignored safely and is not supported.
    #[error("connection option \"{keyword}\" is not supported: \"{value}\"")]
    NotSupported {
        /// What was set.
        keyword: Keyword,
        /// What it was set to.
        value: String,
    },
    /// No user was given, and the default is not known.
    #[error(transparent)]
    LocalUser(#[from] LocalUserError),
}
