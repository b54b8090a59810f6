//! PostgreSQL's vocabulary as types that cannot hold invalid values. Pure; imports nothing.

mod checksum;
mod compression;
mod compression_format;
mod lsn;
mod member_path;
mod os_error;
mod segment;
mod tablespace;
mod timestamp;
mod version;
mod wal_file_name;

pub use checksum::{ChecksumAlgorithm, Digest, Digester};
pub use compression::{Compression, CompressionDetailError, CompressionError};
pub use compression_format::CompressionFormat;
pub use lsn::{Lsn, ParseLsnError};
pub use member_path::{MemberPath, UnsafePath};
pub use os_error::OsError;
pub use segment::{
    InvalidSegmentSize, InvalidTimeline, SegmentNumber, TimelineId, WalSegmentSize,
    history_file_name,
};
pub use tablespace::{Oid, Tablespace, TablespaceLocation, TablespaceMappings, canonicalize};
pub use timestamp::{ParseTimestampError, Timestamp};
pub use version::{InvalidVersion, ServerVersion};
pub use wal_file_name::WalFileName;
