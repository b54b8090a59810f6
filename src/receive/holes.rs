//! The record of holes beside the WAL.
//!
//! [`FILE_NAME`] holds a JSON object a line, the oldest hole first:
//!
//! | field | value |
//! |---|---|
//! | `from` | the first position that is missing; `null` if nothing is known of what was before |
//! | `to` | where the WAL begins that is there |
//! | `timeline` | the timeline of `to` |
//! | `cause` | `empty_directory`, `slot_without_position` or `removed_by_server` |
//! | `noticed` | when it was noticed, ISO 8601 |
//!
//! Of lines with the same `from` and `cause`, the last one counts: the server may have removed more before
//! receiving went on. A line that is no JSON was torn by a power cut.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::config::HolePolicy;
use super::report::{Hole, HoleCause};
use super::side_files::SideFiles;
use crate::pg::TimelineId;
use crate::storage::{LineFile, StorageError};
use crate::wal::SyncPolicy;

/// The file's name. Tools that list the directory pass over names that begin with a dot.
pub(super) const FILE_NAME: &str = ".pgsiphon-holes";

/// How much of the end of the file is searched for a hole: hundreds of lines.
const TAIL_SIZE_MAX: u64 = 64 << 10;

/// How much of the end of the file is read to list holes: thousands of lines.
const RECORD_SIZE_MAX: u64 = 1 << 20;

/// A hole as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    from: Option<String>,
    to: String,
    timeline: u32,
    cause: String,
    noticed: String,
}

impl Line {
    fn of(hole: &Hole) -> Self {
        Line {
            from: hole.from.map(|from| from.to_string()),
            to: hole.to.to_string(),
            timeline: hole.timeline.number(),
            cause: hole.cause.name().to_owned(),
            noticed: hole.noticed.to_string(),
        }
    }

    /// Whether both tell of WAL that is missing from the same position for the same reason.
    fn begins_like(&self, other: &Line) -> bool {
        self.from == other.from && self.cause == other.cause
    }

    fn ends_like(&self, other: &Line) -> bool {
        self.to == other.to && self.timeline == other.timeline
    }

    /// Reads what was written; nothing if that was not all by us.
    fn into_hole(self, directory: &Path) -> Option<Hole> {
        let causes =
            [HoleCause::EmptyDirectory, HoleCause::SlotWithoutPosition, HoleCause::RemovedByServer];
        let from = match self.from {
            Some(from) => Some(from.parse().ok()?),
            None => None,
        };
        Some(Hole {
            from,
            to: self.to.parse().ok()?,
            timeline: TimelineId::try_from(self.timeline).ok()?,
            cause: causes.into_iter().find(|cause| cause.name() == self.cause)?,
            noticed: self.noticed.parse().ok()?,
            directory: directory.to_owned(),
        })
    }
}

/// Records a hole; it is on stable storage afterwards.
///
/// Attempt after attempt may meet the same hole. It is written again only if receiving goes on behind it, as
/// `policy` says, and it ends elsewhere than when it was last written.
///
/// # Errors
/// If the file cannot be read or written.
pub(super) fn record(
    files: &SideFiles,
    hole: &Hole,
    policy: HolePolicy,
) -> Result<(), StorageError> {
    let path = files.directory.join(FILE_NAME);
    let file = LineFile::open(path.clone(), files.mode)?;
    let line = Line::of(hole);
    let tail = file.tail(TAIL_SIZE_MAX)?;
    let last = tail
        .lines()
        .rev()
        .filter_map(|text| serde_json::from_str::<Line>(text).ok())
        .find(|written| written.begins_like(&line));
    let is_written = last.is_some_and(|written| match policy {
        HolePolicy::Refuse => true,
        HolePolicy::Skip => written.ends_like(&line),
    });
    if !is_written {
        let text = serde_json::to_string(&line);
        let text = text.map_err(|error| StorageError::new("write to file", path, error))?;
        file.append(&text)?;
    }
    match files.sync {
        SyncPolicy::Never => Ok(()),
        // Also a line that was there: who wrote it may have been killed before it was safe.
        SyncPolicy::Segments | SyncPolicy::AtOnce => file.sync(),
    }
}

