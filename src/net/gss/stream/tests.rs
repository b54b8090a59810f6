use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;
use crate::net::gss::GssError;
use crate::net::gss::packet::PLAIN_SIZE_MAX;

/// Turns each bit, and puts a byte in front that must count up from 0.
#[derive(Debug, Default)]
struct Fake {
    sealed: u8,
    opened: u8,
}

impl Cipher for Fake {
    fn seal(&mut self, plain: &[u8], sealed: &mut BytesMut) -> Result<(), GssError> {
        sealed.extend_from_slice(&[self.sealed]);
        sealed.extend(plain.iter().map(|byte| !byte));
        self.sealed = self.sealed.wrapping_add(1);
        Ok(())
    }

    fn open(&mut self, sealed: &[u8], plain: &mut BytesMut) -> Result<(), GssError> {
        match sealed.split_first() {
            Some((count, contents)) if *count == self.opened => {
                plain.extend(contents.iter().map(|byte| !byte));
                self.opened = self.opened.wrapping_add(1);
                Ok(())
            }
            _ => Err(GssError::Unwrap("not in order".to_owned())),
        }
    }
}

fn stream(socket: DuplexStream) -> GssStream<DuplexStream, Fake> {
    GssStream::new(socket, Fake::default())
}

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|index| (index % 251) as u8).collect()
}

#[tokio::test]
async fn bytes_pass_whatever_pieces_the_socket_takes() {
    for (piece, size) in [(1, 300), (3, 5_000), (4_096, 100_000), (1 << 20, 1_000_000)] {
        let (ours, theirs) = duplex(piece);
        let (mut ours, mut theirs) = (stream(ours), stream(theirs));
        let sent = bytes(size);
        let mut got = Vec::new();
        let send = async {
            ours.write_all(&sent).await.expect("sent");
            ours.shutdown().await.expect("closed");
        };
        let (_, received) = tokio::join!(send, theirs.read_to_end(&mut got));
        received.expect("received");
        assert!(got == sent, "pieces of {piece}");
    }
}

#[tokio::test]
async fn a_write_given_up_half_way_is_finished_by_the_next_flush() {
    let (ours, theirs) = duplex(16);
    let (mut ours, mut theirs) = (stream(ours), stream(theirs));
    let sent = bytes(PLAIN_SIZE_MAX);
    // The socket takes less than the packet, but the bytes count as written.
    assert_eq!(ours.write(&sent).await.expect("taken"), sent.len());
    let flush = tokio::time::timeout(Duration::ZERO, ours.flush());
    assert!(flush.await.is_err(), "the socket is full");
    let mut got = vec![0; sent.len()];
    let (flushed, received) = tokio::join!(ours.flush(), theirs.read_exact(&mut got));
    flushed.expect("flushed");
    received.expect("received");
    assert!(got == sent);
}

/// Returns what comes of bytes that somebody sends us, and how it ends.
async fn outcome(sent: &[u8]) -> (Vec<u8>, Option<String>) {
    let (ours, mut theirs) = duplex(1 << 20);
    theirs.write_all(sent).await.expect("sent");
    drop(theirs);
    let mut got = Vec::new();
    let end = stream(ours).read_to_end(&mut got).await;
    (got, end.err().map(|error| error.to_string()))
}

#[tokio::test]
async fn only_whole_packets_in_order_are_read() {
    let good = [0, 0, 0, 3, 0, !b'o', !b'k'];
    let oversize = "oversize GSSAPI packet sent by the server (16381 > 16380)";
    let plain = "oversize GSSAPI packet sent by the server (1375731712 > 16380)";
    let refused = "GSSAPI unwrap error: not in order";
    let table: [(&[u8], Option<&str>); 6] = [
        (&[], None),
        (&[0, 0, 0], None),
        (&[0, 0, 0, 9, 1], None),
        (&[0, 0, 0, 1, 7], Some(refused)),
        (&[0, 0, 0x3f, 0xfd], Some(oversize)),
        (b"R\0\0\0", Some(plain)),
    ];
    for (rest, error) in table {
        let expected = (b"ok".to_vec(), error.map(str::to_owned));
        assert_eq!(outcome(&[&good, rest].concat()).await, expected, "{rest:?}");
    }
    assert_eq!(outcome(&[0, 0, 0, 0]).await.1.as_deref(), Some(refused));
}

#[tokio::test]
async fn an_empty_packet_is_not_the_end() {
    let sent = [0, 0, 0, 1, 0, 0, 0, 0, 2, 1, !b'x'];
    assert_eq!(outcome(&sent).await, (b"x".to_vec(), None));
}
