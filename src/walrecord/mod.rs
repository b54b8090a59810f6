//! The write-ahead log as pages and records: proving it while it passes.
//!
//! Follows `xlog_internal.h`, `xlogrecord.h` and `xlogreader.c` of PostgreSQL 13 to 18. [`WalReader`] takes
//! the log in pieces of any size and collects nothing of it: its memory does not depend on what records
//! claim to be. What it proves:
//!
//! - pages: magic number, flags, address and timeline; at the beginning of a segment also the cluster's
//!   identifier, the segment size and the block size;
//! - records: length, resource manager, link back to the record before, and CRC-32C, over pages and
//!   segments; that a page continues the record which the page before left incomplete.
//!
//! What no server reads is not judged, so that nothing is refused which a server would replay: the bytes
//! that align records and page headers, and the rest of a segment behind a switch record.
//!
//! Integers are little-endian, as on all machines that matter; the log of others has an unknown magic number.

mod damage;
mod format;
mod page;
mod reader;
mod record;
mod segment_header;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub use damage::{DamageKind, WalDamage};
pub use format::WalFormat;
pub use reader::{WalOrigin, WalReader};
pub use record::{RecordKind, WalRecord};
pub use segment_header::SegmentHeader;

/// Adds bytes to a buffer that is full up to `filled`, as many as fit. Returns their number.
fn fill(buffer: &mut [u8], filled: usize, bytes: &[u8]) -> usize {
    let room = buffer.get_mut(filled..).unwrap_or_default();
    let size = room.len().min(bytes.len());
    if let (Some(room), Some(bytes)) = (room.get_mut(..size), bytes.get(..size)) {
        room.copy_from_slice(bytes);
    }
    size
}
