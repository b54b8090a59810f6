//! Receiving WAL for as long as it comes: the job of `pg_receivewal`.
//!
//! [`run`] finds out where to start (`start_point`), streams (`stream`) until the user, the end position or a failure
//! stops it, and begins anew after each failure. Follows `pg_receivewal.c` and `receivelog.c` of
//! PostgreSQL 18.
//!
//! Beside the segments, the directory gets history files (`history`), a record of holes (`holes`) and an index
//! from moments to positions (`time_index`).

mod branch;
mod config;
mod error;
mod finish;
mod history;
mod holes;
mod patience;
mod pauses;
mod plan;
mod report;
mod run;
mod session;
mod side_files;
mod silence;
mod slots;
mod start_point;
mod stream;
mod time_index;

pub use config::{HolePolicy, OnDeadDisk, OnDisconnect, OnOtherBranch, ReceiveConfig, TimeIndex};
pub use error::{ReceiveError, WalLoss};
pub use history::HistoryError;
pub use holes::holes;
pub use pauses::Pauses;
pub use report::{Event, Hole, HoleCause, Observer, ReceiveStatus};
pub use run::{Memory, ReceiveJob, attempt, run};
pub use session::{MAJOR_MIN, READ_SLOT_MAJOR_MIN};
pub use slots::{IfSlotExists, create_slot, drop_slot};
pub use time_index::{CommitTime, ParseCommitTimeError, last_commit_not_after};
