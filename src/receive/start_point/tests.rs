//! Directories, and where the original goes on in them.

use std::io::Write as _;
use std::os::unix::fs::symlink;

use super::*;

const SIZE: usize = 1 << 20;

/// A hole that was skipped, up to where segment 9 begins.
const SKIPPED_HOLE: &[u8] = br#"{"from":"0/800000","to":"0/900000","timeline":1,"cause":"removed_by_server","noticed":"2000-01-01T00:00:00.000000Z"}"#;

/// Holes that end elsewhere, on another timeline, begin before segment 8, or where nothing is known of.
const OTHER_HOLES: &[u8] = br#"
{"from":"0/700000","to":"0/800000","timeline":1,"cause":"removed_by_server","noticed":"2000-01-01T00:00:00.000000Z"}
{"from":"0/800001","to":"0/900000","timeline":2,"cause":"removed_by_server","noticed":"2000-01-01T00:00:00.000000Z"}
{"from":"0/7FFFFF","to":"0/900000","timeline":1,"cause":"removed_by_server","noticed":"2000-01-01T00:00:00.000000Z"}
{"from":null,"to":"0/900000","timeline":1,"cause":"empty_directory","noticed":"2000-01-01T00:00:00.000000Z"}"#;

/// What a directory holds under a name.
#[derive(Clone, Copy, Debug)]
enum Entry {
    /// So many bytes.
    Plain(usize),
    /// So many bytes, compressed.
    Compressed(CompressionFormat, usize),
    /// A whole segment, compressed, less so many bytes at the end.
    Torn(CompressionFormat, usize),
    /// These bytes.
    Bytes(&'static [u8]),
    Directory,
    Link(&'static str),
}

use CompressionFormat::{Gzip, Lz4, Zstd};
use Entry::{Bytes, Compressed, Directory, Link, Plain, Torn};

fn segment_size() -> WalSegmentSize {
    WalSegmentSize::from_bytes(SIZE as u64).unwrap()
}

/// Returns bytes that hardly compress.
fn contents(size: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let bytes = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    bytes.take(size).collect()
}

fn compress(format: CompressionFormat, contents: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    match format {
        Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(&mut compressed, Default::default());
            encoder.write_all(contents).unwrap();
            encoder.finish().unwrap();
        }
        Lz4 => {
            let preferences = lzzzz::lz4f::PreferencesBuilder::new()
                .content_checksum(lzzzz::lz4f::ContentChecksum::Enabled)
                .build();
            lzzzz::lz4f::compress_to_vec(contents, &mut compressed, &preferences).unwrap();
        }
        Zstd => compressed = zstd::encode_all(contents, 1).unwrap(),
    }
    compressed
}

fn prepare(entries: &[(&str, Entry)]) -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    for (name, entry) in entries {
        let path = scratch.path().join(name);
        match *entry {
            Plain(size) => fs::write(path, contents(size)).unwrap(),
            Compressed(format, size) => fs::write(path, compress(format, &contents(size))).unwrap(),
            Torn(format, missing) => {
                let whole = compress(format, &contents(SIZE));
                fs::write(path, &whole[..whole.len() - missing]).unwrap();
            }
            Bytes(bytes) => fs::write(path, bytes).unwrap(),
            Directory => fs::create_dir(path).unwrap(),
            Link(target) => symlink(target, path).unwrap(),
        }
    }
    scratch
}

/// Runs the search and returns its outcome in words, preceded by the warnings.
fn search(directory: &Path, segment_size: WalSegmentSize) -> Vec<String> {
    let mut said = Vec::new();
    let found = find(directory, segment_size, None, &mut |event| {
        let Event::SkippedFile { name, size, is_compressed } = event else { panic!("{event:?}") };
        said.push(format!("{name} {size}{}", if is_compressed { " uncompressed" } else { "" }));
    });
    said.push(match found {
        Ok(Some(Found { point: StartPoint { at, timeline }, .. })) => format!("{at} {timeline}"),
        Ok(None) => "nothing".to_owned(),
        Err(error) => error.to_string().replace(&*directory.to_string_lossy(), "/wal"),
    });
    said
}

/// A kind of directory, what it holds and what is said.
type Case<'a> = (&'a str, &'a [(&'a str, Entry)], &'a [&'a str]);

