//! Commands that answer with a few rows.

use super::{Message, ProtocolError, Row};

/// The largest number of rows that a command's answer may have. The longest answers here have one
/// row; the bound keeps a server from filling memory.
const ROWS_MAX: usize = 1024;

/// Collects the answer to one simple query.
#[derive(Debug)]
pub struct SimpleQuery {
    command: &'static str,
    rows: Vec<Row>,
    error: Option<ProtocolError>,
}

impl SimpleQuery {
    /// Begins to collect the answer to a command; the name is for error messages.
    pub fn new(command: &'static str) -> Self {
        SimpleQuery { command, rows: Vec::new(), error: None }
    }

    /// Takes the next message; returns the rows when the server is ready for the next command.
    ///
    /// # Errors
    /// The server's error, after which the session can be used again, or an answer that no command
    /// gives.
    pub fn handle_message(&mut self, message: Message) -> Result<Option<Vec<Row>>, ProtocolError> {
        match message {
            Message::RowDescription
            | Message::CommandComplete(_)
            | Message::ParameterStatus { .. }
            | Message::Notice(_) => Ok(None),
            Message::DataRow(_) if self.rows.len() == ROWS_MAX => {
                Err(ProtocolError::answer(self.command, "too many rows"))
            }
            Message::DataRow(row) => {
                self.rows.push(row);
                Ok(None)
            }
            Message::Error(message) => {
                self.error = Some(ProtocolError::Server(message));
                Ok(None)
            }
            Message::ReadyForQuery => match self.error.take() {
                Some(error) => Err(error),
                None => Ok(Some(std::mem::take(&mut self.rows))),
            },
            other => Err(other.unexpected("rows")),
        }
    }
}
