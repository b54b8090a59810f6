//! The control file, `global/pg_control`.
//!
//! Follows `src/include/catalog/pg_control.h` and `src/common/controldata_utils.c` of PostgreSQL 13 to 18.

/// What is wrong with a control file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum ControlFileFault {
    /// The checksum does not fit the contents.
    #[error("CRC is incorrect")]
    Crc,
}
