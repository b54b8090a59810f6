//! The backup label: where replay of a backup begins.

use super::ControlFile;
use crate::pg::{Lsn, SegmentNumber, TimelineId};

/// What a backup label says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupLabel {
    /// Where replay begins.
    pub start_lsn: Lsn,
    /// The name of the segment that holds this position.
    pub start_file: String,
    /// Where the record of the checkpoint begins with which the backup began.
    pub checkpoint: Lsn,
    /// How the backup was made: `streamed`.
    pub method: String,
    /// What server it is from.
    pub source: BackupSource,
    /// When it began, as that server prints it.
    pub start_time: String,
    /// The user's name for it.
    pub label: String,
    /// The timeline on which replay begins.
    pub timeline: TimelineId,
    /// Where the backup before began, if this one holds only what changed since (servers 17 and newer).
    pub incremental_from: Option<(TimelineId, Lsn)>,
}

/// What server a backup is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupSource {
    /// One that was not in recovery.
    Primary,
    /// One that was.
    Standby,
}

/// What is wrong with a backup label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum BackupLabelFault {
    /// No server writes such a long one; its size in bytes.
    #[error("unexpected backup label size {0}, expected at most {max}", max = BackupLabel::SIZE_MAX)]
    Size(u64),
    /// A line is absent.
    #[error("could not find {0}")]
    Missing(&'static str),
    /// A line is there twice.
    #[error("found {0} more than once")]
    Repeated(&'static str),
    /// What a line says has not its form.
    #[error("could not parse {0}")]
    Malformed(&'static str),
    /// The file ends inside a line.
    #[error("last line not newline-terminated")]
    Torn,
    /// Of two lines that belong together, only the first is there.
    #[error("{0} requires {1}")]
    Alone(&'static str, &'static str),
    /// The position that replay starts from is not in the file that is named with it.
    #[error("starts at LSN {lsn} in file \"{found}\", but expected file \"{expected}\"")]
    FileName {
        /// The position.
        lsn: Lsn,
        /// The name beside it.
        found: String,
        /// The name of the segment that holds it.
        expected: String,
    },
    /// Replay starts on another timeline than the manifest says.
    #[error("starts on timeline {found}, but expected {expected}")]
    Timeline {
        /// That in the label.
        found: TimelineId,
        /// That in the manifest.
        expected: TimelineId,
    },
    /// Replay starts at another position than the manifest says.
    #[error("starts at LSN {found}, but expected {expected}")]
    StartLsn {
        /// That in the label.
        found: Lsn,
        /// That in the manifest.
        expected: Lsn,
    },
    /// The control file is older than the label; it is the last file that a server sends.
    #[error("{name} {found} is inconsistent with control file, which has {control_file}")]
    ControlFile {
        /// What is compared.
        name: &'static str,
        /// The position in the label.
        found: Lsn,
        /// That in the control file.
        control_file: Lsn,
    },
}

const START_WAL_LOCATION: &str = "START WAL LOCATION";
const CHECKPOINT_LOCATION: &str = "CHECKPOINT LOCATION";
const BACKUP_METHOD: &str = "BACKUP METHOD";
const BACKUP_FROM: &str = "BACKUP FROM";
const START_TIME: &str = "START TIME";
const LABEL: &str = "LABEL";
const START_TIMELINE: &str = "START TIMELINE";
const INCREMENTAL_FROM_LSN: &str = "INCREMENTAL FROM LSN";
const INCREMENTAL_FROM_TLI: &str = "INCREMENTAL FROM TLI";

impl BackupLabel {
    /// More bytes than a label can have: the user's name for it is less than 1 KiB long, and the lines are few.
    pub const SIZE_MAX: usize = 4096;

    /// Reads a backup label.
    ///
    /// # Errors
    /// If a line is absent, there twice or cannot be read. Unknown lines do not matter.
    pub fn parse(bytes: &[u8]) -> Result<Self, BackupLabelFault> {
        if bytes.len() > Self::SIZE_MAX {
            return Err(BackupLabelFault::Size(bytes.len() as u64));
        }
        let Some(lines) = bytes.strip_suffix(b"\n").map(Lines) else {
            return Err(BackupLabelFault::Torn);
        };
        let (start_lsn, start_file) = lines.required(START_WAL_LOCATION, wal_location)?;
        Ok(BackupLabel {
            start_lsn,
            start_file,
            checkpoint: lines.required(CHECKPOINT_LOCATION, lsn)?,
            method: lines.required(BACKUP_METHOD, text)?,
            source: lines.required(BACKUP_FROM, source)?,
            start_time: lines.required(START_TIME, text)?,
            label: lines.required(LABEL, text)?,
            timeline: lines.required(START_TIMELINE, timeline)?,
            incremental_from: lines.incremental_from()?,
        })
    }

    /// Checks that replay begins where the manifest's earliest WAL range does, which is the last in its list.
    ///
    /// # Errors
    /// If it begins elsewhere.
    pub fn check_start(&self, timeline: TimelineId, start: Lsn) -> Result<(), BackupLabelFault> {
        if self.timeline != timeline {
            let (found, expected) = (self.timeline, timeline);
            return Err(BackupLabelFault::Timeline { found, expected });
        }
        if self.start_lsn != start {
            let (found, expected) = (self.start_lsn, start);
            return Err(BackupLabelFault::StartLsn { found, expected });
        }
        Ok(())
    }

    /// Checks that the label fits the control file of the same backup.
    ///
    /// # Errors
    /// If the start's file is not the segment that holds it, or if the control file is from before the backup's
    /// start: a server sends it last.
    pub fn check_control_file(&self, control_file: &ControlFile) -> Result<(), BackupLabelFault> {
        let size = control_file.wal_segment_size;
        let segment = SegmentNumber::containing(self.start_lsn, size);
        let expected = segment.file_name(self.timeline, size);
        if self.start_file != expected {
            let (lsn, found) = (self.start_lsn, self.start_file.clone());
            return Err(BackupLabelFault::FileName { lsn, found, expected });
        }
        let not_after = |name, found: Lsn, control_file: Lsn| {
            let fault = BackupLabelFault::ControlFile { name, found, control_file };
            if found <= control_file { Ok(()) } else { Err(fault) }
        };
        not_after(CHECKPOINT_LOCATION, self.checkpoint, control_file.checkpoint)?;
        not_after(START_WAL_LOCATION, self.start_lsn, control_file.redo)?;
        match self.source {
            BackupSource::Primary => Ok(()),
            // Where the backup of a standby ends.
            BackupSource::Standby => {
                not_after(START_WAL_LOCATION, self.start_lsn, control_file.min_recovery_point)
            }
        }
    }
}

/// Lines of the form `NAME: value`, in any order; without the last newline.
struct Lines<'a>(&'a [u8]);

impl Lines<'_> {
    fn incremental_from(&self) -> Result<Option<(TimelineId, Lsn)>, BackupLabelFault> {
        let timeline = self.optional(INCREMENTAL_FROM_TLI, timeline)?;
        match (timeline, self.optional(INCREMENTAL_FROM_LSN, lsn)?) {
            (Some(timeline), Some(lsn)) => Ok(Some((timeline, lsn))),
            (None, None) => Ok(None),
            (Some(_), None) => {
                Err(BackupLabelFault::Alone(INCREMENTAL_FROM_TLI, INCREMENTAL_FROM_LSN))
            }
            (None, Some(_)) => {
                Err(BackupLabelFault::Alone(INCREMENTAL_FROM_LSN, INCREMENTAL_FROM_TLI))
            }
        }
    }

    fn required<T>(
        &self,
        name: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, BackupLabelFault> {
        self.optional(name, read)?.ok_or(BackupLabelFault::Missing(name))
    }

    fn optional<T>(
        &self,
        name: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, BackupLabelFault> {
        let lines = self.0.split(|&byte| byte == b'\n');
        let mut values =
            lines.filter_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b": "));
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(BackupLabelFault::Repeated(name));
        }
        // The user's name for the backup may be in any encoding.
        let value = read(&String::from_utf8_lossy(value));
        value.map(Some).ok_or(BackupLabelFault::Malformed(name))
    }
}

