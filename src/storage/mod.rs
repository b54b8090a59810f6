//! Files and directories: everything that touches the disk.
//!
//! [`Disk`] is a few threads that write blocks, small files and syncs beside the receipt of the next
//! bytes; [`FileWriter`] fills one file through it. [`Extractor`] and [`TarFile`] turn archive members
//! into a data directory and into tar files, which [`TarOutput`] compresses. [`CreatedDirectories`] knows what a failed run has to
//! remove, and [`durable`] gives final names. [`LineFile`] is a small text file beside the data,
//! [`DirectoryLock`] keeps others out.

mod block;
mod compress;
mod created;
mod disk;
pub mod durable;
mod error;
mod extract;
mod file;
mod file_systems;
mod line_file;
mod lock;
mod segment_file;
mod spool;
mod stored;
mod tar_file;
mod writer;

pub use block::BLOCK_SIZE;
pub use compress::ThreadShare;
pub use created::{ClaimError, CleanUp, CreatedDirectories, DirectoryRole};
pub use disk::{DirectIo, Disk, DiskConfig, DiskHandle, FileSyncs};
pub use error::StorageError;
pub use extract::{ExtractError, Extractor, ExtractorConfig};
pub use file::NewFile;
pub use file_systems::FileSystems;
pub use line_file::LineFile;
pub use lock::DirectoryLock;
pub use segment_file::{SegmentContents, SegmentFile, SegmentFileConfig};
pub use spool::Spool;
pub use stored::{StoredEnd, read_stored};
pub use tar_file::{CompressedOutput, TarFile, TarOutput, now_as_mtime};
pub use writer::{FileSize, FileWriter};
