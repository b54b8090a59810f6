//! Verifying a stored backup against its manifest: `pg_verifybackup`, and what it leaves out.
//!
//! ```text
//! manifest ──▶ Listing ◀── files below a directory, or members of archives
//!                 │ what is there, per file                  (plain, tar)
//!                 ▼
//!        contents: digest, pages, control file, backup label  (several threads)
//! pg_wal ──▶ wal: every record of the manifest's ranges
//! ```
//!
//! Follows `src/bin/pg_verifybackup` of PostgreSQL 13 to 18.

mod cluster;
mod config;
mod contents;
mod error;
mod finding;
mod listing;
mod plain;
mod progress;
mod reading;
mod run;
mod tar;
mod tar_stream;
mod verification;
mod wal;
mod work;

pub use config::{BackupForm, Contents, OnFinding, Pages, VerifyConfig, WalLocation};
pub use error::VerifyError;
pub use finding::{Finding, Problem};
pub use progress::VerifyProgress;
pub use run::{Verdict, verify};
