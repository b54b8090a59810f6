//! What the `ssl*` parameters ask for. Follows `pqConnectOptions2` of libpq's `fe-connect.c`, and
//! `initialize_SSL` of `fe-secure-openssl.c` for the names of default files.
//!
//! `sslcompression` is read and ignored, as in libpq since OpenSSL dropped it.

use std::path::{Path, PathBuf};

use super::{
    ClientCertificate, ConninfoError, Keyword, Parameters, Password, RootCertificates, SslMode,
    SslNegotiation, TlsOptions, TlsVersion,
};

/// Where default files are, below the home directory.
const DIRECTORY: &str = ".postgresql";

/// The value of `sslrootcert` that names no file.
const SYSTEM_ROOTS: &str = "system";

/// The oldest version that is good enough where none is named.
const VERSION_MIN_DEFAULT: TlsVersion = TlsVersion::V1_2;

/// Works out what TLS must be like.
pub(super) fn resolve(
    parameters: &Parameters,
    home_directory: Option<&Path>,
) -> Result<TlsOptions, ConninfoError> {
    let default = |name| home_directory.map(|home| home.join(DIRECTORY).join(name));
    let path = |keyword| parameters.non_empty(keyword).map(PathBuf::from);
    let roots = match path(Keyword::SslRootCert).or_else(|| default("root.crt")) {
        Some(_) if has_system_roots(parameters) => RootCertificates::System,
        Some(path) => RootCertificates::File(path),
        None => RootCertificates::Missing,
    };
    let (mode, negotiation) = mode(parameters)?;
    let (version_min, version_max) = versions(parameters)?;
    let client_certificate =
        parameters.choice(Keyword::SslCertMode, &ClientCertificate::NAMES)?.unwrap_or_default();
    let crl_directory = path(Keyword::SslCrlDir);
    // A directory makes the default file go away; see the manual on sslcrldir.
    let default_crl_file = || default("root.crl").filter(|_| crl_directory.is_none());
    let key_password = parameters.non_empty(Keyword::SslPassword);
    Ok(TlsOptions {
        mode,
        negotiation,
        roots,
        crl_file: path(Keyword::SslCrl).or_else(default_crl_file),
        crl_directory,
        client_certificate,
        certificate_file: path(Keyword::SslCert).or_else(|| default("postgresql.crt")),
        key_file: path(Keyword::SslKey).or_else(|| default("postgresql.key")),
        key_password: key_password.map(|text| Password::new(text.as_bytes())),
        sends_server_name: parameters.switch(Keyword::SslSni).unwrap_or(true),
        version_min,
        version_max,
        key_log_file: path(Keyword::SslKeyLogFile),
    })
}

fn has_system_roots(parameters: &Parameters) -> bool {
    parameters.value(Keyword::SslRootCert) == Some(SYSTEM_ROOTS)
}

/// Returns whether and how TLS is used; refuses what would be weaker than it looks.
fn mode(parameters: &Parameters) -> Result<(SslMode, SslNegotiation), ConninfoError> {
    let has_system_roots = has_system_roots(parameters);
    let default = if has_system_roots { SslMode::VerifyFull } else { SslMode::default() };
    let mode = parameters.choice(Keyword::SslMode, &SslMode::NAMES)?.unwrap_or(default);
    let negotiation = parameters.choice(Keyword::SslNegotiation, &SslNegotiation::NAMES)?;
    let negotiation = negotiation.unwrap_or_default();
    if negotiation == SslNegotiation::Direct && !mode.requires_tls() {
        return Err(ConninfoError::WeakForDirectTls(mode));
    }
    if has_system_roots && mode != SslMode::VerifyFull {
        return Err(ConninfoError::WeakForSystemRoots(mode));
    }
    Ok((mode, negotiation))
}

type Versions = (Option<TlsVersion>, Option<TlsVersion>);

/// Returns the oldest and the newest version of TLS.
fn versions(parameters: &Parameters) -> Result<Versions, ConninfoError> {
    let min = match parameters.value(Keyword::SslMinProtocolVersion) {
        None => Some(VERSION_MIN_DEFAULT),
        Some(value) => version(Keyword::SslMinProtocolVersion, value)?,
    };
    let max = parameters.value(Keyword::SslMaxProtocolVersion).unwrap_or_default();
    let max = version(Keyword::SslMaxProtocolVersion, max)?;
    match (min, max) {
        (Some(min), Some(max)) if min > max => Err(ConninfoError::TlsVersionRange),
        versions => Ok(versions),
    }
}

