//! The segment under way.

use std::fs;
use std::path::{Path, PathBuf};

use super::prior::Prior;
use super::progress::Heartbeat;
use super::{WalWriteError, WalWriterConfig};
use crate::pg::{Compression, Lsn, SegmentNumber};
use crate::storage::{NewFile, SegmentContents, SegmentFile, SegmentFileConfig, StorageError};
use crate::walrecord::WalOrigin;

/// What a segment that is not complete has behind its name.
const PARTIAL_SUFFIX: &str = ".partial";

/// What a compressed one has in addition while it repeats what an earlier run stored under the partial name.
const REPEATING_SUFFIX: &str = ".tmp";

/// A segment that is being filled, under a name that says so.
#[derive(Debug)]
pub(super) struct Segment {
    file: SegmentFile,
    /// The name that it gets when it is complete.
    final_path: PathBuf,
    /// What an earlier run stored of it, until that was received once more.
    prior: Option<Prior>,
    /// Whether the file must still be renamed to its partial name, as that one holds what an earlier run stored.
    is_repeating: bool,
    /// The end of all that can be read of what an earlier run stored: up to here, it may have been acknowledged.
    prior_end: Lsn,
    start: Lsn,
    /// Everything before this was appended.
    position: Lsn,
    end: Lsn,
    heartbeat: Heartbeat,
}

impl Segment {
    /// Creates the segment that begins at a position, or goes on with what an earlier run left of it.
    pub(super) fn open(
        config: &WalWriterConfig,
        start: Lsn,
        heartbeat: &Heartbeat,
    ) -> Result<Self, WalWriteError> {
        let number = SegmentNumber::containing(start, config.segment_size);
        let name = number.file_name(config.timeline, config.segment_size);
        let format = config.compression.map(|compression| compression.format());
        let suffix = format.map_or("", |format| format.suffix());
        let final_path = config.directory.join(format!("{name}{suffix}"));
        let partial_path = with_suffix(&final_path, PARTIAL_SUFFIX);
        let left = fs::exists(&partial_path)
            .map_err(|source| StorageError::new("stat file", &partial_path, source))?;
        let prior = match config.format {
            Some(wal_format) if left => {
                let WalWriterConfig { timeline, segment_size, system_identifier, .. } = *config;
                let origin = WalOrigin {
                    start,
                    timeline,
                    segment_size,
                    format: wal_format,
                    system_identifier,
                };
                Prior::find(&partial_path, format, origin, heartbeat)?
            }
            None if left => match format {
                Some(format) => Prior::of_unknown_form(&partial_path, format, start, heartbeat)?,
                // Of a plain file, nothing says how much is in it.
                None => None,
            },
            Some(_) | None => None,
        };
        let end = start.checked_add(config.segment_size.bytes()).unwrap_or(Lsn::new(u64::MAX));
        let prior_end = prior.as_ref().map_or(start, Prior::end);
        let opening =
            Opening { config, partial_path, left, filled_until: prior.as_ref().map(Prior::until) };
        let (file, is_repeating) = match config.compression {
            None => (opening.plain(start)?, false),
            Some(compression) => opening.compressed(compression)?,
        };
        Ok(Segment {
            file,
            final_path,
            prior,
            is_repeating,
            prior_end,
            start,
            position: start,
            end,
            heartbeat: heartbeat.clone(),
        })
    }

    /// Returns the position behind the segment.
    pub(super) fn end(&self) -> Lsn {
        self.end
    }

    /// Says whether what an earlier run stored is worth more than what came, so that nothing is to be acknowledged.
    /// It is worth less if the server has no more (`is_latest`): then it has lost the incomplete record at its end.
    pub(super) fn is_behind(&self, is_latest: bool) -> bool {
        let holds_less = self.is_repeating && self.position < self.prior_end && !is_latest;
        self.prior.is_some() || holds_less
    }

    /// Appends bytes from a position on, which must not lie behind the segment's end. What an earlier run stored
    /// of them is compared instead, and is left alone.
    pub(super) fn append(
        &mut self,
        start: Lsn,
        bytes: &[u8],
        config: &WalWriterConfig,
    ) -> Result<(), WalWriteError> {
        self.position = start.checked_add(bytes.len() as u64).unwrap_or(self.end);
        let Some(prior) = &mut self.prior else { return Ok(self.file.append(bytes)?) };
        let until = prior.until();
        let known = until.checked_sub(start).unwrap_or(0);
        let known = usize::try_from(known).unwrap_or(usize::MAX).min(bytes.len());
        let (known, new) = bytes.split_at(known);
        prior.receive(known);
        let is_last = start.checked_add(known.len() as u64).is_some_and(|end| end >= until);
        if is_last && !self.prior.take().is_none_or(Prior::confirm) {
            let file = with_suffix(&self.final_path, PARTIAL_SUFFIX).display().to_string();
            return Err(WalWriteError::Diverged { at: until, timeline: config.timeline, file });
        }
        match self.is_repeating {
            true => self.file.append(known)?,
            // A plain file holds them already. But who wrote them may have failed to sync them, and a sync that
            // failed is not tried again unless they are written once more.
            false if is_last => {
                let size = until.checked_sub(self.start).unwrap_or(0);
                self.file.write_again(size, &|| self.heartbeat.beat())?
            }
            false => {}
        }
        Ok(self.file.append(new)?)
    }

