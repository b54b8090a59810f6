//! What is wrong with a backup.

use std::fmt;

use crate::control::ControlFileFault;
use crate::page::PageFault;
use crate::pg::{Lsn, TimelineId};

/// Something that is wrong. Sorts by path, then by what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The path below the root of the backup, or of an archive below the backup's directory.
    pub path: Vec<u8>,
    /// The archive that holds the file, if one does.
    pub archive: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// The file is listed, but not there.
    Missing,
    /// The file is there, but not listed.
    Extra,
    /// The file is there more than once.
    Repeated,
    /// The name stands for neither a file nor a directory.
    OddType,
    /// In a tar-format backup: the name stands for no file.
    NotRegular,
    /// In a tar-format backup: no archive has such a name.
    NotExpected,
    /// It could not be opened or read; the whole message.
    Io(String),
    /// The file has another size than the manifest says, in bytes.
    Size {
        /// The size as stored.
        found: u64,
        /// The size in the manifest.
        listed: u64,
    },
    /// Less or more could be read than the size promised, in bytes.
    ReadSize {
        /// What was read.
        read: u64,
        /// The size in the manifest.
        listed: u64,
    },
    /// The manifest has a checksum of a length that its algorithm does not give, in bytes.
    ChecksumLength {
        /// What the algorithm gives.
        computed: usize,
        /// What the manifest has.
        listed: usize,
    },
    /// The contents differ.
    Checksum,
    /// The archive is torn, damaged, or none.
    Archive(String),
    /// The control file is damaged.
    ControlFile {
        /// The file's path, with the backup's directory in plain format.
        file: String,
        /// What is wrong.
        fault: ControlFileFault,
    },
    /// The control file is another cluster's.
    OtherCluster {
        /// The control file's path, with the backup's directory in plain format.
        file: String,
        /// The identifier in the manifest.
        manifest: u64,
        /// The identifier in the control file.
        found: u64,
    },
    /// The cluster has pages or segments of another size than the ordinary one, so that pages were not checked.
    OtherPages {
        /// The size of a page in bytes.
        page_size: u32,
        /// The number of pages of a relation's segment.
        segment_pages: u32,
    },
    /// The backup label is damaged, or does not fit the manifest.
    BackupLabel(String),
    /// Pages are damaged.
    Pages {
        /// The first damaged block of a row, counted from the beginning of the relation's fork.
        first: u32,
        /// The last one.
        last: u32,
        /// The position that the first page has.
        lsn: Lsn,
        /// What is wrong with the first page.
        fault: PageFault,
    },
    /// The WAL from the timeline's range is damaged or not there.
    Wal {
        /// The timeline.
        timeline: TimelineId,
        /// What is wrong and where.
        reason: String,
    },
    /// Verifying was ended after so many findings; comes last, and has no path.
    TooMany(usize),
}

impl fmt::Display for Finding {
    /// Writes the message, in the words of `pg_verifybackup` where it has some.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = String::from_utf8_lossy(&self.path);
        match (&self.problem, &self.archive) {
            (Problem::Missing, _) => {
                write!(f, "\"{path}\" is present in the manifest but not on disk")
            }
            (Problem::Extra, None) => {
                write!(f, "\"{path}\" is present on disk but not in the manifest")
            }
            (Problem::Extra, Some(archive)) => write!(
                f,
                "file \"{path}\" is present in archive \"{archive}\" but not in the manifest"
            ),
            (Problem::Repeated, _) => write!(f, "file \"{path}\" is present more than once"),
            (Problem::OddType, _) => write!(f, "\"{path}\" is not a regular file or directory"),
            (Problem::NotRegular, _) => write!(f, "file \"{path}\" is not a regular file"),
            (Problem::NotExpected, _) => {
                write!(f, "file \"{path}\" is not expected in a tar format backup")
            }
            (Problem::Io(message), _) => f.write_str(message),
            (Problem::Size { found, listed }, None) => {
                write!(f, "\"{path}\" has size {found} on disk but size {listed} in the manifest")
            }
            (Problem::Size { found, listed }, Some(archive)) => write!(
                f,
                "file \"{path}\" has size {found} in archive \"{archive}\" but size {listed} in the manifest"
            ),
            (Problem::ReadSize { read, listed }, None) => {
                write!(f, "file \"{path}\" should contain {listed} bytes, but read {read}")
            }
            (Problem::ReadSize { read, listed }, Some(archive)) => write!(
                f,
                "file \"{path}\" in archive \"{archive}\" should contain {listed} bytes, but {read} bytes were read"
            ),
            (Problem::ChecksumLength { computed, listed }, None) => write!(
                f,
                "file \"{path}\" has checksum of length {listed}, but expected {computed}"
            ),
            (Problem::ChecksumLength { computed, listed }, Some(archive)) => write!(
                f,
                "file \"{path}\" in archive \"{archive}\" has checksum of length {listed}, but expected {computed}"
            ),
            (Problem::Checksum, None) => write!(f, "checksum mismatch for file \"{path}\""),
            (Problem::Checksum, Some(archive)) => {
                write!(f, "checksum mismatch for file \"{path}\" in archive \"{archive}\"")
            }
            (Problem::Archive(reason), _) => write!(f, "archive \"{path}\": {reason}"),
            (Problem::ControlFile { file, fault }, None) => write!(f, "{file}: {fault}"),
            (Problem::ControlFile { file, fault }, Some(archive)) => {
                write!(f, "{archive}: {file}: {fault}")
            }
            (Problem::OtherCluster { file, manifest, found }, archive) => {
                if let Some(archive) = archive {
                    write!(f, "{archive}: ")?;
                }
                write!(
                    f,
                    "{file}: manifest system identifier is {manifest}, but control file has {found}"
                )
            }
            (Problem::OtherPages { page_size, segment_pages }, _) => write!(
                f,
                "file \"{path}\": pages of {page_size} bytes in segments of {segment_pages} cannot be checked"
            ),
            (Problem::BackupLabel(reason), _) => write!(f, "file \"{path}\": {reason}"),
            (Problem::Pages { first, last, lsn, fault }, _) => {
                write!(f, "file \"{path}\", block {first}, LSN {lsn}: {fault}")?;
                match last.checked_sub(*first) {
                    Some(more @ 1..) => write!(f, " (and {more} more up to block {last})"),
                    Some(0) | None => Ok(()),
                }
            }
            (Problem::Wal { timeline, reason }, _) => {
                write!(f, "{reason}\nWAL parsing failed for timeline {timeline}")
            }
            (Problem::TooMany(count), _) => {
                write!(f, "verification was ended after {count} problems")
            }
        }
    }
}
