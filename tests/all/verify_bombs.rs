//! Archives that inflate to many times the memory that verifying may use.

use std::fs;
use std::time::Duration;

use pgsiphon::pg::CompressionFormat;

use crate::fake_server::synthetic::{Entry, TarMember, manifest};
use crate::hostile::{good_entries, good_members};
use crate::hostile_compression::compress;
use crate::memory::BOUND_KIB;
use crate::support::client::Client;
use crate::support::scratch::Scratch;

/// What comes out of a bomb: many times the memory that the program may use.
const BOMB_SIZE: usize = 512 << 20;

/// What a bomb consists of, compressed once.
const PIECE_SIZE: usize = 16 << 20;

/// Longer is a hang, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// How a bomb begins, with what it goes on to its end, and what is said among other things.
type Bomb = (&'static str, Vec<u8>, Vec<u8>, &'static str);

/// A header of a name that the manifest does not have, or has.
fn header(name: &str, kind: u8, stated_size: u64) -> Vec<u8> {
    TarMember { name: name.as_bytes(), kind, stated_size, link: b"", contents: b"" }.to_bytes()
}

fn bombs() -> [Bomb; 7] {
    const TORN: &str = "archive \"base.tar{z}\": COPY stream ended before last file was finished";
    const PAX: &str = "archive \"base.tar{z}\": pax extensions to tar format are not supported";
    const AFTER_END: &str =
        "archive \"base.tar{z}\": unexpected data after the end of the tar archive";
    const TOO_MANY: &str = "verification was ended after 10003 problems";
    [
        ("zeros behind the end", good_members().concat(), vec![0; 512], AFTER_END),
        ("a huge file that is listed", header("huge", b'0', 1 << 40), vec![0; 512], TORN),
        ("a huge file that is not", header("more", b'0', 1 << 40), vec![0; 512], TORN),
        ("a huge extended header", header("x", b'x', 1 << 40), vec![0; 512], PAX),
        ("extended headers without end", Vec::new(), header("x", b'g', 0), PAX),
        ("files that are not listed", Vec::new(), header("more", b'0', 0), TOO_MANY),
        ("the same file without end", Vec::new(), header("huge", b'0', 0), TOO_MANY),
    ]
}

/// Verifying ends, in little memory, and says what is wrong.
#[test]
fn a_bomb_fills_no_memory() {
    let huge = Entry { path: "huge".to_owned(), size: 1 << 40, crc: 0 };
    let entries: Vec<_> = good_entries().into_iter().chain([huge]).collect();
    for (what, beginning, filling, said) in bombs() {
        let filling = filling.repeat(PIECE_SIZE / filling.len());
        for format in [CompressionFormat::Gzip, CompressionFormat::Lz4, CompressionFormat::Zstd] {
            let scratch = Scratch::new();
            fs::write(scratch.join("backup_manifest"), manifest(&entries)).unwrap();
            let filling = compress(format, &filling).repeat(BOMB_SIZE / PIECE_SIZE);
            let archive = format!("base.tar{}", format.suffix());
            let bomb = [compress(format, &beginning), filling].concat();
            fs::write(scratch.join(&archive), bomb).unwrap();
            let client = Client::verifybackup().arg("-n").arg(scratch.path());
            let (finished, peak_kib) = client.start().wait_watching_memory();
            assert_eq!(finished.status.code(), Some(1), "{what}: {format:?}");
            let (said, errors) = (said.replace("{z}", format.suffix()), finished.errors());
            assert!(errors.contains(&said.as_str()), "{what}: {format:?}: {:?}", errors.last());
            assert!(peak_kib < BOUND_KIB, "{what}: {format:?}: it used {peak_kib} KiB");
            assert!(finished.took < LIMIT, "{what}: {format:?}: it took {:?}", finished.took);
        }
    }
}
