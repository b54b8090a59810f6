//! What can go wrong with GSSAPI, in libpq's words where it has them.

use std::io;

/// GSSAPI did not work out. The library's own texts are kept as text: it remembers what belongs to its
/// codes for each thread on its own, and only for a while.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GssError {
    /// This program was built without the feature `gssapi`.
    #[error("GSSAPI authentication not supported")]
    NotSupported,
    /// Signing in with GSSAPI needs the name of a host.
    #[error("host name must be specified")]
    HostMissing,
    /// The service's name is not one.
    #[error("GSSAPI name import error: {0}")]
    NameImport(String),
    /// The exchange of tokens for signing in failed.
    #[error("GSSAPI continuation error: {0}")]
    Continuation(String),
    /// The exchange of tokens for encryption failed.
    #[error("could not initiate GSSAPI security context: {0}")]
    Initiation(String),
    /// The user insists on encryption, which a local socket does not have.
    #[error("GSSAPI encryption required but it is not supported over a local socket")]
    OverSocket,
    /// The user insists on encryption and has no credentials.
    #[error("GSSAPI encryption required but no credential cache")]
    NoCredentials,
    /// The user insists on encryption and the server does not have it.
    #[error("server doesn't support GSSAPI encryption, but it was required")]
    NotOffered,
    /// The server answered the request for encryption with an error, which cannot be trusted yet.
    #[error("server sent an error response during GSS encryption exchange")]
    ErrorResponse,
    /// More than the answer came, not encrypted: somebody on the way may have put it there.
    #[error("received unencrypted data after GSSAPI encryption response")]
    UnencryptedData,
    /// The server answered the request for encryption with something else.
    #[error("received invalid response to GSSAPI negotiation: {}", .0.escape_ascii())]
    InvalidAnswer(u8),
    /// The server sent more in one packet than the protocol allows.
    #[error("oversize GSSAPI packet sent by the server ({size} > {max})")]
    OversizeReceived {
        /// What it announced, in bytes.
        size: usize,
        /// What is allowed.
        max: usize,
    },
    /// The library made more of our bytes than the protocol allows in one packet.
    #[error("client tried to send oversize GSSAPI packet ({size} > {max})")]
    OversizeSent {
        /// What the packet would have, in bytes.
        size: usize,
        /// What is allowed.
        max: usize,
    },
    /// Encrypting failed.
    #[error("GSSAPI wrap error: {0}")]
    Wrap(String),
    /// Decrypting failed: the packet was changed on its way, or is not the server's.
    #[error("GSSAPI unwrap error: {0}")]
    Unwrap(String),
    /// The context that came about cannot encrypt.
    #[error("outgoing GSSAPI message would not use confidentiality")]
    CannotEncrypt,
    /// The server sent a packet that is signed but not encrypted.
    #[error("incoming GSSAPI message did not use confidentiality")]
    NotEncrypted,
}

impl GssError {
    /// Returns the error that a [`GssStream`](super::GssStream) gave as one of its socket.
    ///
    /// # Errors
    /// The same error, if it is the socket's own.
    pub(in crate::net) fn from_io(error: io::Error) -> Result<Self, io::Error> {
        error.downcast()
    }

    /// Says whether a connection was not even tried, because it cannot be what the user insists on.
    pub(in crate::net) fn is_foregone(&self) -> bool {
        matches!(self, GssError::OverSocket | GssError::NoCredentials)
    }
}

impl From<GssError> for io::Error {
    fn from(error: GssError) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}
