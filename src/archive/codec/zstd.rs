//! Zstandard frames, by libzstd.

use std::fmt;
use std::io;

use ::zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer};

/// The largest window that is accepted, as a power of two: what `long` makes servers use, and what `zstd -d`
/// accepts without being asked.
const WINDOW_LOG_MAX: u32 = 27;

/// Decompresses frames.
#[derive(Default)]
pub(super) struct ZstdDecoder {
    /// Made for the first bytes.
    context: Option<Decoder<'static>>,
    complete: bool,
}

impl fmt::Debug for ZstdDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZstdDecoder").field("complete", &self.complete).finish_non_exhaustive()
    }
}

impl ZstdDecoder {
    pub(super) fn decode(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<usize, String> {
        if self.complete && input.is_empty() {
            return Ok(0);
        }
        let context = match &mut self.context {
            Some(context) => context,
            None => self.context.insert(new_context().map_err(|error| error.to_string())?),
        };
        let filled = output.len();
        let mut input = InBuffer::around(input);
        let mut output = OutBuffer::around_pos(output, filled);
        let hint = context.run(&mut input, &mut output).map_err(|error| error.to_string())?;
        self.complete = hint == 0;
        Ok(input.pos())
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }
}

fn new_context() -> io::Result<Decoder<'static>> {
    let mut context = Decoder::new()?;
    context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
    Ok(context)
}
