//! What goes wrong with TLS, in the words of libpq 18 and OpenSSL 3.

use std::io;
use std::path::{Path, PathBuf};

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use super::names::NameError;
use crate::net::conninfo::TlsVersion;
use crate::pg::OsError;

/// TLS could not be set up, or broke.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The server has no TLS.
    #[error("server does not support SSL, but SSL was required")]
    NotSupported,
    /// The server cannot serve us.
    #[error("server sent an error response during SSL exchange")]
    ErrorResponse,
    /// The answer to the request is none.
    #[error("received invalid response to SSL negotiation: {}", char::from(*.0))]
    InvalidResponse(u8),
    /// Somebody put data in front of the session.
    #[error("received unencrypted data after SSL response")]
    UnencryptedData,
    /// The server agreed to TLS by itself, but not to speak PostgreSQL's protocol in it.
    #[error("direct SSL connection was established without ALPN protocol negotiation extension")]
    NoProtocolChosen,
    /// The newest allowed version is too old.
    #[error(
        "could not set maximum SSL protocol version: TLS versions before 1.2 are not supported"
    )]
    VersionTooOld,
    /// There is no home directory, and so no default file of roots.
    #[error("could not get home directory to locate root certificate file\n{ROOT_HINT}")]
    NoHomeDirectory,
    /// There is nothing to verify the server's certificate with.
    #[error("root certificate file \"{}\" does not exist\n{ROOT_HINT}", .0.display())]
    NoRootFile(PathBuf),
    /// The system's roots cannot be found.
    #[error("could not load system root certificate paths: {0}")]
    SystemRoots(String),
    /// A file cannot be used.
    #[error("could not {action} {kind} \"{}\": {source}", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// What the file is.
        kind: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FileError,
    },
    /// Our certificate has no key.
    #[error("certificate present, but not private key file \"{}\"", .0.display())]
    NoKeyFile(PathBuf),
    /// Our key is no ordinary file.
    #[error("private key file \"{}\" is not a regular file", .0.display())]
    KeyNotRegular(PathBuf),
    /// Others may read our key.
    #[error(
        "private key file \"{}\" has group or world access; file must have permissions u=rw (0600) \
         or less if owned by the current user, or permissions u=rw,g=r (0640) or less if owned by \
         root",
        .0.display()
    )]
    KeyAccess(PathBuf),
    /// Our key is not even of the kind of our certificate, or is not given.
    #[error("certificate does not match private key file \"{}\": no certificate assigned", .0.display())]
    KeyKind(PathBuf),
    /// The server's certificate is for another host.
    #[error("{0}")]
    Name(NameError),
    /// The versions of TLS that both sides allow have none in common.
    #[error(
        "SSL error: {words}\nThis may indicate that the server does not support any SSL protocol \
         version between {min} and {max}."
    )]
    VersionRange {
        /// What OpenSSL says.
        words: &'static str,
        /// The oldest version that we allow.
        min: TlsVersion,
        /// The newest version that we allow.
        max: TlsVersion,
    },
    /// The session broke.
    #[error("SSL error: {}", words(.0))]
    Session(Error),
    /// The server hung up without ending the session.
    #[error("SSL error: unexpected eof while reading")]
    Truncated,
    /// The server ended the session.
    #[error("SSL connection has been closed unexpectedly")]
    Closed,
    /// The socket failed before the session began.
    #[error("SSL SYSCALL error: {}", OsError(.0))]
    System(io::Error),
}

const ROOT_HINT: &str = "Either provide the file, use the system's trusted roots with \
                         sslrootcert=system, or change sslmode to disable server certificate \
                         verification.";

