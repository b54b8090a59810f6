//! Our own certificate and key. Follows `initialize_SSL` of `fe-secure-openssl.c` (libpq 18).

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pkcs8::EncryptedPrivateKeyInfo;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::KeyProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::asn1_rs::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::certificate::{self, FILE_BYTES_MAX, Malformed};
use super::error::{FileError, TlsError};
use crate::net::conninfo::{ClientCertificate, Password, TlsOptions};
use crate::net::file;
use crate::protocol::PolicyError;

/// The labels of keys in PEM, and the one of an encrypted key.
const KEY_LABELS: [&str; 4] = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", ENCRYPTED_LABEL];
const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// What a key that is encrypted in OpenSSL's old way has in its head.
const TRADITIONAL_HEADER: &[u8] = b"Proc-Type: 4,ENCRYPTED";

/// Who we are, and whether the server asked.
#[derive(Debug)]
pub(super) struct Identity {
    key: Option<Arc<CertifiedKey>>,
    was_asked: AtomicBool,
}

impl ResolvesClientCert for Identity {
    /// Like OpenSSL, show the certificate whichever authorities the server names.
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked.store(true, Ordering::Relaxed);
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}

impl Identity {
    /// Reads the certificate and the key, unless there is no certificate or it is not to be shown.
    pub(super) fn load(options: &TlsOptions, keys: &dyn KeyProvider) -> Result<Self, TlsError> {
        let key = match (options.client_certificate, &options.certificate_file) {
            (ClientCertificate::Allow | ClientCertificate::Require, Some(path)) => {
                let chain = read_certificates(path)?;
                chain.map(|chain| certified_key(chain, options, keys)).transpose()?
            }
            (ClientCertificate::Disable, _) | (_, None) => None,
        };
        Ok(Identity { key: key.map(Arc::new), was_asked: AtomicBool::new(false) })
    }

    /// Says why the server has not seen our certificate, if it has not.
    pub(super) fn why_not_shown(&self) -> Option<PolicyError> {
        match (self.was_asked.load(Ordering::Relaxed), &self.key) {
            (false, _) => Some(PolicyError::CertificateNotRequested),
            (true, None) => Some(PolicyError::CertificateNotSent),
            (true, Some(_)) => None,
        }
    }
}

/// Reads our certificate and the chain behind it; `None` if the file is not there.
fn read_certificates(path: &Path) -> Result<Option<Vec<CertificateDer<'static>>>, TlsError> {
    const KIND: &str = "certificate file";
    if let Err(source) = fs::metadata(path) {
        return match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
            _ => Err(file_error("open", KIND, path, FileError::Io(source))),
        };
    }
    let failed = |error: FileError| error.concerning(KIND, path);
    let text = file::read(path, FILE_BYTES_MAX).map_err(|source| failed(FileError::Io(source)))?;
    match certificate::certificates(&text) {
        Ok(chain) if chain.is_empty() => Err(failed(FileError::Nothing("no start line"))),
        Ok(chain) => Ok(Some(chain)),
        Err(Malformed) => Err(failed(FileError::Malformed)),
    }
}

fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    options: &TlsOptions,
    keys: &dyn KeyProvider,
) -> Result<CertifiedKey, TlsError> {
    let path = options.key_file.as_deref().unwrap_or(Path::new(""));
    let metadata = fs::metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => TlsError::NoKeyFile(path.to_owned()),
        _ => file_error("stat", "private key file", path, FileError::Io(source)),
    })?;
    check_key_file(path, &metadata)?;
    let failed = |error| file_error("load", "private key file", path, error);
    let contents =
        file::read(path, FILE_BYTES_MAX).map_err(|source| failed(FileError::Io(source)))?;
    let key = parse_key(&contents, options.key_password.as_ref()).map_err(failed)?;
    let key = keys.load_private_key(key).map_err(|error| failed(FileError::Unsupported(error)))?;
    match compare(key.as_ref(), &chain) {
        Match::Yes => Ok(CertifiedKey::new(chain, key)),
        Match::OtherKey => Err(failed(FileError::KeyMismatch)),
        Match::OtherKind => Err(TlsError::KeyKind(path.to_owned())),
    }
}

/// Refuses a key that others may read. A file of root's may be open to its group, for keys that are kept
/// for a whole system.
fn check_key_file(path: &Path, metadata: &Metadata) -> Result<(), TlsError> {
    if !metadata.is_file() {
        return Err(TlsError::KeyNotRegular(path.to_owned()));
    }
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.permissions().mode() & forbidden != 0 {
        return Err(TlsError::KeyAccess(path.to_owned()));
    }
    Ok(())
}

/// Reads a key in PEM, or in DER.
fn parse_key(
    contents: &[u8],
    password: Option<&Password>,
) -> Result<PrivateKeyDer<'static>, FileError> {
    if contents.windows(TRADITIONAL_HEADER.len()).any(|window| window == TRADITIONAL_HEADER) {
        return Err(FileError::TraditionalEncryption);
    }
    let sections = certificate::pem_sections(contents, &KEY_LABELS).unwrap_or_default();
    let Some(section) = sections.into_iter().next() else {
        let key = PrivateKeyDer::try_from(contents);
        return key.map(|key| key.clone_key()).map_err(|_| FileError::Nothing("unsupported"));
    };
    match section.label.as_str() {
        ENCRYPTED_LABEL => decrypt(&section.contents, password),
        "RSA PRIVATE KEY" => Ok(PrivateKeyDer::Pkcs1(section.contents.into())),
        "EC PRIVATE KEY" => Ok(PrivateKeyDer::Sec1(section.contents.into())),
        _ => Ok(PrivateKeyDer::Pkcs8(section.contents.into())),
    }
}

fn decrypt(der: &[u8], password: Option<&Password>) -> Result<PrivateKeyDer<'static>, FileError> {
    let password = password.ok_or(FileError::NoPassword)?;
    let encrypted = EncryptedPrivateKeyInfo::try_from(der).map_err(|_| FileError::Malformed)?;
    let key = encrypted.decrypt(password.as_bytes()).map_err(|_| FileError::WrongPassword)?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// Whether a key is that of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    Yes,
    OtherKey,
    OtherKind,
}

fn compare(key: &dyn SigningKey, chain: &[CertificateDer<'_>]) -> Match {
    let certificate = chain.first().and_then(|first| certificate::parse(first).ok());
    let (Some(ours), Some(certificate)) = (key.public_key(), certificate) else {
        return Match::OtherKind;
    };
    let theirs = certificate.public_key();
    let ours = SubjectPublicKeyInfo::from_der(ours.as_ref());
    match ours {
        Ok((_, ours)) if ours.raw == theirs.raw => Match::Yes,
        Ok((_, ours)) if ours.algorithm == theirs.algorithm => Match::OtherKey,
        _ => Match::OtherKind,
    }
}

fn file_error(
    action: &'static str,
    kind: &'static str,
    path: &Path,
    source: FileError,
) -> TlsError {
    TlsError::File { action, kind, path: path.to_owned(), source }
}
