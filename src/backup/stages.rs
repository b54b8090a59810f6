//! What the bytes of an archive pass on their way to its members.

use bytes::Bytes;

use super::BackupError;
use super::members::{Members, Record};
use super::output::Output;
use crate::archive::{Decoder, TarParser};
use crate::pg::CompressionFormat;

/// The stages of one archive: decompression if the server compressed it, then the cutting into members.
pub(super) struct ArchiveStages {
    decoder: Option<Decoder>,
    parser: TarParser,
    members: Members,
}

impl ArchiveStages {
    /// Begins an archive that comes in this format.
    pub(super) fn new(
        format: Option<CompressionFormat>,
        members: Members,
    ) -> Result<Self, BackupError> {
        let decoder = format.map(Decoder::new).transpose().map_err(BackupError::Decompress)?;
        Ok(ArchiveStages { decoder, parser: TarParser::default(), members })
    }

    /// Takes the archive's next bytes.
    pub(super) fn handle(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        let ArchiveStages { decoder, parser, members } = self;
        match decoder {
            None => Ok(parser.handle(bytes, members)?),
            Some(decoder) => {
                members.keep(&bytes)?;
                decoder.handle(bytes, &mut |bytes| Ok(parser.handle(bytes, members)?))
            }
        }
    }

    /// Ends the archive; gives back what outlives it.
    pub(super) fn finish(self) -> Result<(Output, Option<Record>), BackupError> {
        if let Some(decoder) = self.decoder {
            decoder.finish().map_err(BackupError::Decompress)?;
        }
        self.parser.finish::<BackupError>()?;
        let (injector, record) = self.members.into_parts();
        Ok((injector.finish()?, record))
    }
}