/// What is wrong with a file of certificates or keys.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{}", OsError(.0))]
    Io(io::Error),
    /// Nothing of that kind is in it.
    #[error("{0}")]
    Nothing(&'static str),
    /// It is not what it should be.
    #[error("bad base64 decode")]
    Malformed,
    /// It is encrypted, and no password was given.
    #[error("the key is encrypted, and sslpassword is not set")]
    NoPassword,
    /// It is encrypted with another password.
    #[error("bad decrypt")]
    WrongPassword,
    /// It is encrypted in OpenSSL's old way, which derives the key badly.
    #[error(
        "the key is encrypted in the traditional format, which is not supported; convert it with \
         \"openssl pkcs8 -topk8\""
    )]
    TraditionalEncryption,
    /// It is the key of another certificate.
    #[error("key values mismatch")]
    KeyMismatch,
    /// It is of a kind of key that TLS has no use for.
    #[error("unsupported key: {0}")]
    Unsupported(Error),
}

impl FileError {
    /// Says which file could not be read.
    pub(super) fn concerning(self, kind: &'static str, path: &Path) -> TlsError {
        TlsError::File { action: "read", kind, path: path.to_owned(), source: self }
    }
}

impl TlsError {
    /// Finds out why a handshake failed, given the versions that we allow.
    pub(super) fn from_handshake(error: io::Error, (min, max): (TlsVersion, TlsVersion)) -> Self {
        let is_eof = error.kind() == io::ErrorKind::UnexpectedEof;
        match session_error(&error) {
            Some(error) => match version_words(error) {
                Some(words) => TlsError::VersionRange { words, min, max },
                None => TlsError::from(error.clone()),
            },
            None if is_eof => TlsError::Truncated,
            None => TlsError::System(error),
        }
    }

    /// Finds out whether the TLS session is why an established connection failed.
    pub(in crate::net) fn from_io(error: io::Error) -> Result<Self, io::Error> {
        match session_error(&error) {
            Some(error) => Ok(TlsError::from(error.clone())),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Ok(TlsError::Truncated),
            None => Err(error),
        }
    }
}

impl From<Error> for TlsError {
    fn from(error: Error) -> Self {
        if let Error::InvalidCertificate(CertificateError::Other(other)) = &error
            && let Some(error) = other.0.downcast_ref::<NameError>()
        {
            return TlsError::Name(error.clone());
        }
        TlsError::Session(error)
    }
}

fn session_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref::<Error>()
}

/// Returns OpenSSL's words for an error that is about versions.
fn version_words(error: &Error) -> Option<&'static str> {
    match error {
        Error::AlertReceived(alert @ AlertDescription::ProtocolVersion) => alert_words(*alert),
        Error::InvalidMessage(_) => Some("wrong version number"),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic,
        ) => Some("unsupported protocol"),
        _ => None,
    }
}

/// Returns OpenSSL's words for an error where it has some, else those of the library.
fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            format!("certificate verify failed: {other}")
        }
        Error::InvalidCertificate(_) => "certificate verify failed".to_owned(),
        Error::AlertReceived(alert) => {
            alert_words(*alert).map_or_else(|| error.to_string(), str::to_owned)
        }
        _ => error.to_string(),
    }
}

