//! Taking a base backup (the job of `pg_basebackup`).

mod config;
mod report;

pub use config::{
    BackupConfig, Checkpoint, DirectIo, Durability, ManifestRequest, OnFailure, PageChecksums,
    SizeEstimate, SlotChoice, Target, WalMethod,
};
pub use report::{CleanUp, DirectoryRole, Event, Progress, Reporter};
