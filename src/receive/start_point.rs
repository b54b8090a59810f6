//! Where receiving goes on, by what the directory holds (`FindStreamingStart` of `pg_receivewal.c`).
//!
//! The answer is the original's: of all segments that count, the highest; of several timelines' the highest
//! timeline's; complete rather than partial. A segment that should be complete counts if its size is right.
//!
//! The original checks every file, and thus decompresses all that are compressed with LZ4 at each start. Here
//! files are checked from the highest down to the first that counts, so only files above the answer are warned
//! of. Other differences: anything but a regular file is skipped, where the original fails or takes it for a
//! partial segment; `.zst` counts; and a `.gz` of 8 MB does, whose size the original cannot read.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::holes;
use super::report::Event;
use crate::archive::codec::{DecodeError, Decoder};
use crate::pg::{CompressionFormat, Lsn, SegmentNumber, TimelineId, WalFileName, WalSegmentSize};
use crate::storage::StorageError;

/// How much of a compressed file is read at once. The original's, so that both stop at the same point of a file
/// that decompresses to too much.
const CHUNK_SIZE: usize = 64 << 10;

/// Where receiving goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StartPoint {
    /// The first position that is needed, where a segment begins.
    pub at: Lsn,
    /// Its timeline.
    pub timeline: TimelineId,
}

/// Where receiving goes on, and the file that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub point: StartPoint,
    pub name: WalFileName,
}

/// Finds out where receiving goes on; `None` if the directory holds no segment that counts, or only the very
/// first or the very last of all.
///
/// With a timeline, only that one's segments count. Tells `report` of each [`Event::SkippedFile`].
///
/// # Errors
/// If the directory or a file cannot be read, or a compressed file is damaged.
pub(super) fn find(
    directory: &Path,
    segment_size: WalSegmentSize,
    timeline: Option<TimelineId>,
    report: &mut dyn FnMut(Event),
) -> Result<Option<Found>, StorageError> {
    let mut names = segment_names(directory, segment_size)?;
    names.retain(|name| timeline.is_none_or(|timeline| timeline == name.timeline));
    // A file that costs less to check comes before others of the same segment.
    names.sort_unstable_by_key(|name| {
        (name.segment, name.timeline, !name.is_partial, name.compression.is_none())
    });
    while let Some(name) = names.pop() {
        if counts(directory, name, segment_size, report)? {
            let name = first_unfinished(directory, &names, name, segment_size)?;
            let point = start_behind(name, segment_size);
            return Ok(point.map(|point| Found { point, name }));
        }
    }
    Ok(None)
}

/// Lists the segments by the names of files.
fn segment_names(
    directory: &Path,
    segment_size: WalSegmentSize,
) -> Result<Vec<WalFileName>, StorageError> {
    let entries = fs::read_dir(directory)
        .map_err(|error| StorageError::new("open directory", directory, error))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| StorageError::new("read directory", directory, error))?;
        names.extend(WalFileName::parse(entry.file_name().as_bytes(), segment_size));
    }
    Ok(names)
}

/// Returns the first of the partial segments that end with this one. A receiver of ours begins a segment while the
/// one before it is still being brought to stable storage; if it dies then, both are partial. The original never
/// leaves that, and would go on with the last one.
///
/// Where a hole ends that was skipped, the segment before is partial too, but the server has no more of it.
fn first_unfinished(
    directory: &Path,
    names: &[WalFileName],
    last: WalFileName,
    segment_size: WalSegmentSize,
) -> Result<WalFileName, StorageError> {
    let unfinished = unfinished(names, last, segment_size);
    let holes = if unfinished.len() > 1 { holes::holes(directory)? } else { Vec::new() };
    // A longer hole leaves no two such segments side by side: they came when it was filled.
    let ends_hole = |name: &&WalFileName| {
        holes.iter().filter(|hole| hole.timeline == name.timeline).any(|hole| {
            let from = hole.from.map(|from| SegmentNumber::containing(from, segment_size));
            hole.to == name.segment.start(segment_size)
                && from.and_then(|from| from.next(segment_size)) == Some(name.segment)
        })
    };
    let first = unfinished.iter().find(ends_hole).or(unfinished.last());
    Ok(first.copied().unwrap_or(last))
}

