//! Errors and notices of the server (protocol chapter "Error and Notice Message Fields").

use std::fmt;

use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::backend::ErrorFields;

/// The fields of an ErrorResponse or NoticeResponse that a user gets to see.
///
/// Prints as libpq does in its default verbosity: `ERROR:  text`, then a line each for detail and hint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerMessage {
    /// The severity in the language of the server: `ERROR`, `FATAL`, `NOTICE`, ...
    pub severity: String,
    /// The five characters of the SQLSTATE.
    pub code: String,
    /// The text.
    pub message: String,
    /// More about the cause, in sentences.
    pub detail: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in the server it happened.
    pub context: Option<String>,
}

impl ServerMessage {
    /// SQLSTATE of damage found, `ERRCODE_DATA_CORRUPTED`.
    pub const DATA_CORRUPTED: &str = "XX001";
    /// SQLSTATE of a server that starts or stops, `ERRCODE_CANNOT_CONNECT_NOW`.
    pub const CANNOT_CONNECT_NOW: &str = "57P03";

    /// Collects the fields; unknown ones are passed over, bytes that are not UTF-8 are replaced.
    pub(crate) fn from_fields(mut fields: ErrorFields<'_>) -> std::io::Result<Self> {
        let mut message = ServerMessage::default();
        while let Some(field) = fields.next()? {
            let text = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'S' => message.severity = text,
                b'C' => message.code = text,
                b'M' => message.message = text,
                b'D' => message.detail = Some(text),
                b'H' => message.hint = Some(text),
                b'W' => message.context = Some(text),
                _ => {}
            }
        }
        Ok(message)
    }
}

impl fmt::Display for ServerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:  {}", self.severity, self.message)?;
        let more = [("DETAIL", &self.detail), ("HINT", &self.hint), ("CONTEXT", &self.context)];
        for (name, text) in more {
            if let Some(text) = text {
                write!(f, "\n{name}:  {text}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ServerMessage {}
