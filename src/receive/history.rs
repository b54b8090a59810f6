//! Timeline history files (`writeTimeLineHistoryFile` of `receivelog.c`).
//!
//! Unlike the original, they keep their exact names also where segments are compressed, so that they are found
//! again and `restore_command` needs no second rule for them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::side_files::SideFiles;
use crate::pg::{Lsn, TimelineId, history_file_name};
use crate::storage::{NewFile, StorageError, durable};
use crate::wal::SyncPolicy;

/// What the server answered to `TIMELINE_HISTORY`.
#[derive(Clone, Debug)]
pub(super) struct FetchedHistory {
    /// The timeline that was asked for.
    pub timeline: TimelineId,
    /// The file's name.
    pub name: String,
    /// The file's contents.
    pub contents: Vec<u8>,
}

/// Returns where a server's history leaves a timeline, and for which one; `None` if it does not pass through it.
///
/// `contents` is the history file of the server's timeline, `latest`: a line for each timeline before, with its number and
/// where it ends (`readTimeLineHistory` of `timeline.c`). Lines that are none are passed over.
pub(super) fn left_at(
    contents: &[u8],
    timeline: TimelineId,
    latest: TimelineId,
) -> Option<(Lsn, TimelineId)> {
    let text = String::from_utf8_lossy(contents);
    let passed = text.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let number = fields.next()?.parse::<TimelineId>().ok()?;
        Some((number, fields.next()?.parse::<Lsn>().ok()?))
    });
    let mut passed = passed.skip_while(|(number, _)| *number != timeline);
    let (_, end) = passed.next()?;
    Some((end, passed.next().map_or(latest, |(next, _)| next)))
}

/// A history file cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The server sent another file than was asked for.
    #[error("server reported unexpected history file name for timeline {timeline}: {name}")]
    UnexpectedName {
        /// The timeline that was asked for.
        timeline: TimelineId,
        /// The name that the server gave.
        name: String,
    },
    /// There is such a file with other contents, so the timeline is another one of the same number.
    #[error("timeline history file \"{}\" differs from the server's", .0.display())]
    Diverged(PathBuf),
    /// The local disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Says whether the directory lacks a timeline's history file. The first timeline has none.
///
/// # Errors
/// If the file system does not tell.
pub(super) fn is_missing(directory: &Path, timeline: TimelineId) -> Result<bool, StorageError> {
    if timeline == TimelineId::FIRST {
        return Ok(false);
    }
    let path = directory.join(history_file_name(timeline));
    match path.try_exists() {
        Ok(exists) => Ok(!exists),
        Err(error) => Err(StorageError::new("stat file", path, error)),
    }
}

/// Stores a history file. One that is there already is not written again.
///
/// # Errors
/// If the server sent another file, if the file is there with other contents, or if the disk fails.
pub(super) fn store(files: &SideFiles, history: &FetchedHistory) -> Result<(), HistoryError> {
    let FetchedHistory { timeline, name, contents } = history;
    if *name != history_file_name(*timeline) {
        return Err(HistoryError::UnexpectedName { timeline: *timeline, name: name.clone() });
    }
    let path = files.directory.join(name);
    match fs::metadata(&path) {
        Ok(metadata) => keep(files, path, metadata.len(), contents),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(create(files, name, contents)?),
        Err(error) => Err(StorageError::new("stat file", path, error).into()),
    }
}

/// Makes sure that a file that was there is the one that it should be.
fn keep(files: &SideFiles, path: PathBuf, size: u64, contents: &[u8]) -> Result<(), HistoryError> {
    // A file of another size is not read: it may be of any size.
    if size != contents.len() as u64 {
        return Err(HistoryError::Diverged(path));
    }
    let present = fs::read(&path).map_err(|error| StorageError::new("read file", &path, error))?;
    if present != contents {
        return Err(HistoryError::Diverged(path));
    }
    match files.sync {
        SyncPolicy::Never => Ok(()),
        // Who wrote it may have been killed before it was safe.
        SyncPolicy::Segments | SyncPolicy::AtOnce => {
            let synced = File::open(&path).and_then(|file| file.sync_all());
            synced.map_err(|error| StorageError::new("fsync file", &path, error))?;
            Ok(durable::sync_directory(&files.directory)?)
        }
    }
}

