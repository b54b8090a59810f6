//! Each way to damage a backup in plain format, and what both programs say of it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::support::damage::{BackupFormat, Damage, Sample, assert_found};
use crate::support::installation::Installation;
use crate::support::tamper::{
    edit, flip, forbid, forge_identifier, forge_manifest, identifier, last_segment, make_fifo,
    relink, truncate,
};

on_servers!(damage_in_plain_format_is_found: pg13 pg18);
on_servers!(damage_of_the_control_file_is_found: pg18);
on_servers!(damage_of_the_log_is_found: pg13 pg18);

fn damage_in_plain_format_is_found(installation: Installation) {
    let sample = Sample::take(installation);
    assert_found(&sample, BackupFormat::Plain, FILES);
    assert_found(&sample, BackupFormat::Plain, MANIFESTS);
}

fn damage_of_the_control_file_is_found(installation: Installation) {
    assert_found(&Sample::take(installation), BackupFormat::Plain, CONTROL_FILES);
}

fn damage_of_the_log_is_found(installation: Installation) {
    // The original reads only the log of its own release.
    let of_release = |damage: &Damage| match installation.major {
        18 => *damage,
        _ => damage.original(&[]),
    };
    let damages: Vec<_> = LOGS.iter().map(of_release).collect();
    assert_found(&Sample::take(installation), BackupFormat::Plain, &damages);
}

