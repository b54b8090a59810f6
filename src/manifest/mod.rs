//! `backup_manifest`: reading it, and comparing it with the files that were received.
//!
//! Everything runs in one pass over the manifest and in bounded memory, whatever the number of
//! files: [`read_manifest`] hands out one entry at a time, [`ManifestChecksum`] checks the text on
//! the way, [`ReceivedLog`] keeps what was received outside the memory, and [`compare`] joins the
//! two lists. Writing manifests is not done here: the server writes them.
//!
//! Follows `src/backend/backup/backup_manifest.c`, `src/common/parse_manifest.c` and
//! `src/bin/pg_verifybackup` of PostgreSQL 13 to 18.

mod compare;
mod entry;
mod error;
mod finding;
#[cfg(test)]
pub(crate) mod fixture;
mod input;
mod reader;
mod received;

pub use compare::{Comparison, compare};
pub use entry::{FileEntry, WalRange};
pub use error::{Malformed, ManifestError};
pub use finding::{Finding, Mismatch};
pub use input::{ManifestChecksum, ManifestInput};
pub use reader::{ManifestSummary, read_manifest};
pub use received::{ReceivedFile, ReceivedLog, ReceivedRecords};
