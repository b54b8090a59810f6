//! Checksums of `backup_manifest` entries (`src/common/checksum_helper.c`).

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;

/// A checksum algorithm of the backup manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ChecksumAlgorithm {
    /// No checksum: only the sizes are compared.
    None,
    /// CRC-32C, the server's default.
    #[default]
    Crc32c,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl FromStr for ChecksumAlgorithm {
    type Err = ();

    /// Reads an algorithm's name in any case, as the server and `pg_verifybackup` do.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_uppercase().as_str() {
            "NONE" => Ok(Self::None),
            "CRC32C" => Ok(Self::Crc32c),
            "SHA224" => Ok(Self::Sha224),
            "SHA256" => Ok(Self::Sha256),
            "SHA384" => Ok(Self::Sha384),
            "SHA512" => Ok(Self::Sha512),
            _ => Err(()),
        }
    }
}

impl fmt::Display for ChecksumAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "NONE",
            Self::Crc32c => "CRC32C",
            Self::Sha224 => "SHA224",
            Self::Sha256 => "SHA256",
            Self::Sha384 => "SHA384",
            Self::Sha512 => "SHA512",
        })
    }
}

/// The digest of a whole file, as the bytes that the manifest prints in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    bytes: [u8; Digest::SIZE_MAX],
    size: u8,
}

impl Digest {
    /// The longest digest, of SHA-512, in bytes.
    pub const SIZE_MAX: usize = 64;

    /// Copies a digest of at most [`Self::SIZE_MAX`] bytes; `None` if it is longer.
    pub fn from_slice(digest: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::SIZE_MAX];
        bytes.get_mut(..digest.len())?.copy_from_slice(digest);
        Some(Digest { bytes, size: u8::try_from(digest.len()).ok()? })
    }

    /// Returns the digest's bytes; none for [`ChecksumAlgorithm::None`].
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.size)).unwrap_or_default()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A running checksum over a file's contents.
#[derive(Clone)]
pub enum Digester {
    /// Computes nothing.
    None,
    /// The CRC so far.
    Crc32c(u32),
    /// SHA-224.
    Sha224(sha2::Sha224),
    /// SHA-256.
    Sha256(sha2::Sha256),
    /// SHA-384.
    Sha384(sha2::Sha384),
    /// SHA-512.
    Sha512(sha2::Sha512),
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digester").finish_non_exhaustive()
    }
}

impl Digester {
    /// Starts a checksum over no bytes.
    pub fn new(algorithm: ChecksumAlgorithm) -> Self {
        match algorithm {
            ChecksumAlgorithm::None => Self::None,
            ChecksumAlgorithm::Crc32c => Self::Crc32c(0),
            ChecksumAlgorithm::Sha224 => Self::Sha224(sha2::Sha224::new()),
            ChecksumAlgorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
            ChecksumAlgorithm::Sha384 => Self::Sha384(sha2::Sha384::new()),
            ChecksumAlgorithm::Sha512 => Self::Sha512(sha2::Sha512::new()),
        }
    }

    /// Adds the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::None => {}
            Self::Crc32c(crc) => *crc = crc32c::crc32c_append(*crc, bytes),
            Self::Sha224(sha) => sha.update(bytes),
            Self::Sha256(sha) => sha.update(bytes),
            Self::Sha384(sha) => sha.update(bytes),
            Self::Sha512(sha) => sha.update(bytes),
        }
    }

    /// Returns the digest of all bytes.
    ///
    /// A CRC is given in little-endian order: the manifest holds the value as it lies in the memory
    /// of the server, and PostgreSQL's servers are little-endian machines.
    pub fn finish(self) -> Digest {
        let digest = match self {
            Self::None => Digest::from_slice(&[]),
            Self::Crc32c(crc) => Digest::from_slice(&crc.to_le_bytes()),
            Self::Sha224(sha) => Digest::from_slice(&sha.finalize()),
            Self::Sha256(sha) => Digest::from_slice(&sha.finalize()),
            Self::Sha384(sha) => Digest::from_slice(&sha.finalize()),
            Self::Sha512(sha) => Digest::from_slice(&sha.finalize()),
        };
        digest.expect("every algorithm's digest fits, SHA-512 is the longest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_is_given_in_the_order_of_the_manifest() {
        let mut digester = Digester::new(ChecksumAlgorithm::Crc32c);
        digester.update(b"1234");
        digester.update(b"56789");
        assert_eq!(format!("{:?}", digester.finish()), "839206e3");
    }

    #[test]
    fn names_are_read_in_any_case_and_printed_in_upper_case() {
        for name in ["NONE", "CRC32C", "SHA224", "SHA256", "SHA384", "SHA512"] {
            let algorithm: ChecksumAlgorithm = name.to_lowercase().parse().expect("a known name");
            assert_eq!(algorithm.to_string(), name);
        }
        assert!("MD5".parse::<ChecksumAlgorithm>().is_err());
    }
}
