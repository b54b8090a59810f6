//! What can be wrong with the bytes of the server.

use super::ServerMessage;

/// The conversation with the server cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The server refused or gave up.
    #[error("{0}")]
    Server(Box<ServerMessage>),
    /// A frame's length field is smaller than itself or larger than any server sends.
    #[error("invalid length {size} of message type {}", Tag(*.tag))]
    FrameLength {
        /// The frame's type byte.
        tag: u8,
        /// The length field, in bytes.
        size: u32,
    },
    /// A frame's content does not follow its type.
    #[error("malformed message of type {}", Tag(*.tag))]
    Malformed {
        /// The frame's type byte.
        tag: u8,
        /// What was wrong with it.
        source: std::io::Error,
    },
    /// A message came that has no place here.
    #[error("unexpected message of type {} while waiting for {expected}", Tag(*.tag))]
    Unexpected {
        /// The frame's type byte.
        tag: u8,
        /// What would have been in order.
        expected: &'static str,
    },
    /// The rows of a command's answer are not what the command gives.
    #[error("could not read the answer to {command}: {problem}")]
    Answer {
        /// The command.
        command: &'static str,
        /// What was wrong with the answer.
        problem: String,
    },
    /// The stream of archives and manifest breaks its own rules.
    #[error("{0}")]
    BackupStream(String),
    /// The WAL stream breaks its own rules.
    #[error("{0}")]
    WalStream(String),
}

impl ProtocolError {
    /// An answer to `command` with something wrong in it.
    pub(crate) fn answer(command: &'static str, problem: impl Into<String>) -> Self {
        ProtocolError::Answer { command, problem: problem.into() }
    }

    /// Returns the server's own error, if that is what this is.
    pub fn server_message(&self) -> Option<&ServerMessage> {
        match self {
            ProtocolError::Server(message) => Some(message),
            _ => None,
        }
    }
}

/// Prints a type byte as a character where it is one.
struct Tag(u8);

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            tag @ b'!'..=b'~' => write!(f, "\"{}\"", char::from(tag)),
            tag => write!(f, "0x{tag:02x}"),
        }
    }
}
