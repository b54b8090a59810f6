//! Each way to damage a backup in tar format, with each compression, and what both programs say of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use pgsiphon::pg::CompressionFormat;

use crate::support::damage::{BackupFormat, Damage, Said, Sample, assert_found};
use crate::support::installation::Installation;
use crate::support::tamper::{edit, flip, forbid, forge_manifest, make_fifo, relink, truncate};

on_servers!(damage_in_archives_is_found: pg13 pg18);
on_servers!(damage_in_compressed_archives_is_found: pg13 pg18);
on_servers!(damaged_compression_is_found: pg18);

fn damage_in_archives_is_found(installation: Installation) {
    let sample = Sample::take(installation);
    assert_found(&sample, BackupFormat::Tar(None), ARCHIVES);
    assert_found(&sample, BackupFormat::Tar(None), &[TORN.finds(&[
        "archive \"16384.tar\": COPY stream ended before last file was finished",
        "file \"{one}\" in archive \"16384.tar\" should contain 8192 bytes, but 1464 bytes were read",
    ])]);
}

fn damage_in_compressed_archives_is_found(installation: Installation) {
    let sample = Sample::take(installation);
    for compression in [CompressionFormat::Gzip, CompressionFormat::Lz4, CompressionFormat::Zstd] {
        let format = BackupFormat::Tar(Some(compression));
        assert_found(&sample, format, ARCHIVES);
        assert_found(
            &sample,
            format,
            &[TORN.finds(&[
                "archive \"16384.tar{z}\": COPY stream ended before last file was finished",
            ])],
        );
    }
}

/// What is done to a compressed archive, why it cannot be decompressed then, and how much of it can be.
type Compressed = (fn(&mut Vec<u8>), &'static str, Left);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// All that is needed.
    Enough,
}

/// The original may go on as if nothing was wrong, may name the archive by memory that it has given back, and never
/// ends when something follows the end of a stream of gzip.
fn damaged_compression_is_found(installation: Installation) {
    let sample = Sample::take(installation);
    let end = "unexpected end of compressed data";
    for (compression, other_format) in [
        (CompressionFormat::Gzip, "incorrect header check"),
        (CompressionFormat::Lz4, "ERROR_frameType_unknown"),
        (CompressionFormat::Zstd, "Unknown frame descriptor"),
    ] {
        let damages: [Compressed; 5] = [
            (|bytes| bytes.truncate(20), end, Left::Nothing),
            (|bytes| bytes.truncate(bytes.len() - 1), end, Left::Enough),
            (|bytes| bytes.clear(), end, Left::Nothing),
            (|bytes| *bytes = vec![b'x'; 1000], other_format, Left::Nothing),
            (|bytes| bytes.extend([b'x'; 20]), other_format, Left::Enough),
        ];
        let specimen = sample.copy(BackupFormat::Tar(Some(compression)));
        specimen.compress();
        for stem in ["base", "16384", "pg_wal"] {
            let archive = format!("{stem}.tar{}", compression.suffix());
            let path = specimen.backup().join(&archive);
            let sound = fs::read(&path).unwrap();
            for (inflict, reason, left) in damages {
                edit(&path, inflict);
                let broken = format!("archive \"{archive}\": could not decompress data: {reason}");
                let log = (stem == "pg_wal" && left == Left::Nothing)
                    .then(|| "WAL parsing failed for timeline 1".to_owned());
                let expected: Vec<_> = [broken].into_iter().chain(log).collect();
                assert_eq!(specimen.ours(&[]), Said::expected(&expected));
                fs::write(&path, &sound).unwrap();
            }
        }
    }
}

/// Each form says something else of the torn member itself.
const TORN: Damage =
    Damage::of("torn in a member", |backup| truncate(backup.join("16384.tar"), 3000), &[])
        .original(&["COPY stream ended before last file was finished"]);

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

