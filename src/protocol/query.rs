//! Commands that answer with a few rows.

use super::message::Rows;
use super::{Message, ProtocolError, Row};

/// Collects the answer to one simple query.
#[derive(Debug)]
pub struct SimpleQuery {
    command: &'static str,
    rows: Rows,
    error: Option<ProtocolError>,
}

impl SimpleQuery {
    /// Begins to collect the answer to a command; the name is for error messages.
    pub fn new(command: &'static str) -> Self {
        SimpleQuery { command, rows: Rows::default(), error: None }
    }

    /// Returns the server's error, if it sent one and then no more.
    pub fn into_error(self) -> Option<ProtocolError> {
        self.error
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
            Message::DataRow(row) => self.rows.push(row, self.command).map(|()| None),
            Message::Error(message) => {
                self.error = Some(ProtocolError::Server(message));
                Ok(None)
            }
            Message::ReadyForQuery => match self.error.take() {
                Some(error) => Err(error),
                None => Ok(Some(self.rows.take())),
            },
            other => Err(other.unexpected("rows")),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::poll_frame;
    use super::*;

    #[test]
    fn an_endless_answer_is_refused() {
        let mut query = SimpleQuery::new("SHOW");
        let refusal = std::iter::repeat_with(|| {
            let mut row_without_columns = BytesMut::from(&b"D\0\0\0\x06\0\0"[..]);
            let frame = poll_frame(&mut row_without_columns).unwrap().unwrap();
            query.handle_message(Message::decode(frame).unwrap())
        })
        .take(1_000_000)
        .find_map(Result::err);
        let text = refusal.map(|error| error.to_string());
        assert_eq!(text.as_deref(), Some("could not read the answer to SHOW: answer is too long"));
    }
}
