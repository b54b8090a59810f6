//! Syncing file systems as a whole, where that promises what a sync of each file does.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{fstatfs, syncfs};
use rustix::system::uname;

use super::StorageError;
use super::error::IoContext as _;

/// The first Linux whose syncfs(2) returns the errors of writing back files, as its manual page says.
const RELEASE_MIN: (u32, u32) = (5, 8);

/// Names of file systems in linux/magic.h: ext4, XFS and Btrfs, whose `sync_fs` waits for all that was written and for
/// the device. Some network and user-space file systems have none.
const TRUSTED: [u64; 3] = [0xEF53, 0x5846_5342, 0x9123_683E];

/// File systems that are going to be written to. Errors of their files are remembered from here on, until
/// [`Self::sync`].
#[derive(Debug, Default)]
pub struct FileSystems {
    /// A directory in each, which the error is told of.
    directories: Vec<(PathBuf, File)>,
}

impl FileSystems {
    /// Opens the file systems that hold these directories; none if syncing one of them as a whole does not
    /// promise enough.
    ///
    /// # Errors
    /// If a directory cannot be opened.
    pub fn that_hold(directories: &[PathBuf]) -> Result<Option<Self>, StorageError> {
        if !uname().release().to_str().is_ok_and(reports_errors) {
            return Ok(None);
        }
        let mut found = FileSystems::default();
        let mut devices = Vec::new();
        for path in directories {
            let directory = File::open(path).context("open directory", path)?;
            if !is_trusted(&directory, path)? {
                return Ok(None);
            }
            let device = directory.metadata().context("stat file", path)?.dev();
            if !devices.contains(&device) {
                devices.push(device);
                found.directories.push((path.clone(), directory));
            }
        }
        Ok(Some(found))
    }

    /// Brings everything that was written to stable storage, also what others wrote.
    ///
    /// # Errors
    /// If anything could not be written since the file systems were opened.
    pub fn sync(&self) -> Result<(), StorageError> {
        self.directories.iter().try_for_each(|(path, directory)| {
            let synced = syncfs(directory).map_err(io::Error::from);
            synced.context("synchronize file system for file", path)
        })
    }
}

fn is_trusted(directory: &File, path: &Path) -> Result<bool, StorageError> {
    let statistics = fstatfs(directory).map_err(io::Error::from);
    let magic = statistics.context("stat file system", path)?.f_type;
    Ok(u64::try_from(magic).is_ok_and(|magic| TRUSTED.contains(&magic)))
}

/// Says whether a release such as `6.1.0-18-amd64` returns errors of writing back.
fn reports_errors(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= RELEASE_MIN,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_from_5_8_on_report_errors() {
        let table = [
            ("5.8.0", true),
            ("6.1.0-18-amd64", true),
            ("6.18", true),
            ("10.0.0", true),
            ("5.7.19", false),
            ("4.18.0-553.el8", false),
            ("5", false),
            ("", false),
            ("rolling-6.9", false),
        ];
        for (release, reports) in table {
            assert_eq!(reports_errors(release), reports, "{release}");
        }
    }

    #[test]
    fn directories_of_one_file_system_are_synced_once() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().to_owned();
        let found = FileSystems::that_hold(&[root.clone(), root.join(".")]).unwrap();
        // Where tests have a file system in memory, there is nothing to count.
        if let Some(found) = found {
            assert_eq!(found.directories.len(), 1);
            found.sync().unwrap();
        }
    }

    #[test]
    fn the_process_file_system_is_not_trusted() {
        assert!(FileSystems::that_hold(&["/proc".into()]).unwrap().is_none());
    }
}
