//! Segments in a directory.

use std::fs;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::range::{Fault, RangeCheck};
use super::{Finding, begin, nothing_checked, segment_name, segment_size_of};
use crate::manifest::WalRange;
use crate::pg::{CompressionFormat, WalSegmentSize};
use crate::storage::{StorageError, StoredEnd, read_stored};
use crate::walrecord::SegmentHeader;

/// The forms in which a segment is looked for, in this order.
const FORMS: [Option<CompressionFormat>; 4] = [
    None,
    Some(CompressionFormat::Gzip),
    Some(CompressionFormat::Lz4),
    Some(CompressionFormat::Zstd),
];

/// Proves the log of all ranges.
pub(super) fn check(
    directory: &Path,
    ranges: &[WalRange],
    system_identifier: Option<u64>,
) -> Vec<Finding> {
    let segment_size = match segment_size(directory, ranges, system_identifier) {
        Ok(Some(segment_size)) => segment_size,
        Ok(None) => return nothing_checked(ranges, None, "could not find any WAL file"),
        Err(error) => return nothing_checked(ranges, None, &error.to_string()),
    };
    let checks = begin(ranges, segment_size, system_identifier);
    checks.filter_map(|check| check_range(directory, check).into_finding(None)).collect()
}

/// Returns the size of segments: what one of the cluster says, else what one of any cluster says, else what the name
/// of one says. `None` if there is no segment.
fn segment_size(
    directory: &Path,
    ranges: &[WalRange],
    system_identifier: Option<u64>,
) -> Result<Option<WalSegmentSize>, StorageError> {
    let unreadable = |error| StorageError::new("open directory", directory, error);
    let (mut of_other, mut by_name) = (None, None);
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let file_name = entry.file_name();
        let Some(name) = segment_name(file_name.as_bytes()) else { continue };
        let header = read_header(&entry.path(), name.compression);
        let header = header.filter(|header| header.format.is_some());
        let size = header.and_then(|header| header.segment_size);
        let is_own = |id| header.is_some_and(|header| header.system_identifier == id);
        if size.is_some() && system_identifier.is_none_or(is_own) {
            return Ok(size);
        }
        of_other = of_other.or(size);
        let length = entry.metadata().map_or(0, |metadata| metadata.len());
        by_name = by_name.or_else(|| segment_size_of(file_name.as_bytes(), length, ranges));
    }
    Ok(of_other.or(by_name))
}

/// Returns the beginning of a segment, or nothing if it cannot be read.
fn read_header(path: &Path, format: Option<CompressionFormat>) -> Option<SegmentHeader> {
    let mut header = Vec::with_capacity(SegmentHeader::SIZE);
    if !fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return None;
    }
    let read = read_stored(path, format, &mut |bytes| {
        header.extend(bytes.iter().take(SegmentHeader::SIZE - header.len()));
        match header.len() {
            SegmentHeader::SIZE => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    read.ok().and_then(|_| SegmentHeader::decode(&header))
}

/// Gives a check what it wants until it is decided.
fn check_range(directory: &Path, mut check: RangeCheck) -> RangeCheck {
    while !check.is_decided() {
        let given = match find(directory, &check) {
            Ok(Some(stored)) => give(&stored, &mut check),
            Ok(None) => Err(Fault::Missing),
            Err(error) => Err(Fault::Unreadable(error.to_string())),
        };
        if let Err(fault) = given {
            check.fail(fault);
        }
    }
    check
}

/// A file that holds a segment.
struct StoredSegment {
    path: PathBuf,
    format: Option<CompressionFormat>,
}

/// Looks for the segment that a check wants.
fn find(directory: &Path, check: &RangeCheck) -> Result<Option<StoredSegment>, StorageError> {
    for name in check.wanted() {
        for format in FORMS {
            let suffix = format.map_or("", CompressionFormat::suffix);
            let path = directory.join(format!("{name}{suffix}"));
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() => {
                    return Ok(Some(StoredSegment { path, format }));
                }
                // Of another kind: to read it might take for ever.
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(StorageError::new("open file", path, error)),
            }
        }
    }
    Ok(None)
}

/// Gives a segment to a check, whole if it is compressed: a torn file is of no use, wherever it is torn.
fn give(stored: &StoredSegment, check: &mut RangeCheck) -> Result<(), Fault> {
    let mut contents = 0;
    let read = read_stored(&stored.path, stored.format, &mut |bytes| {
        check.handle(bytes);
        contents += bytes.len() as u64;
        let needs_rest = stored.format.is_some() && contents <= check.segment_size().bytes();
        match check.is_decided() && !needs_rest {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    match read {
        Ok(StoredEnd::Whole | StoredEnd::Stopped) => check.end_segment(),
        Ok(StoredEnd::Damaged(reason)) if !check.has_failed() => {
            let name = stored.path.file_name().unwrap_or_default().display();
            return Err(Fault::Unreadable(format!("file \"{name}\": {reason}")));
        }
        Ok(StoredEnd::Damaged(_)) => {}
        Err(error) => return Err(Fault::Unreadable(error.to_string())),
    }
    Ok(())
}