/// Copies a file of the backup.
fn copy(backup: &Path, from: &str, to: &str) {
    fs::copy(backup.join(from), backup.join(to)).unwrap();
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
        "archive is a link to its contents",
        |backup| {
            fs::rename(backup.join("16384.tar"), backup.with_file_name("elsewhere")).unwrap();
            symlink("../elsewhere", backup.join("16384.tar")).unwrap();
        },
        &[],
    ),
    Damage::of(
        "archive is a link to nothing",
        |backup| relink(&backup.join("16384.tar"), "nowhere"),
        &["could not stat file or directory \"16384.tar\": No such file or directory"],
    )
    .original(&[
        "could not stat file or directory \"16384.tar\": No such file or directory",
        "\"{one}\" is present in the manifest but not on disk",
    ]),
    Damage::of(
        "unreadable archive",
        |backup| forbid(backup.join("16384.tar")),
        &["could not open file \"16384.tar{z}\": Permission denied"],
    )
    .original(&[
        "could not open file \"16384.tar\": Permission denied",
        "\"{one}\" is present in the manifest but not on disk",
    ]),
    Damage::of(
        "extra archive",
        |backup| copy(backup, "16384.tar", "16386.tar"),
        &["file \"{one in third}\" is present in archive \"16386.tar{z}\" but not in the manifest"]).original(&["file \"{one's name}\" is present in archive \"16386.tar\" but not in the manifest"]),
    Damage::of(
        "swapped tablespaces",
        |backup| {
            fs::rename(backup.join("16384.tar"), backup.join("x")).unwrap();
            fs::rename(backup.join("16385.tar"), backup.join("16384.tar")).unwrap();
            fs::rename(backup.join("x"), backup.join("16385.tar")).unwrap();
        },
        &["\"{one}\" is present in the manifest but not on disk", "file \"{two in one}\" is present in archive \"16384.tar{z}\" but not in the manifest", "file \"{one in two}\" is present in archive \"16385.tar{z}\" but not in the manifest", "\"{two}\" is present in the manifest but not on disk"]).original(&["\"{one}\" is present in the manifest but not on disk", "\"{two}\" is present in the manifest but not on disk", "file \"{two's name}\" is present in archive \"16384.tar\" but not in the manifest", "file \"{one's name}\" is present in archive \"16385.tar\" but not in the manifest"]),
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
            "archive \"16384.tar{z}\": input file does not appear to be a valid tar archive"
        ],
    )
    .original(&["input file does not appear to be a valid tar archive"]),
    Damage::of(
        "flipped bit in a header's size",
        |backup| flip(backup.join("16384.tar"), HEADER + 130),
        &[
            "archive \"16384.tar{z}\": input file does not appear to be a valid tar archive"
        ],
    )
    .original(&["input file does not appear to be a valid tar archive"]),
    Damage::of(
        "member of another name",
        |backup| forge_header(backup, |header| header.set_path("extra").unwrap()),
        &["\"{one}\" is present in the manifest but not on disk", "file \"pg_tblspc/16384/extra\" is present in archive \"16384.tar{z}\" but not in the manifest"]).original(&["\"{one}\" is present in the manifest but not on disk", "file \"extra\" is present in archive \"16384.tar\" but not in the manifest"]),
    Damage::of(
        "member with a name that leads elsewhere",
        |backup| {
            forge_header(backup, |header| header.as_mut_bytes()[..16].copy_from_slice(b"../../elsewhere\0"))
        },
        &["archive \"16384.tar{z}\": tar member has unsafe path name: \"../../elsewhere\""]).original(&["tar member has unsafe path name: \"../../elsewhere\""]),
    Damage::of(
        "member that claims to be shorter",
        |backup| forge_header(backup, |header| header.set_size(512)),
        &["archive \"16384.tar{z}\": unexpected data after the end of the tar archive", "file \"{one}\" has size 512 in archive \"16384.tar{z}\" but size 8192 in the manifest"]).original(&["file \"{one's name}\" has size 512 in archive \"16384.tar\" but size 8192 in the manifest"]),
    Damage::of(
        "member that claims to be longer",
        |backup| forge_header(backup, |header| header.set_size(8193)),
        &["file \"{one}\" has size 8193 in archive \"16384.tar{z}\" but size 8192 in the manifest"]).original(&["file \"{one's name}\" has size 8193 in archive \"16384.tar\" but size 8192 in the manifest"]),
    Damage::of(
        "member that claims to have no end",
        |backup| forge_header(backup, |header| header.set_size(u64::MAX / 2)),
        &["archive \"16384.tar{z}\": COPY stream ended before last file was finished", "file \"{one}\" has size 9223372036854775807 in archive \"16384.tar{z}\" but size 8192 in the manifest"]).original(&["COPY stream ended before last file was finished", "file \"{one's name}\" has size 9223372036854775807 in archive \"16384.tar\" but size 8192 in the manifest"]),
    Damage::of(
        "member that is a link",
        |backup| {
            forge_header(backup, |header| {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
            })
        },
        &["archive \"16384.tar{z}\": input file does not appear to be a valid tar archive"]).original(&["input file does not appear to be a valid tar archive"]),
    Damage::of(
        "member of an odd kind",
        |backup| forge_header(backup, |header| header.set_entry_type(tar::EntryType::Fifo)),
        &["archive \"16384.tar{z}\": tar member \"{one's name}\" has unsupported type \"6\""]).original(&["\"{one}\" is present in the manifest but not on disk"]),
    Damage::of(
        "extended header",
        |backup| forge_header(backup, |header| header.set_entry_type(tar::EntryType::XHeader)),
        &["archive \"16384.tar{z}\": pax extensions to tar format are not supported"]).original(&["pax extensions to tar format are not supported"]),
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
    Damage::of("torn in a header", |backup| truncate(backup.join("16384.tar"), 1100), &["archive \"16384.tar{z}\": COPY stream ended before last file was finished"]).original(&["COPY stream ended before last file was finished"]),
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
        "garbage behind the end of the main archive",
        |backup| edit(backup.join("base.tar"), |bytes| bytes.extend([7; 1000])),
        &["archive \"base.tar{z}\": unexpected data after the end of the tar archive"],
    )
    .original(&[]),
    Damage::of(
        "torn main archive",
        |backup| truncate(backup.join("base.tar"), 100),
        &["archive \"base.tar{z}\": COPY stream ended before last file was finished"],
    )
    .original(&["COPY stream ended before last file was finished"]),
    Damage::of(
        "torn main archive, and missing archive",
        |backup| {
            truncate(backup.join("base.tar"), 100);
            fs::remove_file(backup.join("16384.tar")).unwrap();
        },
        &["archive \"base.tar{z}\": COPY stream ended before last file was finished", "\"{one}\" is present in the manifest but not on disk"]).original(&["COPY stream ended before last file was finished"]),
    Damage::of(
        "no archive",
        |backup| copy(backup, "backup_manifest", "16384.tar"),
        &[
            "archive \"16384.tar{z}\": input file does not appear to be a valid tar archive"
        ],
    )
    .original(&["input file does not appear to be a valid tar archive"]),
    Damage::of(
        "tablespace twice",
        |backup| copy(backup, "16384.tar", "016384.tar"),
        &["file \"pg_tblspc/016384/{one's name}\" is present in archive \"016384.tar{z}\" but not in the manifest"]).original(&[]),
    Damage::of(
        "file that nobody has",
        |backup| forge_manifest(backup, "", "\"base/1/1259\"", "\"base/1/none\""),
        &[
            "file \"base/1/1259\" is present in archive \"base.tar{z}\" but not in the manifest",
            "\"base/1/none\" is present in the manifest but not on disk",
        ],
    ),
];
