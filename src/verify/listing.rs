//! The manifest as a table of what has to be there.

use std::collections::HashMap;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Finding, Problem};
use crate::manifest::{ManifestError, ManifestSummary, read_manifest};
use crate::pg::{ChecksumAlgorithm, Digest};

/// What does not count in a backup: it is not listed, or may be changed before the backup is used.
const NEVER_COMPARED: [&[u8]; 5] =
    [b"backup_manifest", b"pg_wal", b"postgresql.auto.conf", b"recovery.signal", b"standby.signal"];

/// The files of a manifest, and which of them were found. Takes memory for each of them.
#[derive(Debug)]
pub(super) struct Listing {
    files: HashMap<Box<[u8]>, Listed>,
    ignored: Vec<Vec<u8>>,
}

/// A file of the manifest.
#[derive(Debug)]
pub(super) struct Listed {
    /// The size in bytes.
    pub(super) size: u64,
    /// The checksum, if there is one.
    pub(super) checksum: Option<(ChecksumAlgorithm, Digest)>,
    is_found: AtomicBool,
}

impl Listed {
    /// Notes that the file is there; says whether it was before.
    pub(super) fn note_found(&self) -> bool {
        self.is_found.swap(true, Ordering::Relaxed)
    }
}

impl Listing {
    /// Reads a manifest to its end.
    ///
    /// # Errors
    /// If it is damaged, cannot be read, or lists a file twice.
    pub(super) fn read(
        manifest: impl Read,
        ignored: &[Vec<u8>],
    ) -> Result<(Self, ManifestSummary), ManifestError> {
        let mut files = HashMap::new();
        let summary = read_manifest(manifest, |entry| {
            let listed = Listed {
                size: entry.size,
                checksum: entry.checksum,
                is_found: AtomicBool::new(false),
            };
            match files.insert(entry.path.clone().into_boxed_slice(), listed) {
                None => Ok(()),
                Some(_) => Err(ManifestError::DuplicatePath(
                    String::from_utf8_lossy(&entry.path).into_owned(),
                )),
            }
        })?;
        let ignored = NEVER_COMPARED.iter().map(|path| path.to_vec()).chain(ignored.to_vec());
        Ok((Listing { files, ignored: ignored.collect() }, summary))
    }

    /// Returns what the manifest says of a file.
    pub(super) fn get(&self, path: &[u8]) -> Option<&Listed> {
        self.files.get(path)
    }

    /// Says whether a file or directory does not matter.
    pub(super) fn ignores(&self, path: &[u8]) -> bool {
        self.ignored.iter().any(|ignored| is_at_or_below(path, ignored))
    }

    /// Returns what was not found where one could look for it.
    pub(super) fn missing<'a>(
        &'a self,
        is_out_of_reach: impl Fn(&[u8]) -> bool + 'a,
    ) -> impl Iterator<Item = Finding> + 'a {
        let is_missing = move |path: &[u8], listed: &Listed| {
            !listed.is_found.load(Ordering::Relaxed)
                && !self.ignores(path)
                && !is_out_of_reach(path)
        };
        let missing = self.files.iter().filter(move |(path, listed)| is_missing(path, listed));
        missing.map(|(path, _)| Finding {
            path: path.to_vec(),
            archive: None,
            problem: Problem::Missing,
        })
    }
}

/// Says whether a path is another one, or lies below it.
fn is_at_or_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}
