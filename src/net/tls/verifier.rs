//! The server's certificate and its signature in the handshake.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
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

    /// Does what rustls has a function for, but for certificates of X.509 version 1 too.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = certificate::parse(certificate).map_err(bad_encoding)?;
        let mapped = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let algorithms = mapped.map_or(&[][..], |(_, algorithms)| *algorithms);
        let algorithms = algorithms.iter().copied();
        let key = certificate.public_key();
        match certificate::verifies(algorithms, key, message, signed.signature()) {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(CertificateError::BadSignature.into()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = certificate::parse(certificate).map_err(bad_encoding)?;
        let key = SubjectPublicKeyInfoDer::from(certificate.public_key().raw);
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SigningKey as _};
    use rustls::crypto::aws_lc_rs;
    use rustls::internal::msgs::codec::{Codec as _, Reader};

    use super::*;

    #[test]
    fn each_version_of_tls_has_its_own_signatures() {
        let p256 = &rcgen::PKCS_ECDSA_P256_SHA256;
        let p384 = &rcgen::PKCS_ECDSA_P384_SHA384;
        let table = [
            (p256, SignatureScheme::ECDSA_NISTP256_SHA256, true, true),
            (p384, SignatureScheme::ECDSA_NISTP384_SHA384, true, true),
            (p384, SignatureScheme::ECDSA_NISTP256_SHA256, false, false),
            (&rcgen::PKCS_ED25519, SignatureScheme::ED25519, true, true),
            (&rcgen::PKCS_RSA_SHA256, SignatureScheme::RSA_PKCS1_SHA256, true, false),
            (&rcgen::PKCS_RSA_SHA256, SignatureScheme::RSA_PSS_SHA256, false, false),
        ];
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        let verifier = Verifier { algorithms, authorities: None, host: None };
        for (algorithm, scheme, in_tls12, in_tls13) in table {
            let key = KeyPair::generate_for(algorithm).expect("a key");
            let certificate =
                CertificateParams::default().self_signed(&key).expect("a certificate");
            let der = certificate.der();
            let signature = key.sign(b"message").expect("a signature");
            let signed = signed(scheme, &signature);
            let is_good = |message: &[u8]| {
                (
                    verifier.verify_tls12_signature(message, der, &signed).is_ok(),
                    verifier.verify_tls13_signature(message, der, &signed).is_ok(),
                )
            };
            assert_eq!(is_good(b"message"), (in_tls12, in_tls13), "{scheme:?}");
            assert_eq!(is_good(b"another"), (false, false), "{scheme:?}");
        }
    }

    /// Reads a signature as it is in a handshake; there is no other way to make one.
    fn signed(scheme: SignatureScheme, signature: &[u8]) -> DigitallySignedStruct {
        let mut bytes = u16::from(scheme).to_be_bytes().to_vec();
        bytes.extend(u16::try_from(signature.len()).expect("a short signature").to_be_bytes());
        bytes.extend(signature);
        DigitallySignedStruct::read(&mut Reader::init(&bytes)).expect("a signature")
    }
}
