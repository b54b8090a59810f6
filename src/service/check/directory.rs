//! Whether the directory of a server is fit for its WAL.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::Finding;
use super::finding::shown_size;
use crate::net::Cluster;
use crate::pg::{WalFileName, WalSegmentSize};
use crate::service::ServerConfig;
use crate::service::disk_room;
use crate::storage::{StorageError, read_stored};
use crate::walrecord::SegmentHeader;

/// Files that are opened to learn whose WAL is stored. The last ones may not have a header yet.
const FILES_READ_MAX: usize = 4;

/// Segments that there has to be room for, or receiving ends before it has begun.
const SEGMENTS_FREE_MIN: u64 = 4;

/// The size of segments where no server says it.
const SEGMENT_BYTES: u64 = 16 << 20;

/// What is known of a directory.
#[derive(Debug)]
pub(super) struct DirectoryFacts {
    /// The device and the number on it: the same for all paths that lead there.
    pub(super) identity: (u64, u64),
    /// Room in its file system, in bytes.
    free: u64,
    /// The last segment with a header, and the cluster that it is from.
    stored: Option<(PathBuf, u64)>,
}

impl DirectoryFacts {
    /// Looks at a directory without changing anything.
    ///
    /// # Errors
    /// If it cannot be read, or nothing could be written there.
    pub(super) fn look(directory: &Path) -> Result<Self, StorageError> {
        let failed = |action| move |error| StorageError::new(action, directory, error);
        let names = last_names(directory)?;
        let metadata = fs::metadata(directory).map_err(failed("stat directory"))?;
        accessat(CWD, directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
            .map_err(|errno| StorageError::new("write to directory", directory, errno))?;
        Ok(DirectoryFacts {
            identity: (metadata.dev(), metadata.ino()),
            free: disk_room::free(directory)?,
            stored: stored_cluster(directory, &names)?,
        })
    }
}

/// Makes sure that a directory can be read.
///
/// # Errors
/// If it cannot.
pub(super) fn make_sure_it_opens(directory: &Path) -> Result<(), StorageError> {
    match fs::read_dir(directory) {
        Ok(_) => Ok(()),
        Err(error) => Err(StorageError::new("open directory", directory, error)),
    }
}

/// Lists the segments whose names come last.
fn last_names(directory: &Path) -> Result<BTreeSet<OsString>, StorageError> {
    let failed = |action| move |error| StorageError::new(action, directory, error);
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory).map_err(failed("open directory"))? {
        let name = entry.map_err(failed("read directory"))?.file_name();
        if parse(&name).is_some() {
            names.insert(name);
        }
        if names.len() > FILES_READ_MAX {
            names.pop_first();
        }
    }
    Ok(names)
}

/// Reads a name. With the smallest segments there are the most numbers, so that a name of any cluster counts.
fn parse(name: &OsString) -> Option<WalFileName> {
    WalFileName::parse(name.as_bytes(), WalSegmentSize::SMALLEST)
}

/// Finds out whose WAL is stored.
fn stored_cluster(
    directory: &Path,
    names: &BTreeSet<OsString>,
) -> Result<Option<(PathBuf, u64)>, StorageError> {
    for name in names.iter().rev() {
        let path = directory.join(name);
        let mut header = Vec::with_capacity(SegmentHeader::SIZE);
        let compression = parse(name).and_then(|name| name.compression);
        read_stored(&path, compression, &mut |bytes| {
            header.extend(bytes.iter().take(SegmentHeader::SIZE - header.len()));
            match header.len() < SegmentHeader::SIZE {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        let header = SegmentHeader::decode(&header).filter(|header| header.format.is_some());
        if let Some(header) = header {
            return Ok(Some((path, header.system_identifier)));
        }
    }
    Ok(None)
}

/// Judges a directory; the cluster is not always known.
pub(super) fn judge(
    config: &ServerConfig,
    directory: &Result<DirectoryFacts, StorageError>,
    cluster: Option<&Cluster>,
) -> Vec<Finding> {
    let facts = match directory {
        Ok(facts) => facts,
        Err(error) => {
            let hint = "The directory has to be there, and belong to whoever runs the service.";
            return vec![Finding::error(error.to_string()).hint(hint)];
        }
    };
    let segment_bytes = cluster.map_or(SEGMENT_BYTES, |cluster| cluster.segment_size.bytes());
    let other = cluster.and_then(|cluster| other_cluster(facts, &cluster.system_identifier));
    space(config, facts, segment_bytes).into_iter().chain(other).collect()
}

fn space(config: &ServerConfig, facts: &DirectoryFacts, segment_bytes: u64) -> Option<Finding> {
    let (free, min) = (facts.free, config.limits.disk_free_min);
    let shown = format!(
        "only {} are free in the file system of \"{}\"",
        shown_size(free),
        config.directory.display()
    );
    if free < SEGMENTS_FREE_MIN.saturating_mul(segment_bytes) {
        return Some(Finding::error(shown).hint("Make room, or choose another file system."));
    }
    (free < min).then(|| {
        Finding::warning(format!("{shown}, less than disk_free_min ({})", shown_size(min)))
            .hint("Make room, or lower disk_free_min.")
    })
}

fn other_cluster(facts: &DirectoryFacts, expected: &str) -> Option<Finding> {
    let (path, stored) = facts.stored.as_ref()?;
    let path = path.display();
    (stored.to_string() != expected).then(|| {
        Finding::error(format!(
            "\"{path}\" is WAL of the cluster with system identifier {stored}, not {expected}"
        ))
        .hint("Choose an empty directory for each cluster.")
    })
}
