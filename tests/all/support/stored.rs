//! Files with WAL as a recovery would read them, whole or torn.

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pgsiphon::archive::codec::Decoder;
use pgsiphon::pg::CompressionFormat;

/// What follows the name of a segment or history file, by its compression.
const SUFFIXES: [(&str, Option<CompressionFormat>); 4] = [
    ("", None),
    (".gz", Some(CompressionFormat::Gzip)),
    (".lz4", Some(CompressionFormat::Lz4)),
    (".zst", Some(CompressionFormat::Zstd)),
];

/// What follows the name of a segment that is not complete.
const PARTIAL: &str = ".partial";

/// A file that holds a segment or a part of it, or a history.
#[derive(Debug)]
pub struct Stored {
    /// Where it is.
    pub path: PathBuf,
    /// Whether its name says that it is not complete.
    pub is_partial: bool,
    /// What is in it, as far as that can be read.
    pub contents: Vec<u8>,
    /// Whether that is all.
    pub is_sound: bool,
}

impl Stored {
    /// Reads all that a directory holds under a name, compressed or not, partial or not.
    pub fn under(directory: &Path, name: &str) -> Vec<Self> {
        let endings = SUFFIXES.iter().flat_map(|suffix| [(suffix, ""), (suffix, PARTIAL)]);
        let read = |((suffix, format), partial): (&(&str, _), &str)| {
            let path = directory.join(format!("{name}{suffix}{partial}"));
            let bytes = fs::read(&path).ok()?;
            let (contents, is_sound) = match *format {
                None => (bytes, true),
                Some(format) => decompress(format, &bytes),
            };
            Some(Stored { path, is_partial: partial == PARTIAL, contents, is_sound })
        };
        endings.filter_map(read).collect()
    }

    /// Returns how many bytes are as they should be, from the first on.
    pub fn equal_bytes(&self, expected: &[u8]) -> usize {
        if self.contents == expected {
            return expected.len();
        }
        let pairs = self.contents.iter().zip(expected);
        pairs.take_while(|(stored, expected)| stored == expected).count()
    }
}

/// Returns the contents of a stream, as far as they can be read, and whether that is all.
fn decompress(format: CompressionFormat, bytes: &[u8]) -> (Vec<u8>, bool) {
    let (contents, is_sound) = decompress_by(bytes.len(), format, bytes);
    match is_sound {
        true => (contents, true),
        // What comes before a damage is given if it is not in the same piece.
        false => decompress_by(1, format, bytes),
    }
}

fn decompress_by(piece: usize, format: CompressionFormat, bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut contents = Vec::new();
    let mut take = |bytes: Bytes| -> Result<(), Infallible> {
        contents.extend_from_slice(&bytes);
        Ok(())
    };
    let mut decoder = Decoder::new(format);
    let mut pieces = bytes.chunks(piece.max(1));
    let outcome = pieces
        .try_for_each(|piece| decoder.handle(piece, &mut take))
        .and_then(|()| decoder.finish::<Infallible>());
    (contents, outcome.is_ok())
}