/// Reads `0/2000028 (file 000000010000000000000002)`.
fn wal_location(value: &str) -> Option<(Lsn, String)> {
    let (start, file) = value.strip_suffix(')')?.split_once(" (file ")?;
    Some((lsn(start)?, file.to_owned()))
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn lsn(value: &str) -> Option<Lsn> {
    value.parse().ok()
}

fn timeline(value: &str) -> Option<TimelineId> {
    value.parse().ok()
}

fn source(value: &str) -> Option<BackupSource> {
    match value {
        // What 13 says, and what newer ones do.
        "master" | "primary" => Some(BackupSource::Primary),
        "standby" => Some(BackupSource::Standby),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::WalSegmentSize;

    /// As a server of 17 writes it for an incremental backup.
    const TEXT: &str = "\
START WAL LOCATION: 3/4000028 (file 000000020000000300000004)
CHECKPOINT LOCATION: 3/4000080
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-11-22 09:19:15 UTC
LABEL: nightly: 1
START TIMELINE: 2
INCREMENTAL FROM LSN: 3/2000028
INCREMENTAL FROM TLI: 1
";

    fn timeline(number: u32) -> TimelineId {
        TimelineId::try_from(number).unwrap()
    }

    fn label() -> BackupLabel {
        BackupLabel {
            start_lsn: Lsn::new(0x3_0400_0028),
            start_file: "000000020000000300000004".into(),
            checkpoint: Lsn::new(0x3_0400_0080),
            method: "streamed".into(),
            source: BackupSource::Primary,
            start_time: "2026-11-22 09:19:15 UTC".into(),
            label: "nightly: 1".into(),
            timeline: timeline(2),
            incremental_from: Some((timeline(1), Lsn::new(0x3_0200_0028))),
        }
    }

    fn fault(text: impl AsRef<[u8]>) -> String {
        BackupLabel::parse(text.as_ref()).unwrap_err().to_string()
    }

    #[test]
    fn a_label_is_read() {
        assert_eq!(BackupLabel::parse(TEXT.as_bytes()), Ok(label()));
        let old = TEXT.replace("primary", "master");
        assert_eq!(BackupLabel::parse(old.as_bytes()), Ok(label()));
        let (full, _) = TEXT.split_once("INCREMENTAL").unwrap();
        let full = full.replace("primary", "standby").replace("nightly: 1", "");
        let expected = BackupLabel {
            source: BackupSource::Standby,
            label: String::new(),
            incremental_from: None,
            ..label()
        };
        assert_eq!(BackupLabel::parse(full.as_bytes()), Ok(expected));
    }

    #[test]
    fn a_name_in_another_encoding_is_read_as_well_as_can_be() {
        let bytes = TEXT.replace("nightly: 1", "n?chtlich").into_bytes();
        let bytes: Vec<_> = bytes.iter().map(|b| if *b == b'?' { 0xE4 } else { *b }).collect();
        assert_eq!(BackupLabel::parse(&bytes).unwrap().label, "n\u{FFFD}chtlich");
    }

    #[test]
    fn faults_name_the_line() {
        let table = [
            ("START WAL", "START_WAL", "could not find START WAL LOCATION"),
            ("CHECKPOINT", "CHECK", "could not find CHECKPOINT LOCATION"),
            ("BACKUP METHOD: ", "BACKUP METHOD", "could not find BACKUP METHOD"),
            ("START TIMELINE", "TIMELINE", "could not find START TIMELINE"),
            ("3/4000028 (", "3-4000028 (", "could not parse START WAL LOCATION"),
            (" (file ", "(file ", "could not parse START WAL LOCATION"),
            ("04)", "04", "could not parse START WAL LOCATION"),
            ("3/4000080", "", "could not parse CHECKPOINT LOCATION"),
            ("primary", "replica", "could not parse BACKUP FROM"),
            ("TIMELINE: 2", "TIMELINE: 0", "could not parse START TIMELINE"),
            ("TIMELINE: 2", "TIMELINE: x", "could not parse START TIMELINE"),
            ("TLI: 1", "TLI: -1", "could not parse INCREMENTAL FROM TLI"),
            ("LABEL", "BACKUP FROM: primary\nLABEL", "found BACKUP FROM more than once"),
            ("TLI: 1\n", "TLI: 1", "last line not newline-terminated"),
            ("FROM TLI", "TLI", "INCREMENTAL FROM LSN requires INCREMENTAL FROM TLI"),
            ("FROM LSN", "LSN", "INCREMENTAL FROM TLI requires INCREMENTAL FROM LSN"),
        ];
        for (present, instead, text) in table {
            assert_eq!(fault(TEXT.replace(present, instead)), text);
        }
        assert_eq!(fault(""), "last line not newline-terminated");
        assert_eq!(fault("\n"), "could not find START WAL LOCATION");
        assert_eq!(fault([b'x'; 4097]), "unexpected backup label size 4097, expected at most 4096");
    }

    #[test]
    fn a_label_cut_anywhere_is_damaged_unless_it_looks_like_a_full_backup_s() {
        let full_size = TEXT.find("INCREMENTAL").unwrap();
        for size in 0..TEXT.len() {
            let parsed = BackupLabel::parse(&TEXT.as_bytes()[..size]);
            assert_eq!(parsed.is_ok(), size == full_size, "{size} bytes");
        }
    }

    #[test]
    fn the_start_is_that_of_the_manifest() {
        let start = |number, lsn| label().check_start(timeline(number), Lsn::new(lsn));
        let text = |result: Result<(), BackupLabelFault>| result.unwrap_err().to_string();
        assert_eq!(start(2, 0x3_0400_0028), Ok(()));
        assert_eq!(text(start(1, 0x3_0400_0028)), "starts on timeline 2, but expected 1");
        assert_eq!(text(start(2, 0x28)), "starts at LSN 3/4000028, but expected 0/28");
    }

    fn control_file() -> ControlFile {
        ControlFile {
            system_identifier: 1,
            control_version: 1800,
            catalog_version: 202_506_291,
            checkpoint: Lsn::new(0x3_0400_0080),
            redo: Lsn::new(0x3_0400_0028),
            timeline: timeline(2),
            min_recovery_point: Lsn::new(0x3_0400_0100),
            block_size: 8192,
            segment_blocks: 131_072,
            wal_block_size: 8192,
            wal_segment_size: WalSegmentSize::from_bytes(16 << 20).unwrap(),
            data_checksum_version: 1,
        }
    }

    #[test]
    fn the_control_file_is_not_older_than_the_label() {
        let standby = BackupLabel { source: BackupSource::Standby, ..label() };
        let sound = control_file();
        let (older, wider) = (Lsn::new(0x3_0400_0000), WalSegmentSize::from_bytes(32 << 20));
        let table = [
            (label(), sound, None),
            (standby.clone(), sound, None),
            (label(), ControlFile { min_recovery_point: Lsn::INVALID, ..sound }, None),
            (
                label(),
                ControlFile { checkpoint: older, ..sound },
                Some(
                    "CHECKPOINT LOCATION 3/4000080 is inconsistent with control file, \
                     which has 3/4000000",
                ),
            ),
            (
                label(),
                ControlFile { redo: older, ..sound },
                Some(
                    "START WAL LOCATION 3/4000028 is inconsistent with control file, \
                     which has 3/4000000",
                ),
            ),
            (
                standby,
                ControlFile { min_recovery_point: Lsn::INVALID, ..sound },
                Some(
                    "START WAL LOCATION 3/4000028 is inconsistent with control file, \
                     which has 0/0",
                ),
            ),
            (
                label(),
                ControlFile { wal_segment_size: wider.unwrap(), ..sound },
                Some(
                    "starts at LSN 3/4000028 in file \"000000020000000300000004\", \
                     but expected file \"000000020000000300000002\"",
                ),
            ),
        ];
        for (label, control_file, text) in table {
            let fault = label.check_control_file(&control_file).err().map(|f| f.to_string());
            assert_eq!(fault.as_deref(), text);
        }
    }
}
