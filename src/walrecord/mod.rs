//! The write-ahead log as pages and records: proving it while it passes.
//!
//! Follows `xlog_internal.h`, `xlogrecord.h` and `xlogreader.c` of PostgreSQL 13 to 18. [`WalReader`] takes
//! the log in pieces of any size.

mod damage;
mod format;
mod reader;

pub use damage::WalDamage;
pub use format::WalFormat;
pub use reader::{RecordKind, WalOrigin, WalReader, WalRecord};
