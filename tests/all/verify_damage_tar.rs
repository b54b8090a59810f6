//! Each way to damage a backup in tar format, with each compression, and what both programs say of it.

use std::fs;
use std::path::Path;

use pgsiphon::pg::CompressionFormat;

use crate::support::damage::{
    BackupFormat, Damage, Sample, assert_found, edit, flip, forge_manifest, make_fifo, truncate,
};
use crate::support::installation::Installation;

on_servers!(damage_in_archives_is_found: pg13 pg18);
on_servers!(damage_in_gzip_archives_is_found: pg13 pg18);
on_servers!(damage_in_lz4_archives_is_found: pg13 pg18);
on_servers!(damage_in_zstd_archives_is_found: pg13 pg18);

fn damage_in_archives_is_found(installation: Installation) {
    let sample = Sample::take(installation);
    assert_found(&sample, BackupFormat::Tar(None), ARCHIVES);
}

fn damage_in_gzip_archives_is_found(installation: Installation) {
    let sample = Sample::take(installation);
    assert_found(&sample, BackupFormat::Tar(Some(CompressionFormat::Gzip)), ARCHIVES);
}

fn damage_in_lz4_archives_is_found(installation: Installation) {
    let sample = Sample::take(installation);
    assert_found(&sample, BackupFormat::Tar(Some(CompressionFormat::Lz4)), ARCHIVES);
}

fn damage_in_zstd_archives_is_found(installation: Installation) {
    let sample = Sample::take(installation);
    assert_found(&sample, BackupFormat::Tar(Some(CompressionFormat::Zstd)), ARCHIVES);
}

/// Where the header and the contents of the only file are in the archive of a tablespace, behind the
/// headers of two directories; and the end of its contents.
const HEADER: usize = 1024;
const CONTENTS: usize = 1536;
const END: usize = CONTENTS + 8192;

/// Changes the header of that file, and lets the header's checksum be right again.
fn forge_header(backup: &Path, change: impl FnOnce(&mut tar::Header)) {
    edit(backup.join("16384.tar"), |bytes| {
        let mut header = tar::Header::from_byte_slice(&bytes[HEADER..CONTENTS]).clone();
        change(&mut header);
        header.set_cksum();
        bytes[HEADER..CONTENTS].copy_from_slice(header.as_bytes());
    });
}

