//! The files of streamed WAL: segments in a directory, or members of `pg_wal.tar`.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::watch;

use crate::archive::{MemberSink as _, NewMember};
use crate::pg::{Lsn, SegmentNumber, TimelineId, WalSegmentSize, history_file_name};
use crate::pipeline::Batches;
use crate::storage::{NewFile, StorageError, TarFile, durable, now_as_mtime};

/// Permission bits of members of `pg_wal.tar`.
const TAR_MEMBER_MODE: u32 = 0o600;

/// Where streamed WAL goes.
#[derive(Debug)]
pub enum WalTarget {
    /// Into a directory that has an `archive_status` directory.
    Directory {
        /// The directory.
        path: PathBuf,
        /// Permission bits of the files.
        file_mode: u32,
        /// Whether each segment is synced when it is complete.
        sync: bool,
    },
    /// Into a tar file.
    Tar(TarFile),
}

/// What the files are named and cut by.
#[derive(Clone, Copy, Debug)]
pub struct WalFilesConfig {
    /// The timeline of the stream's beginning.
    pub timeline: TimelineId,
    /// The cluster's segment size.
    pub segment_size: WalSegmentSize,
}

/// Something to write.
#[derive(Debug)]
pub(super) enum WalWrite {
    /// From here on another timeline than before, or than the first, with the contents of its history file.
    Timeline(TimelineId, Vec<u8>),
    /// The next bytes of the log and where they belong.
    Data { start: Lsn, bytes: Bytes },
    /// The stream is complete.
    End,
}

/// Writes the stream's files; runs on a thread of its own.
#[derive(Debug)]
pub struct WalFiles {
    config: WalFilesConfig,
    target: WalTarget,
    current: Option<Segment>,
    /// Where the next bytes begin; none before the first ones of a timeline.
    expected: Option<Lsn>,
    /// Tells the session up to where everything is on stable storage.
    flushed: watch::Sender<Lsn>,
}

/// The segment that is being filled.
#[derive(Debug)]
struct Segment {
    name: String,
    /// How much of it is written.
    filled: u64,
    /// Its file; none in a tar file.
    file: Option<NewFile>,
}

impl WalFiles {
    /// Begins without a segment.
    pub(super) fn new(
        config: WalFilesConfig,
        target: WalTarget,
        flushed: watch::Sender<Lsn>,
    ) -> Self {
        WalFiles { config, target, current: None, expected: None, flushed }
    }

    /// Writes batches until the stream is complete, then fills the last segment with zeros. If the queue ends
    /// before that, the backup was given up and the files are left as they are.
    ///
    /// # Errors
    /// The first failure; nothing is written after it.
    pub(super) fn run(mut self, batches: Batches<Vec<WalWrite>>) -> Result<(), StorageError> {
        for write in batches.flatten() {
            match write {
                WalWrite::Timeline(timeline, history) => self.begin_timeline(timeline, &history)?,
                WalWrite::Data { start, bytes } => self.write(start, &bytes)?,
                WalWrite::End => return self.finish(),
            }
        }
        Ok(())
    }

    /// Leaves the timeline before and begins another one.
    fn begin_timeline(&mut self, timeline: TimelineId, history: &[u8]) -> Result<(), StorageError> {
        self.end_segment()?;
        self.config.timeline = timeline;
        self.expected = None;
        let name = history_file_name(timeline);
        self.write_whole(&name, history)?;
        self.mark_done(&name)
    }

    /// Writes the next bytes, which may belong to several segments.
    fn write(&mut self, mut start: Lsn, mut bytes: &[u8]) -> Result<(), StorageError> {
        let size = self.config.segment_size.bytes();
        // Zeros in between would look like the end of the log.
        if self.expected.is_some_and(|expected| start != expected) {
            let gap = io::Error::other(format!("nothing was received before {start}"));
            let name = self.segment_name(start);
            return Err(StorageError::new("write WAL file", Path::new(&name), gap));
        }
        self.expected = start.checked_add(bytes.len() as u64);
        while !bytes.is_empty() {
            if self.current.is_none() {
                self.open_segment(start)?;
            }
            let offset = start.offset() % size;
            let space = usize::try_from(size - offset).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(space.min(bytes.len()));
            self.write_to_segment(now, offset)?;
            start = start.checked_add(now.len() as u64).unwrap_or(start);
            bytes = later;
            if start.offset().is_multiple_of(size) {
                self.close_segment(start)?;
            }
        }
        Ok(())
    }

    fn segment_name(&self, position: Lsn) -> String {
        let WalFilesConfig { timeline, segment_size } = self.config;
        SegmentNumber::containing(position, segment_size).file_name(timeline, segment_size)
    }

