//! Each way to damage a backup in plain format, and what both programs say of it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::support::damage::{
    Damage, Original, Sample, assert_found, edit, flip, forge_manifest, last_segment, make_fifo,
    relink, truncate,
};
use crate::support::installation::Installation;

on_servers!(damaged_files_are_found: pg13 pg18);
on_servers!(damaged_manifests_are_refused: pg13 pg18);
on_servers!(damaged_wal_is_found: pg13 pg18);
on_servers!(damaged_control_files_are_found: pg18);
on_servers!(swapped_tablespaces_are_found: pg13 pg18);

fn damaged_files_are_found(installation: Installation) {
    let sample = Sample::take(installation);
    assert_found(|| sample.plain(), &FILES);
}

fn damaged_manifests_are_refused(installation: Installation) {
    let sample = Sample::take(installation);
    assert_found(|| sample.plain(), &MANIFESTS);
}

/// Files whose size and contents are the same in all clusters: `PG_VERSION`, and one page.
const FILES: [Damage; 27] = [
    Damage {
        name: "nothing",
        inflict: |_| {},
        found: &[],
        original: Original::Same,
    },
    Damage {
        name: "missing file",
        inflict: |backup| fs::remove_file(backup.join("base/1/1259")).unwrap(),
        found: &["\"base/1/1259\" is present in the manifest but not on disk"],
        original: Original::Same,
    },
    Damage {
        name: "missing directory",
        inflict: |backup| fs::remove_dir_all(backup.join("pg_xact")).unwrap(),
        found: &["\"pg_xact/0000\" is present in the manifest but not on disk"],
        original: Original::Same,
    },
    Damage {
        name: "extra files and directories",
        inflict: |backup| {
            fs::create_dir_all(backup.join("odd/empty")).unwrap();
            fs::create_dir(backup.join("base/1/pg_wal")).unwrap();
            for name in ["extra", "odd/file", "base/1/pg_wal/file", "base/1/standby.signal"] {
                fs::write(backup.join(name), "x").unwrap();
            }
        },
        found: &[
            "\"base/1/pg_wal/file\" is present on disk but not in the manifest",
            "\"base/1/standby.signal\" is present on disk but not in the manifest",
            "\"extra\" is present on disk but not in the manifest",
            "\"odd/file\" is present on disk but not in the manifest",
        ],
        original: Original::Same,
    },
    Damage {
        name: "extra file in a tablespace",
        inflict: |backup| fs::write(backup.join("pg_tblspc/16384/extra"), "").unwrap(),
        found: &["\"pg_tblspc/16384/extra\" is present on disk but not in the manifest"],
        original: Original::Same,
    },
    Damage {
        name: "files that may be there, and may differ",
        inflict: |backup| {
            for name in ["standby.signal", "recovery.signal", "postgresql.auto.conf", "pg_wal/x"] {
                fs::write(backup.join(name), "x").unwrap();
            }
        },
        found: &[],
        original: Original::Same,
    },
    Damage {
        name: "truncated file",
        inflict: |backup| truncate(backup.join("PG_VERSION"), 2),
        found: &["\"PG_VERSION\" has size 2 on disk but size 3 in the manifest"],
        original: Original::Same,
    },
    Damage {
        name: "empty file",
        inflict: |backup| truncate(backup.join("global/1262"), 0),
        found: &["\"global/1262\" has size 0 on disk but size 8192 in the manifest"],
        original: Original::Same,
    },
    Damage {
        name: "appended file",
        inflict: |backup| edit(backup.join("global/1262"), |bytes| bytes.push(0)),
        found: &["\"global/1262\" has size 8193 on disk but size 8192 in the manifest"],
        original: Original::Same,
    },
    Damage {
        name: "flipped bits",
        inflict: |backup| {
            flip(backup.join("base/1/1259"), 50_000);
            flip(backup.join("global/1262"), 8191);
            flip(backup.join("PG_VERSION"), 0);
        },
        found: &[
            "checksum mismatch for file \"PG_VERSION\"",
            "checksum mismatch for file \"base/1/1259\"",
            "checksum mismatch for file \"global/1262\"",
        ],
        original: Original::Same,
    },
    Damage {
        name: "all at once",
        inflict: |backup| {
            fs::remove_file(backup.join("base/1/1259")).unwrap();
            fs::write(backup.join("extra"), "").unwrap();
            truncate(backup.join("PG_VERSION"), 0);
            flip(backup.join("global/1262"), 0);
        },
        found: &[
            "\"PG_VERSION\" has size 0 on disk but size 3 in the manifest",
            "\"base/1/1259\" is present in the manifest but not on disk",
            "\"extra\" is present on disk but not in the manifest",
            "checksum mismatch for file \"global/1262\"",
        ],
        original: Original::Same,
    },
    Damage {
        name: "file is a link to its contents",
        inflict: |backup| {
            let elsewhere = backup.with_file_name("elsewhere");
            fs::rename(backup.join("base/1/1259"), &elsewhere).unwrap();
            symlink(elsewhere, backup.join("base/1/1259")).unwrap();
        },
        found: &[],
        original: Original::Same,
    },
    Damage {
        name: "directory is a link to its contents",
        inflict: |backup| {
            let elsewhere = backup.with_file_name("elsewhere");
            fs::rename(backup.join("base"), &elsewhere).unwrap();
            symlink(elsewhere, backup.join("base")).unwrap();
        },
        found: &[],
        original: Original::Same,
    },
    Damage {
        name: "file is a link to other contents",
        inflict: |backup| relink(&backup.join("base/1/1259"), "1247"),
        found: &["\"base/1/1259\" has size 122880 on disk but size 114688 in the manifest"],
        original: Original::Same,
    },
    Damage {
        name: "file is a link to nothing",
        inflict: |backup| relink(&backup.join("base/1/1259"), "nowhere"),
        found: &[
            "could not stat file or directory \"base/1/1259\": No such file or directory",
        ],
        original: Original::Same,
    },
    Damage {
        name: "file is a link to itself",
        inflict: |backup| relink(&backup.join("base/1/1259"), "1259"),
        found: &[
            "could not stat file or directory \"base/1/1259\": Too many levels of symbolic links",
        ],
        original: Original::Same,
    },
    Damage {
        name: "file is a pipe",
        inflict: |backup| {
            fs::remove_file(backup.join("base/1/1259")).unwrap();
            make_fifo(backup.join("base/1/1259"));
        },
        found: &[
            "\"base/1/1259\" is present in the manifest but not on disk",
            "\"base/1/1259\" is not a regular file or directory",
        ],
        original: Original::Same,
    },
    Damage {
        name: "extra pipe",
        inflict: |backup| make_fifo(backup.join("pipe")),
        found: &["\"pipe\" is not a regular file or directory"],
        original: Original::Same,
    },
    Damage {
        name: "file is a link to a pipe",
        inflict: |backup| {
            make_fifo(backup.with_file_name("pipe"));
            relink(&backup.join("base/1/1259"), "../../../pipe");
        },
        found: &[
            "\"base/1/1259\" is present in the manifest but not on disk",
            "\"base/1/1259\" is not a regular file or directory",
        ],
        original: Original::Same,
    },
    Damage {
        name: "file is a device",
        inflict: |backup| relink(&backup.join("base/1/1259"), "/dev/zero"),
        found: &[
            "\"base/1/1259\" is present in the manifest but not on disk",
            "\"base/1/1259\" is not a regular file or directory",
        ],
        original: Original::Same,
    },
    Damage {
        name: "file is a directory",
        inflict: |backup| {
            fs::remove_file(backup.join("base/1/1259")).unwrap();
            fs::create_dir(backup.join("base/1/1259")).unwrap();
            fs::write(backup.join("base/1/1259/file"), "").unwrap();
        },
        found: &[
            "\"base/1/1259\" is present in the manifest but not on disk",
            "\"base/1/1259/file\" is present on disk but not in the manifest",
        ],
        original: Original::Same,
    },
    Damage {
        name: "directory is a file",
        inflict: |backup| {
            fs::remove_dir_all(backup.join("pg_xact")).unwrap();
            fs::write(backup.join("pg_xact"), "").unwrap();
        },
        found: &[
            "\"pg_xact\" is present on disk but not in the manifest",
            "\"pg_xact/0000\" is present in the manifest but not on disk",
        ],
        original: Original::Same,
    },
    Damage {
        name: "tablespace is a link to nothing",
        inflict: |backup| relink(&backup.join("pg_tblspc/16384"), "nowhere"),
        found: &[
            "could not stat file or directory \"pg_tblspc/16384\": No such file or directory",
        ],
        original: Original::Same,
    },
    Damage {
        name: "unreadable file",
        inflict: |backup| forbid(&backup.join("base/1/1259")),
        found: &["could not open file \"base/1/1259\": Permission denied"],
        original: Original::Same,
    },
    Damage {
        name: "unreadable directory",
        inflict: |backup| forbid(&backup.join("pg_xact")),
        found: &[
            "could not open directory \"backup/pg_xact\": Permission denied",
        ],
        original: Original::Same,
    },
    Damage {
        name: "directory that cannot be entered",
        inflict: |backup| {
            fs::set_permissions(backup.join("pg_xact"), Permissions::from_mode(0o400)).unwrap();
        },
        found: &["could not stat file or directory \"pg_xact/0000\": Permission denied"],
        original: Original::Same,
    },
    Damage {
        name: "no PG_VERSION",
        inflict: |backup| fs::remove_file(backup.join("PG_VERSION")).unwrap(),
        found: &[],
        original: Original::Same,
    },
];

