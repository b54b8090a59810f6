//! Refusals of what is not supported and cannot be ignored, as the user relies on it.

use super::{ConninfoError, Keyword, Parameters};

/// Keys that are as good as the password; the SCRAM of `postgres-protocol` starts from a password.
const SCRAM_KEYS: [Keyword; 2] = [Keyword::ScramClientKey, Keyword::ScramServerKey];

/// The versions of PostgreSQL's protocol, by their minor number.
const PROTOCOL_VERSIONS: [(&str, u32); 3] = [("3.0", 0), ("3.2", 2), ("latest", 2)];

/// The only version that is spoken; every server has it.
const PROTOCOL_VERSION_SPOKEN: u32 = 0;

/// Refuses what is not supported.
pub(super) fn check(parameters: &Parameters) -> Result<(), ConninfoError> {
    check_scram_keys(parameters)?;
    check_protocol_versions(parameters)
}

/// Refuses SCRAM keys.
fn check_scram_keys(parameters: &Parameters) -> Result<(), ConninfoError> {
    let mut given = SCRAM_KEYS.iter().filter(|keyword| parameters.value(**keyword).is_some());
    given.next().map_or(Ok(()), |&keyword| Err(not_supported(parameters, keyword)))
}

/// Refuses a least version of the protocol that is above ours.
fn check_protocol_versions(parameters: &Parameters) -> Result<(), ConninfoError> {
    let version = |keyword| parameters.choice(keyword, &PROTOCOL_VERSIONS);
    let min = version(Keyword::MinProtocolVersion)?.unwrap_or(PROTOCOL_VERSION_SPOKEN);
    let max = version(Keyword::MaxProtocolVersion)?;
    if max.is_some_and(|max| min > max) {
        return Err(ConninfoError::ProtocolVersionRange);
    }
    if min > PROTOCOL_VERSION_SPOKEN {
        return Err(not_supported(parameters, Keyword::MinProtocolVersion));
    }
    Ok(())
}

fn not_supported(parameters: &Parameters, keyword: Keyword) -> ConninfoError {
    let value = parameters.value(keyword).unwrap_or_default();
    ConninfoError::NotSupported { keyword, value: keyword.shown(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str) -> Result<(), String> {
        let parameters = Parameters::parse(text).expect("a valid connection string");
        check(&parameters).map_err(|error| error.to_string())
    }

    #[test]
    fn versions_that_include_ours_pass() {
        for text in ["", "min_protocol_version=3.0", "max_protocol_version=3.0"] {
            assert_eq!(check_text(text), Ok(()), "{text}");
        }
        for max in ["3.0", "3.2", "latest"] {
            assert_eq!(
                check_text(&format!("min_protocol_version=3.0 max_protocol_version={max}")),
                Ok(())
            );
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_instead_of_ignored() {
        let table = [
            ("min_protocol_version", "3.2", "3.2"),
            ("min_protocol_version", "latest", "latest"),
            ("scram_client_key", "hush", "***"),
            ("scram_server_key", "hush", "***"),
        ];
        for (name, value, shown) in table {
            let message = format!("connection option \"{name}\" is not supported: \"{shown}\"");
            assert_eq!(check_text(&format!("{name}={value}")), Err(message));
        }
    }

    #[test]
    fn versions_that_do_not_exist_have_libpqs_words() {
        for keyword in [Keyword::MinProtocolVersion, Keyword::MaxProtocolVersion] {
            for value in ["3.1", ""] {
                let message = format!("invalid {keyword} value: \"{value}\"");
                assert_eq!(check_text(&format!("{keyword}='{value}'")), Err(message));
            }
        }
        let message = "\"min_protocol_version\" is greater than \"max_protocol_version\"";
        let range = "min_protocol_version=3.2 max_protocol_version=3.0";
        assert_eq!(check_text(range), Err(message.to_owned()));
    }
}
