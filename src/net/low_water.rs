//! Waking up less often while much is to come over TCP: SO_RCVLOWAT, see socket(7).

use std::io;

use nix::libc;
use nix::sys::socket::SetSockOpt as _;
use tokio::net::TcpStream;

/// What a wake-up is to bring while much is to come. Several times what each one brings otherwise; the kernel makes the
/// socket's buffer larger to hold it.
const HIGH: usize = 512 << 10;

#[derive(Clone)]
struct ReceiveLowWater;

nix::setsockopt_impl!(
    ReceiveLowWater,
    libc::SOL_SOCKET,
    libc::SO_RCVLOWAT,
    usize,
    nix::sys::socket::sockopt::SetUsize
);

/// The mark from which on a socket with bytes wakes its reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LowWater {
    /// Any byte does.
    #[default]
    Any,
    /// Only much does.
    High,
}

impl LowWater {
    /// Returns the mark that suits when so many bytes are certain to come, beside what is in the read buffer.
    pub(super) fn for_coming(bytes: u64) -> Self {
        if bytes >= HIGH as u64 { LowWater::High } else { LowWater::Any }
    }

    /// Sets a socket's mark. If enough is there already, that wakes the reader.
    pub(super) fn set(self, socket: &TcpStream) -> io::Result<()> {
        let bytes = match self {
            LowWater::Any => 1,
            LowWater::High => HIGH,
        };
        Ok(ReceiveLowWater.set(socket, &bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::connection::Wire;
    use crate::net::{ConnectionError, Stream};

    async fn pair() -> (Wire, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        (Wire::new(Stream::Tcp(client)), server)
    }

    #[tokio::test]
    async fn small_pieces_gather_while_much_is_to_come() {
        let (mut wire, mut server) = pair().await;
        let sent = tokio::spawn(async move {
            for _ in 0..64 {
                server.write_all(&[7; 16 << 10]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            server
        });
        wire.receive_of(1 << 20).await.unwrap();
        // The kernel may wake us for less than we asked for where its buffers are small, but not for each piece.
        assert!(wire.input.len() >= 64 << 10, "{}", wire.input.len());
        drop(sent.await.unwrap());
    }

    #[tokio::test]
    async fn a_few_last_words_are_heard_although_more_was_to_come() {
        let (mut wire, mut server) = pair().await;
        server.write_all(b"ERROR").await.unwrap();
        wire.receive_of(1 << 20).await.unwrap();
        assert_eq!(&wire.input[..], b"ERROR");
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_is_noticed() {
        let (mut wire, server) = pair().await;
        drop(server);
        assert!(matches!(wire.receive_of(1 << 20).await, Err(ConnectionError::Closed)));
    }

    #[tokio::test]
    async fn one_byte_wakes_the_reader_again_when_little_is_to_come() {
        let (mut wire, mut server) = pair().await;
        server.write_all(&[7; 1 << 20]).await.unwrap();
        wire.receive_of(1 << 20).await.unwrap();
        while wire.input.len() < 1 << 20 {
            wire.receive_of(0).await.unwrap();
        }
        server.write_all(b"!").await.unwrap();
        wire.receive_of(0).await.unwrap();
        assert_eq!(wire.input.last(), Some(&b'!'));
    }
}