/// Reads a version, whose letters may have any case; an empty value stands for no wish.
fn version(keyword: Keyword, value: &str) -> Result<Option<TlsVersion>, ConninfoError> {
    if value.is_empty() {
        return Ok(None);
    }
    let named = TlsVersion::NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(value));
    match named {
        Some((_, version)) => Ok(Some(*version)),
        None => Err(ConninfoError::InvalidTlsVersion { keyword, value: value.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<TlsOptions, String> {
        let parameters = Parameters::parse(text).expect("a valid connection string");
        resolve(&parameters, Some(Path::new("/home/u"))).map_err(|error| error.to_string())
    }

    fn valid(text: &str) -> TlsOptions {
        options(text).expect(text)
    }

    fn defaults() -> TlsOptions {
        let file = |name: &str| Some(Path::new("/home/u/.postgresql").join(name));
        TlsOptions {
            mode: SslMode::Prefer,
            negotiation: SslNegotiation::Postgres,
            roots: RootCertificates::File("/home/u/.postgresql/root.crt".into()),
            crl_file: file("root.crl"),
            crl_directory: None,
            client_certificate: ClientCertificate::Allow,
            certificate_file: file("postgresql.crt"),
            key_file: file("postgresql.key"),
            key_password: None,
            sends_server_name: true,
            version_min: Some(TlsVersion::V1_2),
            version_max: None,
            key_log_file: None,
        }
    }

    #[test]
    fn nothing_given_means_the_files_in_the_home_directory() {
        assert_eq!(valid(""), defaults());
        let empty = "sslrootcert='' sslcert='' sslkey='' sslcrl='' sslcrldir='' sslpassword=''";
        assert_eq!(valid(&format!("{empty} sslkeylogfile='' sslcompression=1")), defaults());
        let homeless = resolve(&Parameters::default(), None).expect("valid");
        assert_eq!(homeless.roots, RootCertificates::Missing);
        assert_eq!((homeless.crl_file, homeless.key_file), (None, None));
    }

    #[test]
    fn everything_can_be_given() {
        let text = "sslmode=verify-ca sslnegotiation=direct sslrootcert=/ca sslcrl=/crl \
                    sslcrldir=/crls sslcertmode=require sslcert=/crt sslkey=/key sslpassword=hush \
                    sslsni=0 ssl_min_protocol_version=tlsv1 ssl_max_protocol_version=TLSv1.3 \
                    sslkeylogfile=/log";
        let expected = TlsOptions {
            mode: SslMode::VerifyCa,
            negotiation: SslNegotiation::Direct,
            roots: RootCertificates::File("/ca".into()),
            crl_file: Some("/crl".into()),
            crl_directory: Some("/crls".into()),
            client_certificate: ClientCertificate::Require,
            certificate_file: Some("/crt".into()),
            key_file: Some("/key".into()),
            key_password: Some(Password::new(*b"hush")),
            sends_server_name: false,
            version_min: Some(TlsVersion::V1_0),
            version_max: Some(TlsVersion::V1_3),
            key_log_file: Some("/log".into()),
        };
        assert_eq!(valid(text), expected);
    }

    #[test]
    fn directory_of_revoked_certificates_replaces_the_default_file() {
        let options = valid("sslcrldir=/crls");
        assert_eq!((options.crl_file, options.crl_directory), (None, Some("/crls".into())));
    }

    #[test]
    fn authorities_of_the_system_come_with_full_verification() {
        let expected =
            TlsOptions { mode: SslMode::VerifyFull, roots: RootCertificates::System, ..defaults() };
        assert_eq!(valid("sslrootcert=system"), expected);
        assert_eq!(valid("sslrootcert=system sslmode=verify-full"), expected);
        let homeless = Parameters::parse("sslrootcert=system").expect("valid");
        let homeless = resolve(&homeless, None).expect("valid");
        assert_eq!(homeless.roots, RootCertificates::System);
    }

    #[test]
    fn modes_are_named_as_in_libpq() {
        for (name, mode) in SslMode::NAMES {
            assert_eq!(valid(&format!("sslmode={name}")).mode, mode);
            assert_eq!(mode.to_string(), name);
        }
        let table =
            [("postgres://h?ssl=true", SslMode::Require), ("requiressl=0", SslMode::Prefer)];
        for (text, mode) in table {
            assert_eq!(valid(text).mode, mode, "{text}");
        }
    }

    #[test]
    fn empty_version_is_no_wish() {
        let options = valid("ssl_min_protocol_version='' ssl_max_protocol_version=TLSv1");
        assert_eq!((options.version_min, options.version_max), (None, Some(TlsVersion::V1_0)));
    }

    #[test]
    fn refusals_have_libpqs_words() {
        let weak_direct = "weak sslmode \"prefer\" may not be used with sslnegotiation=direct \
                           (use \"require\", \"verify-ca\", or \"verify-full\")";
        let weak_system = "weak sslmode \"require\" may not be used with sslrootcert=system \
                           (use \"verify-full\")";
        let range = "invalid SSL protocol version range";
        let table = [
            ("sslmode=bogus sslnegotiation=bogus", "invalid sslmode value: \"bogus\""),
            ("sslmode=''", "invalid sslmode value: \"\""),
            ("sslnegotiation=bogus sslcertmode=bogus", "invalid sslnegotiation value: \"bogus\""),
            ("sslcertmode=bogus", "invalid sslcertmode value: \"bogus\""),
            ("sslnegotiation=direct", weak_direct),
            ("sslnegotiation=direct sslrootcert=system sslmode=prefer", weak_direct),
            ("sslrootcert=system sslmode=require", weak_system),
            ("sslrootcert=system requiressl=1", weak_system),
            (
                "ssl_min_protocol_version=SSLv3 ssl_max_protocol_version=x",
                "invalid \"ssl_min_protocol_version\" value: \"SSLv3\"",
            ),
            ("ssl_max_protocol_version=x", "invalid \"ssl_max_protocol_version\" value: \"x\""),
            ("ssl_max_protocol_version=TLSv1.1 sslcertmode=bogus", range),
            ("ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2", range),
        ];
        for (text, message) in table {
            assert_eq!(options(text), Err(message.to_owned()), "{text}");
        }
    }
}
