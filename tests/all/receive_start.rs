//! Where receiving of WAL goes on, in directories of all kinds: as the original does.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::scratch::Scratch;
use crate::support::server::Server;

on_servers!(receiving_goes_on_where_the_original_does: pg18);
on_servers!(the_search_follows_the_segment_size: pg18);

/// What a directory holds under a name.
#[derive(Clone, Copy, Debug)]
enum Entry {
    /// So many bytes.
    Plain(usize),
    /// So many bytes, compressed with gzip.
    Gzip(usize),
    /// So many bytes, compressed with LZ4.
    Lz4(usize),
    /// A segment compressed with gzip, less so many bytes at the end.
    TornGzip(usize),
    /// A segment compressed with LZ4, less so many bytes at the end.
    TornLz4(usize),
    /// An empty directory.
    Directory,
    /// A symbolic link.
    Link(&'static str),
}

use Entry::{Directory, Gzip, Link, Lz4, Plain, TornGzip, TornLz4};

/// The size of the segments in the table.
const SIZE: usize = 1 << 20;

/// Bytes that are missing at the end of a compressed file so that it still has its contents: part of the
/// frame's end mark and its checksum.
const ONLY_THE_END: usize = 5;

impl Entry {
    fn create(self, path: &Path) {
        match self {
            Plain(size) => fs::write(path, contents(size)).unwrap(),
            Gzip(size) => fs::write(path, gzip(size)).unwrap(),
            Lz4(size) => fs::write(path, lz4(size)).unwrap(),
            TornGzip(missing) => fs::write(path, without_end(gzip(SIZE), missing)).unwrap(),
            TornLz4(missing) => fs::write(path, without_end(lz4(SIZE), missing)).unwrap(),
            Directory => fs::create_dir(path).unwrap(),
            Link(target) => symlink(target, path).unwrap(),
        }
    }
}

/// Returns bytes that compress to about a third.
fn contents(size: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        [state.to_be_bytes()[0]; 12]
    });
    words.flatten().take(size).collect()
}

fn gzip(size: usize) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&contents(size)).unwrap();
    encoder.finish().unwrap()
}

fn lz4(size: usize) -> Vec<u8> {
    let preferences = lzzzz::lz4f::PreferencesBuilder::new()
        .content_checksum(lzzzz::lz4f::ContentChecksum::Enabled)
        .build();
    let mut compressed = Vec::new();
    lzzzz::lz4f::compress_to_vec(&contents(size), &mut compressed, &preferences).unwrap();
    compressed
}

fn without_end(mut bytes: Vec<u8>, missing: usize) -> Vec<u8> {
    bytes.truncate(bytes.len() - missing);
    bytes
}

/// Starts receiving, with an end that is reached at once, and returns what the client says up to the position
/// where it starts, or up to an error before that.
fn said(client: Client, server: &Server, entries: &[(&str, Entry)]) -> Vec<String> {
    let scratch = Scratch::new();
    let directory = scratch.directory("wal");
    for (name, entry) in entries {
        entry.create(&directory.join(name));
    }
    let client = client.to(server).args(["-v", "-n", "-E", "0/1"]);
    let finished = client.into_directory(&directory).run();
    let said = finished.stderr.replace(&*directory.to_string_lossy(), "/wal");
    let is_last = |line: &str| line.contains("starting log streaming") || line.contains(" error: ");
    let end = said.lines().position(is_last).unwrap_or_else(|| panic!("it only says: {said}"));
    // Where the original begins somewhere without a word, ours says that there is a hole.
    let holes = ["warning: WAL before ", "detail: The directory holds no segment, "];
    let counts = |line: &&str| !holes.iter().any(|hole| line.contains(hole));
    let mut lines: Vec<_> = said.lines().take(end + 1).filter(counts).map(str::to_owned).collect();
    // Each has its own order of looking at files.
    lines.sort();
    lines
}

#[track_caller]
fn check(server: &Server, table: &[&[(&str, Entry)]]) {
    for entries in table {
        let original = said(Client::receivewal_original(), server, entries);
        let ours = said(Client::receivewal_drop_in(), server, entries);
        assert_eq!(ours, original, "{entries:?}");
    }
}

