//! Damage of what only some backups have checksums for: the control file and the WAL, in archives.

use std::fs;
use std::path::Path;

use pgsiphon::pg::CompressionFormat;

use crate::support::damage::{BackupFormat, Damage, Sample, assert_found};
use crate::support::installation::Installation;
use crate::support::tamper::{
    edit, edit_member, flip, forbid, forge_identifier, forge_manifest, identifier, truncate,
};

on_servers!(damage_of_the_control_file_is_found_in_archives: pg18);
on_servers!(damage_of_the_log_is_found_in_archives: pg13 pg18);

const COMPRESSIONS: [Option<CompressionFormat>; 4] = [
    None,
    Some(CompressionFormat::Gzip),
    Some(CompressionFormat::Lz4),
    Some(CompressionFormat::Zstd),
];

fn damage_of_the_control_file_is_found_in_archives(installation: Installation) {
    let sample = Sample::take(installation);
    for compression in COMPRESSIONS {
        assert_found(&sample, BackupFormat::Tar(compression), CONTROL_FILES);
    }
}

fn damage_of_the_log_is_found_in_archives(installation: Installation) {
    let sample = Sample::take(installation);
    for compression in COMPRESSIONS {
        assert_found(&sample, BackupFormat::Tar(compression), LOGS);
    }
}

/// Changes the control file in the main archive, or takes it away.
fn edit_control_file(backup: &Path, change: fn(Vec<u8>) -> Option<Vec<u8>>) {
    edit_member(backup.join("base.tar"), |name| name == "global/pg_control", change);
}

const CONTROL_FILES: &[Damage] = &[
    Damage::of(
        "missing",
        |backup| edit_control_file(backup, |_| None),
        &["\"global/pg_control\" is present in the manifest but not on disk"],
    ),
    Damage::of(
        "torn",
        |backup| edit_control_file(backup, |control| Some(control[..100].to_vec())),
        &["file \"global/pg_control\" has size 100 in archive \"base.tar{z}\" but size 8192 in the manifest"],
    ),
    Damage::of(
        "flipped bit",
        |backup| {
            edit_control_file(backup, |mut control| {
                control[3] ^= 4;
                Some(control)
            });
        },
        &[
            "checksum mismatch for file \"global/pg_control\" in archive \"base.tar{z}\"",
            "base.tar{z}: global/pg_control: CRC is incorrect",
        ],
    ),
    // The checksum in the manifest is of the same kind as the one inside, and so does not notice.
    Damage::of(
        "another cluster's",
        |backup| {
            edit_control_file(backup, |mut control| {
                forge_identifier(&mut control);
                Some(control)
            });
        },
        &["base.tar{z}: global/pg_control: manifest system identifier is {identifier}, but control file has 1"],
    ),
    Damage::of(
        "manifest is another cluster's",
        |backup| forge_manifest(backup, "", &identifier(backup), "1"),
        &[
            "base.tar{z}: global/pg_control: manifest system identifier is 1, but control file has {identifier}",
            "file \"00000001{segment}\" in archive \"pg_wal.tar{z}\": invalid WAL at {wal}00: WAL file is from different database system: WAL file database system identifier is {identifier}, expected 1",
            "WAL parsing failed for timeline 1",
        ],
    )
    .original(&["base.tar: global/pg_control: manifest system identifier is 1, but control file has {identifier}"]),
];

/// Where the first segment begins in its archive, behind its header.
const SEGMENT: usize = 512;

