//! When what was committed: an index from moments to positions beside the WAL.
//!
//! [`FILE_NAME`] holds a line `TIMELINE LSN TIMESTAMP` for a commit in about every minute in which there were
//! any, by the server's clock: `1 16/B374D848 2026-11-22T12:34:56.123456Z`. That is at most 65 KB a day and
//! 24 MB a year. Who needs the very last commit before a moment reads the log from the one that is found here.
//!
//! The index is an aid. Lines are in the order in which WAL was received; after a restart some come again. When
//! the server's clock is set back, times go back too.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::side_files::SideFiles;
use crate::pg::{Lsn, TimelineId, Timestamp};
use crate::storage::{LineFile, StorageError};

/// The file's name. Tools that list the directory pass over names that begin with a dot.
pub(super) const FILE_NAME: &str = ".pgsiphon-times";

/// Commits that are nearer to each other share a line.
const INTERVAL_MICROS: u64 = 60 * 1_000_000;

/// When a transaction was committed, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitTime {
    /// The timeline.
    pub timeline: TimelineId,
    /// Where the commit record ends.
    pub end: Lsn,
    /// The moment, by the server's clock.
    pub committed: Timestamp,
}

impl fmt::Display for CommitTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.timeline, self.end, self.committed)
    }
}

/// The text is no line of the index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid commit time: \"{0}\"")]
pub struct ParseCommitTimeError(pub String);

impl FromStr for CommitTime {
    type Err = ParseCommitTimeError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (timeline, rest) = line.split_once(' ')?;
            let (end, committed) = rest.split_once(' ')?;
            Some(CommitTime {
                timeline: timeline.parse().ok()?,
                end: end.parse().ok()?,
                committed: committed.parse().ok()?,
            })
        };
        parse().ok_or_else(|| ParseCommitTimeError(line.to_owned()))
    }
}

/// Returns the last of these commits that a recovery up to `moment` would replay, as `recovery_target_time`
/// means it: the last one before the first that is later than the moment. `None` if there is none.
///
/// The commits, of one history of timelines, may be in any order and may repeat.
pub fn last_commit_not_after(commits: &[CommitTime], moment: Timestamp) -> Option<CommitTime> {
    let first_later = commits.iter().filter(|c| c.committed > moment).map(|c| c.end).min();
    let replayed = commits.iter().filter(|c| first_later.is_none_or(|later| c.end < later));
    replayed.max_by_key(|commit| commit.end).copied()
}

/// Writes the index.
#[derive(Debug)]
pub(super) struct TimeIndexWriter {
    path: PathBuf,
    mode: u32,
    /// The commit time that was last written, or could not be.
    last: Option<Timestamp>,
    is_failing: bool,
}

impl TimeIndexWriter {
    /// Begins where the last run ended. Touches nothing.
    pub(super) fn new(files: &SideFiles) -> Self {
        let path = files.directory.join(FILE_NAME);
        TimeIndexWriter { path, mode: files.mode, last: None, is_failing: false }
    }

