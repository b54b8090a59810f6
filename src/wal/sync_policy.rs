//! When received WAL is brought to stable storage.

/// When received WAL is brought to stable storage. Nothing is reported as flushed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Never by us.
    Never,
    /// Each segment when it is complete, and what there is of the next one when the server asks or a status
    /// update is due.
    Segments,
    /// As soon as it arrives; what arrives meanwhile shares the next sync.
    AtOnce,
}
