//! Connection URIs: `postgresql://user:password@host:port,host:port/dbname?keyword=value`.
//! Follows `conninfo_uri_parse_options` of libpq's `fe-connect.c`.

use super::keyword::MASK;
use super::parameters::{named, shown_name};
use super::string::is_space;
use super::{ConninfoError, Keyword, Parameters};

/// What makes a text a URI.
const DESIGNATORS: [&str; 2] = ["postgresql://", "postgres://"];

/// Says whether a text is to be read as a URI.
pub(super) fn is_uri(text: &str) -> bool {
    strip_designator(text).is_some()
}

fn strip_designator(text: &str) -> Option<&str> {
    DESIGNATORS.iter().find_map(|designator| text.strip_prefix(designator))
}

/// Reads a URI. Its query may replace what its other parts set.
pub(super) fn parse(uri: &str) -> Result<Parameters, ConninfoError> {
    let mut parameters = Parameters::default();
    let text = strip_designator(uri).unwrap_or(uri);
    // Like libpq, look for "@" beyond a "?": a password may hold one.
    let (credentials, rest) = match text.split_once('@') {
        Some((credentials, rest)) if !credentials.contains('/') => (credentials, rest),
        Some(_) | None => ("", text),
    };
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    set_part(&mut parameters, Keyword::User, user)?;
    set_part(&mut parameters, Keyword::Password, password)?;
    let Netlocs { hosts, ports, rest } = take_netlocs(rest, uri)?;
    set_part(&mut parameters, Keyword::Host, &hosts)?;
    refuse_what_may_be_a_password(&ports, rest)?;
    set_part(&mut parameters, Keyword::Port, &ports)?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let dbname = path.strip_prefix('/').unwrap_or_default();
    set_part(&mut parameters, Keyword::Dbname, dbname)?;
    read_query(query, &mut parameters)?;
    Ok(parameters)
}

/// Refuses ports that are none if "@" comes later: they may be the beginning of a password with a "/" in it, which no
/// message may show.
fn refuse_what_may_be_a_password(ports: &str, rest: &str) -> Result<(), ConninfoError> {
    let is_port = |port: &str| {
        let port = port.trim_matches(is_space);
        port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    match rest.contains('@') && !ports.split(',').all(is_port) {
        true => Err(ConninfoError::InvalidPort(MASK.to_owned())),
        false => Ok(()),
    }
}

/// Sets a parameter from a part of the URI, if the part is there.
fn set_part(
    parameters: &mut Parameters,
    keyword: Keyword,
    part: &str,
) -> Result<(), ConninfoError> {
    if !part.is_empty() {
        parameters.set(keyword, decode(part, |text| keyword.shown(text))?);
    }
    Ok(())
}

/// The hosts and ports of a URI as comma-separated lists of one length.
struct Netlocs<'a> {
    hosts: String,
    ports: String,
    rest: &'a str,
}

fn take_netlocs<'a>(text: &'a str, uri: &str) -> Result<Netlocs<'a>, ConninfoError> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    let mut rest = text;
    loop {
        let (host, after_host) = take_host(rest, uri)?;
        let (port, after_port) = match after_host.strip_prefix(':') {
            Some(port) => split_before(port, &['/', '?', ',']),
            None => ("", after_host),
        };
        hosts.push(host);
        ports.push(port);
        match after_port.strip_prefix(',') {
            Some(next) => rest = next,
            None => {
                let (hosts, ports) = (hosts.join(","), ports.join(","));
                return Ok(Netlocs { hosts, ports, rest: after_port });
            }
        }
    }
}

fn take_host<'a>(text: &'a str, uri: &str) -> Result<(&'a str, &'a str), ConninfoError> {
    let Some(bracketed) = text.strip_prefix('[') else {
        return Ok(split_before(text, &[':', '/', '?', ',']));
    };
    let Some((host, rest)) = bracketed.split_once(']') else {
        return Err(ConninfoError::UnclosedBracket(without_secrets(uri)));
    };
    if host.is_empty() {
        return Err(ConninfoError::EmptyBrackets(without_secrets(uri)));
    }
    match rest.chars().next() {
        None | Some(':' | '/' | '?' | ',') => Ok((host, rest)),
        Some(character) => Err(ConninfoError::AfterBracket {
            character,
            position: uri.len() - rest.len() + 1,
            uri: without_secrets(uri),
        }),
    }
}

