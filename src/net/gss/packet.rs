//! Packets of an encrypted connection: a length of four bytes and as many encrypted ones.

use bytes::{Buf as _, BufMut as _, BytesMut};

use super::GssError;

/// Bytes of a packet's length.
pub(super) const LENGTH_SIZE: usize = 4;

/// Bytes of an encrypted packet behind its length, at most. Part of the protocol: 16 KiB with the length.
pub(super) const PACKET_SIZE_MAX: usize = 16_384 - LENGTH_SIZE;

/// Bytes of a token behind its length while the context is established, at most: 64 KiB with the length.
/// Tickets that name many groups make large tokens.
pub(super) const TOKEN_SIZE_MAX: usize = 65_536 - LENGTH_SIZE;

/// Bytes that are encrypted into one packet, at most. Kerberos adds up to 76 bytes, with its newest
/// algorithms; the room is for what comes after them.
pub(super) const PLAIN_SIZE_MAX: usize = PACKET_SIZE_MAX - 256;

/// Encrypts and decrypts packets. Their order counts.
pub trait Cipher {
    /// Encrypts bytes and adds the result to `sealed`.
    ///
    /// # Errors
    /// If that is not possible.
    fn seal(&mut self, plain: &[u8], sealed: &mut BytesMut) -> Result<(), GssError>;

    /// Decrypts what the other side sealed and adds it to `plain`.
    ///
    /// # Errors
    /// If the other side did not seal this, or something else before it.
    fn open(&mut self, sealed: &[u8], plain: &mut BytesMut) -> Result<(), GssError>;
}

/// Reads a packet's length if it is there.
///
/// # Errors
/// If it is more than `max`.
pub(super) fn length(received: &[u8], max: usize) -> Result<Option<usize>, GssError> {
    let Some(length) = received.first_chunk::<LENGTH_SIZE>() else { return Ok(None) };
    let size = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if size > max {
        return Err(GssError::OversizeReceived { size, max });
    }
    Ok(Some(size))
}

/// Decrypts the next packet into `plain` if all of it has been received; says whether it has.
///
/// # Errors
/// If the packet is too long or the cipher refuses it.
pub(super) fn open(
    cipher: &mut impl Cipher,
    received: &mut BytesMut,
    plain: &mut BytesMut,
) -> Result<bool, GssError> {
    let Some(size) = length(received, PACKET_SIZE_MAX)? else { return Ok(false) };
    let Some(sealed) = received.get(LENGTH_SIZE..LENGTH_SIZE + size) else { return Ok(false) };
    cipher.open(sealed, plain)?;
    received.advance(LENGTH_SIZE + size);
    Ok(true)
}

/// Encrypts as many bytes as go into one packet, adds it to `packets`, and says how many they were.
///
/// # Errors
/// If the cipher refuses, or makes too much of them.
pub(super) fn seal(
    cipher: &mut impl Cipher,
    plain: &[u8],
    packets: &mut BytesMut,
) -> Result<usize, GssError> {
    let plain = plain.get(..PLAIN_SIZE_MAX).unwrap_or(plain);
    let mut sealed = BytesMut::new();
    cipher.seal(plain, &mut sealed)?;
    put(&sealed, PACKET_SIZE_MAX, packets)?;
    Ok(plain.len())
}

/// Adds a packet with its length to `packets`.
///
/// # Errors
/// If it is longer than `max`.
pub(super) fn put(packet: &[u8], max: usize, packets: &mut BytesMut) -> Result<(), GssError> {
    let size = packet.len();
    let oversize = GssError::OversizeSent { size, max };
    let length = u32::try_from(size).ok().filter(|_| size <= max).ok_or(oversize)?;
    packets.put_u32(length);
    packets.put_slice(packet);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_end_at_their_bounds() {
        let mut packets = BytesMut::new();
        assert_eq!(put(&[7; 16_380], PACKET_SIZE_MAX, &mut packets), Ok(()));
        assert_eq!(length(&packets, PACKET_SIZE_MAX), Ok(Some(16_380)));
        let refused = put(&[7; 65_533], TOKEN_SIZE_MAX, &mut packets).map_err(|e| e.to_string());
        let message = "client tried to send oversize GSSAPI packet (65533 > 65532)";
        assert_eq!(refused, Err(message.to_owned()));
        assert_eq!(packets.len(), 16_384);
        assert_eq!(length(&[0xff, 0xff, 0xff], PACKET_SIZE_MAX), Ok(None));
        let error = GssError::OversizeReceived { size: 0xffff_ffff, max: TOKEN_SIZE_MAX };
        assert_eq!(length(&[0xff; 4], TOKEN_SIZE_MAX), Err(error));
    }
}
