//! Whether a server's certificate is for the host that was meant. Follows
//! `pgtls_verify_peer_name_matches_certificate_guts` (`fe-secure-openssl.c`) and `fe-secure-common.c`
//! of libpq 18.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, GeneralSubtree};

/// The tag of a `dNSName` among the general names (RFC 5280, 4.2.1.6).
const TAG_DNS_NAME: u32 = 2;

/// A certificate is not for the host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has names, but not that one.
    #[error(
        "server certificate for \"{first}\"{} does not match host name \"{host}\"",
        others(*.other_count)
    )]
    Mismatch {
        /// Its first name.
        first: String,
        /// How many names it has besides.
        other_count: usize,
        /// The host's name.
        host: String,
    },
    /// No name was given to compare it with.
    #[error("host name must be specified for a verified SSL connection")]
    NoHost,
    /// It has no names.
    #[error("could not get server's host name from server certificate")]
    Missing,
    /// A name is made to be read in two ways.
    #[error("SSL certificate's name contains embedded null")]
    EmbeddedNull,
    /// An address is of no kind.
    #[error("certificate contains IP address with invalid length {0}")]
    AddressSize(usize),
}

fn others(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => " (and 1 other name)".to_owned(),
        _ => format!(" (and {count} other names)"),
    }
}

/// The names in a certificate.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names<'a> {
    alternatives: Vec<Name<'a>>,
    common_name: Option<&'a [u8]>,
}

#[derive(Debug, PartialEq, Eq)]
enum Name<'a> {
    Dns(&'a [u8]),
    Address(&'a [u8]),
}

/// Says whether an issuer's name constraints allow a certificate's common names, if these stand for a
/// host as there is no DNS name. webpki looks at the other names. Follows `check_name_constraints`
/// (OpenSSL 3, `crypto/x509/x509_vfy.c`), but for names of one label too.
pub(super) fn may_vouch(issuer: &X509Certificate<'_>, certificate: &X509Certificate<'_>) -> bool {
    let constraints = match issuer.name_constraints() {
        Ok(Some(constraints)) => constraints.value,
        Ok(None) => return true,
        Err(_) => return false,
    };
    if alternatives(certificate).any(|name| matches!(name, Name::Dns(_))) {
        return true;
    }
    let permitted = domains(constraints.permitted_subtrees.as_deref());
    let excluded = domains(constraints.excluded_subtrees.as_deref());
    certificate.subject().iter_common_name().all(|name| {
        let is_within = |domain: &&str| is_within(name.attr_value().data, domain.as_bytes());
        (permitted.is_empty() || permitted.iter().any(is_within)) && !excluded.iter().any(is_within)
    })
}

/// Lists the domains among the subtrees of name constraints.
fn domains<'a>(subtrees: Option<&'a [GeneralSubtree<'a>]>) -> Vec<&'a str> {
    let domain = |subtree: &'a GeneralSubtree<'a>| match &subtree.base {
        GeneralName::DNSName(domain) => Some(*domain),
        _ => None,
    };
    subtrees.unwrap_or_default().iter().filter_map(domain).collect()
}

/// Says whether a name is in a domain (RFC 5280, 4.2.1.10). One that begins with a dot is without the
/// name itself, the empty one has all.
fn is_within(name: &[u8], domain: &[u8]) -> bool {
    let Some((before, end)) = name.len().checked_sub(domain.len()).map(|at| name.split_at(at))
    else {
        return false;
    };
    let is_whole = before.is_empty() || domain.is_empty() || domain.starts_with(b".");
    end.eq_ignore_ascii_case(domain) && (is_whole || before.ends_with(b"."))
}

/// Checks that a certificate is for a host, whose name is empty if nobody gave one.
pub(super) fn check(certificate: &X509Certificate<'_>, host: &str) -> Result<(), NameError> {
    if host.is_empty() {
        return Err(NameError::NoHost);
    }
    let alternatives = alternatives(certificate).collect();
    let mut common_names = certificate.subject().iter_common_name();
    let common_name = common_names.next().map(|name| name.attr_value().data);
    Names { alternatives, common_name }.check(host)
}

/// Lists the names of hosts besides the common name.
fn alternatives<'a>(certificate: &'a X509Certificate<'_>) -> impl Iterator<Item = Name<'a>> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let general_names = extension.map(|extension| extension.value.general_names.as_slice());
    general_names.unwrap_or_default().iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(Name::Dns(name.as_bytes())),
        GeneralName::Invalid(tag, bytes) if tag.0 == TAG_DNS_NAME => Some(Name::Dns(bytes)),
        GeneralName::IPAddress(bytes) => Some(Name::Address(bytes)),
        _ => None,
    })
}

impl Names<'_> {
    /// The common name counts where no other name is of the same kind as the host's: for a host that
    /// is an address also beside DNS names, against RFC 6125, as in libpq.
    fn check(&self, host: &str) -> Result<(), NameError> {
        let is_address = host.parse::<IpAddr>().is_ok();
        let is_same_kind = |name: &&Name<'_>| matches!(name, Name::Address(_)) == is_address;
        let has_same_kind = self.alternatives.iter().find(is_same_kind).is_some();
        let common_name = self.common_name.filter(|_| !has_same_kind).map(Name::Dns);
        let mut first = None;
        let mut count = 0;
        for name in self.alternatives.iter().chain(&common_name) {
            if name.matches(host)? {
                return Ok(());
            }
            first.get_or_insert_with(|| name.to_string());
            count += 1;
        }
        Err(match first {
            None => NameError::Missing,
            Some(first) => {
                NameError::Mismatch { first, other_count: count - 1, host: host.to_owned() }
            }
        })
    }
}

