//! Connection strings: `host=localhost password='it\'s'`, where a backslash makes any character
//! ordinary, quotes or not. Follows `conninfo_parse` of libpq's `fe-connect.c`.

use std::borrow::Cow;

use super::parameters::{named, shown_name};
use super::{ConninfoError, Keyword, Parameters};

/// Reads a connection string. A later item replaces an earlier one of the same name.
pub(super) fn parse(text: &str) -> Result<Parameters, ConninfoError> {
    let mut parameters = Parameters::default();
    let mut previous = None;
    let mut rest = skip_spaces(text);
    while !rest.is_empty() {
        let (name, after_name) = take_name(rest);
        let Some(after_equals) = after_name.strip_prefix('=') else {
            return Err(ConninfoError::MissingEquals(shown_name(name, previous)));
        };
        let (value, after_value) = take_value(skip_spaces(after_equals))?;
        let (keyword, value) = named(name, value)
            .ok_or_else(|| ConninfoError::UnknownOption(shown_name(name, previous)))?;
        parameters.set(keyword, value);
        previous = Some(keyword);
        rest = skip_spaces(after_value);
    }
    Ok(parameters)
}

/// Splits off a name, and the spaces behind it.
fn take_name(text: &str) -> (&str, &str) {
    let end = text.find(|c| c == '=' || is_space(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (name, skip_spaces(rest))
}

/// Splits off a value, quoted or not.
fn take_value(text: &str) -> Result<(String, &str), ConninfoError> {
    match text.strip_prefix('\'') {
        Some(quoted) => take_quoted(quoted),
        None => Ok(take_bare(text)),
    }
}

fn take_quoted(text: &str) -> Result<(String, &str), ConninfoError> {
    let mut value = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next() {
            None => return Err(ConninfoError::UnterminatedQuote),
            Some('\'') => return Ok((value, characters.as_str())),
            Some('\\') => value.extend(characters.next()),
            Some(character) => value.push(character),
        }
    }
}

fn take_bare(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next().filter(|c| !is_space(*c)) {
        match character {
            '\\' => value.extend(characters.next()),
            _ => value.push(character),
        }
    }
    (value, characters.as_str())
}

fn skip_spaces(text: &str) -> &str {
    text.trim_start_matches(is_space)
}

/// C's `isspace`, which unlike Rust's `is_ascii_whitespace` has the vertical tab.
pub(super) fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t'..='\r')
}

/// Writes an item of a connection string.
pub(super) fn item(keyword: Keyword, value: &str) -> String {
    format!("{keyword}={}", quote(value))
}

/// Quotes a value, if it needs that.
fn quote(value: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    if !value.is_empty() && value.bytes().all(is_plain) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read_as_libpq_reads_them() {
        let table: [(&str, &[(Keyword, &str)]); 11] = [
            ("", &[]),
            (" \t\n\u{b}", &[]),
            ("host=a port=5", &[(Keyword::Host, "a"), (Keyword::Port, "5")]),
            ("host = a\tport\n=\u{b}5 ", &[(Keyword::Host, "a"), (Keyword::Port, "5")]),
            (r"password='it\'s \\ \x'", &[(Keyword::Password, r"it's \ x")]),
            (r"password=it\'s\ \\", &[(Keyword::Password, r"it's \")]),
            ("user='a'host=b", &[(Keyword::User, "a"), (Keyword::Host, "b")]),
            ("user=a=b user=c", &[(Keyword::User, "c")]),
            // A value that was left out takes the next item.
            ("host= port=5", &[(Keyword::Host, "port=5")]),
            ("user=\\", &[(Keyword::User, "")]),
            ("requiressl=0", &[(Keyword::SslMode, "prefer")]),
        ];
        for (text, items) in table {
            let mut expected = Parameters::default();
            for (keyword, value) in items {
                expected.set(*keyword, *value);
            }
            assert_eq!(parse(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn refusals_have_libpqs_words() {
        let table = [
            ("user", "missing \"=\" after \"user\" in connection info string"),
            ("user x=1", "missing \"=\" after \"user\" in connection info string"),
            ("user='a", "unterminated quoted string in connection info string"),
            ("user='a\\", "unterminated quoted string in connection info string"),
            ("foo=1", "invalid connection option \"foo\""),
            ("=1", "invalid connection option \"\""),
        ];
        for (text, message) in table {
            assert_eq!(parse(text).map_err(|e| e.to_string()), Err(message.to_owned()), "{text}");
        }
    }

    #[test]
    fn word_after_a_password_is_masked() {
        let table = [
            ("password=hush hush", "missing \"=\" after \"***\" in connection info string"),
            ("password=hush hush=1", "invalid connection option \"***\""),
        ];
        for (text, message) in table {
            assert_eq!(parse(text).map_err(|e| e.to_string()), Err(message.to_owned()), "{text}");
        }
    }

    #[test]
    fn only_what_needs_it_is_quoted() {
        let table = [
            ("db.example_1", "db.example_1"),
            ("", "''"),
            ("a b", "'a b'"),
            (r"it's \", r"'it\'s \\'"),
            ("é", "'é'"),
        ];
        for (value, quoted) in table {
            assert_eq!(quote(value), quoted);
        }
    }
}
