//! Gzip (RFC 1952), by zlib-rs.

use flate2::{
    Compress, CompressError, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status,
};

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

/// Returns the level of zlib-rs that takes the place of zlib's.
///
/// The two spend their effort differently: at the same number zlib-rs is faster but, at some levels, larger.
/// This is the fastest level that came out no larger than zlib's over the files of a cluster (single files
/// differ by a few percent to either side): who chooses a level chooses a size.
fn native_level(level: Option<u8>) -> Compression {
    const DEFAULT: u8 = 6;
    Compression::new(match level.unwrap_or(DEFAULT) {
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

/// Deflates a block so that it can stand behind others: matches may reach into what was before it, and it
/// ends on a whole byte, in an empty stored block, unless it is the last.
///
/// Each block has a state of its own: what one leaves behind would show in the choices for the next, and so
/// in the output, which then depended on the threads' order. Making it costs half a percent.
pub(super) fn deflate_block(
    level: Option<u8>,
    preceding: &[u8],
    input: &[u8],
    is_last: bool,
    output: &mut Vec<u8>,
) -> Result<(), CompressError> {
    let flush = if is_last { FlushCompress::Finish } else { FlushCompress::Sync };
    let mut deflate = Compress::new(native_level(level), false);
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
