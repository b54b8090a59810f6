//! The control file, `global/pg_control`, and the backup label, `backup_label`.
//!
//! Follows `src/include/catalog/pg_control.h`, `src/common/controldata_utils.c` and
//! `build_backup_content` of `src/backend/access/transam/xlogbackup.c` of PostgreSQL 13 to 18.

mod control_file;
mod label;

pub use control_file::{ControlFile, ControlFileFault};
pub use label::{BackupLabel, BackupLabelFault, BackupSource};
