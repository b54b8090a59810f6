//! Log that is not as a server writes it.

use crate::pg::Lsn;

/// The log is damaged, or it is not the log that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid WAL at {at}: {what}")]
pub struct WalDamage {
    /// Where the record or page begins that is wrong.
    pub at: Lsn,
    /// What is wrong with it.
    pub what: String,
}
