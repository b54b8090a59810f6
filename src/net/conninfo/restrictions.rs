//! Parameters that choose among few values, and refusals of those that ask for something that is
//! not built yet and cannot be ignored: the user relies on it, mostly for security.

use super::{ConninfoError, Keyword, Parameters, SslMode};

/// A parameter with few values: those that are met by a plain connection to the first server that
/// answers, and those that are not yet.
struct Choice {
    keyword: Keyword,
    met: &'static [&'static str],
    unmet: &'static [&'static str],
}

const CHOICES: [Choice; 8] = [
    Choice { keyword: Keyword::ChannelBinding, met: &["disable", "prefer"], unmet: &["require"] },
    Choice { keyword: Keyword::SslNegotiation, met: &["postgres"], unmet: &["direct"] },
    Choice { keyword: Keyword::SslCertMode, met: &["disable", "allow"], unmet: &["require"] },
    Choice { keyword: Keyword::GssEncMode, met: &["disable", "prefer"], unmet: &["require"] },
    Choice {
        keyword: Keyword::TargetSessionAttrs,
        met: &["any"],
        unmet: &["read-write", "read-only", "primary", "standby", "prefer-standby"],
    },
    Choice { keyword: Keyword::LoadBalanceHosts, met: &["disable"], unmet: &["random"] },
    Choice { keyword: Keyword::MinProtocolVersion, met: &["3.0"], unmet: &["3.2", "latest"] },
    Choice { keyword: Keyword::MaxProtocolVersion, met: &["3.0", "3.2", "latest"], unmet: &[] },
];

/// Parameters that are not supported yet with any value.
const UNSUPPORTED: [Keyword; 5] = [
    Keyword::Service,
    Keyword::RequirePeer,
    Keyword::RequireAuth,
    Keyword::ScramClientKey,
    Keyword::ScramServerKey,
];

/// Refuses what cannot be met, and returns what the user wants of TLS.
pub(super) fn check(parameters: &Parameters) -> Result<SslMode, ConninfoError> {
    for keyword in UNSUPPORTED {
        if let Some(value) = parameters.non_empty(keyword) {
            return Err(not_supported(keyword, value));
        }
    }
    for choice in &CHOICES {
        if let Some(value) = parameters.value(choice.keyword) {
            choice.check(value)?;
        }
    }
    // The system's authorities come with full verification; see the manual on sslrootcert.
    if let Some(value @ "system") = parameters.value(Keyword::SslRootCert) {
        return Err(not_supported(Keyword::SslRootCert, value));
    }
    ssl_mode(parameters)
}

impl Choice {
    fn check(&self, value: &str) -> Result<(), ConninfoError> {
        if self.met.contains(&value) {
            Ok(())
        } else if self.unmet.contains(&value) {
            Err(not_supported(self.keyword, value))
        } else {
            Err(ConninfoError::InvalidValue { keyword: self.keyword, value: value.to_owned() })
        }
    }
}

fn not_supported(keyword: Keyword, value: &str) -> ConninfoError {
    ConninfoError::NotSupported { keyword, value: keyword.shown(value) }
}

fn ssl_mode(parameters: &Parameters) -> Result<SslMode, ConninfoError> {
    let Some(value) = parameters.value(Keyword::SslMode) else {
        return Ok(SslMode::default());
    };
    let mode = SslMode::from_name(value).ok_or_else(|| ConninfoError::InvalidValue {
        keyword: Keyword::SslMode,
        value: value.to_owned(),
    })?;
    if mode.requires_tls() {
        return Err(ConninfoError::TlsNotSupported(value.to_owned()));
    }
    Ok(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str) -> Result<SslMode, String> {
        let parameters = Parameters::parse(text).expect("a valid connection string");
        check(&parameters).map_err(|error| error.to_string())
    }

    #[test]
    fn harmless_values_pass() {
        let table = [
            ("", SslMode::Prefer),
            ("sslmode=disable", SslMode::Disable),
            ("sslmode=allow", SslMode::Allow),
            ("requiressl=0", SslMode::Prefer),
            ("requirepeer='' service=''", SslMode::Prefer),
            ("channel_binding=prefer gssencmode=disable target_session_attrs=any", SslMode::Prefer),
            ("ssl_min_protocol_version=TLSv1.3 sslrootcert=/ca.pem", SslMode::Prefer),
            ("min_protocol_version=3.0 max_protocol_version=latest", SslMode::Prefer),
        ];
        for (text, mode) in table {
            assert_eq!(check_text(text), Ok(mode), "{text}");
        }
    }

    #[test]
    fn wish_for_tls_is_refused() {
        for mode in ["require", "verify-ca", "verify-full"] {
            let message =
                format!("sslmode value \"{mode}\" invalid when SSL support is not compiled in");
            assert_eq!(check_text(&format!("sslmode={mode}")), Err(message));
        }
        for text in ["requiressl=1", "postgres://h?ssl=true"] {
            assert!(check_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn restrictions_are_refused_instead_of_ignored() {
        let table = [
            ("service", "prod"),
            ("requirepeer", "postgres"),
            ("require_auth", "scram-sha-256"),
            ("channel_binding", "require"),
            ("sslnegotiation", "direct"),
            ("sslcertmode", "require"),
            ("sslrootcert", "system"),
            ("gssencmode", "require"),
            ("target_session_attrs", "standby"),
            ("load_balance_hosts", "random"),
            ("min_protocol_version", "3.2"),
        ];
        for (name, value) in table {
            let message = format!("connection option \"{name}\" is not supported yet: \"{value}\"");
            assert_eq!(check_text(&format!("{name}={value}")), Err(message));
        }
        let message = "connection option \"scram_client_key\" is not supported yet: \"***\"";
        assert_eq!(check_text("scram_client_key=hush"), Err(message.to_owned()));
    }

    #[test]
    fn values_that_do_not_exist_have_libpqs_words() {
        let keywords = CHOICES.iter().map(|choice| choice.keyword);
        for keyword in keywords.chain([Keyword::SslMode]) {
            for value in ["bogus", ""] {
                let message = format!("invalid {keyword} value: \"{value}\"");
                assert_eq!(check_text(&format!("{keyword}='{value}'")), Err(message));
            }
        }
    }
}