/// Files whose size and contents are the same in all clusters: `PG_VERSION`, and one page.
const FILES: &[Damage] = &[
    Damage::of("nothing", |_| {}, &[]),
    Damage::of(
        "missing file",
        |backup| fs::remove_file(backup.join("base/1/1259")).unwrap(),
        &["\"base/1/1259\" is present in the manifest but not on disk"],
    ),
    Damage::of(
        "missing directory",
        |backup| fs::remove_dir_all(backup.join("pg_xact")).unwrap(),
        &["\"pg_xact/0000\" is present in the manifest but not on disk"],
    ),
    Damage::of(
        "extra files and directories",
        |backup| {
            fs::create_dir_all(backup.join("odd/empty")).unwrap();
            fs::create_dir(backup.join("base/1/pg_wal")).unwrap();
            for name in ["extra", "odd/file", "base/1/pg_wal/file", "base/1/standby.signal"] {
                fs::write(backup.join(name), "x").unwrap();
            }
        },
        &[
            "\"base/1/pg_wal/file\" is present on disk but not in the manifest",
            "\"base/1/standby.signal\" is present on disk but not in the manifest",
            "\"extra\" is present on disk but not in the manifest",
            "\"odd/file\" is present on disk but not in the manifest",
        ],
    ),
    Damage::of(
        "extra file in a tablespace",
        |backup| fs::write(backup.join("pg_tblspc/16384/extra"), "").unwrap(),
        &["\"pg_tblspc/16384/extra\" is present on disk but not in the manifest"],
    ),
    Damage::of(
        "files that may be there, and may differ",
        |backup| {
            for name in ["standby.signal", "recovery.signal", "postgresql.auto.conf", "pg_wal/x"] {
                fs::write(backup.join(name), "x").unwrap();
            }
        },
        &[],
    ),
    Damage::of(
        "truncated file",
        |backup| truncate(backup.join("PG_VERSION"), 2),
        &["\"PG_VERSION\" has size 2 on disk but size 3 in the manifest"],
    ),
    Damage::of(
        "empty file",
        |backup| truncate(backup.join("global/1262"), 0),
        &["\"global/1262\" has size 0 on disk but size 8192 in the manifest"],
    ),
    Damage::of(
        "appended file",
        |backup| edit(backup.join("global/1262"), |bytes| bytes.push(0)),
        &["\"global/1262\" has size 8193 on disk but size 8192 in the manifest"],
    ),
    Damage::of(
        "flipped bits",
        |backup| {
            flip(backup.join("base/1/1259"), 50_000);
            flip(backup.join("global/1262"), 8191);
            flip(backup.join("PG_VERSION"), 0);
        },
        &[
            "checksum mismatch for file \"PG_VERSION\"",
            "checksum mismatch for file \"base/1/1259\"",
            "checksum mismatch for file \"global/1262\"",
        ],
    ),
    Damage::of(
        "all at once",
        |backup| {
            fs::remove_file(backup.join("base/1/1259")).unwrap();
            fs::write(backup.join("extra"), "").unwrap();
            truncate(backup.join("PG_VERSION"), 0);
            flip(backup.join("global/1262"), 0);
        },
        &[
            "\"PG_VERSION\" has size 0 on disk but size 3 in the manifest",
            "\"base/1/1259\" is present in the manifest but not on disk",
            "\"extra\" is present on disk but not in the manifest",
            "checksum mismatch for file \"global/1262\"",
        ],
    ),
    Damage::of(
        "file is a link to its contents",
        |backup| {
            let elsewhere = backup.with_file_name("elsewhere");
            fs::rename(backup.join("base/1/1259"), &elsewhere).unwrap();
            symlink(elsewhere, backup.join("base/1/1259")).unwrap();
        },
        &[],
    ),
    Damage::of(
        "directory is a link to its contents",
        |backup| {
            let elsewhere = backup.with_file_name("elsewhere");
            fs::rename(backup.join("base"), &elsewhere).unwrap();
            symlink(elsewhere, backup.join("base")).unwrap();
        },
        &[],
    ),
    Damage::of(
        "file is a link to other contents",
        |backup| relink(&backup.join("global/1262"), "1213"),
        &["checksum mismatch for file \"global/1262\""],
    ),
    Damage::of(
        "file is a link to nothing",
        |backup| relink(&backup.join("base/1/1259"), "nowhere"),
        &["could not stat file or directory \"base/1/1259\": No such file or directory"],
    ),
    Damage::of(
        "file is a link to itself",
        |backup| relink(&backup.join("base/1/1259"), "1259"),
        &["could not stat file or directory \"base/1/1259\": Too many levels of symbolic links"],
    ),
    Damage::of(
        "file is a pipe",
        |backup| {
            fs::remove_file(backup.join("base/1/1259")).unwrap();
            make_fifo(backup.join("base/1/1259"));
        },
        &[
            "\"base/1/1259\" is present in the manifest but not on disk",
            "\"base/1/1259\" is not a regular file or directory",
        ],
    ),
    Damage::of(
        "extra pipe",
        |backup| make_fifo(backup.join("pipe")),
        &["\"pipe\" is not a regular file or directory"],
    ),
    Damage::of(
        "file is a link to a pipe",
        |backup| {
            make_fifo(backup.with_file_name("pipe"));
            relink(&backup.join("base/1/1259"), "../../../pipe");
        },
        &[
            "\"base/1/1259\" is present in the manifest but not on disk",
            "\"base/1/1259\" is not a regular file or directory",
        ],
    ),
    Damage::of(
        "file is a device",
        |backup| relink(&backup.join("base/1/1259"), "/dev/zero"),
        &[
            "\"base/1/1259\" is present in the manifest but not on disk",
            "\"base/1/1259\" is not a regular file or directory",
        ],
    ),
    Damage::of(
        "file is a directory",
        |backup| {
            fs::remove_file(backup.join("base/1/1259")).unwrap();
            fs::create_dir(backup.join("base/1/1259")).unwrap();
            fs::write(backup.join("base/1/1259/file"), "").unwrap();
        },
        &[
            "\"base/1/1259\" is present in the manifest but not on disk",
            "\"base/1/1259/file\" is present on disk but not in the manifest",
        ],
    ),
    Damage::of(
        "directory is a file",
        |backup| {
            fs::remove_dir_all(backup.join("pg_xact")).unwrap();
            fs::write(backup.join("pg_xact"), "").unwrap();
        },
        &[
            "\"pg_xact\" is present on disk but not in the manifest",
            "\"pg_xact/0000\" is present in the manifest but not on disk",
        ],
    ),
    Damage::of(
        "tablespace is a link to nothing",
        |backup| relink(&backup.join("pg_tblspc/16384"), "nowhere"),
        &["could not stat file or directory \"pg_tblspc/16384\": No such file or directory"],
    ),
    Damage::of(
        "swapped tablespaces",
        |backup| {
            relink(&backup.join("pg_tblspc/16384"), "../../two");
            relink(&backup.join("pg_tblspc/16385"), "../../one");
        },
        &[
            "\"{one}\" is present in the manifest but not on disk",
            "\"{two in one}\" is present on disk but not in the manifest",
            "\"{one in two}\" is present on disk but not in the manifest",
            "\"{two}\" is present in the manifest but not on disk",
        ],
    ),
    Damage::of(
        "unreadable file",
        |backup| forbid(backup.join("base/1/1259")),
        &["could not open file \"base/1/1259\": Permission denied"],
    ),
    Damage::of(
        "unreadable directory",
        |backup| forbid(backup.join("pg_xact")),
        &["could not open directory \"backup/pg_xact\": Permission denied"],
    ),
    Damage::of(
        "directory that cannot be entered",
        |backup| {
            fs::set_permissions(backup.join("pg_xact"), Permissions::from_mode(0o400)).unwrap();
        },
        &["could not stat file or directory \"pg_xact/0000\": Permission denied"],
    ),
];

