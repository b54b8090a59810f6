//! Decompression as a push stream.

use bytes::Bytes;

use super::gzip::GzipDecoder;
use super::lz4::Lz4Decoder;
use super::zstd::ZstdDecoder;
use crate::pg::CompressionFormat;

/// What went wrong between a compressed stream and the taker of its contents.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError<E> {
    /// The stream is damaged, is of another format, or something else follows it.
    #[error("could not decompress data: {0}")]
    Corrupt(String),
    /// The stream ended before its end.
    #[error("could not decompress data: unexpected end of compressed data")]
    Truncated,
    /// The taker failed.
    #[error("{0}")]
    Sink(E),
}

/// The capacity of the pieces that a decoder gives: four messages of a server that compresses nothing, and
/// small enough to stay in a core's cache until the next stage has read them.
const OUTPUT_SIZE: usize = 128 << 10;

/// A piece is given up when there is less room than this: filling it would cost more than it gives.
const OUTPUT_ROOM_MIN: usize = 8 << 10;

/// Decompresses a stream that arrives in pieces. Several members or frames after one another are one stream.
///
/// However much the stream inflates, only one piece of output is held at a time. Besides it there is the
/// codec's own memory: 32 KiB for gzip, two blocks of at most 4 MiB for LZ4, and for Zstandard a window of at
/// most 128 MiB, which is what `long` asks of servers; frames that want more are refused.
#[derive(Debug)]
pub struct Decoder {
    codec: Codec,
    output: Vec<u8>,
}

#[derive(Debug)]
enum Codec {
    Gzip(GzipDecoder),
    Lz4(Lz4Decoder),
    Zstd(ZstdDecoder),
}

impl Codec {
    /// Appends to `output` without exceeding its capacity and returns how much of the input was used up.
    fn decode(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<usize, String> {
        match self {
            Codec::Gzip(gzip) => gzip.decode(input, output),
            Codec::Lz4(lz4) => lz4.decode(input, output),
            Codec::Zstd(zstd) => zstd.decode(input, output),
        }
    }

    /// Whether the stream may end here.
    fn is_complete(&self) -> bool {
        match self {
            Codec::Gzip(gzip) => gzip.is_complete(),
            Codec::Lz4(lz4) => lz4.is_complete(),
            Codec::Zstd(zstd) => zstd.is_complete(),
        }
    }
}

impl Decoder {
    /// Begins a stream.
    pub fn new(format: CompressionFormat) -> Self {
        let codec = match format {
            CompressionFormat::Gzip => Codec::Gzip(GzipDecoder::new()),
            CompressionFormat::Lz4 => Codec::Lz4(Lz4Decoder::default()),
            CompressionFormat::Zstd => Codec::Zstd(ZstdDecoder::default()),
        };
        Decoder { codec, output: Vec::with_capacity(OUTPUT_SIZE) }
    }

    /// Takes the next bytes of the stream and gives the sink all contents that they complete, in order, in
    /// pieces that are never empty.
    ///
    /// # Errors
    /// If the stream is damaged or the sink fails; the decoder is of no use after it.
    pub fn handle<E>(
        &mut self,
        bytes: &[u8],
        sink: &mut impl FnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), DecodeError<E>> {
        let mut input = bytes;
        if input.is_empty() {
            return Ok(());
        }
        loop {
            let filled = self.output.len();
            let used = match self.codec.decode(input, &mut self.output) {
                Ok(used) => used,
                Err(reason) => {
                    // What came before the damage counts, wherever pieces end.
                    self.give(sink)?;
                    return Err(DecodeError::Corrupt(reason));
                }
            };
            input = input.get(used..).unwrap_or_default();
            if self.output.capacity() - self.output.len() < OUTPUT_ROOM_MIN {
                self.give(sink)?;
            } else if input.is_empty() {
                return self.give(sink);
            } else if used == 0 && self.output.len() == filled {
                // No library does this; it would be a loop without end.
                return Err(DecodeError::Corrupt("no progress".to_owned()));
            }
        }
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if it ends inside a member or frame, or without one.
    pub fn finish<E>(self) -> Result<(), DecodeError<E>> {
        match self.codec.is_complete() {
            true => Ok(()),
            false => Err(DecodeError::Truncated),
        }
    }

    /// Hands over what is there.
    fn give<E>(
        &mut self,
        sink: &mut impl FnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), DecodeError<E>> {
        if self.output.is_empty() {
            return Ok(());
        }
        let output = std::mem::replace(&mut self.output, Vec::with_capacity(OUTPUT_SIZE));
        sink(Bytes::from(output)).map_err(DecodeError::Sink)
    }
}

#[cfg(test)]
mod tests;
