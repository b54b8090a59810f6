//! Cutting the byte stream into frames.
//!
//! ```text
//! offset  0     1            5
//!         tag   length i32   payload
//!               (counts itself and the payload, not the tag)
//! ```

use bytes::{Buf as _, Bytes, BytesMut};
use postgres_protocol::message::backend::Header;

use super::ProtocolError;

/// Bytes before the payload: the type and the length.
const HEADER_SIZE: usize = 5;

/// The largest length field that is accepted. Servers send CopyData of up to 128 KiB of WAL and one
/// buffer of (perhaps compressed) archive; the largest other message is the row with a timeline's
/// history. The bound keeps a lying length from taking memory.
pub const FRAME_SIZE_MAX: u32 = 4 << 20;

/// An undecoded message: its type and its bytes, a slice of the read buffer.
#[derive(Clone, Debug)]
pub struct Frame {
    tag: u8,
    bytes: Bytes,
}

impl Frame {
    /// Returns the type byte.
    pub fn tag(&self) -> u8 {
        self.tag
    }

    /// Returns the whole frame, header included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns what follows the header.
    pub fn into_payload(mut self) -> Bytes {
        // `poll_frame` gives only whole frames, which have at least a header.
        self.bytes.advance(HEADER_SIZE);
        self.bytes
    }
}

/// Splits one frame off the front of `buffer`, or returns `None` if it is not complete yet.
///
/// The frame shares the buffer's memory; nothing is copied.
///
/// # Errors
/// If the length field is smaller than 4 or larger than [`FRAME_SIZE_MAX`]. The stream is unusable
/// then.
pub fn poll_frame(buffer: &mut BytesMut) -> Result<Option<Frame>, ProtocolError> {
    let Some(&tag) = buffer.first() else { return Ok(None) };
    let header =
        Header::parse(buffer).map_err(|source| ProtocolError::Malformed { tag, source })?;
    let Some(header) = header else { return Ok(None) };
    // Not negative: `Header::parse` refuses anything below 4.
    let size = header.len().unsigned_abs();
    if size > FRAME_SIZE_MAX {
        return Err(ProtocolError::FrameLength { tag, size });
    }
    let frame_size = size as usize + 1;
    if buffer.len() < frame_size {
        return Ok(None);
    }
    Ok(Some(Frame { tag, bytes: buffer.split_to(frame_size).freeze() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_the_same_at_every_split() {
        let stream = b"Z\0\0\0\x05Id\0\0\0\x08abcdc\0\0\0\x04";
        for chunk_size in 1..=stream.len() {
            let mut buffer = BytesMut::new();
            let mut frames = Vec::new();
            for chunk in stream.chunks(chunk_size) {
                buffer.extend_from_slice(chunk);
                while let Some(frame) = poll_frame(&mut buffer).unwrap() {
                    frames.push((frame.tag(), frame.into_payload()));
                }
            }
            let expected: [(u8, &[u8]); 3] = [(b'Z', b"I"), (b'd', b"abcd"), (b'c', b"")];
            assert!(frames.iter().map(|(tag, bytes)| (*tag, &bytes[..])).eq(expected));
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for length in [0_u32, 3, FRAME_SIZE_MAX + 1, 0x7FFF_FFFF, 0x8000_0000, u32::MAX] {
            let mut buffer = BytesMut::from(&b"d"[..]);
            buffer.extend_from_slice(&length.to_be_bytes());
            assert!(poll_frame(&mut buffer).is_err(), "length {length} was accepted");
        }
    }
}
