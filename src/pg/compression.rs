//! How something is compressed, as `pg_basebackup -Z` and its relatives say it (`compression.c` of 18).

/// An algorithm with its parameters, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Deflate in gzip's format.
    Gzip {
        /// 1 to 9; `None` for zlib's default.
        level: Option<u8>,
    },
    /// LZ4 frames.
    Lz4 {
        /// 1 to 12; `None` for the fastest.
        level: Option<u8>,
    },
    /// Zstandard frames.
    Zstd {
        /// The library's least level to 22; `None` for its default.
        level: Option<i32>,
        /// Threads that compress; `None` to leave the choice to us.
        workers: Option<u32>,
        /// Whether matches are also looked for far back.
        long_distance: bool,
    },
}

impl Compression {
    /// Returns what is appended to the names of compressed files.
    pub const fn suffix(&self) -> &'static str {
        match self {
            Compression::Gzip { .. } => ".gz",
            Compression::Lz4 { .. } => ".lz4",
            Compression::Zstd { .. } => ".zst",
        }
    }
}