/// Splits before the first of the delimiters.
fn split_before<'a>(text: &'a str, delimiters: &[char]) -> (&'a str, &'a str) {
    text.split_at(text.find(delimiters).unwrap_or(text.len()))
}

fn read_query(query: &str, parameters: &mut Parameters) -> Result<(), ConninfoError> {
    if query.is_empty() {
        return Ok(());
    }
    let mut previous = None;
    for item in query.strip_suffix('&').unwrap_or(query).split('&') {
        let shown = |name: &str| shown_name(name, previous);
        let (name, value) =
            item.split_once('=').ok_or_else(|| ConninfoError::MissingSeparator(shown(item)))?;
        if value.contains('=') {
            return Err(ConninfoError::ExtraSeparator(shown(name)));
        }
        let name = decode(name, shown)?;
        let value = decode(value, |text| shown_value(&name, text))?;
        // JDBC writes ssl=true.
        let (keyword, value) = match (name.as_str(), value.as_str()) {
            ("ssl", "true") => (Keyword::SslMode, "require".to_owned()),
            _ => named(&name, value)
                .ok_or_else(|| ConninfoError::UnknownUriParameter(shown(&name)))?,
        };
        parameters.set(keyword, value);
        previous = Some(keyword);
    }
    Ok(())
}

fn shown_value(name: &str, value: &str) -> String {
    Keyword::from_name(name).map_or_else(|| value.to_owned(), |keyword| keyword.shown(value))
}

/// Decodes a part of a URI. As libpq 18, drops spaces around it and refuses them inside.
/// `shown` gives the part as a message may show it.
fn decode(part: &str, shown: impl Fn(&str) -> String) -> Result<String, ConninfoError> {
    let trimmed = part.trim_matches(' ');
    let mut decoded = Vec::with_capacity(trimmed.len());
    let mut bytes = trimmed.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => match take_hex_digits(&mut bytes) {
                None => return Err(ConninfoError::InvalidPercentToken(shown(part))),
                Some(0) => return Err(ConninfoError::PercentEncodedZero(shown(part))),
                Some(byte) => decoded.push(byte),
            },
            byte if is_space(char::from(byte)) => {
                return Err(ConninfoError::UnexpectedSpaces(shown(part)));
            }
            byte => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).map_err(|_| ConninfoError::PercentEncodedNotUtf8(shown(part)))
}

fn take_hex_digits(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let mut digit = || char::from(bytes.next()?).to_digit(16);
    let value = digit()? * 16 + digit()?;
    u8::try_from(value).ok()
}