/// The log, which the original does not read in archives.
const LOGS: &[Damage] = &[
    Damage::of(
        "missing archive",
        |backup| fs::remove_file(backup.join("pg_wal.tar")).unwrap(),
        &["could not find any WAL file in archive \"base.tar{z}\"", "WAL parsing failed for timeline 1"],
    )
    .original(&[]),
    Damage::of(
        "unreadable archive",
        |backup| forbid(backup.join("pg_wal.tar")),
        &["could not open file \"backup/pg_wal.tar{z}\": Permission denied", "WAL parsing failed for timeline 1"],
    )
    .original(&[]),
    Damage::of(
        "empty archive",
        |backup| truncate(backup.join("pg_wal.tar"), 0),
        &["could not find any WAL file in archive \"pg_wal.tar{z}\"", "WAL parsing failed for timeline 1"],
    )
    .original(&[]),
    Damage::of(
        "no archive",
        |backup| fs::write(backup.join("pg_wal.tar"), [7; 1000]).unwrap(),
        &["archive \"pg_wal.tar{z}\": input file does not appear to be a valid tar archive", "WAL parsing failed for timeline 1"],
    )
    .original(&[]),
    Damage::of(
        "torn in the header of a segment",
        |backup| truncate(backup.join("pg_wal.tar"), 100),
        &["archive \"pg_wal.tar{z}\": COPY stream ended before last file was finished", "WAL parsing failed for timeline 1"],
    )
    .original(&[]),
    Damage::of(
        "torn in what is needed of a segment",
        |backup| truncate(backup.join("pg_wal.tar"), SEGMENT as u64 + 100),
        &["archive \"pg_wal.tar{z}\": COPY stream ended before last file was finished", "WAL parsing failed for timeline 1"],
    )
    .original(&[]),
    Damage::of(
        "torn behind what is needed",
        |backup| truncate(backup.join("pg_wal.tar"), SEGMENT as u64 + 100_000),
        &["archive \"pg_wal.tar{z}\": COPY stream ended before last file was finished"],
    )
    .original(&[]),
    Damage::of(
        "garbage behind the end of the archive",
        |backup| edit(backup.join("pg_wal.tar"), |bytes| bytes.extend([7; 1000])),
        &["archive \"pg_wal.tar{z}\": unexpected data after the end of the tar archive"],
    )
    .original(&[]),
    Damage::of(
        "missing segment",
        |backup| edit_member(backup.join("pg_wal.tar"), is_segment, |_| None),
        &["could not find any WAL file in archive \"pg_wal.tar{z}\"", "WAL parsing failed for timeline 1"],
    )
    .original(&[]),
    Damage::of(
        "empty segment",
        |backup| edit_member(backup.join("pg_wal.tar"), is_segment, |_| Some(Vec::new())),
        &["could not read from file \"00000001{segment}\" in archive \"pg_wal.tar{z}\", offset 0: read 0 of {all}", "WAL parsing failed for timeline 1"],
    )
    .original(&[]),
    Damage::of(
        "torn segment",
        |backup| {
            edit_member(backup.join("pg_wal.tar"), is_segment, |segment| Some(segment[..100].to_vec()));
        },
        &["could not read from file \"00000001{segment}\" in archive \"pg_wal.tar{z}\", offset 100: read 0 of {rest}", "WAL parsing failed for timeline 1"],
    )
    .original(&[]),
    Damage::of(
        "flipped bit in a record",
        |backup| flip(backup.join("pg_wal.tar"), SEGMENT + 100),
        &["file \"00000001{segment}\" in archive \"pg_wal.tar{z}\": invalid WAL at {second}: incorrect resource manager data checksum in record", "WAL parsing failed for timeline 1"],
    )
    .original(&[]),
    Damage::of(
        "flipped bit in a header",
        |backup| flip(backup.join("pg_wal.tar"), 0),
        &["archive \"pg_wal.tar{z}\": input file does not appear to be a valid tar archive", "WAL parsing failed for timeline 1"],
    )
    .original(&[]),
    Damage::of(
        "of a timeline that there is none of",
        |backup| forge_manifest(backup, "", "\"Timeline\": 1", "\"Timeline\": 7"),
        &["could not find file \"00000007{segment}\" in archive \"pg_wal.tar{z}\"", "WAL parsing failed for timeline 7"],
    )
    .original(&[]),
];

fn is_segment(name: &str) -> bool {
    name.len() == 24
}
