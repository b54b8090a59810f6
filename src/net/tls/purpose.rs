//! What a certificate may be used for, by its own words. Follows `check_purpose_ssl_server` and
//! `check_ca` (OpenSSL 3, `crypto/x509/v3_purp.c`), without the `nsCertType` of the nineties.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::KeyUsage;
use x509_parser::x509::X509Version;

/// Says whether a server may show it.
pub(super) fn serves_servers(certificate: &X509Certificate<'_>) -> bool {
    let is_for_tls = |usage: &KeyUsage| {
        usage.digital_signature() || usage.key_encipherment() || usage.key_agreement()
    };
    is_for_servers(certificate) && key_may(certificate, is_for_tls)
}

/// Says whether it may sign certificates of servers, if it is trusted. Where it does not say whether it
/// is an authority's, its key's purpose tells; version 1 could say neither.
pub(super) fn signs_certificates(certificate: &X509Certificate<'_>) -> bool {
    let is_authority = match certificate.basic_constraints() {
        Ok(Some(constraints)) => constraints.value.ca,
        Ok(None) => {
            certificate.version() == X509Version::V1
                || certificate.key_usage().is_ok_and(|usage| usage.is_some())
        }
        Err(_) => false,
    };
    is_authority
        && is_for_servers(certificate)
        && key_may(certificate, |usage| usage.key_cert_sign())
}

/// Says whether its key may sign lists of revoked certificates.
pub(super) fn signs_lists(certificate: &X509Certificate<'_>) -> bool {
    key_may(certificate, |usage| usage.crl_sign())
}

/// Says whether a number of certificates may stand between it and that of a server.
pub(super) fn allows_between(certificate: &X509Certificate<'_>, count: usize) -> bool {
    let constraints = certificate.basic_constraints().ok().flatten();
    let max = constraints.and_then(|constraints| constraints.value.path_len_constraint);
    max.is_none_or(|max| u32::try_from(count).is_ok_and(|count| count <= max))
}

/// Says whether servers are among what it is for, or it is for everything as it does not say. Like
/// OpenSSL, `anyExtendedKeyUsage` is not taken for an answer.
fn is_for_servers(certificate: &X509Certificate<'_>) -> bool {
    let usage = certificate.extended_key_usage();
    usage.is_ok_and(|usage| usage.is_none_or(|usage| usage.value.server_auth))
}

/// Says whether a purpose is among those of its key, which has all if it does not say.
fn key_may(certificate: &X509Certificate<'_>, purpose: impl Fn(&KeyUsage) -> bool) -> bool {
    let usage = certificate.key_usage();
    usage.is_ok_and(|usage| usage.is_none_or(|usage| purpose(usage.value)))
}

#[cfg(test)]
mod tests {
    use rcgen::KeyUsagePurpose as P;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::net::tls::certificate;

    #[test]
    fn keys_have_the_purposes_that_they_name() {
        // Whether it is for servers, for certificates, for lists.
        let table = [
            (vec![], (true, false, true)),
            (vec![P::DigitalSignature], (true, false, false)),
            (vec![P::KeyEncipherment], (true, false, false)),
            (vec![P::KeyAgreement], (true, false, false)),
            (vec![P::ContentCommitment], (false, false, false)),
            (vec![P::KeyCertSign], (false, true, false)),
            (vec![P::CrlSign, P::DigitalSignature], (true, false, true)),
        ];
        for (key_usages, expected) in table {
            let key = KeyPair::generate().expect("a key");
            let mut parameters = CertificateParams::default();
            parameters.key_usages = key_usages;
            let made = parameters.self_signed(&key).expect("a certificate");
            let read = certificate::parse(made.der()).expect("a certificate");
            let purposes = (serves_servers(&read), signs_certificates(&read), signs_lists(&read));
            assert_eq!(purposes, expected, "{:?}", parameters.key_usages);
        }
    }
}