/// What the manifest of a backup that is sound otherwise says.
const MANIFESTS: &[Damage] = &[
    Damage::of(
        "missing",
        |backup| fs::remove_file(backup.join("backup_manifest")).unwrap(),
        &["could not open file \"backup/backup_manifest\": No such file or directory"],
    ),
    Damage::of(
        "unreadable",
        |backup| forbid(backup.join("backup_manifest")),
        &["could not open file \"backup/backup_manifest\": Permission denied"],
    ),
    Damage::of(
        "empty",
        |backup| truncate(backup.join("backup_manifest"), 0),
        &["could not parse backup manifest: The input string ended unexpectedly."],
    ),
    Damage::of(
        "flipped bit in its text",
        |backup| {
            edit(backup.join("backup_manifest"), |text| {
                let size = text.windows(4).position(|word| word == b"Size").unwrap();
                text[size + 7] ^= 1;
            });
        },
        &["manifest checksum mismatch"],
    ),
    Damage::of(
        "flipped bit in its checksum",
        |backup| {
            edit(backup.join("backup_manifest"), |text| {
                let digit = text.iter_mut().nth_back(5).unwrap();
                *digit = if *digit == b'0' { b'1' } else { b'0' };
            });
        },
        &["manifest checksum mismatch"],
    ),
    Damage::of(
        "without its last newline",
        |backup| edit(backup.join("backup_manifest"), |text| assert_eq!(text.pop(), Some(b'\n'))),
        &["could not parse backup manifest: last line not newline-terminated"],
    ),
    Damage::of(
        "torn",
        |backup| {
            edit(backup.join("backup_manifest"), |text| {
                let line = text.windows(2).position(|pair| pair == b",\n").unwrap();
                text.truncate(line + 2);
            })
        },
        &["could not parse backup manifest: The input string ended unexpectedly."],
    ),
    Damage::of(
        "lists a file twice",
        |backup| forge_manifest(backup, "", "\"base/1/1247\"", "\"base/1/1259\""),
        &["duplicate path name in backup manifest: \"base/1/1259\""],
    ),
    Damage::of(
        "of a newer version",
        |backup| forge_manifest(backup, "", "Manifest-Version\": ", "Manifest-Version\": 9"),
        &["could not parse backup manifest: unexpected manifest version"],
    ),
    Damage::of(
        "algorithm that there is none of",
        |backup| forge_manifest(backup, "", "CRC32C", "CRC64"),
        &["unrecognized checksum algorithm: \"CRC64\""],
    ),
    Damage::of(
        "checksum of another length",
        |backup| forge_manifest(backup, "\"PG_VERSION\"", "CRC32C", "SHA224"),
        &["file \"PG_VERSION\" has checksum of length 4, but expected 28"],
    ),
    Damage::of(
        "size that is no number",
        |backup| forge_manifest(backup, "\"PG_VERSION\"", "3", "\"3x\""),
        &["could not parse backup manifest: file size is not an integer"],
    ),
    Damage::of(
        "paths that lead elsewhere",
        |backup| forge_manifest(backup, "", "\"base/1/1259\"", "\"../backup/base/1/1259\""),
        &[
            "\"../backup/base/1/1259\" is present in the manifest but not on disk",
            "\"base/1/1259\" is present on disk but not in the manifest",
        ],
    ),
];

