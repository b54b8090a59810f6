//! Reading back what is stored, compressed or not.

use std::fs::File;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::Path;

use super::StorageError;
use super::error::IoContext as _;
use crate::archive::codec::{DecodeError, Decoder};
use crate::pg::CompressionFormat;

/// Bytes that one read asks for.
const READ_SIZE: usize = 256 << 10;

/// How a stored file ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredEnd {
    /// It was read to its end.
    Whole,
    /// The taker wanted no more.
    Stopped,
    /// What follows cannot be decompressed: the file is torn or damaged.
    Damaged(String),
}

/// Reads a file from its beginning and gives its contents in pieces, decompressed.
///
/// # Errors
/// If it cannot be opened or read.
pub fn read_stored(
    path: &Path,
    format: Option<CompressionFormat>,
    taker: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<StoredEnd, StorageError> {
    let mut file = File::open(path).context("open file", path)?;
    let mut decoder = format.map(Decoder::new);
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let size = file.read(&mut buffer).context("read file", path)?;
        let bytes = buffer.get(..size).unwrap_or_default();
        let outcome = match (&mut decoder, bytes) {
            (None, []) => return Ok(StoredEnd::Whole),
            (Some(_), []) => break,
            (None, bytes) => as_result(taker(bytes)).map_err(DecodeError::Sink),
            (Some(decoder), bytes) => {
                decoder.handle(bytes, &mut |contents| as_result(taker(&contents)))
            }
        };
        match outcome {
            Ok(()) => {}
            Err(DecodeError::Sink(Stopped)) => return Ok(StoredEnd::Stopped),
            Err(error) => return Ok(StoredEnd::Damaged(error.to_string())),
        }
    }
    let ended = decoder.map_or(Ok(()), Decoder::finish::<Stopped>);
    Ok(ended.map_or_else(|error| StoredEnd::Damaged(error.to_string()), |()| StoredEnd::Whole))
}

/// The taker wants no more.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
struct Stopped;

fn as_result(flow: ControlFlow<()>) -> Result<(), Stopped> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Stopped),
    }
}
