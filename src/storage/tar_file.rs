//! Writing an archive's members into a tar file again.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::StorageError;
use super::compress::{Compressor, ThreadShare};
use super::error::IoContext as _;
use super::writer::FileWriter;
use crate::archive::{Member, MemberSink, NewMember, TRAILER_SIZE, padding};
use crate::pg::Compression;

/// Zeros for padding and trailer.
static ZEROS: [u8; TRAILER_SIZE] = [0; TRAILER_SIZE];

/// Where a tar file goes.
pub enum TarOutput {
    /// A file.
    File(FileWriter),
    /// A pipe or the like, with a name for messages.
    Stream(Box<dyn Write + Send>, PathBuf),
    /// Another output, which gets everything compressed.
    Compressed(Box<CompressedOutput>),
}

/// An output and the compression before it.
#[derive(Debug)]
pub struct CompressedOutput {
    compressor: Compressor,
    inner: TarOutput,
}

impl std::fmt::Debug for TarOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TarOutput::File(file) => f.debug_tuple("File").field(file).finish(),
            TarOutput::Stream(_, name) => f.debug_tuple("Stream").field(name).finish(),
            TarOutput::Compressed(output) => f.debug_tuple("Compressed").field(output).finish(),
        }
    }
}

/// Bytes that are collected before they go to a pipe: what a pipe holds by default.
const STREAM_BUFFER_SIZE: usize = 64 << 10;

impl TarOutput {
    /// Returns standard output. Not by way of [`io::stdout`], which looks for line ends.
    ///
    /// # Errors
    /// If it is closed.
    pub fn stdout() -> Result<Self, StorageError> {
        let name = PathBuf::from("stdout");
        let descriptor = io::stdout().as_fd().try_clone_to_owned();
        let file = File::from(descriptor.context("open file", &name)?);
        let stream = BufWriter::with_capacity(STREAM_BUFFER_SIZE, file);
        Ok(TarOutput::Stream(Box::new(stream), name))
    }

    /// Returns an output that compresses, on its share of the cores or as many threads as the compression says, and
    /// hands over to `inner`. Everything is of use only when it was finished: dropping it stops the threads
    /// and ends nothing.
    ///
    /// # Errors
    /// If the operating system gives no thread or the compression's library no memory.
    pub fn compressed(
        inner: TarOutput,
        compression: Compression,
        share: ThreadShare,
    ) -> Result<Self, StorageError> {
        let compressor = Compressor::new(compression, share, inner.path())?;
        Ok(TarOutput::Compressed(Box::new(CompressedOutput { compressor, inner })))
    }

    /// Returns the file's path, or what stands for it in messages.
    fn path(&self) -> &Path {
        match self {
            TarOutput::File(file) => file.path(),
            TarOutput::Stream(_, name) => name,
            TarOutput::Compressed(output) => output.compressor.path(),
        }
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        match self {
            TarOutput::File(file) => file.write(bytes),
            TarOutput::Stream(stream, name) => {
                stream.write_all(bytes).context("write to file", name)
            }
            TarOutput::Compressed(output) => {
                let CompressedOutput { compressor, inner } = output.as_mut();
                compressor.write(bytes, &mut |compressed| inner.write(compressed))
            }
        }
    }

    /// Hands over what is left.
    ///
    /// # Errors
    /// If writing fails.
    pub fn finish(self) -> Result<(), StorageError> {
        match self {
            TarOutput::File(file) => file.finish(),
            TarOutput::Stream(mut stream, name) => stream.flush().context("write to file", &name),
            TarOutput::Compressed(output) => {
                let CompressedOutput { compressor, mut inner } = *output;
                compressor.finish(&mut |compressed| inner.write(compressed))?;
                inner.finish()
            }
        }
    }
}

/// Returns the time as tar headers have it: seconds since 1970.
pub fn now_as_mtime() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// A tar file that repeats an archive's members byte for byte and may get members of its own behind
/// them. It is always terminated, also when the server's archive was not.
#[derive(Debug)]
pub struct TarFile {
    output: TarOutput,
    padding: usize,
}

impl TarFile {
    /// Begins an empty tar file.
    pub fn new(output: TarOutput) -> Self {
        TarFile { output, padding: 0 }
    }

    /// Begins a member of our own; its contents follow through [`Self::write`], and
    /// [`MemberSink::end`] closes it.
    ///
    /// # Errors
    /// If writing fails.
    pub fn begin_member(&mut self, member: &NewMember<'_>) -> Result<(), StorageError> {
        self.padding = padding(member.size);
        self.output.write(&member.to_header())
    }

    /// Appends contents to the member.
    ///
    /// # Errors
    /// If writing fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.output.write(bytes)
    }

    /// Appends a whole member of our own.
    ///
    /// # Errors
    /// If reading the contents or writing fails.
    pub fn append(
        &mut self,
        member: &NewMember<'_>,
        contents: &mut dyn io::Read,
    ) -> Result<(), StorageError> {
        self.begin_member(member)?;
        let mut chunk = vec![0; 64 << 10];
        loop {
            let size = contents
                .read(&mut chunk)
                .map_err(|source| StorageError::new("read contents of", member.name, source))?;
            match chunk.get(..size) {
                Some([]) | None => break,
                Some(bytes) => self.output.write(bytes)?,
            }
        }
        self.end()
    }

    /// Writes the two closing blocks and hands over the file.
    ///
    /// # Errors
    /// If writing fails.
    pub fn finish(mut self) -> Result<(), StorageError> {
        self.output.write(&ZEROS)?;
        self.output.finish()
    }
}

impl MemberSink for TarFile {
    type Error = StorageError;

    fn begin(&mut self, member: &Member) -> Result<(), StorageError> {
        self.padding = padding(member.size);
        self.output.write(&member.header[..])
    }

    fn contents(&mut self, bytes: Bytes) -> Result<(), StorageError> {
        self.output.write(&bytes)
    }

    fn end(&mut self) -> Result<(), StorageError> {
        let padding = std::mem::take(&mut self.padding);
        self.output.write(ZEROS.get(..padding).unwrap_or_default())
    }
}