impl Name<'_> {
    fn matches(&self, host: &str) -> Result<bool, NameError> {
        match *self {
            Name::Dns(name) if name.contains(&0) => Err(NameError::EmbeddedNull),
            Name::Dns(name) => {
                let host = host.as_bytes();
                Ok(name.eq_ignore_ascii_case(host) || is_wildcard_for(name, host))
            }
            Name::Address(bytes) => match address(bytes) {
                Some(address) => Ok(host.parse() == Ok(address)),
                None => Err(NameError::AddressSize(bytes.len())),
            },
        }
    }
}

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Name::Dns(name) => f.write_str(&String::from_utf8_lossy(name)),
            Name::Address(bytes) => address(bytes).map_or(Ok(()), |address| write!(f, "{address}")),
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|octets| Ipv4Addr::from(octets).into());
    let v6 = <[u8; 16]>::try_from(bytes).map(|octets| Ipv6Addr::from(octets).into());
    v4.or(v6).ok()
}

/// Says whether `*.domain` stands for a host: the asterisk for one whole label, the first.
fn is_wildcard_for(pattern: &[u8], host: &[u8]) -> bool {
    let Some(domain @ [b'.', _, ..]) = pattern.strip_prefix(b"*") else { return false };
    let Some(label_size) = host.iter().position(|byte| *byte == b'.') else { return false };
    label_size > 0 && host.get(label_size..).is_some_and(|rest| rest.eq_ignore_ascii_case(domain))
}

#[cfg(test)]
mod tests {
    use super::Name::{Address, Dns};
    use super::*;

    fn names<'a>(alternatives: Vec<Name<'a>>, common_name: &'a str) -> Names<'a> {
        let common_name = Some(common_name.as_bytes()).filter(|name| !name.is_empty());
        Names { alternatives, common_name }
    }

    #[test]
    fn wildcards_stand_for_one_whole_first_label() {
        let table = [
            ("*.example.org", "db.example.org", true),
            ("*.Example.org", "db.eXample.ORG", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", ".example.org", false),
            ("*.example.org", "a.db.example.org", false),
            ("d*.example.org", "db.example.org", false),
            ("*b.example.org", "db.example.org", false),
            ("db.*.org", "db.example.org", false),
            ("*.*.org", "db.example.org", false),
            ("*", "db", false),
            ("*.", "db.", false),
            ("*.org", "example.org", true),
            ("", "", false),
        ];
        for (pattern, host, matches) in table {
            assert_eq!(is_wildcard_for(pattern.as_bytes(), host.as_bytes()), matches, "{pattern}");
        }
    }

    #[test]
    fn domains_end_names_at_a_dot() {
        let table = [
            ("db.example.org", "example.org", true),
            ("DB.Example.org", "eXample.ORG", true),
            ("example.org", "example.org", true),
            ("example.org", ".example.org", false),
            ("db.example.org", ".example.org", true),
            ("badexample.org", "example.org", false),
            ("org", "example.org", false),
            ("db", "", true),
            ("", "", true),
        ];
        for (name, domain, expected) in table {
            assert_eq!(is_within(name.as_bytes(), domain.as_bytes()), expected, "{name} {domain}");
        }
    }

    #[test]
    fn names_of_the_hosts_kind_put_the_common_name_aside() {
        let v4 = || Address(&[192, 0, 2, 1]);
        let v6 = || Address(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let table = [
            (names(vec![], "db"), "db", true),
            (names(vec![], "DB"), "db", true),
            (names(vec![Dns(b"other")], "db"), "db", false),
            (names(vec![Dns(b"other"), Dns(b"db")], ""), "db", true),
            (names(vec![v4()], "db"), "db", true),
            (names(vec![v4()], ""), "192.0.2.1", true),
            (names(vec![v6()], ""), "2001:db8::1", true),
            (names(vec![v4()], "192.0.2.2"), "192.0.2.2", false),
            (names(vec![Dns(b"db")], "192.0.2.2"), "192.0.2.2", true),
            (names(vec![Dns(b"192.0.2.2")], ""), "192.0.2.2", true),
        ];
        for (names, host, matches) in table {
            assert_eq!(names.check(host).is_ok(), matches, "{names:?} {host}");
        }
    }

    #[test]
    fn mismatches_have_libpqs_words() {
        let table = [
            (names(vec![], "cn"), "server certificate for \"cn\" does not match host name \"db\""),
            (
                names(vec![Dns(b"a"), Address(&[192, 0, 2, 1])], "cn"),
                "server certificate for \"a\" (and 1 other name) does not match host name \"db\"",
            ),
            (
                names(vec![Address(&[192, 0, 2, 1]), Dns(b"a"), Dns(b"b")], ""),
                "server certificate for \"192.0.2.1\" (and 2 other names) does not match host name \
                 \"db\"",
            ),
            (names(vec![], ""), "could not get server's host name from server certificate"),
            (names(vec![Dns(b"db\0.evil")], ""), "SSL certificate's name contains embedded null"),
            (names(vec![], "db\0"), "SSL certificate's name contains embedded null"),
            (
                names(vec![Address(&[1, 2, 3])], ""),
                "certificate contains IP address with invalid length 3",
            ),
        ];
        for (names, message) in table {
            assert_eq!(names.check("db").map_err(|error| error.to_string()), Err(message.into()));
        }
    }
}