/// Archives whose compression, if they have one, is sound.
const ARCHIVES: &[Damage] = &[
    Damage::of("nothing", |_| {}, &[]),
    Damage::of(
        "missing archive",
        |backup| fs::remove_file(backup.join("16384.tar")).unwrap(),
        &["\"{one}\" is present in the manifest but not on disk"],
    ),
    Damage::of(
        "extra archive",
        |backup| drop(fs::copy(backup.join("16384.tar"), backup.join("99999.tar")).unwrap()),
        &[
            "file \"pg_tblspc/99999/{one's name}\" is present in archive \"99999.tar{z}\" but not in the manifest",
        ],
    ),
    Damage::of(
        "swapped tablespaces",
        |backup| {
            fs::rename(backup.join("16384.tar"), backup.join("x")).unwrap();
            fs::rename(backup.join("16385.tar"), backup.join("16384.tar")).unwrap();
            fs::rename(backup.join("x"), backup.join("16385.tar")).unwrap();
        },
        &[
            "\"{one}\" is present in the manifest but not on disk",
            "file \"{two in one}\" is present in archive \"16384.tar{z}\" but not in the manifest",
            "file \"{one in two}\" is present in archive \"16385.tar{z}\" but not in the manifest",
            "\"{two}\" is present in the manifest but not on disk",
        ],
    ),
    Damage::of(
        "extra names",
        |backup| {
            fs::write(backup.join("notes.txt"), "").unwrap();
            fs::write(backup.join(".hidden"), "").unwrap();
            fs::write(backup.join("0.tar.gz"), "").unwrap();
            fs::write(backup.join("4294967296.tar.gz"), "").unwrap();
            fs::create_dir(backup.join("1.tar")).unwrap();
            make_fifo(backup.join("2.tar"));
        },
        &[
            "file \".hidden\" is not expected in a tar format backup",
            "file \"0.tar.gz\" is not expected in a tar format backup",
            "file \"1.tar\" is not a regular file",
            "file \"2.tar\" is not a regular file",
            "file \"4294967296.tar.gz\" is not expected in a tar format backup",
            "file \"notes.txt\" is not expected in a tar format backup",
        ],
    ),
    Damage::of(
        "flipped bit in contents",
        |backup| flip(backup.join("16384.tar"), CONTENTS + 100),
        &["checksum mismatch for file \"{one}\" in archive \"16384.tar{z}\""],
    ),
    Damage::of(
        "flipped bit in a header's name",
        |backup| flip(backup.join("16384.tar"), HEADER),
        &[
            "archive \"16384.tar{z}\": input file does not appear to be a valid tar archive",
            "\"{one}\" is present in the manifest but not on disk",
        ],
    )
    .original(&["input file does not appear to be a valid tar archive"]),
    Damage::of(
        "flipped bit in a header's size",
        |backup| flip(backup.join("16384.tar"), HEADER + 130),
        &[
            "archive \"16384.tar{z}\": input file does not appear to be a valid tar archive",
            "\"{one}\" is present in the manifest but not on disk",
        ],
    )
    .original(&["input file does not appear to be a valid tar archive"]),
    Damage::of(
        "member of another name",
        |backup| forge_header(backup, |header| header.set_path("extra").unwrap()),
        &[
            "file \"pg_tblspc/16384/extra\" is present in archive \"16384.tar{z}\" but not in the manifest",
            "\"{one}\" is present in the manifest but not on disk",
        ],
    ),
    Damage::of(
        "member with a name that leads elsewhere",
        |backup| {
            forge_header(backup, |header| header.as_mut_bytes()[..6].copy_from_slice(b"../../"))
        },
        &[],
    ),
    Damage::of(
        "member that claims to be shorter",
        |backup| forge_header(backup, |header| header.set_size(512)),
        &[],
    ),
    Damage::of(
        "member that claims to be longer",
        |backup| forge_header(backup, |header| header.set_size(8193)),
        &[],
    ),
    Damage::of(
        "member that claims to have no end",
        |backup| forge_header(backup, |header| header.set_size(u64::MAX / 2)),
        &[],
    ),
    Damage::of(
        "member that is a link",
        |backup| {
            forge_header(backup, |header| {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
            })
        },
        &[],
    ),
    Damage::of(
        "member of an odd kind",
        |backup| forge_header(backup, |header| header.set_entry_type(tar::EntryType::Fifo)),
        &[],
    ),
    Damage::of(
        "extended header",
        |backup| forge_header(backup, |header| header.set_entry_type(tar::EntryType::XHeader)),
        &[],
    ),
    Damage::of(
        "member twice",
        |backup| {
            edit(backup.join("16384.tar"), |bytes| {
                let member = bytes[HEADER..END].to_vec();
                bytes.splice(END..END, member);
            })
        },
        &["file \"{one}\" is present more than once"],
    )
    .original(&[]),
    Damage::of("torn in a member", |backup| truncate(backup.join("16384.tar"), 3000), &[]),
    Damage::of("torn in a header", |backup| truncate(backup.join("16384.tar"), 1100), &[]),
    Damage::of(
        "torn between members",
        |backup| truncate(backup.join("16384.tar"), 1024),
        &["\"{one}\" is present in the manifest but not on disk"],
    ),
    Damage::of(
        "torn before the end of the archive",
        |backup| truncate(backup.join("16384.tar"), END as u64),
        &[],
    ),
    Damage::of(
        "empty archive",
        |backup| truncate(backup.join("16384.tar"), 0),
        &["\"{one}\" is present in the manifest but not on disk"],
    ),
    Damage::of(
        "garbage behind the end of the archive",
        |backup| edit(backup.join("16384.tar"), |bytes| bytes.extend([7; 1000])),
        &["archive \"16384.tar{z}\": unexpected data after the end of the tar archive"],
    )
    .original(&[]),
    Damage::of(
        "no archive",
        |backup| drop(fs::copy(backup.join("backup_manifest"), backup.join("16384.tar")).unwrap()),
        &[
            "archive \"16384.tar{z}\": input file does not appear to be a valid tar archive",
            "\"{one}\" is present in the manifest but not on disk",
        ],
    )
    .original(&["input file does not appear to be a valid tar archive"]),
    Damage::of(
        "tablespace twice",
        |backup| drop(fs::copy(backup.join("16384.tar"), backup.join("016384.tar")).unwrap()),
        &["file \"{one}\" is present more than once"],
    )
    .original(&[]),
    Damage::of(
        "file that nobody has",
        |backup| forge_manifest(backup, "", "\"base/1/1259\"", "\"base/1/none\""),
        &[
            "file \"base/1/1259\" is present in archive \"base.tar{z}\" but not in the manifest",
            "\"base/1/none\" is present in the manifest but not on disk",
        ],
    ),
];
