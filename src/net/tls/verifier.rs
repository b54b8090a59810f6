//! The server's certificate and its signature in the handshake.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

use super::certificate;
use super::names;
use super::trust::{Authorities, bad_encoding};

/// Judges the server.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    /// Who must stand behind the certificate; `None` for anybody.
    pub(super) authorities: Option<Authorities>,
    /// The host that the certificate must be for; `None` for any.
    pub(super) host: Option<String>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(authorities) = &self.authorities {
            authorities.verify(end_entity, intermediates, now, &self.algorithms)?;
        }
        if let Some(host) = &self.host {
            let certificate = certificate::parse(end_entity).map_err(bad_encoding)?;
            let other = |error| CertificateError::Other(OtherError(std::sync::Arc::new(error)));
            names::check(&certificate, host).map_err(other)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, certificate, signed, usize::MAX)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // The first algorithm is the one on the curve that TLS 1.3 ties to the scheme.
        self.verify_signature(message, certificate, signed, 1)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Verifier {
    /// Does what rustls has functions for, but for certificates of X.509 version 1 too.
    fn verify_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        algorithm_count: usize,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = certificate::parse(certificate).map_err(bad_encoding)?;
        let mapped = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let algorithms = mapped.map_or(&[][..], |(_, algorithms)| *algorithms);
        let algorithms = algorithms.iter().take(algorithm_count).copied();
        let key = certificate.public_key();
        match certificate::verifies(algorithms, key, message, signed.signature()) {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(CertificateError::BadSignature.into()),
        }
    }
}
