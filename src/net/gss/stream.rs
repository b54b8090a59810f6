//! A byte stream whose bytes travel in encrypted packets.

use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::{poll_read_buf, poll_write_buf};

use super::Context;
use super::packet::{self, Cipher, LENGTH_SIZE, PACKET_SIZE_MAX};
use crate::net::Stream;

/// Space that a read from the socket gets: four packets, which a base backup always has to offer.
const RECEIVE_BUFFER_SIZE: usize = 4 * (LENGTH_SIZE + PACKET_SIZE_MAX);

/// An encrypted stream over a socket.
///
/// Reading and writing may be given up at any point and taken up again. Bytes that were taken for
/// writing reach the socket with the next write or flush at the latest. It holds four received packets,
/// one decrypted and one to be sent, at most.
#[derive(Debug)]
pub struct GssStream<S = Stream, C = Context> {
    socket: S,
    cipher: C,
    received: BytesMut,
    plain: BytesMut,
    to_send: BytesMut,
}

impl<S, C> GssStream<S, C> {
    /// Puts a finished security context on a socket. Nothing may have been read from it ahead.
    pub(in crate::net) fn new(socket: S, cipher: C) -> Self {
        let received = BytesMut::with_capacity(RECEIVE_BUFFER_SIZE);
        GssStream { socket, cipher, received, plain: BytesMut::new(), to_send: BytesMut::new() }
    }
}

impl<S: AsyncRead + Unpin, C: Cipher + Unpin> AsyncRead for GssStream<S, C> {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.plain.is_empty() {
            if packet::open(&mut this.cipher, &mut this.received, &mut this.plain)? {
                continue;
            }
            this.received.reserve(RECEIVE_BUFFER_SIZE - this.received.len());
            let socket = Pin::new(&mut this.socket);
            if ready!(poll_read_buf(socket, task, &mut this.received))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        let size = this.plain.len().min(buffer.remaining());
        buffer.put_slice(&this.plain.split_to(size));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, C: Unpin> GssStream<S, C> {
    /// Sends what is encrypted already.
    fn poll_send(&mut self, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        while self.to_send.has_remaining() {
            let socket = Pin::new(&mut self.socket);
            if ready!(poll_write_buf(socket, task, &mut self.to_send))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, C: Cipher + Unpin> AsyncWrite for GssStream<S, C> {
    fn poll_write(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(task))?;
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let size = packet::seal(&mut this.cipher, bytes, &mut this.to_send)?;
        // The bytes are taken, whatever the socket says of them now.
        match this.poll_send(task) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(size)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(task))?;
        Pin::new(&mut this.socket).poll_flush(task)
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(task))?;
        Pin::new(&mut this.socket).poll_shutdown(task)
    }
}

#[cfg(test)]
mod tests;
