//! Gzip (RFC 1952): whole blocks by libdeflate, which is fastest but knows nothing of what is before or behind a
//! block; the rest by zlib-rs.

use flate2::{
    Compress, CompressError, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status,
};
use libdeflater::{CompressionLvl, Compressor};

use super::deflate_scan;

/// The largest window of deflate, as a power of two.
const WINDOW_BITS: u8 = 15;

/// How far back deflate looks: what a block may have before it.
pub(super) const WINDOW_SIZE: usize = 1 << WINDOW_BITS;

/// Decompresses members.
#[derive(Debug)]
pub(super) struct GzipDecoder {
    inflate: Decompress,
    complete: bool,
}

impl GzipDecoder {
    pub(super) fn new() -> Self {
        GzipDecoder { inflate: Decompress::new_gzip(WINDOW_BITS), complete: false }
    }

    pub(super) fn decode(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<usize, String> {
        if self.complete {
            if input.is_empty() {
                return Ok(0);
            }
            // Keeps the wrapper that it was made with.
            self.inflate.reset(true);
        }
        let before = self.inflate.total_in();
        let outcome = self.inflate.decompress_vec(input, output, FlushDecompress::None);
        let status = outcome.map_err(|error| {
            // Without the words of the crate around zlib's own.
            error.message().map_or_else(|| error.to_string(), str::to_owned)
        })?;
        self.complete = status == Status::StreamEnd;
        // At most the input's length.
        Ok(usize::try_from(self.inflate.total_in() - before).unwrap_or(input.len()))
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }
}

/// The level that zlib calls its default.
const DEFAULT_LEVEL: u8 = 6;

/// Returns the level of libdeflate that takes the place of zlib's.
///
/// The libraries spend their effort differently. This is the fastest level that came out no more than
/// a hundredth larger than zlib's over the files of a cluster (single files differ by a few percent to either side):
/// who chooses a level chooses a size. Who chooses 9 wants the smallest, and gets smaller.
fn whole_block_level(level: Option<u8>) -> CompressionLvl {
    let level = match level.unwrap_or(DEFAULT_LEVEL) {
        0..=3 => 1,
        4 => 3,
        5 => 5,
        6 => 6,
        7 | 8 => 7,
        9.. => 8,
    };
    CompressionLvl::new(level).unwrap_or_default()
}

/// Returns the level of zlib-rs that takes the place of zlib's: fast, and larger by a percent.
fn partial_block_level(level: Option<u8>) -> Compression {
    Compression::new(match level.unwrap_or(DEFAULT_LEVEL) {
        0..=2 => 2,
        3 | 4 => 3,
        5 | 6 => 5,
        7 => 6,
        8.. => 7,
    })
}

/// What goes before the deflated data: no name, no time, made on Unix.
pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

/// Returns what goes behind it.
pub(super) fn trailer(contents: &Crc) -> Vec<u8> {
    [contents.sum().to_le_bytes(), contents.amount().to_le_bytes()].concat()
}

/// An empty stored block, but for the three bits before it.
const EMPTY_BLOCK: [u8; 4] = [0, 0, 0xff, 0xff];

/// Deflates blocks so that they can stand behind others.
pub(super) struct BlockDeflater {
    whole: Compressor,
    level: Option<u8>,
}

impl BlockDeflater {
    pub(super) fn new(level: Option<u8>) -> Self {
        BlockDeflater { whole: Compressor::new(whole_block_level(level)), level }
    }

    /// Deflates a block of many, on its own.
    ///
    /// What libdeflate gives is a whole stream, whose last deflate block says so. It is found and made to say that
    /// another one follows; an empty stored block fills the last byte. The search takes a seventh of the
    /// time.
    pub(super) fn deflate_whole(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), String> {
        const SCAN_ROOM: usize = 8;
        output.resize(self.whole.deflate_compress_bound(input.len()), 0);
        let size = self.whole.deflate_compress(input, output).map_err(|error| error.to_string())?;
        output.truncate(size);
        output.resize(size + SCAN_ROOM, 0);
        let last = deflate_scan::last_block(output).ok_or("no deflate stream")?;
        if let Some(byte) = output.get_mut(last.start / 8) {
            *byte &= !(1 << (last.start % 8));
        }
        output.truncate((last.end + 3).div_ceil(8));
        output.extend_from_slice(&EMPTY_BLOCK);
        Ok(())
    }

    /// Deflates a block that may be short, and the stream's last: matches reach into what was before it.
    ///
    /// Each block has a state of its own: what one leaves behind would show in the choices for the next, and so
    /// in the output, which then depended on the threads' order.
    pub(super) fn deflate_partial(
        &self,
        preceding: &[u8],
        input: &[u8],
        is_last: bool,
        output: &mut Vec<u8>,
    ) -> Result<(), CompressError> {
        let flush = if is_last { FlushCompress::Finish } else { FlushCompress::Sync };
        let mut deflate = Compress::new(partial_block_level(self.level), false);
        if !preceding.is_empty() {
            deflate.set_dictionary(preceding)?;
        }
        loop {
            let used = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
            let rest = input.get(used..).unwrap_or_default();
            // Enough at once but for data that does not compress.
            output.reserve(rest.len() / 2 + 1024);
            let status = deflate.compress_vec(rest, output, flush)?;
            // A flush is complete when it leaves room.
            if status == Status::StreamEnd || (!is_last && output.len() < output.capacity()) {
                return Ok(());
            }
        }
    }
}
