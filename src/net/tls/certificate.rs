//! What is read out of certificates: their signatures, and the hash that stands for them in channel
//! binding.

use std::io::Cursor;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};
use x509_parser::asn1_rs::{Any, FromDer as _};
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::Pem;
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::SubjectPublicKeyInfo;

/// The largest file of certificates or keys that is read: those of a whole system have a few hundred
/// kilobytes.
pub(super) const FILE_BYTES_MAX: u64 = 4 << 20;

/// Text that is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed certificate or signature")]
pub(super) struct Malformed;

/// Takes a certificate apart; nothing may follow it.
pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Malformed> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(Malformed),
    }
}

/// Lists the parts of a PEM text that have one of these labels.
pub(super) fn pem_sections(text: &[u8], labels: &[&str]) -> Result<Vec<Pem>, Malformed> {
    let mut sections = Vec::new();
    for section in Pem::iter_from_reader(Cursor::new(text)) {
        let section = section.map_err(|_| Malformed)?;
        if labels.contains(&section.label.as_str()) {
            sections.push(section);
        }
    }
    Ok(sections)
}

/// Lists the certificates of a PEM text.
pub(super) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Malformed> {
    let labels = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];
    let sections = pem_sections(text, &labels)?;
    Ok(sections.into_iter().map(|section| section.contents.into()).collect())
}

/// Something signed: `SEQUENCE { contents, signature algorithm, signature }`, which is the shape of
/// certificates and of lists of revoked ones (RFC 5280, 4.1 and 5.1).
#[derive(Debug)]
pub(super) struct Signed<'a> {
    contents: &'a [u8],
    /// What is in the algorithm's `SEQUENCE`, to be compared byte by byte.
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        let inner = element(der)?.0;
        let (_, after_contents) = element(inner)?;
        let (algorithm, after_algorithm) = element(after_contents)?;
        let contents = inner.get(..inner.len() - after_contents.len()).ok_or(Malformed)?;
        match element(after_algorithm)?.0.split_first() {
            // The first byte counts the bits of the last one that do not belong to the signature.
            Some((0, signature)) => Ok(Signed { contents, algorithm, signature }),
            _ => Err(Malformed),
        }
    }

    /// Says whether the owner of a key signed it.
    pub(super) fn is_signed_by(
        &self,
        key: &SubjectPublicKeyInfo<'_>,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> bool {
        let same = |known: &&&dyn SignatureVerificationAlgorithm| {
            known.signature_alg_id().as_ref() == self.algorithm
        };
        let algorithms = algorithms.all.iter().filter(same).copied();
        verifies(algorithms, key, self.contents, self.signature)
    }
}

/// Says whether a signature is good by one of the algorithms.
pub(super) fn verifies<'a>(
    mut algorithms: impl Iterator<Item = &'a dyn SignatureVerificationAlgorithm>,
    key: &SubjectPublicKeyInfo<'_>,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let key_algorithm = element(key.raw).and_then(|(inner, _)| element(inner));
    let Ok((key_algorithm, _)) = key_algorithm else { return false };
    algorithms.any(|algorithm| {
        algorithm.public_key_alg_id().as_ref() == key_algorithm
            && algorithm.verify_signature(&key.subject_public_key.data, message, signature).is_ok()
    })
}

/// Returns what is in the first element of a DER encoding, and what follows the element.
fn element(der: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (rest, element) = Any::from_der(der).map_err(|_| Malformed)?;
    Ok((element.data, rest))
}

/// Computes the hash that stands for a server's certificate in channel binding: the hash function of
/// its signature, or SHA-256 instead of MD5 and SHA-1 (RFC 5929, 4.1). Follows
/// `pgtls_get_peer_certificate_hash`.
///
/// # Errors
/// The words of libpq, for a certificate whose signature has no hash function of its own.
pub(super) fn end_point(der: &[u8]) -> Result<Vec<u8>, String> {
    let unknown = "could not determine server certificate signature algorithm";
    let certificate = parse(der).map_err(|_| unknown)?;
    let algorithm = &certificate.signature_algorithm;
    let mut oid = algorithm.algorithm.to_id_string();
    if oid == OID_RSA_PSS {
        let parameters = algorithm.parameters.as_ref().ok_or(unknown)?;
        let parameters = RsaSsaPssParams::try_from(parameters).map_err(|_| unknown)?;
        oid = parameters.hash_algorithm_oid().to_id_string();
    }
    let hash = HASHES.iter().find(|(oids, _)| oids.contains(&oid.as_str()));
    let (_, hash) = hash.ok_or("could not find digest for NID UNDEF")?;
    Ok(hash(der))
}

/// RSASSA-PSS, which names its hash function in a parameter.
const OID_RSA_PSS: &str = "1.2.840.113549.1.1.10";

type Hash = fn(&[u8]) -> Vec<u8>;

/// The hash functions, with their own identifiers and those of RSA and ECDSA signatures with them.
const HASHES: [(&[&str], Hash); 4] = [
    (
        &[
            "1.2.840.113549.2.5",
            "1.2.840.113549.1.1.4",
            "1.3.14.3.2.26",
            "1.2.840.113549.1.1.5",
            "1.2.840.10045.4.1",
            "2.16.840.1.101.3.4.2.1",
            "1.2.840.113549.1.1.11",
            "1.2.840.10045.4.3.2",
        ],
        |bytes| Sha256::digest(bytes).to_vec(),
    ),
    (&["2.16.840.1.101.3.4.2.2", "1.2.840.113549.1.1.12", "1.2.840.10045.4.3.3"], |bytes| {
        Sha384::digest(bytes).to_vec()
    }),
    (&["2.16.840.1.101.3.4.2.3", "1.2.840.113549.1.1.13", "1.2.840.10045.4.3.4"], |bytes| {
        Sha512::digest(bytes).to_vec()
    }),
    (&["2.16.840.1.101.3.4.2.4", "1.2.840.113549.1.1.14", "1.2.840.10045.4.3.1"], |bytes| {
        Sha224::digest(bytes).to_vec()
    }),
];

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn end_points_are_hashed_as_the_signature_is() {
        let sha256: Hash = |bytes| Sha256::digest(bytes).to_vec();
        let sha384: Hash = |bytes| Sha384::digest(bytes).to_vec();
        let sha512: Hash = |bytes| Sha512::digest(bytes).to_vec();
        let table = [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Some(sha256)),
            (&rcgen::PKCS_ECDSA_P384_SHA384, Some(sha384)),
            (&rcgen::PKCS_ECDSA_P521_SHA512, Some(sha512)),
            (&rcgen::PKCS_RSA_SHA256, Some(sha256)),
            (&rcgen::PKCS_RSA_SHA384, Some(sha384)),
            (&rcgen::PKCS_RSA_SHA512, Some(sha512)),
            (&rcgen::PKCS_ED25519, None),
        ];
        for (algorithm, hash) in table {
            let key = KeyPair::generate_for(algorithm).expect("a key");
            let certificate =
                CertificateParams::default().self_signed(&key).expect("a certificate");
            let der = certificate.der();
            let expected = hash.map(|hash| hash(der));
            let expected = expected.ok_or("could not find digest for NID UNDEF".to_owned());
            assert_eq!(end_point(der), expected, "{algorithm:?}");
        }
        let unknown = "could not determine server certificate signature algorithm";
        assert_eq!(end_point(b"garbage"), Err(unknown.to_owned()));
    }
}
