//! Backups in tar format: which archives there are, and one pass over each.

use std::collections::HashSet;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::Problem;
use super::cluster::PART_SIZE_MAX;
use super::contents::{ContentsCheck, Place};
use super::plain::names;
use super::tar_stream::StreamedArchive;
use super::verification::Verification;
use super::wal::{LOG_IN_BACKUP, WalSource};
use super::work::{OpenArchive, Work};
use crate::archive::{BLOCK_SIZE, Member, MemberKind, MemberSink, TarError, TarParser};
use crate::pg::{CompressionFormat, OsError};
use crate::storage::StorageError;

/// What precedes the identifiers of tablespaces in paths.
const TABLESPACES: &str = "pg_tblspc/";

/// The archives of a backup.
#[derive(Debug, Default)]
pub(super) struct Archives {
    /// What is left to do.
    pub(super) works: Vec<Work>,
    /// Where its WAL is.
    pub(super) wal: Option<WalSource>,
}

/// An archive as its name tells it.
struct ArchiveName<'a> {
    stem: &'a str,
    format: Option<CompressionFormat>,
}

impl<'a> ArchiveName<'a> {
    /// Reads a name; nothing if no archive of a backup has such a name.
    fn parse(name: &'a str) -> Option<Self> {
        let (rest, format) = match name.strip_suffix(".tgz") {
            Some(stem) => (stem, Some(CompressionFormat::Gzip)),
            None => {
                let format = CompressionFormat::split_suffix(name.as_bytes()).1;
                let rest = name.strip_suffix(format.map_or("", CompressionFormat::suffix))?;
                (rest.strip_suffix(".tar")?, format)
            }
        };
        let is_tablespace = rest.parse::<u32>().is_ok_and(|oid| oid > 0);
        let is_known = is_tablespace || matches!(rest, "base" | "pg_wal");
        is_known.then_some(ArchiveName { stem: rest, format })
    }

    /// Returns what precedes the names of its members in the backup.
    fn prefix(&self) -> String {
        match self.stem {
            "base" => String::new(),
            oid => format!("{TABLESPACES}{oid}/"),
        }
    }
}

impl Archives {
    /// Finds the archives, and reads the headers of those that are not compressed.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub(super) fn find(
        directory: &Path,
        verification: &Verification<'_>,
    ) -> Result<Self, StorageError> {
        let names = names(directory)
            .map_err(|error| StorageError::new("open directory", directory, error))?;
        let mut archives = Archives::default();
        for name in names {
            if verification.findings.is_over() {
                break;
            }
            if verification.listing.ignores(&name) {
                continue;
            }
            let path = directory.join(OsStr::from_bytes(&name));
            if let Err(problem) = archives.take(&name, path, verification) {
                verification.findings.add(Place { path: name, archive: None }.finding(problem));
            }
        }
        Ok(archives)
    }

    /// Adds the work of proving the log: to the pass over the archive that holds it, if there is one.
    pub(super) fn prove_log(&mut self, source: WalSource) {
        let holds_log = |archive: &&mut StreamedArchive| match &source {
            WalSource::Archive { path, .. } => archive.path == *path,
            WalSource::Directory(_) => false,
        };
        let mut passes = self.works.iter_mut().filter_map(Work::as_pass);
        match passes.find(holds_log) {
            Some(archive) => archive.proves_log = true,
            None => self.works.push(Work::Wal(source)),
        }
    }

    fn take(
        &mut self,
        name: &[u8],
        path: PathBuf,
        verification: &Verification<'_>,
    ) -> Result<(), Problem> {
        let metadata = fs::metadata(&path).map_err(|error| {
            let name = String::from_utf8_lossy(name);
            let reason = OsError(&error);
            Problem::Io(format!("could not stat file or directory \"{name}\": {reason}"))
        })?;
        if !metadata.is_file() {
            return Err(Problem::NotRegular);
        }
        let text = std::str::from_utf8(name).map_err(|_| Problem::NotExpected)?;
        let archive = ArchiveName::parse(text).ok_or(Problem::NotExpected)?;
        let format = archive.format;
        if archive.stem == "pg_wal" {
            self.wal = Some(WalSource::Archive { path, format, prefix: "" });
            return Ok(());
        }
        if archive.stem == "base" && self.wal.is_none() {
            let path = path.clone();
            self.wal = Some(WalSource::Archive { path, format, prefix: LOG_IN_BACKUP });
        }
        verification.progress.expect(metadata.len());
        let (name, prefix) = (text.to_owned(), archive.prefix());
        match format {
            Some(format) => {
                let size = metadata.len();
                let origin = Origin { name, prefix };
                let archive = StreamedArchive { path, origin, format, size, proves_log: false };
                self.works.push(Work::Archive(archive));
                Ok(())
            }
            None => self.index(&path, name, prefix, verification),
        }
    }

    /// Reads the headers of an archive. Its contents are read by as many threads as there are.
    fn index(
        &mut self,
        path: &Path,
        name: String,
        prefix: String,
        verification: &Verification<'_>,
    ) -> Result<(), Problem> {
        let origin = Origin { name, prefix };
        let io = |action, error| {
            Problem::Io(StorageError::new(action, Path::new(&origin.name), error).to_string())
        };
        let file = File::open(path).map_err(|error| io("open file", error))?;
        let size = file.metadata().map_err(|error| io("stat file", error))?.len();
        let archive = Arc::new(OpenArchive { file });
        let works = &mut self.works;
        let mut index = Index { archive, origin: &origin, verification, offset: 0, left: 0, works };
        let mut parser = TarParser::default();
        let outcome = loop {
            let mut block = vec![0; BLOCK_SIZE];
            let read = index.archive.file.read_at(&mut block, index.offset);
            let read = read.map_err(|error| io("read file", error))?;
            if read == 0 {
                break parser.finish();
            }
            block.truncate(read);
            index.offset += read as u64;
            let handled = parser
                .handle(Bytes::from(block), &mut index)
                .and_then(|()| parser.skip(size.saturating_sub(index.offset), &mut index));
            match handled {
                Ok(skipped) => index.offset += skipped,
                Err(error) => break Err(error),
            }
        };
        verification.progress.advance(size.saturating_sub(index.left));
        outcome.map_err(|error: TarError<Infallible>| Problem::Archive(error.to_string()))
    }
}