/// The control file, which also has a checksum of its own and says whose it is.
const CONTROL_FILES: &[Damage] = &[
    Damage::of(
        "missing",
        |backup| fs::remove_file(backup.join("global/pg_control")).unwrap(),
        &["\"global/pg_control\" is present in the manifest but not on disk"],
    ),
    Damage::of(
        "torn",
        |backup| truncate(backup.join("global/pg_control"), 100),
        &["\"global/pg_control\" has size 100 on disk but size 8192 in the manifest"],
    )
    .original(&[
        "\"global/pg_control\" has size 100 on disk but size 8192 in the manifest",
        "could not read file \"backup/global/pg_control\": read 100 of 296",
    ]),
    Damage::of(
        "flipped bit",
        |backup| flip(backup.join("global/pg_control"), 3),
        &[
            "checksum mismatch for file \"global/pg_control\"",
            "backup/global/pg_control: CRC is incorrect",
        ],
    )
    .original(&["backup/global/pg_control: CRC is incorrect"]),
    // The checksum in the manifest is of the same kind as the one inside, and so does not notice.
    Damage::of(
        "another cluster's",
        |backup| edit(backup.join("global/pg_control"), |bytes| forge_identifier(bytes)),
        &["backup/global/pg_control: manifest system identifier is {identifier}, but control file has 1"],
    ),
    Damage::of(
        "manifest is another cluster's",
        |backup| forge_manifest(backup, "", &identifier(backup), "1"),
        &[
            "backup/global/pg_control: manifest system identifier is 1, but control file has {identifier}",
            "file \"00000001{segment}\": invalid WAL at {wal}00: WAL file is from different database system: WAL file database system identifier is {identifier}, expected 1",
            "WAL parsing failed for timeline 1",
        ],
    )
    .original(&["backup/global/pg_control: manifest system identifier is 1, but control file has {identifier}"]),
];

/// The WAL, which the manifest does not list.
const LOGS: &[Damage] = &[
    Damage::of(
        "flipped bit in a record",
        |backup| flip(last_segment(&backup.join("pg_wal")), 100),
        &["file \"00000001{segment}\": invalid WAL at {second}: incorrect resource manager data checksum in record", "WAL parsing failed for timeline 1"],
    )
    .original(&[
        "WAL parsing failed for timeline 1",
        "pg_waldump: error: error in WAL record at {wal}28: incorrect resource manager data checksum in record at {second}",
    ]),
    Damage::of(
        "torn segment",
        |backup| truncate(last_segment(&backup.join("pg_wal")), 100),
        &["could not read from file \"00000001{segment}\", offset 100: read 0 of {rest}", "WAL parsing failed for timeline 1"],
    )
    .original(&[
        "WAL parsing failed for timeline 1",
        "pg_waldump: error: could not read file \"00000001{segment}\": read 100 of 8192",
    ]),
    Damage::of(
        "empty segment",
        |backup| truncate(last_segment(&backup.join("pg_wal")), 0),
        &["could not read from file \"00000001{segment}\", offset 0: read 0 of {all}", "WAL parsing failed for timeline 1"],
    )
    .original(&[
        "WAL parsing failed for timeline 1",
        "pg_waldump: error: could not read file \"00000001{segment}\": read 0 of 8192",
    ]),
    Damage::of(
        "segment that is torn behind what is needed",
        |backup| truncate(last_segment(&backup.join("pg_wal")), 100_000),
        &[],
    ),
    Damage::of(
        "missing segment",
        |backup| fs::remove_file(last_segment(&backup.join("pg_wal"))).unwrap(),
        &["could not find any WAL file", "WAL parsing failed for timeline 1"],
    )
    .original(&[
        "WAL parsing failed for timeline 1",
        "pg_waldump: error: could not find any WAL file",
    ]),
    Damage::of(
        "no directory",
        |backup| fs::remove_dir_all(backup.join("pg_wal")).unwrap(),
        &["could not open directory \"backup/pg_wal\": No such file or directory", "WAL parsing failed for timeline 1"],
    )
    .original(&[
        "WAL parsing failed for timeline 1",
        "pg_waldump: error: could not open directory \"backup/pg_wal\": No such file or directory",
        "pg_waldump: hint: Try \"pg_waldump --help\" for more information.",
    ]),
    Damage::of(
        "of a timeline that there is none of",
        |backup| forge_manifest(backup, "", "\"Timeline\": 1", "\"Timeline\": 7"),
        &["could not find file \"00000007{segment}\": No such file or directory", "WAL parsing failed for timeline 7"],
    )
    .original(&[
        "WAL parsing failed for timeline 7",
        "pg_waldump: error: could not find file \"00000007{segment}\": No such file or directory",
    ]),
];