fn create(files: &SideFiles, name: &str, contents: &[u8]) -> Result<(), StorageError> {
    let path = files.directory.join(name);
    let unfinished = files.directory.join(format!("{name}.tmp"));
    // The name is ours alone: a run that was killed left the file.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StorageError::new("remove file", unfinished, error));
        }
        Ok(()) | Err(_) => {}
    }
    let file = NewFile::create(unfinished.clone(), files.mode)?;
    file.write_at(contents, 0)?;
    match files.sync {
        SyncPolicy::Never => {
            file.close()?;
            durable::rename_unsynced(&unfinished, &path)
        }
        SyncPolicy::Segments | SyncPolicy::AtOnce => {
            file.sync()?;
            file.close()?;
            durable::rename(&unfinished, &path)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const CONTENTS: &[u8] = b"1\t0/3000158\tno recovery target specified\n";
    const NAME: &str = "0000000A.history";

    fn store_in(directory: &Path, sync: SyncPolicy, name: &str) -> Result<(), HistoryError> {
        let timeline = TimelineId::try_from(10).unwrap();
        let files = SideFiles { directory: directory.to_owned(), mode: 0o640, sync };
        let (name, contents) = (name.to_owned(), CONTENTS.to_vec());
        store(&files, &FetchedHistory { timeline, name, contents })
    }

    #[test]
    fn the_file_gets_its_exact_name_mode_and_contents() {
        for sync in [SyncPolicy::Never, SyncPolicy::Segments, SyncPolicy::AtOnce] {
            let scratch = tempfile::tempdir().unwrap();
            let path = scratch.path().join(NAME);
            let timeline = TimelineId::try_from(10).unwrap();
            assert!(is_missing(scratch.path(), timeline).unwrap());
            // The second time, it is there.
            for _ in 0..2 {
                store_in(scratch.path(), sync, NAME).unwrap();
                assert_eq!(fs::read(&path).unwrap(), CONTENTS);
            }
            assert!(!is_missing(scratch.path(), timeline).unwrap());
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
            assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn the_first_timeline_lacks_no_history() {
        assert!(!is_missing(Path::new("/nonexistent"), TimelineId::FIRST).unwrap());
    }

    #[test]
    fn what_a_killed_run_left_is_replaced() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join(format!("{NAME}.tmp")), "much longer".repeat(100)).unwrap();
        store_in(scratch.path(), SyncPolicy::Segments, NAME).unwrap();
        assert_eq!(fs::read(scratch.path().join(NAME)).unwrap(), CONTENTS);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn another_file_of_the_name_is_never_overwritten() {
        let mut of_same_size = CONTENTS.to_vec();
        of_same_size[0] = b'2';
        for present in [of_same_size.as_slice(), b"", b"1\t0/3000158\tshorter\n"] {
            let scratch = tempfile::tempdir().unwrap();
            let path = scratch.path().join(NAME);
            fs::write(&path, present).unwrap();
            let refusal = store_in(scratch.path(), SyncPolicy::Segments, NAME).unwrap_err();
            let path_text = path.display();
            assert_eq!(
                refusal.to_string(),
                format!("timeline history file \"{path_text}\" differs from the server's")
            );
            assert_eq!(fs::read(&path).unwrap(), present);
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "00000009.history", "0000000a.history", "../0000000A.history"] {
            let scratch = tempfile::tempdir().unwrap();
            let refusal = store_in(scratch.path(), SyncPolicy::Segments, name).unwrap_err();
            assert_eq!(
                refusal.to_string(),
                format!("server reported unexpected history file name for timeline 10: {name}")
            );
            assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_timeline_is_left_where_the_history_says() {
        let timeline = |number: u32| TimelineId::try_from(number).unwrap();
        let contents = b"1\t0/3000060\tno recovery target specified\n\n# a comment\n\
            3\t0/5000000\tbefore 2026-11-22\n5\t1/0\n7";
        let table = [
            (1, Some((0x300_0060, 3))),
            (3, Some((0x500_0000, 5))),
            (5, Some((0x1_0000_0000, 9))),
            (2, None),
            (7, None),
            (9, None),
        ];
        for (number, expected) in table {
            let found = left_at(contents, timeline(number), timeline(9));
            let expected = expected.map(|(at, next)| (Lsn::new(at), timeline(next)));
            assert_eq!(found, expected, "timeline {number}");
        }
        assert_eq!(left_at(b"\xff\0\n1 x\n1", timeline(1), timeline(2)), None);
    }
}
