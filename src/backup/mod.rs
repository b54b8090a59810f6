//! Taking a base backup: the job of `pg_basebackup`.
//!
//! [`run`] asks the server about itself and prepares the target (`prepare`), receives archives and WAL side by side
//! (`receive`, with `archives` on a thread of its own), and brings everything to stable storage
//! (`finish`). A base backup is one stream today; what belongs to a stream (connection, event state,
//! archive thread) is separate from what belongs to the backup (target, manifest, disk, clean-up).

mod archives;
mod config;
mod error;
mod finish;
mod foresight;
mod members;
mod output;
mod prepare;
mod receive;
mod report;
mod request;
mod run;
mod stages;
mod standby;
mod syncs;
mod wal_stream;

pub use crate::storage::DirectIo;
pub use config::{
    BackupCompression, BackupConfig, Checkpoint, Durability, ManifestRequest, OnFailure,
    PageChecksums, ServerTarget, SizeEstimate, SlotChoice, StandbySetup, SyncMethod, Target,
    WalMethod,
};
pub use error::{BackupError, Phase};
pub use report::{CleanUp, DirectoryRole, Event, Progress, Reporter};
pub use run::{BackupJob, BackupSummary, run};
