//! The directories that a run fills, and what of them a failed run removes.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf, absolute};

use super::StorageError;
use super::durable;
use super::error::IoContext as _;

/// What a directory is to the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryRole {
    /// The data directory, or the directory of the tar files.
    Data,
    /// The directory given for WAL.
    Wal,
    /// A tablespace's directory.
    Tablespace,
}

/// A step of clearing away a failed run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CleanUp {
    /// A directory that was created is removed.
    Removing(DirectoryRole, PathBuf),
    /// The contents of a directory that was empty before are removed.
    RemovingContents(DirectoryRole, PathBuf),
    /// The user asked to keep everything.
    Kept(DirectoryRole, PathBuf),
    /// Something could not be removed.
    Failed(String),
}

/// Why a directory cannot be filled.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// There is something in it.
    #[error("directory \"{}\" exists but is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// It cannot be looked at or created.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The directories that this run may fill: they were empty or absent when it began.
#[derive(Debug, Default)]
pub struct CreatedDirectories {
    claimed: Vec<Claimed>,
}

#[derive(Debug)]
struct Claimed {
    role: DirectoryRole,
    path: PathBuf,
    /// The outermost directory that had to be created to make this one; `None` if it was there.
    outermost: Option<PathBuf>,
}

impl CreatedDirectories {
    /// Makes sure that a directory exists and is empty, and remembers it. Missing parents are created
    /// too. The claim is noted before anything is put into the directory.
    ///
    /// # Errors
    /// [`ClaimError::NotEmpty`] if it holds anything, else what the operating system said.
    pub fn claim(&mut self, role: DirectoryRole, path: &Path, mode: u32) -> Result<(), ClaimError> {
        let outermost = match fs::read_dir(path) {
            Ok(mut entries) => match entries.next() {
                Some(_) => return Err(ClaimError::NotEmpty(path.to_owned())),
                None => None,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Some(create_with_parents(path, mode)?)
            }
            Err(error) => return Err(StorageError::new("access directory", path, error).into()),
        };
        self.claimed.push(Claimed { role, path: path.to_owned(), outermost });
        Ok(())
    }

    /// Returns the directories.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.claimed.iter().map(|claimed| claimed.path.clone()).collect()
    }

    /// Syncs the directories and those in which they or their new parents were created.
    ///
    /// # Errors
    /// If any sync fails.
    pub fn sync(&self) -> Result<(), StorageError> {
        for claimed in &self.claimed {
            durable::sync_directory(&claimed.path)?;
            if let Some(outermost) = &claimed.outermost {
                let absolute = |path: &Path| absolute(path).context("access directory", path);
                let created = absolute(&claimed.path)?;
                let last = absolute(outermost)?;
                for made in created.ancestors().take_while(|made| made.starts_with(&last)) {
                    durable::sync_directory(durable::parent(made))?;
                }
            }
        }
        Ok(())
    }

    /// Removes what was created and empties what was empty, latest first; tells each step before it is
    /// taken. Links are not followed.
    pub fn remove(&mut self, mut on_step: impl FnMut(CleanUp)) {
        for Claimed { role, path, outermost } in self.claimed.drain(..).rev() {
            let outcome = match outermost {
                Some(outermost) => {
                    on_step(CleanUp::Removing(role, path.clone()));
                    remove_created(&path, &outermost)
                }
                None => {
                    on_step(CleanUp::RemovingContents(role, path.clone()));
                    remove_contents(&path)
                }
            };
            if let Err(error) = outcome {
                on_step(CleanUp::Failed(error.to_string()));
            }
        }
    }

    /// Leaves everything; tells what stays.
    pub fn keep(&mut self, mut on_step: impl FnMut(CleanUp)) {
        for claimed in self.claimed.drain(..) {
            on_step(CleanUp::Kept(claimed.role, claimed.path));
        }
    }
}

