//! Which files have pages.

use super::SEGMENT_BLOCKS;

/// What the names of files begin with that hold only some blocks (servers 17 and newer).
const INCREMENTAL_PREFIX: &[u8] = b"INCREMENTAL.";

/// What a fork's name ends with, but for the main one (`forkNames`).
const FORK_SUFFIXES: [&[u8]; 3] = [b"_fsm", b"_vm", b"_init"];

/// A file of a relation: a segment of one of its forks, or those of its blocks that an incremental backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelationFile {
    first_block: u32,
    is_incremental: bool,
}

impl RelationFile {
    /// Reads a path below the root of a backup; `None` if the file has no pages.
    ///
    /// Follows `sendDir` and `parse_filename_for_nontemp_relation` of PostgreSQL 17: relations lie in the
    /// directories of databases and in `global`, and their names are numbers. Servers up to 16 check all files
    /// there but for some names; a file that is no relation's has no pages for this either. The relations of
    /// temporary tables are in no backup.
    pub fn of_path(path: &[u8]) -> Option<RelationFile> {
        let mut parts = path.rsplitn(2, |&byte| byte == b'/');
        let (name, directory) = (parts.next()?, parts.next()?);
        if !holds_relations(directory) {
            return None;
        }
        let whole = name.strip_prefix(INCREMENTAL_PREFIX);
        let segment = segment_of(whole.unwrap_or(name))?;
        let first_block = segment.checked_mul(SEGMENT_BLOCKS)?;
        Some(RelationFile { first_block, is_incremental: whole.is_some() })
    }

    /// Returns the number in the relation's fork of the first block of the file's segment.
    pub const fn first_block(self) -> u32 {
        self.first_block
    }

    /// Says whether the file holds only the blocks that changed since the backup before.
    pub const fn is_incremental(self) -> bool {
        self.is_incremental
    }
}

/// Says whether relations lie in a directory: `global`, or a database's in the data directory or a tablespace.
fn holds_relations(directory: &[u8]) -> bool {
    let parts: Vec<_> = directory.splitn(5, |&byte| byte == b'/').collect();
    match parts[..] {
        [b"global"] => true,
        [b"base", database] => is_digits(database),
        [b"pg_tblspc", tablespace, version, database] => {
            is_digits(tablespace) && version.starts_with(b"PG_") && is_digits(database)
        }
        _ => false,
    }
}

fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// Returns the segment that a file's name stands for: `16384`, `16384.1`, `16384_fsm`, `16384_fsm.1`.
fn segment_of(name: &[u8]) -> Option<u32> {
    let (fork, segment) = match name.iter().position(|&byte| byte == b'.') {
        Some(dot) => {
            let (fork, segment) = name.split_at(dot);
            (fork, number(segment.strip_prefix(b".")?)?)
        }
        None => (name, 0),
    };
    let suffix = FORK_SUFFIXES.iter().find_map(|suffix| fork.strip_suffix(*suffix));
    number(suffix.unwrap_or(fork)).map(|_| segment)
}

/// Reads a number from 1 on, without zeros before it.
fn number(digits: &[u8]) -> Option<u32> {
    let is_number = is_digits(digits) && !digits.starts_with(b"0");
    str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_lie_in_the_directories_of_databases_and_in_global() {
        let table = [
            ("global/1260", 0),
            ("base/5/16384", 0),
            ("base/5/16384_fsm", 0),
            ("base/5/16384_vm", 0),
            ("base/5/16384_init", 0),
            ("base/5/4294967295", 0),
            ("base/5/16384.1", 131_072),
            ("base/5/16384_fsm.2", 262_144),
            ("base/5/16384.32767", 4_294_836_224),
            ("pg_tblspc/16400/PG_18_202506291/5/16384.3", 393_216),
        ];
        for (path, first_block) in table {
            let whole = RelationFile { first_block, is_incremental: false };
            assert_eq!(RelationFile::of_path(path.as_bytes()), Some(whole), "{path}");
            let (directory, name) = path.rsplit_once('/').unwrap();
            let partial = RelationFile { first_block, is_incremental: true };
            let path = format!("{directory}/INCREMENTAL.{name}");
            assert_eq!(RelationFile::of_path(path.as_bytes()), Some(partial), "{path}");
        }
    }

    #[test]
    fn other_files_have_no_pages() {
        let table = [
            "",
            "16384",
            "/16384",
            "PG_VERSION",
            "base/16384",
            "base//16384",
            "base/5/",
            "base/5/PG_VERSION",
            "base/5/pg_filenode.map",
            "base/5/pg_internal.init",
            "base/5/pg_internal.init.123",
            "base/5/t3_16384",
            "base/5/016384",
            "base/5/0",
            "base/5/4294967296",
            "base/5/16384.0",
            "base/5/16384.01",
            "base/5/16384.32768",
            "base/5/16384.1.1",
            "base/5/16384.",
            "base/5/16384_",
            "base/5/16384_main",
            "base/5/16384_fsm_vm",
            "base/5/16384.1_fsm",
            "base/5/_fsm",
            "base/5/INCREMENTAL.",
            "base/5/INCREMENTAL.INCREMENTAL.16384",
            "base/5/16384/1",
            "base/pgsql_tmp/16384",
            "global/pg_control",
            "global/5/16384",
            "pg_xact/0000",
            "pg_wal/16384",
            "pg_tblspc/16400/5/16384",
            "pg_tblspc/16400/5/5/16384",
            "pg_tblspc/16400/PG_18_202506291/16384",
            "pg_tblspc/16400/PG_18_202506291/5/5/16384",
            "pg_tblspc/16400/PG_18_202506291/pgsql_tmp/16384",
            "xbase/5/16384",
        ];
        for path in table {
            assert_eq!(RelationFile::of_path(path.as_bytes()), None, "{path}");
        }
        assert_eq!(RelationFile::of_path(b"base/5/\xFF"), None);
    }
}
