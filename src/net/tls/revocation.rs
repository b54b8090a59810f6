//! Lists of revoked certificates. As in libpq, where lists are given, each certificate of a chain needs
//! a current one from its issuer (OpenSSL's `X509_V_FLAG_CRL_CHECK_ALL`).

use std::fs;
use std::io;
use std::path::Path;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{CertificateError, Error};
use x509_parser::asn1_rs::FromDer as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;

use super::certificate::{self, Malformed, Signed};
use super::error::{FileError, TlsError};
use super::purpose;
use crate::net::file;

/// The largest file of lists that is read: those of large public authorities have some ten megabytes.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// The lists that were given, in DER.
#[derive(Debug)]
pub(super) struct Revocations(Vec<Vec<u8>>);

impl Revocations {
    /// Reads the lists; `None` if there is neither a directory nor that file. A file that cannot be
    /// read is an error, unlike in libpq, for without it revoked certificates would pass.
    pub(super) fn load(
        file: Option<&Path>,
        directory: Option<&Path>,
    ) -> Result<Option<Self>, TlsError> {
        let file = file.map(read).transpose()?.flatten();
        if file.is_none() && directory.is_none() {
            return Ok(None);
        }
        let mut lists = file.unwrap_or_default();
        let failed = |directory: &Path, source: io::Error| {
            FileError::Io(source).concerning("certificate revocation list directory", directory)
        };
        if let Some(directory) = directory {
            for entry in fs::read_dir(directory).map_err(|source| failed(directory, source))? {
                let entry = entry.map_err(|source| failed(directory, source))?;
                if is_hash_name(&entry.file_name().to_string_lossy()) {
                    lists.extend(read(&entry.path())?.unwrap_or_default());
                }
            }
        }
        Ok(Some(Revocations(lists)))
    }

    /// Checks a chain, from the server's certificate to that of the authority.
    pub(super) fn check(
        &self,
        chain: &[X509Certificate<'_>],
        now: ASN1Time,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), Error> {
        let issuers = chain.iter().skip(1).chain(chain.last());
        for (subject, issuer) in chain.iter().zip(issuers) {
            let mut has_list = false;
            for der in &self.0 {
                let Some(list) = list_of(der, issuer, now, algorithms) else { continue };
                has_list = true;
                let mut revoked = list.iter_revoked_certificates();
                if revoked.any(|entry| entry.raw_serial() == subject.raw_serial()) {
                    return Err(CertificateError::Revoked.into());
                }
            }
            if !has_list {
                return Err(CertificateError::UnknownRevocationStatus.into());
            }
        }
        Ok(())
    }
}

/// Returns a list if it is of that issuer and can be relied on now. A list with critical extensions
/// may be only a part of the whole.
fn list_of<'a>(
    der: &'a [u8],
    issuer: &X509Certificate<'_>,
    now: ASN1Time,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Option<CertificateRevocationList<'a>> {
    let (_, list) = CertificateRevocationList::from_der(der).ok()?;
    let is_current =
        list.last_update() <= now && list.next_update().is_none_or(|next_update| now < next_update);
    let is_usable = purpose::signs_lists(issuer)
        && list.issuer().as_raw() == issuer.subject().as_raw()
        && is_current
        && !list.extensions().iter().any(|extension| extension.critical)
        && Signed::parse(der).is_ok_and(|list| list.is_signed_by(issuer.public_key(), algorithms));
    is_usable.then_some(list)
}

/// Reads the lists of a file; `None` if it is not there.
fn read(path: &Path) -> Result<Option<Vec<Vec<u8>>>, TlsError> {
    let failed = |error: FileError| error.concerning("certificate revocation list file", path);
    let text = match file::read(path, LIST_BYTES_MAX) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(FileError::Io(error))),
    };
    let sections = certificate::pem_sections(&text, &["X509 CRL"]);
    let lists: Vec<_> = sections
        .map_err(|Malformed| failed(FileError::Malformed))?
        .into_iter()
        .map(|section| section.contents)
        .collect();
    let is_readable = |der: &Vec<u8>| CertificateRevocationList::from_der(der).is_ok();
    match lists.as_slice() {
        [] => Err(failed(FileError::Nothing("no certificate or crl found"))),
        lists if !lists.iter().all(is_readable) => Err(failed(FileError::Malformed)),
        _ => Ok(Some(lists)),
    }
}

/// Says whether a file's name is one that OpenSSL looks for: a hash of the issuer, `.r`, a number.
fn is_hash_name(name: &str) -> bool {
    let Some((hash, number)) = name.split_once(".r") else { return false };
    hash.len() == 8
        && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hash_names_are_read_from_a_directory() {
        let table = [
            ("0123abCD.r0", true),
            ("0123abcd.r12", true),
            ("0123abcd.r", false),
            ("0123abcd.0", false),
            ("0123abc.r0", false),
            ("0123abcx.r0", false),
            ("README", false),
        ];
        for (name, is_read) in table {
            assert_eq!(is_hash_name(name), is_read, "{name}");
        }
    }
}
