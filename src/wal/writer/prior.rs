//! What an earlier run left of a segment.

use std::ops::ControlFlow;
use std::path::Path;

use super::progress::Heartbeat;
use crate::pg::{ChecksumAlgorithm, CompressionFormat, Digest, Digester, Lsn};
use crate::storage::{StorageError, read_stored};
use crate::walrecord::{RecordKind, WalOrigin, WalReader, WalRecord};

/// The size of a switch record, which is a header and nothing else.
const SWITCH_RECORD_SIZE: u64 = 24;

/// Records that an earlier run stored, and may have acknowledged. They are received once more, compared, and
/// never overwritten by anything else.
#[derive(Debug)]
pub(super) struct Prior {
    /// The end of the last whole record. What may follow is of no known worth.
    until: Lsn,
    /// The end of all that can be read, zeros behind the log included.
    end: Lsn,
    /// What it is compared with; nothing if the log's form is not known.
    expected: Option<Digest>,
    received: Digester,
}

impl Prior {
    /// Looks for whole records in a segment that is not complete; none if there are none.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn find(
        path: &Path,
        format: Option<CompressionFormat>,
        origin: WalOrigin,
        heartbeat: &Heartbeat,
    ) -> Result<Option<Prior>, StorageError> {
        let mut reader = WalReader::new(origin);
        let mut switch_end = None;
        let mut on_record = |record: WalRecord| {
            // What follows it in its segment says nothing, and a server that crashed may send something else.
            if record.kind == RecordKind::Switch {
                switch_end = record.start.checked_add(SWITCH_RECORD_SIZE);
            }
        };
        let mut end = origin.start;
        read_stored(path, format, &mut |bytes| {
            heartbeat.beat();
            end = end.checked_add(bytes.len() as u64).unwrap_or(end);
            // Damage is where the log ends; the reader takes nothing behind it.
            let _ = reader.handle(bytes, &mut on_record);
            ControlFlow::Continue(())
        })?;
        let until = switch_end.unwrap_or_else(|| reader.proven());
        let expected = match until.checked_sub(origin.start) {
            Some(size @ 1..) => Some(digest(path, format, size, heartbeat)?),
            Some(0) | None => None,
        };
        let received = Digester::new(ChecksumAlgorithm::Sha256);
        Ok((end > origin.start).then_some(Prior { until, end, expected, received }))
    }

    /// Takes all that can be decompressed for of worth, as records cannot be told.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn of_unknown_form(
        path: &Path,
        format: CompressionFormat,
        start: Lsn,
        heartbeat: &Heartbeat,
    ) -> Result<Option<Prior>, StorageError> {
        let mut until = start;
        read_stored(path, Some(format), &mut |bytes| {
            heartbeat.beat();
            until = until.checked_add(bytes.len() as u64).unwrap_or(until);
            ControlFlow::Continue(())
        })?;
        let received = Digester::new(ChecksumAlgorithm::Sha256);
        Ok((until > start).then_some(Prior { until, end: until, expected: None, received }))
    }

    /// Returns the end of what is stored.
    pub(super) fn until(&self) -> Lsn {
        self.until
    }

    /// Returns the end of all that can be read.
    pub(super) fn end(&self) -> Lsn {
        self.end
    }

    /// Takes received bytes, which end before or where the stored ones end.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.received.update(bytes);
    }

    /// Says whether the same was received that is stored.
    pub(super) fn confirm(self) -> bool {
        self.expected.is_none_or(|expected| self.received.finish() == expected)
    }
}

/// Returns a digest of the first bytes of a file's contents.
pub(super) fn digest(
    path: &Path,
    format: Option<CompressionFormat>,
    size: u64,
    heartbeat: &Heartbeat,
) -> Result<Digest, StorageError> {
    let mut digester = Digester::new(ChecksumAlgorithm::Sha256);
    let mut left = usize::try_from(size).unwrap_or(usize::MAX);
    read_stored(path, format, &mut |bytes| {
        heartbeat.beat();
        let bytes = bytes.get(..left).unwrap_or(bytes);
        digester.update(bytes);
        left -= bytes.len();
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(digester.finish())
}
