//! Comparing the received files with the manifest in one pass.
//!
//! The server lists each file when it has sent it, so the lists have the same order and both sides
//! of the join are at the same file nearly always. What does not meet at once waits for its
//! counterpart; what still waits at the end is missing or too much.

use std::collections::BTreeMap;
use std::io::{Read, Seek, Write};

use super::finding::Findings;
use super::{
    FileEntry, Finding, ManifestError, ManifestSummary, Mismatch, ReceivedFile, ReceivedLog,
    ReceivedRecords, read_manifest,
};
use crate::pg::ChecksumAlgorithm;

/// Files of both lists that may wait for their counterparts. A sound backup needs a handful;
/// this many take 13 MiB with the short paths of a cluster, and with more the lists have nothing to
/// do with each other.
const UNMATCHED_MAX: usize = 32_768;

/// What a comparison gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// What the manifest says but for its files.
    pub summary: ManifestSummary,
    /// The files that are not as the manifest says, sorted by path; bounded.
    pub findings: Vec<Finding>,
    /// The number of further findings, which are not kept.
    pub findings_omitted: u64,
}

/// Compares what was received with the manifest; `algorithm` is the one that the server was asked
/// for and that the received digests are by.
///
/// Files that the manifest has without a checksum are compared by size alone. Files in `pg_wal`
/// may be received without being listed: of the WAL that the server appends to the archive it lists
/// history and status files only. A path that both lists have twice is not noticed.
///
/// # Errors
/// If the manifest cannot be read or is malformed, the list of received files cannot be read back,
/// or the lists differ so much that the comparison would not fit into memory.
pub fn compare<S: Read + Write + Seek>(
    received: ReceivedLog<S>,
    manifest: impl Read,
    algorithm: ChecksumAlgorithm,
) -> Result<Comparison, ManifestError> {
    let records = received.into_records().map_err(ManifestError::ReceivedLog)?;
    let mut join = Join::new(records, algorithm);
    let summary = read_manifest(manifest, |entry| join.take_entry(entry))?;
    let (findings, findings_omitted) = join.finish()?.into_sorted();
    Ok(Comparison { summary, findings, findings_omitted })
}

/// The two lists while they are joined. A path waits in at most one of the maps.
struct Join<S> {
    records: ReceivedRecords<S>,
    algorithm: ChecksumAlgorithm,
    received: BTreeMap<Vec<u8>, ReceivedFile>,
    listed: BTreeMap<Vec<u8>, FileEntry>,
    findings: Findings,
}

/// What became of a received file.
#[derive(PartialEq, Eq)]
enum Settled {
    Done,
    Waiting,
}

impl<S: Read + Seek> Join<S> {
    fn new(records: ReceivedRecords<S>, algorithm: ChecksumAlgorithm) -> Self {
        Join {
            records,
            algorithm,
            received: BTreeMap::new(),
            listed: BTreeMap::new(),
            findings: Findings::default(),
        }
    }

    /// Takes the manifest's next entry, and as many received files as bring both sides level again.
    fn take_entry(&mut self, entry: FileEntry) -> Result<(), ManifestError> {
        if let Some(file) = self.received.remove(&entry.path) {
            self.check(entry, &file);
            return Ok(());
        }
        while let Some(file) = self.next_received()? {
            if file.path == entry.path {
                self.check(entry, &file);
                return Ok(());
            }
            if self.settle(file)? == Settled::Waiting {
                break;
            }
        }
        self.ensure_room()?;
        if let Some(twin) = self.listed.insert(entry.path.clone(), entry) {
            self.findings.push(twin.path, Mismatch::ListedTwice);
        }
        Ok(())
    }

    /// Joins a received file with an entry that waits for it, or lets it wait.
    fn settle(&mut self, file: ReceivedFile) -> Result<Settled, ManifestError> {
        if let Some(entry) = self.listed.remove(&file.path) {
            self.check(entry, &file);
            return Ok(Settled::Done);
        }
        if is_wal_segment(&file.path) {
            return Ok(Settled::Done);
        }
        self.ensure_room()?;
        if let Some(twin) = self.received.insert(file.path.clone(), file) {
            self.findings.push(twin.path, Mismatch::ReceivedTwice);
        }
        Ok(Settled::Waiting)
    }

    fn check(&mut self, entry: FileEntry, file: &ReceivedFile) {
        let mismatch = match entry.checksum {
            _ if entry.size != file.size => {
                Mismatch::Size { received: file.size, listed: entry.size }
            }
            Some((algorithm, _)) if algorithm != self.algorithm => Mismatch::OtherAlgorithm,
            Some((_, digest)) if digest != file.digest => Mismatch::Checksum,
            Some(_) | None => return,
        };
        self.findings.push(entry.path, mismatch);
    }

    fn ensure_room(&self) -> Result<(), ManifestError> {
        if self.received.len() + self.listed.len() < UNMATCHED_MAX {
            Ok(())
        } else {
            Err(ManifestError::TooManyUnmatched { limit: UNMATCHED_MAX })
        }
    }

    fn next_received(&mut self) -> Result<Option<ReceivedFile>, ManifestError> {
        self.records.read_next().map_err(ManifestError::ReceivedLog)
    }

    /// Takes the received files that are left, and makes findings of what waits in vain.
    fn finish(mut self) -> Result<Findings, ManifestError> {
        while let Some(file) = self.next_received()? {
            self.settle(file)?;
        }
        let received_counts = self.count_unmatched()?;
        for (path, count) in received_counts {
            let mismatch = match (self.listed.contains_key(&path), count) {
                (true, 0) => Mismatch::Missing,
                (true, _) => Mismatch::ListedTwice,
                (false, 0 | 1) if path.starts_with(b"pg_wal/") => continue,
                (false, 0 | 1) => Mismatch::Extra,
                (false, _) => Mismatch::ReceivedTwice,
            };
            self.findings.push(path, mismatch);
        }
        Ok(self.findings)
    }

    /// Counts how often each waiting path was received. An entry whose path was received is the
    /// second of two entries, for the first one took the file, which is forgotten by now; likewise
    /// for a file. So the list is read once more, if anything waits at all.
    fn count_unmatched(&mut self) -> Result<BTreeMap<Vec<u8>, u64>, ManifestError> {
        let waiting = self.listed.keys().chain(self.received.keys());
        let mut counts: BTreeMap<_, _> = waiting.map(|path| (path.clone(), 0)).collect();
        if counts.is_empty() {
            return Ok(counts);
        }
        self.records.rewind().map_err(ManifestError::ReceivedLog)?;
        while let Some(file) = self.next_received()? {
            if let Some(count) = counts.get_mut(&file.path) {
                *count += 1;
            }
        }
        Ok(counts)
    }
}

/// Says whether a path is that of a WAL segment, which the server sends but does not list. Segments
/// come in thousands and must not fill the room for files that wait.
fn is_wal_segment(path: &[u8]) -> bool {
    path.strip_prefix(b"pg_wal/")
        .is_some_and(|name| name.len() == 24 && name.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests;
