//! Decoding frames.

use bytes::{Bytes, BytesMut};
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::backend::{
    COPY_DATA_TAG, COPY_DONE_TAG, DataRowBody, Message as Parsed,
};

use super::{Frame, ProtocolError, ServerMessage};

/// CopyBothResponse, which postgres-protocol's parser does not know.
const COPY_BOTH_RESPONSE_TAG: u8 = b'W';

/// A decoded message of an established session, of the kinds that replication commands answer with.
#[derive(Clone, Debug)]
pub enum Message {
    /// A slice of COPY data.
    CopyData(Bytes),
    /// The end of COPY data in this direction.
    CopyDone,
    /// The server begins to send COPY data.
    CopyOut,
    /// Both sides may send COPY data.
    CopyBoth,
    /// Rows follow.
    RowDescription,
    /// A row.
    DataRow(Row),
    /// A command is done; the text is its tag.
    CommandComplete(String),
    /// The server waits for the next command.
    ReadyForQuery,
    /// The command failed.
    Error(Box<ServerMessage>),
    /// Something the user should see; it changes nothing.
    Notice(Box<ServerMessage>),
    /// A setting of the session, reported at its start and when it changes.
    ParameterStatus {
        /// The setting's name.
        name: String,
        /// Its value.
        value: String,
    },
}

/// The columns of one row; `None` is NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(Vec<Option<Bytes>>);

impl Row {
    /// Returns a column's bytes, counting from 0; `None` if it is NULL or not there.
    pub fn bytes(&self, index: usize) -> Option<&[u8]> {
        self.0.get(index)?.as_deref()
    }

    /// Returns a column as text; `None` if it is NULL, not there, or not UTF-8.
    pub fn text(&self, index: usize) -> Option<&str> {
        self.bytes(index).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// Parses a column's text.
    ///
    /// # Errors
    /// [`ProtocolError::Answer`] if it is NULL, missing, or does not parse.
    pub fn parse<T: std::str::FromStr>(
        &self,
        index: usize,
        command: &'static str,
        column: &'static str,
    ) -> Result<T, ProtocolError> {
        let text = self.text(index).ok_or_else(|| {
            ProtocolError::answer(command, format!("column \"{column}\" is missing"))
        })?;
        text.parse().map_err(|_| {
            ProtocolError::answer(command, format!("invalid value for \"{column}\": \"{text}\""))
        })
    }
}

/// The most memory that the rows of one answer may take. The longest answers, a list of tablespaces or a
/// timeline's history, are a few kilobytes; the bound keeps a server from filling memory.
const ROWS_BYTES_MAX: usize = 8 << 20;

/// The rows of one command's answer, bounded in memory.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
    bytes: usize,
}

impl Rows {
    /// Adds a row of the answer to `command`.
    pub(super) fn push(&mut self, row: Row, command: &'static str) -> Result<(), ProtocolError> {
        let columns = row.0.iter().map(|column| column.as_ref().map_or(0, Bytes::len));
        let contents: usize = columns.sum();
        self.bytes += size_of::<Row>() + row.0.len() * size_of::<Option<Bytes>>() + contents;
        if self.bytes > ROWS_BYTES_MAX {
            return Err(ProtocolError::answer(command, "answer is too long"));
        }
        self.rows.push(row);
        Ok(())
    }

    /// Returns the rows and is empty again.
    pub(super) fn take(&mut self) -> Vec<Row> {
        self.bytes = 0;
        std::mem::take(&mut self.rows)
    }
}

impl Message {
    /// Decodes a frame; CopyData is only unwrapped.
    ///
    /// # Errors
    /// If the frame is malformed, or of a kind that no replication command answers with.
    pub fn decode(frame: Frame) -> Result<Message, ProtocolError> {
        match frame.tag() {
            COPY_DATA_TAG => Ok(Message::CopyData(frame.into_payload())),
            COPY_DONE_TAG => Ok(Message::CopyDone),
            COPY_BOTH_RESPONSE_TAG => Ok(Message::CopyBoth),
            tag => Self::from_parsed(tag, parse(&frame)?),
        }
    }

    fn from_parsed(tag: u8, parsed: Parsed) -> Result<Message, ProtocolError> {
        let malformed = |source| ProtocolError::Malformed { tag, source };
        Ok(match parsed {
            Parsed::CopyOutResponse(_) => Message::CopyOut,
            Parsed::RowDescription(_) => Message::RowDescription,
            Parsed::DataRow(body) => Message::DataRow(row(&body).map_err(malformed)?),
            Parsed::CommandComplete(body) => {
                Message::CommandComplete(body.tag().map_err(malformed)?.to_owned())
            }
            Parsed::ReadyForQuery(_) => Message::ReadyForQuery,
            Parsed::ErrorResponse(body) => Message::Error(Box::new(
                ServerMessage::from_fields(body.fields()).map_err(malformed)?,
            )),
            Parsed::NoticeResponse(body) => Message::Notice(Box::new(
                ServerMessage::from_fields(body.fields()).map_err(malformed)?,
            )),
            Parsed::ParameterStatus(body) => Message::ParameterStatus {
                name: body.name().map_err(malformed)?.to_owned(),
                value: body.value().map_err(malformed)?.to_owned(),
            },
            _ => {
                return Err(ProtocolError::Unexpected {
                    tag,
                    expected: "an answer to a replication command",
                });
            }
        })
    }

    /// Returns the error for a message that came while something else was expected; a server's error
    /// message is that error.
    pub(crate) fn unexpected(self, expected: &'static str) -> ProtocolError {
        let tag = match self {
            Message::Error(message) => return ProtocolError::Server(message),
            Message::CopyData(_) => COPY_DATA_TAG,
            Message::CopyDone => COPY_DONE_TAG,
            Message::CopyOut => b'H',
            Message::CopyBoth => COPY_BOTH_RESPONSE_TAG,
            Message::RowDescription => b'T',
            Message::DataRow(_) => b'D',
            Message::CommandComplete(_) => b'C',
            Message::ReadyForQuery => b'Z',
            Message::Notice(_) => b'N',
            Message::ParameterStatus { .. } => b'S',
        };
        ProtocolError::Unexpected { tag, expected }
    }
}

/// Parses a frame with postgres-protocol. These frames are few and small, so a copy is cheap.
pub(super) fn parse(frame: &Frame) -> Result<Parsed, ProtocolError> {
    let malformed = |source| ProtocolError::Malformed { tag: frame.tag(), source };
    Parsed::parse(&mut BytesMut::from(frame.as_bytes())).map_err(malformed)?.ok_or_else(|| {
        malformed(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "message is cut short"))
    })
}

fn row(body: &DataRowBody) -> std::io::Result<Row> {
    let mut columns = Vec::new();
    let mut ranges = body.ranges();
    while let Some(range) = ranges.next()? {
        let column = range.and_then(|range| body.buffer().get(range));
        columns.push(column.map(Bytes::copy_from_slice));
    }
    Ok(Row(columns))
}