/// Adds the files that are in none of the archives. Of those that belong into an archive that could not be read to its
/// end, none is named: as in the original, which stops there, the archive's own finding is all that is said.
pub(super) fn find_missing(verification: &Verification<'_>) {
    let broken = verification.findings.broken_archives();
    let names = broken.iter().filter_map(|name| ArchiveName::parse(str::from_utf8(name).ok()?));
    let prefixes: HashSet<_> = names.map(|name| name.prefix().into_bytes()).collect();
    for missing in verification.listing.missing(|path| prefixes.contains(prefix_of(path))) {
        verification.findings.add(missing);
    }
}

/// Returns the beginning of a path that the archive stands for in which the file belongs.
fn prefix_of(path: &[u8]) -> &[u8] {
    let oid = path.strip_prefix(TABLESPACES.as_bytes());
    let end = oid.and_then(|oid| oid.iter().position(|&byte| byte == b'/'));
    let prefix = end.and_then(|end| path.get(..=TABLESPACES.len() + end));
    prefix.unwrap_or_default()
}

/// An archive, and where its members belong.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// The archive's name.
    pub(super) name: String,
    /// What precedes the names of its members in the backup.
    pub(super) prefix: String,
}

impl Origin {
    /// Returns the place of a member, if it is a file that matters.
    pub(super) fn place(&self, member: &Member, verification: &Verification<'_>) -> Option<Place> {
        let path = [self.prefix.as_bytes(), member.path.as_bytes()].concat();
        let matters = member.kind == MemberKind::File && !verification.listing.ignores(&path);
        matters.then(|| Place { path, archive: Some(self.name.clone()) })
    }
}

/// Notes where the members of an archive lie.
struct Index<'a> {
    archive: Arc<OpenArchive>,
    origin: &'a Origin,
    verification: &'a Verification<'a>,
    /// Everything before this was read or passed over.
    offset: u64,
    /// How many bytes of contents are left to be read.
    left: u64,
    works: &'a mut Vec<Work>,
}

impl MemberSink for Index<'_> {
    type Error = Infallible;

    fn begin(&mut self, member: &Member) -> Result<(), Infallible> {
        let verification = self.verification;
        let Some(place) = self.origin.place(member, verification) else { return Ok(()) };
        let Some(listed) = verification.meet(&place, member.size) else { return Ok(()) };
        if let Some(part) = verification.cluster.part(&place.path) {
            let size = usize::try_from(member.size.min(PART_SIZE_MAX)).unwrap_or(0);
            let mut bytes = vec![0; size];
            // What cannot be read is found by whoever reads all of it.
            if self.archive.file.read_exact_at(&mut bytes, self.offset).is_ok() {
                verification.check_part(part, &place, &bytes);
            }
        }
        if let Some(check) = ContentsCheck::begin(&place.path, listed, verification.rules) {
            let (archive, offset) = (Arc::clone(&self.archive), self.offset);
            self.left = self.left.saturating_add(member.size);
            self.works.push(Work::Member { archive, offset, place, check });
        }
        Ok(())
    }

    fn contents(&mut self, _: Bytes) -> Result<(), Infallible> {
        Ok(())
    }

    fn end(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
