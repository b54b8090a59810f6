//! Formats of compressed files.

/// What compressed bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionFormat {
    /// gzip (RFC 1952).
    Gzip,
    /// LZ4 frames.
    Lz4,
    /// Zstandard frames (RFC 8878).
    Zstd,
}

impl CompressionFormat {
    const ALL: [Self; 3] =
        [CompressionFormat::Gzip, CompressionFormat::Lz4, CompressionFormat::Zstd];

    /// Returns what names of files in this format end with.
    pub const fn suffix(self) -> &'static str {
        match self {
            CompressionFormat::Gzip => ".gz",
            CompressionFormat::Lz4 => ".lz4",
            CompressionFormat::Zstd => ".zst",
        }
    }

    /// Takes the suffix off a file's name and says what it stands for; `None` for no compression.
    pub fn split_suffix(name: &[u8]) -> (&[u8], Option<Self>) {
        let split = |format: Self| Some((name.strip_suffix(format.suffix().as_bytes())?, format));
        match Self::ALL.into_iter().find_map(split) {
            Some((stem, format)) => (stem, Some(format)),
            None => (name, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_tells_the_format() {
        let table = [
            ("base.tar", "base.tar", None),
            ("base.tar.gz", "base.tar", Some(CompressionFormat::Gzip)),
            ("1.tar.lz4", "1.tar", Some(CompressionFormat::Lz4)),
            ("1.tar.zst", "1.tar", Some(CompressionFormat::Zstd)),
            ("1.tar.gz.gz", "1.tar.gz", Some(CompressionFormat::Gzip)),
            ("", "", None),
        ];
        for (name, stem, format) in table {
            let split = CompressionFormat::split_suffix(name.as_bytes());
            assert_eq!(split, (stem.as_bytes(), format), "{name}");
        }
    }
}
