//! Whom we trust to sign servers' certificates, and whether they signed one. webpki judges chains; what
//! it does not accept, but is usual with PostgreSQL and accepted by OpenSSL, is judged here.

use std::fs;
use std::path::Path;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::{CertificateError, Error, OtherError};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::time::ASN1Time;

use super::certificate::{self, Malformed, Signed};
use super::error::{FileError, TlsError};
use super::revocation::Revocations;
use crate::net::conninfo::{RootCertificates, SslMode, TlsOptions};

/// What stands behind a server's certificate.
#[derive(Debug)]
pub(super) struct Authorities {
    roots: Vec<Root>,
    /// Certificates of the file that others signed: they may be a part of a chain, but not its end.
    intermediates: Vec<CertificateDer<'static>>,
    revocations: Option<Revocations>,
}

#[derive(Debug)]
struct Root {
    certificate: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
}

/// A certificate that OpenSSL may accept and we do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the server's certificate is of X.509 version 1 or marked as an authority's, and not signed by a \
     trusted root itself"
)]
struct Unusual;

impl Authorities {
    /// Reads the roots; `None` means that certificates are not verified, as there are no roots and the
    /// mode does not insist.
    pub(super) fn load(options: &TlsOptions) -> Result<Option<Self>, TlsError> {
        let certificates = match &options.roots {
            RootCertificates::System => system_roots()?,
            RootCertificates::File(path) if path.exists() => read_roots(path)?,
            missing => {
                return match (options.mode, missing) {
                    (SslMode::VerifyCa | SslMode::VerifyFull, RootCertificates::File(path)) => {
                        Err(TlsError::NoRootFile(path.clone()))
                    }
                    (SslMode::VerifyCa | SslMode::VerifyFull, _) => Err(TlsError::NoHomeDirectory),
                    _ => Ok(None),
                };
            }
        };
        let (crl_file, crl_directory) = (&options.crl_file, &options.crl_directory);
        let revocations = Revocations::load(crl_file.as_deref(), crl_directory.as_deref())?;
        let mut authorities =
            Authorities { roots: Vec::new(), intermediates: Vec::new(), revocations };
        for certificate in certificates {
            authorities.add(certificate);
        }
        Ok(Some(authorities))
    }

    /// Adds a certificate. One that cannot be read can sign nothing.
    fn add(&mut self, certificate: CertificateDer<'static>) {
        let is_root = certificate::parse(&certificate)
            .is_ok_and(|parsed| parsed.subject().as_raw() == parsed.issuer().as_raw());
        if !is_root {
            self.intermediates.push(certificate);
        } else if let Ok(anchor) = anchor_from_trusted_cert(&certificate) {
            let anchor = anchor.to_owned();
            self.roots.push(Root { certificate, anchor });
        }
    }

    /// Verifies a server's certificate.
    pub(super) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), Error> {
        let seconds = i64::try_from(now.as_secs()).ok();
        let time = seconds.and_then(|seconds| ASN1Time::from_timestamp(seconds).ok());
        let time = time.ok_or(Error::FailedToGetCurrentTime)?;
        let roots: Vec<_> = self.roots.iter().filter(|root| root.is_valid_at(time)).collect();
        let chain = match roots.iter().find(|root| root.certificate.as_ref() == leaf.as_ref()) {
            Some(_) => vec![leaf.clone().into_owned()],
            None => self.chain(&roots, leaf, sent, now, time, algorithms)?,
        };
        let Some(revocations) = &self.revocations else { return Ok(()) };
        let chain: Result<Vec<_>, _> = chain.iter().map(|der| certificate::parse(der)).collect();
        revocations.check(&chain.map_err(bad_encoding)?, time, algorithms)
    }

    /// Returns the certificates from the server's to a root's.
    fn chain(
        &self,
        roots: &[&Root],
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        now: UnixTime,
        time: ASN1Time,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<Vec<CertificateDer<'static>>, Error> {
        let anchors: Vec<_> = roots.iter().map(|root| root.anchor.clone()).collect();
        let intermediates: Vec<_> = sent.iter().chain(&self.intermediates).cloned().collect();
        let end_entity = EndEntityCert::try_from(leaf);
        let path = end_entity.as_ref().map_err(Clone::clone).and_then(|end_entity| {
            let usage = KeyUsage::server_auth();
            let (known, between) = (algorithms.all, &intermediates);
            end_entity.verify_for_usage(known, &anchors, between, now, usage, None, None)
        });
        match path {
            Ok(path) => {
                let anchor = path.anchor();
                let between = path.intermediate_certificates().map(|c| c.der().into_owned());
                let root = roots.iter().find(|root| root.anchor == *anchor);
                Ok(std::iter::once(leaf.clone().into_owned())
                    .chain(between)
                    .chain(root.map(|root| root.certificate.clone()))
                    .collect())
            }
            Err(webpki::Error::UnsupportedCertVersion | webpki::Error::CaUsedAsEndEntity) => {
                unusual_chain(roots, leaf, time, algorithms)
            }
            Err(error) => Err(error_of(&error).into()),
        }
    }
}

