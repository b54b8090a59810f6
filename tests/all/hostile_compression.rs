//! The program against servers that compress wrongly, or too well.

use std::io::{self, Write as _};
use std::time::Duration;

use flate2::write::GzEncoder;
use lzzzz::lz4f::{self, ContentChecksum, PreferencesBuilder};
use pgsiphon::pg::CompressionFormat;

use crate::fake_server::run::{Outcome, for_each, run};
use crate::fake_server::synthetic::{Synthetic, TarMember, manifest};
use crate::fake_server::{FakeServer, Fault};
use crate::hostile::{assert_corruption_is_noticed, good_entries, good_members};
use crate::memory::BOUND_KIB;
use crate::support::client::Client;
use crate::support::scratch::Scratch;

const FORMATS: [(CompressionFormat, &str); 3] = [
    (CompressionFormat::Gzip, "server-gzip"),
    (CompressionFormat::Lz4, "server-lz4"),
    (CompressionFormat::Zstd, "server-zstd"),
];

/// Compresses to a member or frame with a checksum.
pub fn compress(format: CompressionFormat, contents: &[u8]) -> Vec<u8> {
    let compressed: io::Result<Vec<u8>> = match format {
        CompressionFormat::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(contents).and_then(|()| encoder.finish())
        }
        CompressionFormat::Lz4 => {
            let checksum = ContentChecksum::Enabled;
            let preferences = PreferencesBuilder::new().content_checksum(checksum).build();
            let mut frame = Vec::new();
            let size = lz4f::compress_to_vec(contents, &mut frame, &preferences);
            size.map(|_| frame).map_err(io::Error::other)
        }
        CompressionFormat::Zstd => zstd::Encoder::new(Vec::new(), 0).and_then(|mut encoder| {
            encoder.include_checksum(true)?;
            encoder.write_all(contents)?;
            encoder.finish()
        }),
    };
    compressed.expect("there is memory enough")
}

/// A good backup, but for what `change` makes of its compressed archive.
fn compressed(format: CompressionFormat, change: impl Fn(&mut Vec<u8>)) -> Synthetic {
    let mut backup = Synthetic::new("17.2", good_members(), Some(manifest(&good_entries())));
    for archive in &mut backup.archives {
        let mut stream = compress(format, &archive.to_tar());
        change(&mut stream);
        archive.compressed = Some((format, stream));
    }
    backup
}

/// Runs a test on the outcome of each format, extracted and kept, with a name for messages.
fn for_each_form(
    backup: impl Fn(CompressionFormat) -> Synthetic + Sync,
    test: impl Fn(&str, &Outcome) + Sync,
) {
    let forms: Vec<_> = FORMATS.iter().flat_map(|f| [(f, "-Fp"), (f, "-Ft")]).collect();
    for_each(&forms, |((format, option), form)| {
        let arguments = ["-X", "none", form, "-Z", option];
        let outcome = run(backup(*format).to_session(), Fault::None, &arguments);
        test(&format!("{option} {form}"), &outcome);
    });
}

#[test]
fn a_made_up_backup_that_is_rightly_compressed_is_taken() {
    for_each_form(
        |format| compressed(format, |_| {}),
        |what, outcome| {
            assert_eq!(outcome.code, Some(0), "{what}: {outcome:?}");
            assert!(outcome.has("target/backup_manifest"), "{what}: {outcome:?}");
        },
    );
}

#[test]
fn damaged_compression_is_refused_and_leaves_nothing() {
    type Damage = fn(&mut Vec<u8>);
    const TRUNCATED: &str = "could not decompress data: unexpected end of compressed data";
    const CORRUPT: &str = "could not decompress data: ";
    let damages: [(&str, &str, Damage); 8] = [
        ("nothing", TRUNCATED, Vec::clear),
        ("cut in the middle", TRUNCATED, |stream| stream.truncate(stream.len() / 2)),
        ("cut before the last byte", TRUNCATED, |stream| stream.truncate(stream.len() - 1)),
        ("garbage behind the end", CORRUPT, |stream| stream.extend(b"garbage")),
        ("zeros behind the end", CORRUPT, |stream| stream.extend([0; 512])),
        ("flipped magic", CORRUPT, |stream| stream[0] ^= 1),
        // What comes out may be no tar archive either.
        ("flipped in the middle", "", |stream| {
            let middle = stream.len() / 2;
            stream[middle] ^= 0x10;
        }),
        ("flipped checksum", CORRUPT, |stream| {
            let last = stream.len() - 1;
            stream[last] ^= 1;
        }),
    ];
    for (what, words, damage) in damages {
        for_each_form(
            |format| compressed(format, damage),
            |form, outcome| {
                let what = format!("{form}: {what}");
                outcome.assert_failed_without_a_trace(&what);
                assert!(outcome.errors().concat().contains(words), "{what}: {outcome:?}");
            },
        );
    }
}

/// The servers' frames have no checksums: where the damage decompresses, only the manifest tells.
#[test]
fn a_wrong_byte_of_a_recorded_compressed_archive_is_an_error_or_harmless() {
    // The first ones belong to the answers before it.
    let at = |size| (1500..size).step_by(size / 25).collect();
    for (name, option) in [
        ("15/server-gzip", "server-gzip"),
        ("17/server-lz4", "server-lz4"),
        ("18/server-zstd", "server-zstd"),
    ] {
        assert_corruption_is_noticed(name, &["-X", "none", "-Z", option], at);
    }
}

/// What comes out of a bomb: many times the memory that the program may use.
const BOMB_SIZE: usize = 2 << 30;

/// Longer is a hang: even code that was not optimised digests so much in a few seconds.
const BOMB_LIMIT: Duration = Duration::from_secs(60);

/// A backup whose archive begins so and goes on with zeros, in members or frames after one another.
fn bomb(format: CompressionFormat, beginning: &[u8]) -> Synthetic {
    const PIECE_SIZE: usize = 16 << 20;
    let zeros = compress(format, &vec![0; PIECE_SIZE]).repeat(BOMB_SIZE / PIECE_SIZE);
    compressed(format, |stream| *stream = [compress(format, beginning), zeros.clone()].concat())
}

/// Kept archives are only digested, so that no disk fills up before.
#[test]
fn a_bomb_fills_no_memory_and_is_refused() {
    let huge =
        TarMember { name: b"huge", kind: b'0', stated_size: 1 << 40, link: b"", contents: b"" };
    let beginnings = [
        ("COPY stream ended before last file was finished", huge.to_bytes()),
        ("unexpected data after the end of the tar archive", good_members().concat()),
    ];
    for (format, option) in FORMATS {
        for (words, beginning) in &beginnings {
            let server = FakeServer::start(bomb(format, beginning).to_session(), Fault::None);
            let scratch = Scratch::new();
            let target = scratch.join("target");
            let client = Client::pgsiphon().through(server.host(), 5432);
            let client = client.args(["-N", "-Xnone", "-Ft", "-Z", option]).into_directory(&target);
            let (finished, peak_kib) = client.start().wait_watching_memory();
            assert_eq!(finished.failed(), *words, "{option}");
            assert!(peak_kib < BOUND_KIB, "{option}: {words}: it used {peak_kib} KiB");
            assert!(finished.took < BOMB_LIMIT, "{option}: {words}: {:?}", finished.took);
            assert!(!target.exists(), "{option}: {words}");
        }
    }
}