    /// Takes a commit, and writes it if a minute has passed since the last one that was written, in either
    /// direction. Nothing is synced.
    ///
    /// # Errors
    /// If writing fails that did not fail the last time; the index goes without the commit.
    pub(super) fn add(&mut self, commit: CommitTime) -> Result<(), StorageError> {
        let is_near = |last| commit.committed.micros_since(last).unsigned_abs() < INTERVAL_MICROS;
        if self.last.is_some_and(is_near) {
            return Ok(());
        }
        self.last = Some(commit.committed);
        // Opened each time, which happens rarely, so that a line torn by a full disk is noticed.
        let outcome = LineFile::open(self.path.clone(), self.mode)
            .and_then(|file| file.append(&commit.to_string()));
        let was_failing = std::mem::replace(&mut self.is_failing, outcome.is_err());
        outcome.or_else(|error| if was_failing { Ok(()) } else { Err(error) })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::wal::SyncPolicy;

    const SECOND: i64 = 1_000_000;

    fn commit(end: u64, seconds: i64) -> CommitTime {
        let committed = Timestamp::from_micros(seconds * SECOND);
        CommitTime { timeline: TimelineId::FIRST, end: Lsn::new(end), committed }
    }

    fn writer(directory: &Path) -> TimeIndexWriter {
        let directory = directory.to_owned();
        TimeIndexWriter::new(&SideFiles { directory, mode: 0o600, sync: SyncPolicy::Never })
    }

    fn written(directory: &Path) -> Vec<CommitTime> {
        let text = fs::read_to_string(directory.join(FILE_NAME)).unwrap();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    #[test]
    fn lines_say_timeline_position_and_moment() {
        let table = [
            (commit(0x16_B374_D848, 0), "1 16/B374D848 2000-01-01T00:00:00.000000Z"),
            (commit(0, i64::MIN / SECOND), "1 0/0 -290278-12-22T19:59:06.000000Z"),
        ];
        for (commit, line) in table {
            assert_eq!(commit.to_string(), line);
            assert_eq!(line.parse(), Ok(commit));
        }
        let torn =
            ["", "1", "1 0/1", "1 0/1 ", "1 0/1 2000-01-01T00:0", "0 0/1 2000-01-01T00:00:00Z"];
        for line in torn {
            assert_eq!(line.parse::<CommitTime>(), Err(ParseCommitTimeError(line.to_owned())));
        }
    }

    #[test]
    fn a_minute_gets_one_line_and_a_clock_that_is_set_back_gets_its_own() {
        let scratch = tempfile::tempdir().unwrap();
        let mut index = writer(scratch.path());
        let seconds = [0, 1, 59, 60, 61, 59, 119, 120, 3600, 7, 8, 66, 67];
        for (end, seconds) in (1..).zip(seconds) {
            index.add(commit(end, seconds)).unwrap();
        }
        let kept: Vec<_> =
            written(scratch.path()).iter().map(|c| c.committed.micros() / SECOND).collect();
        assert_eq!(kept, [0, 60, 120, 3600, 7, 67]);
    }

    #[test]
    fn impossible_moments_are_lines_like_others() {
        let scratch = tempfile::tempdir().unwrap();
        let mut index = writer(scratch.path());
        let moments = [i64::MIN, i64::MAX, 0]
            .map(|micros| CommitTime { committed: Timestamp::from_micros(micros), ..commit(1, 0) });
        for commit in moments {
            index.add(commit).unwrap();
        }
        assert_eq!(written(scratch.path()), moments);
    }

    #[test]
    fn each_run_goes_on_behind_the_lines_of_the_last_one() {
        let scratch = tempfile::tempdir().unwrap();
        writer(scratch.path()).add(commit(1, 0)).unwrap();
        writer(scratch.path()).add(commit(1, 0)).unwrap();
        assert_eq!(written(scratch.path()), [commit(1, 0), commit(1, 0)]);
    }

    #[test]
    fn a_failure_is_told_once_until_it_is_over() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("wal");
        let mut index = writer(&directory);
        let path = directory.join(FILE_NAME).display().to_string();
        let failure = index.add(commit(1, 0)).unwrap_err();
        let text = format!("could not create file \"{path}\": No such file or directory");
        assert_eq!(failure.to_string(), text);
        index.add(commit(2, 60)).unwrap();
        fs::create_dir(&directory).unwrap();
        index.add(commit(3, 120)).unwrap();
        assert_eq!(written(&directory), [commit(3, 120)]);
        fs::remove_dir_all(&directory).unwrap();
        assert!(index.add(commit(4, 180)).is_err());
    }

    #[test]
    fn a_moment_is_found_as_recovery_would() {
        let steady = [commit(1, 10), commit(2, 20), commit(3, 30)];
        let repeated = [commit(1, 10), commit(2, 20), commit(1, 10), commit(2, 20), commit(3, 30)];
        // Recovery stops at the first commit that is later, whatever follows it.
        let set_back = [commit(1, 10), commit(2, 30), commit(3, 15), commit(4, 40)];
        let table: [(&[CommitTime], i64, Option<CommitTime>); 11] = [
            (&[], 10, None),
            (&steady, 9, None),
            (&steady, 10, Some(commit(1, 10))),
            (&steady, 19, Some(commit(1, 10))),
            (&steady, 20, Some(commit(2, 20))),
            (&steady, 99, Some(commit(3, 30))),
            (&repeated, 25, Some(commit(2, 20))),
            (&repeated, 35, Some(commit(3, 30))),
            (&set_back, 20, Some(commit(1, 10))),
            (&set_back, 30, Some(commit(3, 15))),
            (&set_back, 40, Some(commit(4, 40))),
        ];
        for (commits, seconds, found) in table {
            let moment = Timestamp::from_micros(seconds * SECOND);
            assert_eq!(last_commit_not_after(commits, moment), found, "{commits:?} {seconds}");
        }
    }
}