/// Creates a directory that must not exist and the parents that do not; returns the outermost of them. If it
/// cannot be created, the new parents are removed again.
fn create_with_parents(path: &Path, mode: u32) -> Result<PathBuf, StorageError> {
    let outermost = outermost_missing(path);
    let mut builder = DirBuilder::new();
    builder.mode(mode);
    let parents = match outermost == path {
        true => Ok(()),
        false => builder.recursive(true).create(durable::parent(path)),
    };
    // Not recursive, so that one that somebody else just created, or a link to nowhere, is not taken for ours.
    let created = parents.and_then(|()| builder.recursive(false).create(path));
    if created.is_err() {
        remove_parents(path, &outermost);
    }
    created.context("create directory", path)?;
    // The umask may have taken bits away.
    let exact = fs::set_permissions(path, Permissions::from_mode(mode));
    exact.context("set permissions on directory", path)?;
    Ok(outermost)
}

/// Removes the empty parents of a directory, up to the outermost. Somebody else may have put something there
/// meanwhile: then they stay.
fn remove_parents(path: &Path, outermost: &Path) {
    for parent in path.ancestors().skip(1).take_while(|parent| parent.starts_with(outermost)) {
        if fs::remove_dir(parent).is_err() {
            break;
        }
    }
}

/// Returns the first missing directory on the way to a missing one.
fn outermost_missing(path: &Path) -> PathBuf {
    let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    path.ancestors().take_while(missing).last().unwrap_or(path).to_owned()
}

fn remove_created(path: &Path, outermost: &Path) -> Result<(), StorageError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        outcome => outcome.context("remove directory", path)?,
    }
    remove_parents(path, outermost);
    Ok(())
}

fn remove_contents(path: &Path) -> Result<(), StorageError> {
    for entry in fs::read_dir(path).context("open directory", path)? {
        let entry = entry.context("read directory", path)?;
        let kind = entry.file_type().context("stat file", &entry.path())?;
        if kind.is_dir() {
            fs::remove_dir_all(entry.path()).context("remove directory", &entry.path())?;
        } else {
            fs::remove_file(entry.path()).context("remove file", &entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removal_takes_back_exactly_what_was_claimed() {
        let scratch = tempfile::tempdir().unwrap();
        let existing = scratch.path().join("existing");
        fs::create_dir(&existing).unwrap();
        let created = scratch.path().join("a/b/c");
        let mut directories = CreatedDirectories::default();
        directories.claim(DirectoryRole::Data, &created, 0o700).unwrap();
        directories.claim(DirectoryRole::Wal, &existing, 0o700).unwrap();
        fs::create_dir(existing.join("sub")).unwrap();
        fs::write(existing.join("sub/file"), "x").unwrap();
        fs::write(created.join("file"), "x").unwrap();
        let outside = scratch.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "x").unwrap();
        std::os::unix::fs::symlink(&outside, created.join("link")).unwrap();
        directories.sync().unwrap();

        let mut steps = Vec::new();
        directories.remove(|step| steps.push(step));

        assert_eq!(
            steps,
            [
                CleanUp::RemovingContents(DirectoryRole::Wal, existing.clone()),
                CleanUp::Removing(DirectoryRole::Data, created),
            ]
        );
        assert!(!scratch.path().join("a").exists());
        assert_eq!(fs::read_dir(&existing).unwrap().count(), 0);
        assert!(outside.join("kept").exists());
    }

    #[test]
    fn a_link_to_nowhere_is_refused_and_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let link = scratch.path().join("link");
        std::os::unix::fs::symlink(scratch.path().join("nowhere"), &link).unwrap();
        let mut directories = CreatedDirectories::default();
        let refusal = directories.claim(DirectoryRole::Data, &link, 0o700).unwrap_err();
        let text = format!("could not create directory \"{}\": File exists", link.display());
        assert_eq!(refusal.to_string(), text);
        directories.remove(|step| panic!("{step:?}"));
        assert!(link.is_symlink());
    }

    #[test]
    fn a_directory_with_anything_in_it_is_refused_and_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join(".hidden"), "x").unwrap();
        let mut directories = CreatedDirectories::default();
        let refusal = directories.claim(DirectoryRole::Data, scratch.path(), 0o700).unwrap_err();
        let path = scratch.path().display();
        assert_eq!(refusal.to_string(), format!("directory \"{path}\" exists but is not empty"));
        directories.remove(|step| panic!("{step:?}"));
        assert!(scratch.path().join(".hidden").exists());
    }
}