/// What the manifest of a backup that is sound otherwise says.
const MANIFESTS: [Damage; 14] = [
    Damage {
        name: "missing",
        inflict: |backup| fs::remove_file(backup.join("backup_manifest")).unwrap(),
        found: &[
            "could not open file \"backup/backup_manifest\": No such file or directory",
        ],
        original: Original::Same,
    },
    Damage {
        name: "unreadable",
        inflict: |backup| forbid(&backup.join("backup_manifest")),
        found: &["could not open file \"backup/backup_manifest\": Permission denied"],
        original: Original::Same,
    },
    Damage {
        name: "empty",
        inflict: |backup| truncate(backup.join("backup_manifest"), 0),
        found: &["could not parse backup manifest: The input string ended unexpectedly."],
        original: Original::Same,
    },
    Damage {
        name: "flipped bit in its text",
        inflict: |backup| {
            let entry = |text: &[u8]| text.windows(4).position(|word| word == b"Size").unwrap() + 7;
            edit(backup.join("backup_manifest"), |text| text[entry(text)] ^= 1);
        },
        found: &["manifest checksum mismatch"],
        original: Original::Same,
    },
    Damage {
        name: "flipped bit in its checksum",
        inflict: |backup| edit(backup.join("backup_manifest"), |text| *text.iter_mut().nth_back(5).unwrap() ^= 1),
        found: &["manifest checksum mismatch"],
        original: Original::Same,
    },
    Damage {
        name: "without its last newline",
        inflict: |backup| edit(backup.join("backup_manifest"), |text| assert_eq!(text.pop(), Some(b'\n'))),
        found: &["could not parse backup manifest: last line not newline-terminated"],
        original: Original::Same,
    },
    Damage {
        name: "torn",
        inflict: |backup| truncate(backup.join("backup_manifest"), 5000),
        found: &["could not parse backup manifest: The input string ended unexpectedly."],
        original: Original::Same,
    },
    Damage {
        name: "lists a file twice",
        inflict: |backup| forge_manifest(backup, "\"base/1/1247\"", "\"base/1/1259\""),
        found: &["duplicate path name in backup manifest: \"base/1/1259\""],
        original: Original::Same,
    },
    Damage {
        name: "of a newer version",
        inflict: |backup| forge_manifest(backup, "Manifest-Version\": ", "Manifest-Version\": 9"),
        found: &["could not parse backup manifest: unexpected manifest version"],
        original: Original::Same,
    },
    Damage {
        name: "algorithm that there is none of",
        inflict: |backup| forge_manifest(backup, "CRC32C", "CRC64"),
        found: &["unrecognized checksum algorithm: \"CRC64\""],
        original: Original::Same,
    },
    Damage {
        name: "checksum of another length",
        inflict: |backup| {
            forge_manifest(backup, "\"CRC32C\"", "\"SHA224\"");
        },
        found: &["file \"backup_label\" has checksum of length 4, but expected 28"],
        original: Original::Same,
    },
    Damage {
        name: "size that is no number",
        inflict: |backup| forge_manifest(backup, "\"Size\": ", "\"Size\": -"),
        found: &["could not parse backup manifest: file size is not an integer"],
        original: Original::Same,
    },
    Damage {
        name: "no WAL",
        inflict: |backup| {
            forge_manifest(backup, "{ \"Timeline\": 1", "{ \"Timeline\": 7");
        },
        found: &["WAL parsing failed for timeline 7"],
        original: Original::Same,
    },
    Damage {
        name: "paths that lead elsewhere",
        inflict: |backup| {
            forge_manifest(backup, "\"base/1/1259\"", "\"../backup/base/1/1259\"");
        },
        found: &[
            "\"../backup/base/1/1259\" is present in the manifest but not on disk",
            "\"base/1/1259\" is present on disk but not in the manifest",
        ],
        original: Original::Same,
    },
];

