//! Whom we trust to sign servers' certificates, and whether they signed one. webpki judges chains; what
//! it does not accept, but is usual with PostgreSQL and accepted by OpenSSL, is judged here.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::{CertificateError, Error, OtherError};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::time::ASN1Time;

use super::certificate::{self, FILE_BYTES_MAX, Malformed, Signed};
use super::error::{FileError, TlsError};
use super::names;
use super::purpose;
use super::revocation::Revocations;
use crate::net::conninfo::{RootCertificates, SslMode, TlsOptions};
use crate::net::file;

/// What stands behind a server's certificate.
#[derive(Debug)]
pub(super) struct Authorities {
    roots: Vec<Root>,
    /// Certificates of the file that others signed: they may be a part of a chain, but not its end.
    intermediates: Vec<CertificateDer<'static>>,
    revocations: Option<Revocations>,
}

/// A certificate of the file that nobody else signed. It is good for the server that shows it.
#[derive(Debug)]
struct Root {
    certificate: CertificateDer<'static>,
    /// `None` if it may not sign others.
    anchor: Option<TrustAnchor<'static>>,
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
        let Ok(parsed) = certificate::parse(&certificate) else { return };
        if parsed.subject().as_raw() != parsed.issuer().as_raw() {
            return self.intermediates.push(certificate);
        }
        let anchor = purpose::signs_certificates(&parsed)
            .then(|| anchor_from_trusted_cert(&certificate).ok())
            .flatten()
            .map(|anchor| anchor.to_owned());
        self.roots.push(Root { certificate, anchor });
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
        let chain: Result<Vec<_>, _> = chain.iter().map(|der| certificate::parse(der)).collect();
        let chain = chain.map_err(bad_encoding)?;
        check_chain(&chain)?;
        match &self.revocations {
            Some(revocations) => revocations.check(&chain, time, algorithms),
            None => Ok(()),
        }
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
        let anchors: Vec<_> = roots.iter().filter_map(|root| root.anchor.clone()).collect();
        // webpki does not ask what the keys of issuers are for.
        let may_sign = |der: &&CertificateDer<'_>| {
            certificate::parse(der).is_ok_and(|parsed| purpose::signs_certificates(&parsed))
        };
        let intermediates = sent.iter().chain(&self.intermediates).filter(may_sign).cloned();
        let intermediates: Vec<_> = intermediates.collect();
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
                let root = roots.iter().find(|root| root.anchor.as_ref() == Some(anchor));
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

/// Checks what webpki does not ask: what the server's certificate is for, whether its common name is one
/// that its issuers may vouch for, and how long a chain the root allows.
fn check_chain(chain: &[X509Certificate<'_>]) -> Result<(), CertificateError> {
    let Some((leaf, issuers)) = chain.split_first() else { return Ok(()) };
    if !purpose::serves_servers(leaf) {
        return Err(CertificateError::InvalidPurpose);
    }
    let is_allowed_by = |issuer: &X509Certificate<'_>| names::may_vouch(issuer, leaf);
    let count = issuers.len().saturating_sub(1);
    let is_short = issuers.last().is_none_or(|root| purpose::allows_between(root, count));
    match is_short && issuers.iter().all(is_allowed_by) {
        true => Ok(()),
        false => Err(CertificateError::ApplicationVerificationFailure),
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
    roots
        .iter()
        .filter(|root| root.anchor.as_ref().is_some_and(|anchor| anchor.name_constraints.is_none()))
        .find(|root| certificate::parse(&root.certificate).is_ok_and(|root| signs(&root)))
        .map(|root| vec![leaf.clone().into_owned(), root.certificate.clone()])
        .ok_or_else(|| CertificateError::Other(OtherError(Arc::new(Unusual))).into())
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
    let text = file::read(path, FILE_BYTES_MAX).map_err(|source| failed(FileError::Io(source)))?;
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