fn receiving_goes_on_where_the_original_does(installation: Installation) {
    let server = Server::builder(installation).initdb(&["--wal-segsize=1"]).start();
    check(
        &server,
        &[
            &[],
            &[("000000010000000000000009", Plain(SIZE))],
            &[
                ("000000010000000000000003", Plain(SIZE)),
                ("000000010000000000000009", Plain(SIZE)),
                ("000000010000000000000005", Plain(SIZE)),
            ],
            &[("000000010000000100000FFF", Plain(SIZE))],
            &[("000000010000000000000009", Plain(SIZE)), ("000000020000000000000008", Plain(SIZE))],
            &[
                ("000000010000000000000009", Plain(SIZE)),
                ("000000020000000000000009.partial", Plain(0)),
            ],
            &[
                ("000000010000000000000009", Plain(SIZE)),
                ("000000010000000000000009.partial", Plain(SIZE)),
            ],
            &[
                ("000000010000000000000009", Plain(SIZE)),
                ("00000001000000000000000A.partial", Plain(SIZE)),
            ],
            &[("000000010000000000000009.partial", Plain(77))],
            &[("FFFFFFFF0000000000000003", Plain(SIZE))],
            &[("000000010000000000000000", Plain(SIZE))],
            &[("000000010000000000000000.partial", Plain(0))],
            &[("00000001FFFFFFFF00000FFF", Plain(SIZE))],
            &[("00000001FFFFFFFF00000FFF.partial", Plain(0))],
            &[("000000010000000000000009.gz", Gzip(SIZE))],
            &[("000000010000000000000009.lz4", Lz4(SIZE))],
            &[("000000010000000000000009.lz4", Lz4(SIZE - 1))],
            &[("000000010000000000000009.lz4", Lz4(SIZE + 1))],
            &[("000000010000000000000009.lz4", Lz4(3 * SIZE))],
            &[("000000010000000000000009.lz4", TornLz4(SIZE / 8))],
            &[("000000010000000000000009.lz4", TornLz4(ONLY_THE_END))],
            &[("000000010000000000000009.lz4", Plain(SIZE))],
            &[("000000010000000000000009.lz4", Plain(0))],
            &[("000000010000000000000009.gz", Plain(3))],
            &[
                ("000000010000000000000007.gz.partial", Plain(0)),
                ("000000010000000000000008.lz4.partial", Plain(0)),
            ],
            &[
                ("000000010000000000000006", Plain(SIZE)),
                ("000000010000000000000007", Plain(0)),
                ("000000010000000000000008", Plain(SIZE + 1)),
                ("000000010000000000000009", Plain(SIZE - 1)),
            ],
            &[
                ("00000001000000000000000a", Plain(SIZE)),
                ("000000010000000000000009.bz2", Plain(SIZE)),
                ("000000010000000000000009.00000028.backup", Plain(SIZE)),
                ("00000002.history", Plain(40)),
                ("archive_status", Directory),
            ],
            &[("000000010000000000000009", Directory)],
            &[("000000010000000000000009", Link("elsewhere")), ("elsewhere", Plain(SIZE))],
            &[("000000010000000000000009", Link("nowhere"))],
        ],
    );
    // The original prints other sizes here: it takes bytes above 127 for negative numbers.
    for entry in [Gzip(SIZE - 1), TornGzip(1000)] {
        let entries = [("000000010000000000000009.gz", entry)];
        let [original, ours] = [Client::receivewal_original(), Client::receivewal_drop_in()]
            .map(|client| said(client, &server, &entries).len());
        assert_eq!((original, ours), (2, 2), "one warning, and the start: {entry:?}");
    }
}

fn the_search_follows_the_segment_size(installation: Installation) {
    let size = 16 << 20;
    let server = Server::start(installation);
    check(
        &server,
        &[
            &[("0000000100000001000000FF", Plain(size))],
            &[("000000010000000000000009", Gzip(size)), ("000000010000000000000008", Plain(size))],
            &[("000000010000000000000009", Plain(1 << 20))],
        ],
    );
}
