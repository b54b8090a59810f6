//! What the bytes of an archive pass on their way to its members.

use bytes::Bytes;

use super::BackupError;
use super::members::{Members, Record};
use super::output::Output;
use crate::archive::TarParser;
use crate::archive::codec::{DecodeError, Decoder};
use crate::pg::CompressionFormat;

/// The stages of one archive: decompression if the server compressed it, then the cutting into members.
pub(super) struct ArchiveStages {
    decoder: Option<Decoder>,
    parser: TarParser,
    members: Members,
}

impl ArchiveStages {
    /// Begins an archive that comes in this format.
    pub(super) fn new(format: Option<CompressionFormat>, members: Members) -> Self {
        let decoder = format.map(Decoder::new);
        ArchiveStages { decoder, parser: TarParser::default(), members }
    }

    /// Takes the archive's next bytes.
    pub(super) fn handle(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        let ArchiveStages { decoder, parser, members } = self;
        match decoder {
            None => Ok(parser.handle(bytes, members)?),
            Some(decoder) => {
                members.keep(&bytes)?;
                let handled = decoder
                    .handle::<BackupError>(&bytes, &mut |bytes| Ok(parser.handle(bytes, members)?));
                Ok(handled?)
            }
        }
    }

    /// Returns how many bytes of the archive are certain to come, as far as its form says.
    pub(super) fn coming(&self) -> u64 {
        match self.decoder {
            None => self.parser.remaining_contents(),
            Some(_) => 0,
        }
    }

    /// Ends the archive; gives back what outlives it.
    pub(super) fn finish(self) -> Result<(Output, Option<Record>), BackupError> {
        if let Some(decoder) = self.decoder {
            decoder.finish::<BackupError>()?;
        }
        self.parser.finish::<BackupError>()?;
        let (injector, record) = self.members.into_parts();
        Ok((injector.finish()?, record))
    }
}

impl From<DecodeError<BackupError>> for BackupError {
    fn from(error: DecodeError<BackupError>) -> Self {
        match error {
            DecodeError::Sink(error) => error,
            damage @ (DecodeError::Corrupt(_) | DecodeError::Truncated) => {
                BackupError::Decompress(damage.to_string())
            }
        }
    }
}