/// Returns the holes that are recorded beside the WAL, in the order in which they were first noticed: each once, as it
/// was last written. Of a record that is longer than any that holes make, only the end is read.
///
/// # Errors
/// If there is a record that cannot be read.
pub fn holes(directory: &Path) -> Result<Vec<Hole>, StorageError> {
    let Some(tail) = LineFile::tail_of(&directory.join(FILE_NAME), RECORD_SIZE_MAX)? else {
        return Ok(Vec::new());
    };
    let mut holes: Vec<Hole> = Vec::new();
    let lines = tail.lines().filter_map(|text| serde_json::from_str::<Line>(text).ok());
    for hole in lines.filter_map(|line| line.into_hole(directory)) {
        let is_same = |known: &&mut Hole| (known.from, known.cause) == (hole.from, hole.cause);
        match holes.iter_mut().find(is_same) {
            Some(known) => *known = hole,
            None => holes.push(hole),
        }
    }
    Ok(holes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::pg::{Lsn, Timestamp};

    fn hole(from: Option<u64>, to: u64, cause: HoleCause) -> Hole {
        Hole {
            from: from.map(Lsn::new),
            to: Lsn::new(to),
            timeline: TimelineId::FIRST,
            cause,
            noticed: Timestamp::from_micros(0),
            directory: "/wal".into(),
        }
    }

    fn record_in(directory: &Path, hole: &Hole, policy: HolePolicy) {
        let directory = directory.to_owned();
        let files = SideFiles { directory, mode: 0o600, sync: SyncPolicy::Segments };
        record(&files, hole, policy).unwrap();
    }

    /// Returns the ends of the recorded holes.
    fn recorded(directory: &Path) -> Vec<String> {
        let text = fs::read_to_string(directory.join(FILE_NAME)).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        lines.map(|line| line.to).collect()
    }

    #[test]
    fn a_hole_is_an_object_on_a_line() {
        let table = [
            (
                hole(None, 0x300_0000, HoleCause::EmptyDirectory),
                r#"{"from":null,"to":"0/3000000","timeline":1,"cause":"empty_directory","noticed":"2000-01-01T00:00:00.000000Z"}"#,
            ),
            (
                hole(None, 0x1_0000_0000, HoleCause::SlotWithoutPosition),
                r#"{"from":null,"to":"1/0","timeline":1,"cause":"slot_without_position","noticed":"2000-01-01T00:00:00.000000Z"}"#,
            ),
            (
                hole(Some(0x100_0000), 0x300_0000, HoleCause::RemovedByServer),
                r#"{"from":"0/1000000","to":"0/3000000","timeline":1,"cause":"removed_by_server","noticed":"2000-01-01T00:00:00.000000Z"}"#,
            ),
        ];
        for (hole, line) in table {
            let scratch = tempfile::tempdir().unwrap();
            record_in(scratch.path(), &hole, HolePolicy::Skip);
            let text = fs::read_to_string(scratch.path().join(FILE_NAME)).unwrap();
            assert_eq!(text, format!("{line}\n"));
        }
    }

    /// A hole that is met, and what is done about it.
    type Attempt = (Hole, HolePolicy);

    #[test]
    fn a_hole_that_stays_is_written_once() {
        use HoleCause::{EmptyDirectory, RemovedByServer};
        use HolePolicy::{Refuse, Skip};
        let table: [(&str, &[Attempt], &[&str]); 5] = [
            (
                "refused again and again, while the server removes more",
                &[
                    (hole(Some(1), 2, RemovedByServer), Refuse),
                    (hole(Some(1), 2, RemovedByServer), Refuse),
                    (hole(Some(1), 3, RemovedByServer), Refuse),
                ],
                &["0/2"],
            ),
            (
                "skipped at last",
                &[
                    (hole(Some(1), 2, RemovedByServer), Refuse),
                    (hole(Some(1), 3, RemovedByServer), Skip),
                    (hole(Some(1), 3, RemovedByServer), Skip),
                ],
                &["0/2", "0/3"],
            ),
            (
                "an empty directory that stays empty",
                &[
                    (hole(None, 2, EmptyDirectory), Skip),
                    (hole(None, 2, EmptyDirectory), Skip),
                    (hole(None, 3, EmptyDirectory), Skip),
                    (hole(None, 2, EmptyDirectory), Skip),
                ],
                &["0/2", "0/3", "0/2"],
            ),
            (
                "different causes",
                &[
                    (hole(None, 2, EmptyDirectory), Skip),
                    (hole(None, 2, HoleCause::SlotWithoutPosition), Skip),
                ],
                &["0/2", "0/2"],
            ),
            (
                "different holes",
                &[
                    (hole(Some(1), 2, RemovedByServer), Refuse),
                    (hole(Some(5), 6, RemovedByServer), Refuse),
                    (hole(Some(1), 2, RemovedByServer), Refuse),
                ],
                &["0/2", "0/6"],
            ),
        ];
        for (what, holes, ends) in table {
            let scratch = tempfile::tempdir().unwrap();
            for (hole, policy) in holes {
                record_in(scratch.path(), hole, *policy);
            }
            assert_eq!(recorded(scratch.path()), ends, "{what}");
        }
    }

    #[test]
    fn holes_are_listed_once_as_they_were_last_written() {
        let scratch = tempfile::tempdir().unwrap();
        assert_eq!(holes(scratch.path()).unwrap(), []);
        let in_scratch = |hole: Hole| Hole { directory: scratch.path().to_owned(), ..hole };
        let first = in_scratch(hole(Some(1), 2, HoleCause::RemovedByServer));
        let longer = in_scratch(hole(Some(1), 5, HoleCause::RemovedByServer));
        let empty = in_scratch(hole(None, 2, HoleCause::EmptyDirectory));
        for hole in [&first, &empty, &longer] {
            record_in(scratch.path(), hole, HolePolicy::Skip);
        }
        assert_eq!(holes(scratch.path()).unwrap(), [longer.clone(), empty.clone()]);
        let path = scratch.path().join(FILE_NAME);
        let whole = fs::read_to_string(&path).unwrap();
        let strange =
            whole.replace("removed_by_server", "?").replace("\"timeline\":1", "\"timeline\":0");
        fs::write(&path, format!("{strange}{{\"from\":\n{whole}\0\0torn")).unwrap();
        assert_eq!(holes(scratch.path()).unwrap(), [longer, empty]);
    }

    #[test]
    fn a_torn_line_hides_no_other() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join(FILE_NAME);
        let first = hole(Some(1), 2, HoleCause::RemovedByServer);
        record_in(scratch.path(), &first, HolePolicy::Skip);
        let whole = fs::read_to_string(&path).unwrap();
        for torn in [r#"{"from":"0/1","to"#, "\0\0\0\0", "\u{FFFD}"] {
            fs::write(&path, format!("{whole}{torn}")).unwrap();
            record_in(scratch.path(), &first, HolePolicy::Skip);
            assert_eq!(recorded(scratch.path()), ["0/2"], "{torn:?}");
            let second = hole(Some(3), 4, HoleCause::RemovedByServer);
            record_in(scratch.path(), &second, HolePolicy::Skip);
            assert_eq!(recorded(scratch.path()), ["0/2", "0/4"], "{torn:?}");
        }
    }
}