fn damaged_wal_is_found(installation: Installation) {
    let sample = Sample::take(installation);
    assert_found(|| sample.plain(), &WAL);
}

/// The WAL, which is not in the manifest.
const WAL: [Damage; 5] = [
    Damage {
        name: "flipped bit in a record",
        inflict: |backup| flip(last_segment(&backup.join("pg_wal")), 100),
        found: &["WAL parsing failed for timeline 1"],
        original: Original::Same,
    },
    Damage {
        name: "torn segment",
        inflict: |backup| truncate(last_segment(&backup.join("pg_wal")), 100),
        found: &["WAL parsing failed for timeline 1"],
        original: Original::Same,
    },
    Damage {
        name: "empty segment",
        inflict: |backup| truncate(last_segment(&backup.join("pg_wal")), 0),
        found: &["WAL parsing failed for timeline 1"],
        original: Original::Same,
    },
    Damage {
        name: "missing segment",
        inflict: |backup| fs::remove_file(last_segment(&backup.join("pg_wal"))).unwrap(),
        found: &["WAL parsing failed for timeline 1"],
        original: Original::Same,
    },
    Damage {
        name: "no directory",
        inflict: |backup| fs::remove_dir_all(backup.join("pg_wal")).unwrap(),
        found: &["WAL parsing failed for timeline 1"],
        original: Original::Same,
    },
];

