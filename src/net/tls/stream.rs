//! The byte stream inside a TLS session.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};

use crate::net::Stream;

/// The session itself. Servers write records of 8 KiB, and rustls reads one at a time; the buffer below it makes
/// one system call of many.
pub(super) type Session = tokio_rustls::client::TlsStream<BufReader<Stream>>;

/// What is read from the socket at once: what the connection above wants at each wake-up.
const SOCKET_READ_SIZE: usize = 256 << 10;

/// Puts the buffer before a socket.
pub(super) fn buffered(stream: Stream) -> BufReader<Stream> {
    BufReader::with_capacity(SOCKET_READ_SIZE, stream)
}

/// A TLS session over a socket.
#[derive(Debug)]
pub struct TlsStream {
    session: Session,
    /// An error that came after bytes, which have to be handed over first.
    failure: Option<io::Error>,
}

impl TlsStream {
    pub(super) fn new(session: Session) -> Self {
        TlsStream { session, failure: None }
    }

    /// Returns the stream that carries the session.
    pub(in crate::net) fn below(&self) -> &Stream {
        self.session.get_ref().0.get_ref()
    }
}

impl AsyncRead for TlsStream {
    /// Reads as many records as are there and fit. One holds 16 KiB at most, far less than a reader of
    /// a backup wants at each wake-up.
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(failure) = this.failure.take() {
            return Poll::Ready(Err(failure));
        }
        let size_before = buffer.filled().len();
        while buffer.remaining() > 0 {
            let size = buffer.filled().len();
            match Pin::new(&mut this.session).poll_read(context, buffer) {
                Poll::Ready(Ok(())) if buffer.filled().len() > size => {}
                result if size == size_before => return result,
                Poll::Ready(Err(failure)) => {
                    this.failure = Some(failure);
                    break;
                }
                Poll::Ready(Ok(())) | Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().session).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().session).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().session).poll_shutdown(context)
    }
}
