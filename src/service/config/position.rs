//! Where in the file something is wrong.

use std::ops::Range;
use std::path::Path;

use super::ConfigError;

/// Something that is wrong, and the bytes of the file where it is.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) span: Range<usize>,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn at(span: Range<usize>, message: impl Into<String>) -> Self {
        Fault { span, message: message.into() }
    }

    /// Tells line and column.
    pub(super) fn in_file(self, text: &str, path: &Path) -> ConfigError {
        let (line, column) = line_and_column(text, self.span.start);
        ConfigError { path: path.to_owned(), line, column, message: in_one_line(&self.message) }
    }
}

impl From<toml::de::Error> for Fault {
    fn from(error: toml::de::Error) -> Self {
        Fault::at(error.span().unwrap_or_default(), without_string(error.message()))
    }
}

/// Counts lines and characters before a byte, from 1. A byte behind the end is at the end.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.char_indices().take_while(|(index, _)| *index < offset);
    before.fold((1, 1), |(line, column), (_, character)| match character {
        '\n' => (line + 1, 1),
        _ => (line, column + 1),
    })
}

/// Leaves out a text that stands where something else was expected: it may be a connection string.
fn without_string(message: &str) -> String {
    const START: &str = "invalid type: string \"";
    match (message.strip_prefix(START), message.rfind("\", expected ")) {
        (Some(_), Some(end)) => {
            let expected = message.get(end + 1..).unwrap_or_default();
            format!("invalid type: string{expected}")
        }
        _ => message.to_owned(),
    }
}

/// Escapes what would end the line; names in quotes may contain it.
fn in_one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for character in message.chars() {
        match character.is_control() {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    line
}