    fn open_segment(&mut self, start: Lsn) -> Result<(), StorageError> {
        let segment_size = self.config.segment_size;
        let name = self.segment_name(start);
        let file = match &mut self.target {
            WalTarget::Directory { path, file_mode, .. } => {
                let file = NewFile::create(path.join(&name), *file_mode)?;
                // What the stream does not reach reads as zeros, as in the server's own segments.
                file.set_size(segment_size.bytes())?;
                Some(file)
            }
            WalTarget::Tar(tar) => {
                tar.begin_member(&tar_member(&name, segment_size.bytes()))?;
                None
            }
        };
        self.current = Some(Segment { name, filled: 0, file });
        Ok(())
    }

    fn write_to_segment(&mut self, bytes: &[u8], offset: u64) -> Result<(), StorageError> {
        let Some(segment) = &mut self.current else { return Ok(()) };
        segment.filled = offset + bytes.len() as u64;
        match (&mut self.target, &segment.file) {
            (WalTarget::Tar(tar), _) => tar.write(bytes),
            (WalTarget::Directory { .. }, Some(file)) => file.write_at(bytes, offset),
            (WalTarget::Directory { .. }, None) => Ok(()),
        }
    }

    /// Completes the current segment, which ends at `end`.
    fn close_segment(&mut self, end: Lsn) -> Result<(), StorageError> {
        let Some(segment) = self.current.take() else { return Ok(()) };
        let name = segment.name.clone();
        self.complete(segment)?;
        self.mark_done(&name)?;
        if matches!(self.target, WalTarget::Directory { sync: true, .. }) {
            // Nobody may be listening any more, when the stream has ended.
            let _ = self.flushed.send(end);
        }
        Ok(())
    }

    /// Ends a segment that is written to its end, and brings it to stable storage if that was asked for.
    fn complete(&mut self, segment: Segment) -> Result<(), StorageError> {
        match (&mut self.target, segment.file) {
            (WalTarget::Tar(tar), _) => tar.end(),
            (WalTarget::Directory { path: directory, sync, .. }, Some(file)) => {
                if *sync {
                    file.sync()?;
                    durable::sync_directory(directory)?;
                }
                file.close()
            }
            (WalTarget::Directory { .. }, None) => Ok(()),
        }
    }

    /// Tells the server that will start from the backup that this file needs no archiving.
    fn mark_done(&mut self, name: &str) -> Result<(), StorageError> {
        self.write_whole(&format!("archive_status/{name}.done"), &[])
    }

    fn write_whole(&mut self, name: &str, contents: &[u8]) -> Result<(), StorageError> {
        match &mut self.target {
            WalTarget::Directory { path, file_mode, sync } => {
                let file = NewFile::create(path.join(name), *file_mode)?;
                file.write_at(contents, 0)?;
                if *sync {
                    file.sync()?;
                }
                file.close()
            }
            WalTarget::Tar(tar) => {
                tar.append(&tar_member(name, contents.len() as u64), &mut &contents[..])
            }
        }
    }

    /// Completes the segment in which the timeline's stream ended. It is not marked as done, unless it is full: the
    /// server may have more of it.
    fn end_segment(&mut self) -> Result<(), StorageError> {
        let Some(segment) = self.current.take() else { return Ok(()) };
        if let WalTarget::Tar(tar) = &mut self.target {
            pad(tar, self.config.segment_size.bytes() - segment.filled)?;
        }
        self.complete(segment)
    }

    /// Completes the last segment, and the tar file.
    fn finish(mut self) -> Result<(), StorageError> {
        self.end_segment()?;
        match self.target {
            WalTarget::Tar(tar) => tar.finish(),
            WalTarget::Directory { .. } => Ok(()),
        }
    }
}

fn tar_member(name: &str, size: u64) -> NewMember<'_> {
    NewMember { name, mode: TAR_MEMBER_MODE, size, mtime: now_as_mtime(), injected: false }
}

/// Appends zeros to a member.
fn pad(tar: &mut TarFile, mut size: u64) -> Result<(), StorageError> {
    let zeros = [0; 8192];
    while size > 0 {
        let step = zeros.len().min(usize::try_from(size).unwrap_or(zeros.len()));
        tar.write(zeros.get(..step).unwrap_or_default())?;
        size -= step as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_do_not_follow_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let segment_size = WalSegmentSize::from_bytes(1 << 20).unwrap();
        let config = WalFilesConfig { timeline: TimelineId::FIRST, segment_size };
        let path = directory.path().to_owned();
        let target = WalTarget::Directory { path, file_mode: 0o600, sync: false };
        let mut files = WalFiles::new(config, target, watch::Sender::new(Lsn::INVALID));
        let start = Lsn::new(5 << 20);
        files.write(start, &[1; 100]).unwrap();
        files.write(Lsn::new((5 << 20) + 100), &[2; 100]).unwrap();
        let gap = files.write(Lsn::new((5 << 20) + 300), &[3; 100]).unwrap_err();
        assert!(gap.to_string().ends_with("nothing was received before 0/50012C"), "{gap}");
    }
}