/// Returns OpenSSL's words for an alert; it tells by them since which version of TLS there is one.
fn alert_words(alert: AlertDescription) -> Option<&'static str> {
    use AlertDescription as A;
    Some(match alert {
        A::UnexpectedMessage => "sslv3 alert unexpected message",
        A::BadRecordMac => "sslv3 alert bad record mac",
        A::DecryptionFailed => "tlsv1 alert decryption failed",
        A::RecordOverflow => "tlsv1 alert record overflow",
        A::DecompressionFailure => "sslv3 alert decompression failure",
        A::HandshakeFailure => "sslv3 alert handshake failure",
        A::NoCertificate => "sslv3 alert no certificate",
        A::BadCertificate => "sslv3 alert bad certificate",
        A::UnsupportedCertificate => "sslv3 alert unsupported certificate",
        A::CertificateRevoked => "sslv3 alert certificate revoked",
        A::CertificateExpired => "sslv3 alert certificate expired",
        A::CertificateUnknown => "sslv3 alert certificate unknown",
        A::IllegalParameter => "sslv3 alert illegal parameter",
        A::UnknownCA => "tlsv1 alert unknown ca",
        A::AccessDenied => "tlsv1 alert access denied",
        A::DecodeError => "tlsv1 alert decode error",
        A::DecryptError => "tlsv1 alert decrypt error",
        A::ExportRestriction => "tlsv1 alert export restriction",
        A::ProtocolVersion => "tlsv1 alert protocol version",
        A::InsufficientSecurity => "tlsv1 alert insufficient security",
        A::InternalError => "tlsv1 alert internal error",
        A::InappropriateFallback => "tlsv1 alert inappropriate fallback",
        A::UserCanceled => "tlsv1 alert user cancelled",
        A::NoRenegotiation => "tlsv1 alert no renegotiation",
        A::MissingExtension => "tlsv13 alert missing extension",
        A::UnsupportedExtension => "tlsv1 unsupported extension",
        A::CertificateUnobtainable => "tlsv1 certificate unobtainable",
        A::UnrecognisedName => "tlsv1 unrecognized name",
        A::BadCertificateStatusResponse => "tlsv1 bad certificate status response",
        A::BadCertificateHashValue => "tlsv1 bad certificate hash value",
        A::UnknownPSKIdentity => "tlsv1 alert unknown psk identity",
        A::CertificateRequired => "tlsv13 alert certificate required",
        A::NoApplicationProtocol => "tlsv1 alert no application protocol",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{InvalidMessage, OtherError};

    use super::*;

    const RANGE: (TlsVersion, TlsVersion) = (TlsVersion::V1_2, TlsVersion::V1_3);

    fn handshake(error: Error) -> String {
        TlsError::from_handshake(io::Error::new(io::ErrorKind::InvalidData, error), RANGE)
            .to_string()
    }

    #[test]
    fn errors_of_the_handshake_have_openssls_words() {
        let other = OtherError(Arc::new(NameError::Missing));
        let hint = "\nThis may indicate that the server does not support any SSL protocol version \
                    between TLSv1.2 and TLSv1.3.";
        let table = [
            (
                Error::AlertReceived(AlertDescription::UnknownCA),
                "SSL error: tlsv1 alert unknown ca",
            ),
            (
                Error::AlertReceived(AlertDescription::CertificateRequired),
                "SSL error: tlsv13 alert certificate required",
            ),
            (
                Error::AlertReceived(AlertDescription::HandshakeFailure),
                "SSL error: sslv3 alert handshake failure",
            ),
            (
                Error::AlertReceived(AlertDescription::ProtocolVersion),
                &format!("SSL error: tlsv1 alert protocol version{hint}"),
            ),
            (
                Error::InvalidMessage(InvalidMessage::InvalidContentType),
                &format!("SSL error: wrong version number{hint}"),
            ),
            (CertificateError::UnknownIssuer.into(), "SSL error: certificate verify failed"),
            (CertificateError::Expired.into(), "SSL error: certificate verify failed"),
            (
                CertificateError::Other(other).into(),
                "could not get server's host name from server certificate",
            ),
        ];
        for (error, words) in table {
            assert_eq!(handshake(error), words);
        }
    }

    #[test]
    fn a_server_that_hangs_up_is_told_from_a_socket_that_fails() {
        let eof = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let reset = || io::Error::from_raw_os_error(104);
        let words = "SSL error: unexpected eof while reading";
        assert_eq!(TlsError::from_handshake(eof(), RANGE).to_string(), words);
        let words = "SSL SYSCALL error: Connection reset by peer";
        assert_eq!(TlsError::from_handshake(reset(), RANGE).to_string(), words);
        assert!(matches!(TlsError::from_io(eof()), Ok(TlsError::Truncated)));
        assert!(TlsError::from_io(reset()).is_err());
    }
}
