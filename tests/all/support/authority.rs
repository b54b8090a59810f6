//! Certificates of a test's own making.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber, SigningKey as _, date_time_ymd,
};
use x509_parser::asn1_rs::{Any, FromDer as _};

use super::account::give_to_server;

/// Somebody who signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, in PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
    serial: u64,
}

/// Returns the parameters of a certificate: the common name, and the alternative names.
pub fn certificate(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut parameters = CertificateParams::new(names).unwrap();
    parameters.distinguished_name = Default::default();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(2100, 1, 1);
    parameters
}

/// Returns the parameters of an authority's certificate.
pub fn authority(name: &str) -> CertificateParams {
    let mut parameters = certificate(name, &[]);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters
}

/// Makes a certificate that nobody else signed.
pub fn self_signed(parameters: &CertificateParams) -> Issued {
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap().pem();
    Issued { certificate, key: key.serialize_pem(), serial: 0 }
}

impl Authority {
    /// Makes one that nobody stands behind.
    pub fn root(name: &str) -> Self {
        Self::with(authority(name))
    }

    /// Makes one that nobody stands behind, who need not be allowed to sign.
    pub fn with(parameters: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Authority { issuer: CertifiedIssuer::self_signed(parameters, key).unwrap() }
    }

    /// Makes one that nobody stands behind, with this one's key.
    pub fn with_same_key(&self, parameters: CertificateParams) -> Self {
        let key = KeyPair::from_pem(&self.issuer.key().serialize_pem()).unwrap();
        Authority { issuer: CertifiedIssuer::self_signed(parameters, key).unwrap() }
    }

    /// Makes one that this one stands behind.
    pub fn intermediate(&self, name: &str) -> Self {
        self.intermediate_with(authority(name))
    }

    /// Makes one that this one stands behind, who need not be allowed to sign.
    pub fn intermediate_with(&self, parameters: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Authority { issuer: CertifiedIssuer::signed_by(parameters, key, &self.issuer).unwrap() }
    }

    /// Returns its own certificate, in PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Signs a certificate with a number.
    pub fn sign(&self, mut parameters: CertificateParams, serial: u64) -> Issued {
        let key = KeyPair::generate().unwrap();
        parameters.serial_number = Some(SerialNumber::from(serial));
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { certificate, key: key.serialize_pem(), serial }
    }

    /// Signs a certificate for `localhost`.
    pub fn server(&self) -> Issued {
        self.sign(certificate("localhost", &["localhost", "127.0.0.1"]), 2)
    }

    /// Signs a certificate of X.509 version 1, which has neither a version nor extensions.
    pub fn sign_version_1(&self, common_name: &str) -> Issued {
        let key = KeyPair::generate().unwrap();
        let version_3 = certificate(common_name, &[]).signed_by(&key, &self.issuer).unwrap();
        let outer = elements(version_3.der());
        let [contents, algorithm, _] = outer.as_slice() else { panic!("not a certificate") };
        let is_of_version_3 = |part: &&&[u8]| [0xa0, 0xa3].contains(&part[0]);
        let parts = elements(contents);
        let kept: Vec<_> = parts.iter().filter(|part| !is_of_version_3(part)).copied().collect();
        let contents = sequence(&kept);
        let mut signature = vec![0];
        signature.extend(self.issuer.key().sign(&contents).unwrap());
        let der = sequence(&[&contents, algorithm, &tagged(0x03, &signature)]);
        Issued { certificate: pem("CERTIFICATE", &der), key: key.serialize_pem(), serial: 0 }
    }

    /// Makes a list of revoked certificates, good until a year.
    pub fn revoke(&self, revoked: &[&Issued], until: i32) -> String {
        let entry = |issued: &&Issued| RevokedCertParams {
            serial_number: SerialNumber::from(issued.serial),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

impl Issued {
    /// Writes both into a directory as `NAME.crt` and `NAME.key`, for the server to read.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let paths = (directory.join(format!("{name}.crt")), directory.join(format!("{name}.key")));
        fs::write(&paths.0, &self.certificate).unwrap();
        fs::write(&paths.1, &self.key).unwrap();
        fs::set_permissions(&paths.1, fs::Permissions::from_mode(0o600)).unwrap();
        give_to_server(directory);
        paths
    }
}

/// Writes a PEM text.
pub fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Lists the elements of a DER sequence, with their heads.
fn elements(der: &[u8]) -> Vec<&[u8]> {
    let mut rest = Any::from_der(der).unwrap().1.data;
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let after = Any::from_der(rest).unwrap().0;
        elements.push(&rest[..rest.len() - after.len()]);
        rest = after;
    }
    elements
}

fn sequence(elements: &[&[u8]]) -> Vec<u8> {
    tagged(0x30, &elements.concat())
}

/// Writes a DER element of 64 KiB at most.
fn tagged(tag: u8, contents: &[u8]) -> Vec<u8> {
    let size = u16::try_from(contents.len()).unwrap().to_be_bytes();
    let head = match size {
        [0, low] if low < 0x80 => vec![tag, low],
        [0, low] => vec![tag, 0x81, low],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head.as_slice(), contents].concat()
}