impl Root {
    /// OpenSSL wants roots to be valid too; webpki does not ask.
    fn is_valid_at(&self, time: ASN1Time) -> bool {
        certificate::parse(&self.certificate).is_ok_and(|root| root.validity().is_valid_at(time))
    }
}

/// Verifies a certificate that webpki will not judge: of X.509 version 1, which OpenSSL makes unless it
/// is told about extensions (before its version 3.2), or marked as an authority's. It must be signed
/// by a root itself.
fn unusual_chain(
    roots: &[&Root],
    leaf: &CertificateDer<'_>,
    time: ASN1Time,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let parsed = certificate::parse(leaf).map_err(bad_encoding)?;
    if !parsed.validity().is_valid_at(time) {
        return Err(CertificateError::Expired.into());
    }
    let signed = Signed::parse(leaf).map_err(bad_encoding)?;
    let signs = |root: &X509Certificate<'_>| {
        root.subject().as_raw() == parsed.issuer().as_raw()
            && signed.is_signed_by(root.public_key(), algorithms)
    };
    let issuer = roots
        .iter()
        .filter(|root| root.anchor.name_constraints.is_none())
        .find(|root| certificate::parse(&root.certificate).is_ok_and(|root| signs(&root)));
    match issuer {
        Some(root) if serves_servers(&parsed) => {
            Ok(vec![leaf.clone().into_owned(), root.certificate.clone()])
        }
        Some(_) => Err(CertificateError::InvalidPurpose.into()),
        None => Err(CertificateError::Other(OtherError(std::sync::Arc::new(Unusual))).into()),
    }
}

/// Says whether a certificate, if it says what it is for, is for servers.
fn serves_servers(certificate: &X509Certificate<'_>) -> bool {
    match certificate.extended_key_usage() {
        Ok(Some(usage)) => usage.value.any || usage.value.server_auth,
        Ok(None) => true,
        Err(_) => false,
    }
}

fn error_of(error: &webpki::Error) -> CertificateError {
    match error {
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        webpki::Error::BadDer => CertificateError::BadEncoding,
        _ => CertificateError::ApplicationVerificationFailure,
    }
}

pub(super) fn bad_encoding(Malformed: Malformed) -> Error {
    CertificateError::BadEncoding.into()
}

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |error: FileError| error.concerning("root certificate file", path);
    let text = fs::read(path).map_err(|source| failed(FileError::Io(source)))?;
    match certificate::certificates(&text) {
        Ok(certificates) if certificates.is_empty() => {
            Err(failed(FileError::Nothing("no certificate or crl found")))
        }
        Ok(certificates) => Ok(certificates),
        Err(Malformed) => Err(failed(FileError::Malformed)),
    }
}

fn system_roots() -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    match found.errors.first() {
        Some(error) if found.certs.is_empty() => Err(TlsError::SystemRoots(error.to_string())),
        _ => Ok(found.certs),
    }
}
