//! One archive of a recorded backup, compressed by the server or not.

use std::fmt::Write as _;
use std::io;

use bytes::Bytes;
use pgsiphon::archive::codec::{DecodeError, Decoder};
use pgsiphon::archive::{TarError, TarParser};
use pgsiphon::pg::CompressionFormat;

use super::tally::Tally;

/// Why an archive cannot be used.
pub type ArchiveError = DecodeError<TarError<io::Error>>;

/// An archive that is being received.
pub struct Archive {
    compression: Option<Compression>,
    parser: TarParser,
}

struct Compression {
    decoder: Decoder,
    /// Bytes as they came.
    size: u64,
}

impl Archive {
    /// Begins an archive that comes in this format.
    pub fn new(format: Option<CompressionFormat>) -> Self {
        let compression =
            format.map(|format| Compression { decoder: Decoder::new(format), size: 0 });
        Archive { compression, parser: TarParser::default() }
    }

    /// Takes the next bytes and counts what they complete.
    ///
    /// # Errors
    /// If they are damaged.
    pub fn handle(&mut self, bytes: Bytes, tally: &mut Tally) -> Result<(), ArchiveError> {
        let Archive { compression, parser } = self;
        let mut parse = |bytes: Bytes| {
            tally.archive_size += bytes.len() as u64;
            parser.handle(bytes, tally)
        };
        match compression {
            None => parse(bytes).map_err(DecodeError::Sink),
            Some(Compression { decoder, size }) => {
                *size += bytes.len() as u64;
                decoder.handle(&bytes, &mut parse)
            }
        }
    }

    /// Ends the archive and writes down what it held.
    ///
    /// # Errors
    /// If it is not complete.
    pub fn finish(self, tally: &Tally, text: &mut String) -> Result<(), ArchiveError> {
        if let Some(Compression { decoder, size }) = self.compression {
            decoder.finish()?;
            let _ = writeln!(text, "    {size} bytes compressed");
        }
        self.parser.finish().map_err(DecodeError::Sink)?;
        tally.describe(text);
        Ok(())
    }
}