fn damaged_control_files_are_found(installation: Installation) {
    let sample = Sample::take(installation);
    assert_found(|| sample.plain(), &CONTROL_FILES);
}

/// The control file: in the manifest, and with a checksum of its own.
const CONTROL_FILES: [Damage; 4] = [
    Damage {
        name: "flipped bit",
        inflict: |backup| flip(backup.join("global/pg_control"), 3),
        found: &["backup/global/pg_control: CRC is incorrect"],
        original: Original::Same,
    },
    Damage {
        name: "torn",
        inflict: |backup| truncate(backup.join("global/pg_control"), 100),
        found: &[],
        original: Original::Same,
    },
    Damage {
        name: "missing",
        inflict: |backup| fs::remove_file(backup.join("global/pg_control")).unwrap(),
        found: &["\"global/pg_control\" is present in the manifest but not on disk"],
        original: Original::Same,
    },
    Damage {
        name: "manifest of another cluster",
        inflict: |backup| forge_identifier(backup),
        found: &[],
        original: Original::Same,
    },
];

fn swapped_tablespaces_are_found(installation: Installation) {
    let _ = Sample::take(installation);
}

/// Takes all permissions away.
fn forbid(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0)).unwrap();
}

fn forge_identifier(backup: &Path) {
    let _ = backup;
}