    /// Writes everything out, also what a compressor holds.
    pub(super) fn flush(&mut self) -> Result<(), StorageError> {
        self.file.flush()
    }

    /// Writes everything out that no compressor holds.
    pub(super) fn write_out(&mut self) -> Result<(), StorageError> {
        self.file.write_out()
    }

    /// Brings everything to stable storage, under a name that an earlier run's file may have had till now; not as
    /// long as [`Self::is_behind`].
    pub(super) fn sync(&mut self) -> Result<(), StorageError> {
        if self.is_repeating {
            self.file.rename(with_suffix(&self.final_path, PARTIAL_SUFFIX))?;
            self.is_repeating = false;
        }
        self.file.sync()
    }

    /// Says whether the next bytes reach where [`Self::write_zeros_ahead`] would write.
    pub(super) fn is_at_end_of_zeros(&self) -> bool {
        self.file.is_at_end_of_zeros()
    }

    /// Prepares for many small syncs.
    pub(super) fn write_zeros_ahead(&mut self) -> Result<(), StorageError> {
        self.file.write_zeros_ahead()
    }

    /// Ends the file and returns it with the name that it is to have, and what an earlier run left that is of no
    /// use when it has that name.
    pub(super) fn finish(self) -> Result<FinishedSegment, StorageError> {
        let obsolete = self.is_repeating.then(|| with_suffix(&self.final_path, PARTIAL_SUFFIX));
        Ok(FinishedSegment { file: self.file.finish()?, final_path: self.final_path, obsolete })
    }

    /// Ends a segment that is not complete; it keeps its partial name. Returns the file and the name that it does
    /// not get.
    pub(super) fn suspend(mut self) -> Result<(NewFile, String), StorageError> {
        let name = self.final_path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if self.is_repeating && !self.is_behind(false) {
            self.sync()?;
        }
        let is_repeating = self.is_repeating;
        let file = self.file.finish()?;
        if is_repeating {
            // The file under the partial name holds more.
            let path = file.path();
            fs::remove_file(path).map_err(|error| StorageError::new("remove file", path, error))?;
        }
        Ok((file, name))
    }
}

/// A segment that is written to its end.
pub(super) struct FinishedSegment {
    pub(super) file: NewFile,
    pub(super) final_path: PathBuf,
    pub(super) obsolete: Option<PathBuf>,
}

/// What is known when a file is opened.
struct Opening<'a> {
    config: &'a WalWriterConfig,
    partial_path: PathBuf,
    /// Whether an earlier run left something there.
    left: bool,
    /// Up to where that is of worth.
    filled_until: Option<Lsn>,
}

impl Opening<'_> {
    fn file_config(&self) -> SegmentFileConfig {
        SegmentFileConfig { mode: self.config.file_mode, direct_io: self.config.direct_io }
    }

    fn plain(self, start: Lsn) -> Result<SegmentFile, WalWriteError> {
        let (file_config, size) = (self.file_config(), self.config.segment_size.bytes());
        if !self.left {
            let contents = SegmentContents::Plain { size };
            return Ok(SegmentFile::create(self.partial_path, contents, file_config)?);
        }
        let found = fs::metadata(&self.partial_path)
            .map_err(|error| StorageError::new("stat file", &self.partial_path, error))?
            .len();
        if found > size {
            let file = self.partial_path.display().to_string();
            return Err(WalWriteError::TooLarge { file, found, size });
        }
        let filled = self.filled_until.and_then(|until| until.checked_sub(start)).unwrap_or(0);
        Ok(SegmentFile::resume(self.partial_path, size, filled, file_config)?)
    }

    /// A compressed stream cannot be gone on with. What is there stays until the new file holds as much.
    fn compressed(self, compression: Compression) -> Result<(SegmentFile, bool), StorageError> {
        let contents = SegmentContents::Compressed(compression);
        let is_repeating = self.left;
        let file_config = self.file_config();
        let path = match is_repeating {
            true => with_suffix(&self.partial_path, REPEATING_SUFFIX),
            false => self.partial_path,
        };
        if is_repeating && fs::exists(&path).unwrap_or(false) {
            // A run before did not get far enough to need it.
            fs::remove_file(&path)
                .map_err(|error| StorageError::new("remove file", &path, error))?;
        }
        Ok((SegmentFile::create(path, contents, file_config)?, is_repeating))
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
