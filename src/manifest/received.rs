//! The list of received files, kept outside the memory while the backup streams.

use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use crate::pg::Digest;

/// Buffer of both directions: about a thousand records for each system call.
const BUFFER_SIZE: usize = 64 << 10;

/// The files that were received, in the order in which they came, written to `storage` record by
/// record:
///
/// | offset | bytes | what |
/// |---|---|---|
/// | 0 | 2 | size of the path |
/// | 2 | 8 | size of the file |
/// | 10 | 1 | size of the digest |
/// | 11 | | path, digest |
///
/// Numbers are little-endian. A record takes some 40 bytes, so that a list of a few thousand files
/// fits into memory and one of millions can be spilled to a temporary file: that is up to the
/// storage.
pub struct ReceivedLog<S: Write> {
    storage: BufWriter<S>,
    count: u64,
}

/// A received file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedFile {
    /// The path below the root of the backup.
    pub path: Vec<u8>,
    /// The size in bytes.
    pub size: u64,
    /// The digest of the contents, by the algorithm that the server was asked for.
    pub digest: Digest,
}

impl<S: Read + Write + Seek> ReceivedLog<S> {
    /// Starts a list in an empty storage.
    pub fn new(storage: S) -> Self {
        ReceivedLog { storage: BufWriter::with_capacity(BUFFER_SIZE, storage), count: 0 }
    }

    /// Adds a file.
    ///
    /// # Errors
    /// If the storage cannot be written, or the path is longer than any file system's.
    pub fn push(&mut self, path: &[u8], size: u64, digest: &Digest) -> io::Result<()> {
        let path_size = u16::try_from(path.len())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "path is too long"))?;
        let digest_size = u8::try_from(digest.as_slice().len())
            .expect("a digest is at most Digest::SIZE_MAX bytes long");
        self.storage.write_all(&path_size.to_le_bytes())?;
        self.storage.write_all(&size.to_le_bytes())?;
        self.storage.write_all(&[digest_size])?;
        self.storage.write_all(path)?;
        self.storage.write_all(digest.as_slice())?;
        self.count += 1;
        Ok(())
    }

    /// Ends the list and returns its records from the first one on.
    ///
    /// # Errors
    /// If the last records cannot be written or the storage cannot be rewound.
    pub fn into_records(self) -> io::Result<ReceivedRecords<S>> {
        let storage = self.storage.into_inner().map_err(io::IntoInnerError::into_error)?;
        let storage = BufReader::with_capacity(BUFFER_SIZE, storage);
        let mut records = ReceivedRecords { storage, count: self.count, remaining: 0 };
        records.rewind()?;
        Ok(records)
    }
}

/// The records of a [`ReceivedLog`], read in order.
pub struct ReceivedRecords<S> {
    storage: BufReader<S>,
    count: u64,
    /// Records from the present position to the end, at most `count`.
    remaining: u64,
}

impl<S: Read + Seek> ReceivedRecords<S> {
    /// Goes back to the first record.
    ///
    /// # Errors
    /// If the storage cannot be rewound.
    pub fn rewind(&mut self) -> io::Result<()> {
        self.storage.rewind()?;
        self.remaining = self.count;
        Ok(())
    }

    /// Reads the next record; `None` after the last one.
    ///
    /// # Errors
    /// If the storage cannot be read or does not hold what was written.
    pub fn read_next(&mut self) -> io::Result<Option<ReceivedFile>> {
        let Some(remaining) = self.remaining.checked_sub(1) else { return Ok(None) };
        let path_size = u16::from_le_bytes(self.read_array()?);
        let size = u64::from_le_bytes(self.read_array()?);
        let [digest_size] = self.read_array()?;
        let path = self.read_bytes(usize::from(path_size))?;
        let digest = Digest::from_slice(&self.read_bytes(usize::from(digest_size))?)
            .ok_or(io::ErrorKind::InvalidData)?;
        self.remaining = remaining;
        Ok(Some(ReceivedFile { path, size, digest }))
    }

    fn read_array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.storage.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn read_bytes(&mut self, size: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; size];
        self.storage.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn digest(bytes: &[u8]) -> Digest {
        Digest::from_slice(bytes).expect("a short digest")
    }

    fn sample() -> ReceivedLog<Cursor<Vec<u8>>> {
        let mut log = ReceivedLog::new(Cursor::default());
        log.push(b"base/1/1259", 8192, &digest(&[1, 2, 3, 4])).expect("memory");
        log.push(b"caf\xe9", u64::MAX, &digest(&[7; 64])).expect("memory");
        log.push(b"empty", 0, &digest(&[])).expect("memory");
        log
    }

    fn read_all(records: &mut ReceivedRecords<Cursor<Vec<u8>>>) -> Vec<ReceivedFile> {
        std::iter::from_fn(|| records.read_next().expect("memory")).collect()
    }

    #[test]
    fn records_come_back_in_order_and_again_after_a_rewind() {
        let mut records = sample().into_records().expect("memory");
        let files = read_all(&mut records);
        let seen: Vec<_> = files.iter().map(|file| (file.path.as_slice(), file.size)).collect();
        assert_eq!(seen, [(&b"base/1/1259"[..], 8192), (b"caf\xe9", u64::MAX), (b"empty", 0)]);
        assert_eq!(files[0].digest, digest(&[1, 2, 3, 4]));
        assert_eq!(files[1].digest, digest(&[7; 64]));
        assert_eq!(files[2].digest, digest(&[]));
        records.rewind().expect("memory");
        assert_eq!(read_all(&mut records), files);
    }

    #[test]
    fn a_path_beyond_the_record_format_is_refused() {
        let mut log = ReceivedLog::new(Cursor::new(Vec::new()));
        let longest = vec![b'x'; usize::from(u16::MAX)];
        assert!(log.push(&longest, 0, &digest(&[])).is_ok());
        let error = log.push(&[&longest[..], b"x"].concat(), 0, &digest(&[]));
        assert_eq!(error.map_err(|error| error.to_string()), Err("path is too long".to_owned()));
    }

    #[test]
    fn a_storage_that_lost_bytes_is_an_error() {
        let storage = sample().into_records().expect("memory").storage.into_inner().into_inner();
        for size in 0..storage.len() {
            let cut = BufReader::new(Cursor::new(storage[..size].to_vec()));
            let mut records = ReceivedRecords { storage: cut, count: 3, remaining: 3 };
            let error = loop {
                match records.read_next() {
                    Ok(record) => assert!(record.is_some(), "the end was taken for a good one"),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{size}");
        }
    }
}