fn check(table: &[Case<'_>]) {
    for (what, entries, said) in table {
        let scratch = prepare(entries);
        assert_eq!(search(scratch.path(), segment_size()), *said, "{what}");
    }
}

#[test]
fn the_highest_segment_that_counts_is_followed() {
    check(&[
        ("empty", &[], &["nothing"]),
        ("one segment", &[("000000010000000000000003", Plain(SIZE))], &["0/400000 1"]),
        (
            "gaps",
            &[
                ("000000010000000000000003", Plain(SIZE)),
                ("000000010000000000000009", Plain(SIZE)),
                ("000000010000000000000005", Plain(SIZE)),
            ],
            &["0/A00000 1"],
        ),
        (
            "the next log",
            &[("000000010000000100000FFF", Plain(SIZE)), ("000000010000000100000FFE", Plain(SIZE))],
            &["2/0 1"],
        ),
        (
            "higher segment of a lower timeline",
            &[("000000010000000000000009", Plain(SIZE)), ("000000020000000000000008", Plain(SIZE))],
            &["0/A00000 1"],
        ),
        (
            "same segment of two timelines",
            &[
                ("000000010000000000000009", Plain(SIZE)),
                ("000000020000000000000009.partial", Plain(0)),
            ],
            &["0/900000 2"],
        ),
        (
            "complete and partial",
            &[
                ("000000010000000000000009.partial", Plain(SIZE)),
                ("000000010000000000000009", Plain(SIZE)),
            ],
            &["0/A00000 1"],
        ),
        (
            "partial behind complete",
            &[
                ("000000010000000000000009", Plain(SIZE)),
                ("00000001000000000000000A.partial", Plain(SIZE)),
            ],
            &["0/A00000 1"],
        ),
        (
            "two partial ones, as a kill between them leaves",
            &[
                ("000000010000000000000007", Plain(SIZE)),
                ("000000010000000000000008.partial", Plain(SIZE)),
                ("000000010000000000000009.partial", Plain(SIZE)),
            ],
            &["0/800000 1"],
        ),
        (
            "two partial ones with a hole between them that was skipped",
            &[
                ("000000010000000000000008.partial", Plain(SIZE)),
                ("000000010000000000000009.partial", Plain(SIZE)),
                (".pgsiphon-holes", Bytes(SKIPPED_HOLE)),
            ],
            &["0/900000 1"],
        ),
        (
            "two partial ones as a kill leaves them, and other holes",
            &[
                ("000000010000000000000008.partial", Plain(SIZE)),
                ("000000010000000000000009.partial", Plain(SIZE)),
                (".pgsiphon-holes", Bytes(OTHER_HOLES)),
            ],
            &["0/800000 1"],
        ),
        (
            "a partial one far behind",
            &[
                ("000000010000000000000007.partial", Plain(SIZE)),
                ("000000010000000000000009.partial", Plain(SIZE)),
            ],
            &["0/900000 1"],
        ),
        (
            "partial of any size",
            &[("000000010000000000000009.partial", Plain(77))],
            &["0/900000 1"],
        ),
        (
            "timelines of more than 31 bits",
            &[("FFFFFFFF0000000000000003", Plain(SIZE))],
            &["0/400000 4294967295"],
        ),
        ("segment 0", &[("000000010000000000000000", Plain(SIZE))], &["nothing"]),
        ("partial segment 0", &[("000000010000000000000000.partial", Plain(0))], &["nothing"]),
        ("the last segment of all", &[("00000001FFFFFFFF00000FFF", Plain(SIZE))], &["nothing"]),
        (
            "the last segment of all, partial",
            &[("00000001FFFFFFFF00000FFF.partial", Plain(0))],
            &["FFFFFFFF/FFF00000 1"],
        ),
    ]);
}

#[test]
fn compressed_segments_count_if_their_contents_are_whole() {
    check(&[
        ("gzip", &[("000000010000000000000009.gz", Compressed(Gzip, SIZE))], &["0/A00000 1"]),
        ("LZ4", &[("000000010000000000000009.lz4", Compressed(Lz4, SIZE))], &["0/A00000 1"]),
        ("Zstandard", &[("000000010000000000000009.zst", Compressed(Zstd, SIZE))], &["0/A00000 1"]),
        (
            "short gzip",
            &[("000000010000000000000009.gz", Compressed(Gzip, SIZE - 1))],
            &["000000010000000000000009.gz 1048575 uncompressed", "nothing"],
        ),
        (
            "short LZ4",
            &[("000000010000000000000009.lz4", Compressed(Lz4, SIZE - 1))],
            &["000000010000000000000009.lz4 1048575 uncompressed", "nothing"],
        ),
        (
            "short Zstandard",
            &[("000000010000000000000009.zst", Compressed(Zstd, SIZE - 1))],
            &["000000010000000000000009.zst 1048575 uncompressed", "nothing"],
        ),
        (
            "too much LZ4",
            &[("000000010000000000000009.lz4", Compressed(Lz4, SIZE + 1))],
            &["000000010000000000000009.lz4 1048577 uncompressed", "nothing"],
        ),
        (
            "LZ4 without its checksum",
            &[("000000010000000000000009.lz4", Torn(Lz4, 4))],
            &["0/A00000 1"],
        ),
        (
            "empty LZ4",
            &[("000000010000000000000009.lz4", Plain(0))],
            &["000000010000000000000009.lz4 0 uncompressed", "nothing"],
        ),
        (
            "other data",
            &[("000000010000000000000009.lz4", Bytes(b"not compressed"))],
            &[
                "could not decompress file \"/wal/000000010000000000000009.lz4\": ERROR_frameType_unknown",
            ],
        ),
        (
            "gzip without a trailer",
            &[("000000010000000000000009.gz", Bytes(b"123"))],
            &[
                "could not seek in compressed file \"/wal/000000010000000000000009.gz\": Invalid argument",
            ],
        ),
        (
            "partial ones of each kind",
            &[
                ("000000010000000000000007.gz.partial", Plain(0)),
                ("000000010000000000000008.lz4.partial", Plain(0)),
                ("000000010000000000000009.zst.partial", Plain(0)),
            ],
            &["0/900000 1"],
        ),
        (
            "a torn one beside a whole one",
            &[
                ("000000010000000000000009.gz", Compressed(Gzip, 5)),
                ("000000010000000000000009", Plain(SIZE)),
                ("000000010000000000000009.lz4", Bytes(b"not looked at")),
            ],
            &["0/A00000 1"],
        ),
    ]);
}

#[test]
fn files_of_other_sizes_and_kinds_are_skipped() {
    check(&[
        (
            "wrong size",
            &[
                ("000000010000000000000009", Plain(SIZE - 1)),
                ("000000010000000000000008", Plain(SIZE + 1)),
                ("000000010000000000000007", Plain(0)),
                ("000000010000000000000006", Plain(SIZE)),
            ],
            &[
                "000000010000000000000009 1048575",
                "000000010000000000000008 1048577",
                "000000010000000000000007 0",
                "0/700000 1",
            ],
        ),
        (
            "wrong size below",
            &[("000000010000000000000009", Plain(SIZE)), ("000000010000000000000008", Plain(0))],
            &["0/A00000 1"],
        ),
        (
            "the other names of a directory",
            &[
                ("00000001000000000000000a", Plain(SIZE)),
                ("000000010000000000000009.bz2", Plain(SIZE)),
                ("000000010000000000000009.00000028.backup", Plain(SIZE)),
                ("000000000000000000000009", Plain(SIZE)),
                ("000000010000000000001000", Plain(SIZE)),
                ("00000002.history", Plain(40)),
                (".pgsiphon-holes", Plain(40)),
                ("archive_status", Directory),
            ],
            &["nothing"],
        ),
        (
            "a link to a segment",
            &[("000000010000000000000009", Link("elsewhere")), ("elsewhere", Plain(SIZE))],
            &["0/A00000 1"],
        ),
        (
            "a link to nothing",
            &[("000000010000000000000009", Link("nowhere"))],
            &["could not stat file \"/wal/000000010000000000000009\": No such file or directory"],
        ),
    ]);
}

#[test]
fn what_is_no_file_is_no_segment() {
    for suffix in ["", ".gz", ".lz4", ".zst", ".partial"] {
        let name = format!("000000010000000000000009{suffix}");
        let scratch = prepare(&[(&name, Directory), ("000000010000000000000008", Plain(SIZE))]);
        let size = fs::metadata(scratch.path().join(&name)).unwrap().len();
        let said = search(scratch.path(), segment_size());
        assert_eq!(said, [format!("{name} {size}"), "0/900000 1".to_owned()]);
    }
}

#[test]
fn segments_of_8_megabytes_are_read_out_of_gzip() {
    let size = WalSegmentSize::from_bytes(8 << 20).unwrap();
    let entry = Compressed(Gzip, 8 << 20);
    let scratch = prepare(&[("000000010000000000000003.gz", entry)]);
    assert_eq!(search(scratch.path(), size), ["0/2000000 1"]);
}

#[test]
fn a_file_that_inflates_without_end_is_left_soon() {
    // Frames of zeros, one after the other: 4 GB in 400 KB.
    let frame = compress(Zstd, &vec![0; 64 << 20]);
    let scratch = prepare(&[]);
    let path = scratch.path().join("000000010000000000000009.zst");
    fs::write(path, frame.repeat(64)).unwrap();
    let said = search(scratch.path(), segment_size());
    assert_eq!(said.last().unwrap(), "nothing");
}

#[test]
fn a_directory_that_cannot_be_read_is_an_error() {
    let said = search(Path::new("/nonexistent"), segment_size());
    assert_eq!(said, ["could not open directory \"/wal\": No such file or directory"]);
}

#[test]
fn what_lies_below_the_answer_is_not_looked_at() {
    let scratch = prepare(&[("000000010000000100000000", Plain(SIZE))]);
    for number in 0..1000 {
        let text = format!("0000000100000000{number:08X}.lz4");
        fs::write(scratch.path().join(text), "never looked at").unwrap();
    }
    assert_eq!(search(scratch.path(), segment_size()), ["1/100000 1"]);
}
