//! Counts and digests the members of archives.

use std::fmt::Write as _;
use std::io::{self, Cursor};

use bytes::Bytes;
use pgsiphon::archive::{Member, MemberKind, MemberSink};
use pgsiphon::manifest::ReceivedLog;
use pgsiphon::pg::{ChecksumAlgorithm, Digester, Oid};

/// The members of the present archive, and the list of all files for the manifest.
pub struct Tally {
    /// Bytes of the archive, headers and all.
    pub archive_size: u64,
    /// Files of all archives that do not lie in `pg_wal`.
    pub files_outside_wal: u64,
    algorithm: ChecksumAlgorithm,
    log: ReceivedLog<Cursor<Vec<u8>>>,
    /// What the manifest has before the names of this archive.
    prefix: Vec<u8>,
    counts: Counts,
    /// The file that is being received.
    file: Option<(Vec<u8>, u64, Digester)>,
}

#[derive(Default)]
struct Counts {
    files: u64,
    empty_files: u64,
    directories: u64,
    links: Vec<String>,
    contents_size: u64,
    /// Over kinds, modes, sizes, names and contents, in order.
    crc: u32,
    first: Option<String>,
    last: String,
}

impl Tally {
    /// Starts with nothing.
    pub fn new(algorithm: ChecksumAlgorithm) -> Self {
        Tally {
            archive_size: 0,
            files_outside_wal: 0,
            algorithm,
            log: ReceivedLog::new(Cursor::default()),
            prefix: Vec::new(),
            counts: Counts::default(),
            file: None,
        }
    }

    /// Starts to count the archive of a tablespace, or of the data directory.
    pub fn begin_archive(&mut self, tablespace: Option<Oid>) {
        self.archive_size = 0;
        self.counts = Counts::default();
        let prefix = tablespace.map(|oid| format!("pg_tblspc/{oid}/")).unwrap_or_default();
        self.prefix = prefix.into_bytes();
    }

    /// Returns the files of all archives so far.
    pub fn take_log(&mut self) -> ReceivedLog<Cursor<Vec<u8>>> {
        std::mem::replace(&mut self.log, ReceivedLog::new(Cursor::default()))
    }

    /// Writes down what the present archive holds.
    pub fn describe(&self, text: &mut String) {
        let Counts { files, empty_files, directories, links, contents_size, crc, first, last } =
            &self.counts;
        let first = first.as_deref().unwrap_or_default();
        let _ = writeln!(text, "    {} bytes of tar, crc32c {crc:08x}", self.archive_size);
        let _ = writeln!(
            text,
            "    {files} files of {contents_size} bytes, {empty_files} of them empty; \
             {directories} directories\n    from {first} to {last}",
        );
        for link in links {
            let _ = writeln!(text, "    link {link}");
        }
    }
}

impl MemberSink for Tally {
    type Error = io::Error;

    fn begin(&mut self, member: &Member) -> io::Result<()> {
        let Counts { crc, first, last, .. } = &mut self.counts;
        let name = member.path.to_string();
        let line = format!("{:?} {:o} {} {name}\n", member.kind, member.mode, member.size);
        *crc = crc32c::crc32c_append(*crc, line.as_bytes());
        first.get_or_insert_with(|| name.clone());
        last.clone_from(&name);
        match &member.kind {
            MemberKind::File => {
                let path = [&self.prefix, member.path.as_bytes()].concat();
                self.file = Some((path, member.size, Digester::new(self.algorithm)));
                self.counts.files += 1;
                self.counts.empty_files += u64::from(member.size == 0);
                self.counts.contents_size += member.size;
                self.files_outside_wal += u64::from(!name.starts_with("pg_wal/"));
            }
            MemberKind::Directory => self.counts.directories += 1,
            MemberKind::Symlink(target) => {
                self.counts.links.push(format!("{name} to {}", target.display()));
            }
        }
        Ok(())
    }

    fn contents(&mut self, bytes: Bytes) -> io::Result<()> {
        self.counts.crc = crc32c::crc32c_append(self.counts.crc, &bytes);
        if let Some((_, _, digester)) = &mut self.file {
            digester.update(&bytes);
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        match self.file.take() {
            Some((path, size, digester)) => self.log.push(&path, size, &digester.finish()),
            None => Ok(()),
        }
    }
}