/// Returns the partial segments in a row that end with this one, from the highest to the lowest; if it is not partial,
/// none. One run leaves files of one form.
fn unfinished(
    names: &[WalFileName],
    last: WalFileName,
    segment_size: WalSegmentSize,
) -> Vec<WalFileName> {
    if !last.is_partial {
        return Vec::new();
    }
    let (mut unfinished, mut first) = (vec![last], last);
    // Of one segment, complete files come first.
    for name in names.iter().rev().filter(|name| name.timeline == last.timeline) {
        let is_before = name.segment.next(segment_size) == Some(first.segment);
        match (is_before, name.is_partial) {
            (true, true) if name.compression == last.compression => {
                first = *name;
                unfinished.push(first);
            }
            (true, true) => {}
            (true, false) => break,
            (false, _) if name.segment == first.segment && !name.is_partial => break,
            (false, _) => {}
        }
    }
    unfinished
}

/// Returns where to go on if this is the highest segment.
fn start_behind(name: WalFileName, segment_size: WalSegmentSize) -> Option<StartPoint> {
    let at_beginning = name.segment.start(segment_size) == Lsn::INVALID;
    let next = match name.is_partial {
        true => Some(name.segment),
        false => name.segment.next(segment_size),
    };
    // The original takes number 0 for nothing; no server writes it.
    next.filter(|_| !at_beginning)
        .map(|next| StartPoint { at: next.start(segment_size), timeline: name.timeline })
}

/// Says whether a file counts, and tells `report` if its size is why it does not.
fn counts(
    directory: &Path,
    name: WalFileName,
    segment_size: WalSegmentSize,
    report: &mut dyn FnMut(Event),
) -> Result<bool, StorageError> {
    let text = name.file_name(segment_size);
    let path = directory.join(&text);
    let metadata = match fs::metadata(&path) {
        Ok(metadata) => metadata,
        // Somebody has taken it away; a link to nothing would still be there.
        Err(_) if is_gone(&path) => return Ok(false),
        Err(error) => return Err(StorageError::new("stat file", path, error)),
    };
    let is_regular = metadata.is_file();
    if is_regular && name.is_partial {
        return Ok(true);
    }
    let compression = name.compression.filter(|_| is_regular);
    let size = match compression {
        None => metadata.len(),
        Some(CompressionFormat::Gzip) => gzip_contents_size(&path)?,
        Some(format @ (CompressionFormat::Lz4 | CompressionFormat::Zstd)) => {
            decompressed_size(&path, format, segment_size.bytes())?
        }
    };
    let counts = is_regular && size == segment_size.bytes();
    if !counts {
        report(Event::SkippedFile { name: text, size, is_compressed: compression.is_some() });
    }
    Ok(counts)
}

fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Returns the size of a gzip file's contents as its last four bytes say it (RFC 1952, `ISIZE`).
fn gzip_contents_size(path: &Path) -> Result<u64, StorageError> {
    let failure = |action| move |error: io::Error| StorageError::new(action, path, error);
    let mut file = File::open(path).map_err(failure("open compressed file"))?;
    file.seek(SeekFrom::End(-4)).map_err(failure("seek in compressed file"))?;
    let mut size = [0; 4];
    file.read_exact(&mut size).map_err(failure("read compressed file"))?;
    Ok(u32::from_le_bytes(size).into())
}

/// Returns the size of a file's contents by decompressing it, as far as it takes to know that it is more than
/// `size_max`. As with the original, a file is complete whose contents are, even if the last bytes of the
/// format are missing.
fn decompressed_size(
    path: &Path,
    format: CompressionFormat,
    size_max: u64,
) -> Result<u64, StorageError> {
    let failure = |action| move |error: io::Error| StorageError::new(action, path, error);
    let mut file = File::open(path).map_err(failure("open file"))?;
    let mut decoder = Decoder::new(format);
    let mut chunk = Vec::with_capacity(CHUNK_SIZE);
    let mut size = 0;
    while size <= size_max {
        chunk.clear();
        let read = (&mut file).take(CHUNK_SIZE as u64).read_to_end(&mut chunk);
        if read.map_err(failure("read file"))? == 0 {
            break;
        }
        let counted = decoder.handle(&chunk, &mut |contents| {
            size += contents.len() as u64;
            Ok(())
        });
        counted.map_err(|error| failure("decompress file")(reason(error)))?;
    }
    Ok(size)
}

/// Returns what a decompressor complains of, without saying once more that it does.
fn reason(error: DecodeError<Infallible>) -> io::Error {
    match error {
        DecodeError::Corrupt(reason) => io::Error::other(reason),
        DecodeError::Truncated => io::ErrorKind::UnexpectedEof.into(),
        DecodeError::Sink(never) => match never {},
    }
}

#[cfg(test)]
mod tests;