/// Masks what may be secret in a URI that goes into a message: the password and the query.
fn without_secrets(uri: &str) -> String {
    let (credentials, rest) = uri.split_at(uri.rfind('@').unwrap_or(0));
    let rest = match rest.split_once('?') {
        Some((front, _)) => format!("{front}?{MASK}"),
        None => rest.to_owned(),
    };
    // The first colon is the scheme's, the second ends the user's name.
    let mut parts = credentials.splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(scheme), Some(user), Some(_)) => format!("{scheme}:{user}:{MASK}{rest}"),
        _ => format!("{credentials}{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_libpq_reads_them() {
        let table = [
            ("postgres://", ""),
            ("postgresql:///", ""),
            ("postgres:///db?", "dbname=db"),
            ("postgres://u:p@h:5/db", "user=u password=p host=h port=5 dbname=db"),
            ("postgres://u:@h", "user=u host=h"),
            ("postgres://:p@", "password=p"),
            ("postgres://u:a?b:c@h", "user=u password='a?b:c' host=h"),
            ("postgres://h/d@b", "host=h dbname='d@b'"),
            ("postgres://h1:5,h2:6/d@b", "host='h1,h2' port='5,6' dbname='d@b'"),
            ("postgres://h:no/d", "host=h port=no dbname=d"),
            ("postgres://h1,h2", "host='h1,h2' port=','"),
            ("postgres://h1,[::1]:6,h3:7/db", "host='h1,::1,h3' port=',6,7' dbname=db"),
            ("postgres://[::1]?user=u&", "host='::1' user=u"),
            ("postgres://%2Frun%2fpg:5", "host='/run/pg' port=5"),
            ("postgres://h?host=%2Fs&p%6frt=5", "host='/s' port=5"),
            ("postgres://%C3%A9@?password=%25%3d", "user='é' password='%='"),
            ("postgres://h?  user = u & port  = 5 ", "host=h user=u port=5"),
            ("postgres://h?ssl=true", "host=h sslmode=require"),
            ("postgres://h?requiressl=0", "host=h sslmode=prefer"),
        ];
        for (uri, same) in table {
            assert_eq!(parse(uri), Parameters::parse(same), "{uri}");
        }
    }

    #[test]
    fn refusals_have_libpqs_words() {
        let table = [
            (
                "postgres://[::1",
                "end of string reached when looking for matching \"]\" in IPv6 host address in \
                 URI: \"postgres://[::1\"",
            ),
            ("postgres://[]", "IPv6 host address may not be empty in URI: \"postgres://[]\""),
            (
                "postgresql://[::1]z",
                "unexpected character \"z\" at position 19 in URI (expected \":\" or \"/\"): \
                 \"postgresql://[::1]z\"",
            ),
            ("postgres://h?a", "missing key/value separator \"=\" in URI query parameter: \"a\""),
            ("postgres://h?&", "missing key/value separator \"=\" in URI query parameter: \"\""),
            (
                "postgres://h?user=a&&",
                "missing key/value separator \"=\" in URI query parameter: \"\"",
            ),
            ("postgres://h?a=b=c", "extra key/value separator \"=\" in URI query parameter: \"a\""),
            ("postgres://h?u%7aer=a", "invalid URI query parameter: \"uzer\""),
            ("postgres://h?ssl=false", "invalid URI query parameter: \"ssl\""),
            ("postgres://%zz", "invalid percent-encoded token: \"%zz\""),
            ("postgres://%1", "invalid percent-encoded token: \"%1\""),
            ("postgres://a%00", "forbidden value %00 in percent-encoded value: \"a%00\""),
            ("postgres://%ff", "invalid UTF-8 in percent-encoded value: \"%ff\""),
            (
                "postgres://h?port= 1 2 ",
                "unexpected spaces found in \" 1 2 \", use percent-encoded spaces (%20) instead",
            ),
        ];
        for (uri, message) in table {
            assert_eq!(parse(uri).map_err(|e| e.to_string()), Err(message.to_owned()), "{uri}");
        }
    }

    #[test]
    fn refusals_mask_secrets() {
        let uris = [
            "postgres://u:hush@[::1",
            "postgres://u:hush:hush@[]",
            "postgres://u:hu?sh@[::1]z",
            "postgres://[::1?password=hush",
            "postgres://u:%hush@h",
            "postgres://u:hush hush@h",
            "postgres://u:hush/x@h",
            "postgres://u:hu%sh/x@h",
            "postgres://u:hu,sh/x@h",
            "postgres://u:hush:5/x?y@h",
            "postgres://h?password=%hush",
            "postgres://h?password=hush%00",
            "postgres://h?password=hush hush",
            "postgres://h?sslpassword=hush%ff",
            "postgres://h?password=a&hush",
            "postgres://h?password=a&hush=1",
            "postgres://h?password=a&hush=1=2",
        ];
        for uri in uris {
            let refusal = parse(uri).expect_err(uri);
            assert!(refusal.to_string().contains(MASK), "{refusal}");
            assert!(!format!("{refusal} {refusal:?}").contains("hu"), "{refusal:?}");
        }
    }
}
