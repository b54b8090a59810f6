//! The WAL of real backups, checked by `verifybackup` without `pg_waldump`.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use pgsiphon::pg::{Lsn, SegmentNumber, TimelineId, WalSegmentSize};

use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::scratch::{Scratch, names, run};
use crate::support::server::Server;
use crate::support::wal_files::can_unpack;
use crate::support::workload::{WriteLoad, fill};

on_servers!(sound_wal_is_accepted_in_every_form: pg13 pg15 pg18);
on_servers!(damaged_wal_is_found_where_it_is_needed: pg13 pg15 pg18);
on_servers!(segments_may_be_compressed_one_by_one: pg13 pg18);
on_servers!(the_original_accepts_and_refuses_the_same: pg18);

const PAGE_SIZE: u64 = 8192;

/// Starts a server with the smallest segments, so that a backup needs several, and writes to it.
fn start(installation: Installation) -> (Server, WriteLoad) {
    let server = Server::builder(installation).initdb(&["--wal-segsize=1"]);
    let server = server.setting("wal_keep_size=1GB").setting("max_wal_size=2GB").start();
    fill(&server);
    let load = WriteLoad::start(&server);
    (server, load)
}

fn back_up(server: &Server, arguments: &[&str], target: &Path) {
    let client = Client::pgsiphon().to(server).arg("-N").args(arguments);
    client.into_directory(target).run().succeeded();
}

fn sound_wal_is_accepted_in_every_form(installation: Installation) {
    let (server, _load) = start(installation);
    let table: [&[&str]; 7] = [
        &["-Fp", "-X", "stream"],
        &["-Fp", "-X", "fetch"],
        &["-Ft", "-X", "stream"],
        &["-Ft", "-X", "stream", "-Z", "gzip:1"],
        &["-Ft", "-X", "fetch"],
        &["-Ft", "-X", "fetch", "-Z", "client-lz4"],
        &["-Ft", "-X", "fetch", "-Z", "client-zstd"],
    ];
    for arguments in table {
        let scratch = Scratch::new();
        let target = scratch.join("target");
        back_up(&server, arguments, &target);
        let verified = Client::verifybackup().arg(&target).run().succeeded();
        assert_eq!(verified.stderr, "", "{arguments:?}");
    }
}

/// A backup in plain format, and the WAL that it needs.
struct Backup {
    target: PathBuf,
    start: Lsn,
    end: Lsn,
}

impl Backup {
    fn take(server: &Server, scratch: &Scratch) -> Self {
        let target = scratch.join("target");
        // Not too fast, so that it needs more than a page.
        back_up(server, &["-X", "stream", "--max-rate", "20M"], &target);
        let manifest = fs::read_to_string(target.join("backup_manifest")).unwrap();
        let position = |key: &str| {
            let (_, after) = manifest.split_once(&format!("\"{key}\": \"")).unwrap();
            after.split('"').next().unwrap().parse().unwrap()
        };
        let (start, end) = (position("Start-LSN"), position("End-LSN"));
        Backup { target, start, end }
    }

    /// Copies the segments, which may be damaged then.
    fn copy_wal(&self) -> Scratch {
        let copy = Scratch::new();
        for name in names(&self.target.join("pg_wal")) {
            if name.len() == 24 {
                fs::copy(self.target.join("pg_wal").join(&name), copy.join(&name)).unwrap();
            }
        }
        copy
    }

    /// A page in the middle of the range.
    fn page_between(&self) -> Lsn {
        let middle = (self.start.offset() + self.end.offset()) / 2;
        let page = Lsn::new(middle / PAGE_SIZE * PAGE_SIZE);
        assert!(self.start < page && page < self.end, "{} to {}", self.start, self.end);
        page
    }
}

fn segment_size() -> WalSegmentSize {
    WalSegmentSize::from_bytes(1 << 20).unwrap()
}

fn segment_of(position: Lsn) -> String {
    let segment = SegmentNumber::containing(position, segment_size());
    segment.file_name(TimelineId::FIRST, segment_size())
}

/// Flips a bit at a position.
fn flip(wal: &Scratch, position: Lsn) {
    let path = wal.join(segment_of(position));
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let offset = position.offset() % segment_size().bytes();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 4], offset).unwrap();
}

fn before(position: Lsn, bytes: u64) -> Lsn {
    Lsn::new(position.offset() - bytes)
}

fn after(position: Lsn, bytes: u64) -> Lsn {
    Lsn::new(position.offset() + bytes)
}

/// What is done to the segments of a backup.
type Damage = fn(&Backup, &Scratch);

const LAST_LINE: &str = "WAL parsing failed for timeline 1";

/// Where it is found.
type Position = fn(&Backup) -> Lsn;

/// A damage and how the reason begins; `{at}` stands for the position, `{file}` for its segment.
type Case = (&'static str, Damage, Position, &'static str);

fn damages() -> [Case; 7] {
    [
        (
            "first record",
            |backup, wal| flip(wal, after(backup.start, 20)),
            |backup| backup.start,
            "file \"{file}\": invalid WAL at {at}: incorrect resource manager data checksum in record",
        ),
        (
            "a page between",
            |backup, wal| flip(wal, backup.page_between()),
            |backup| backup.page_between(),
            "file \"{file}\": invalid WAL at {at}: invalid magic number ",
        ),
        (
            "last record",
            |backup, wal| flip(wal, before(backup.end, 12)),
            // The record of the backup's end: 34 bytes, aligned.
            |backup| before(backup.end, 40),
            "file \"{file}\": invalid WAL at {at}: incorrect resource manager data checksum in record",
        ),
        (
            "missing segment",
            |backup, wal| fs::remove_file(wal.join(segment_of(backup.page_between()))).unwrap(),
            |backup| backup.page_between(),
            "could not find file \"{file}\": No such file or directory",
        ),
        (
            "cut segment",
            |backup, wal| {
                let path = wal.join(segment_of(backup.start));
                fs::File::options().write(true).open(path).unwrap().set_len(100).unwrap();
            },
            |backup| backup.start,
            "could not read from file \"{file}\", offset 100: read 0 of ",
        ),
        (
            "magic number of the first page",
            |backup, wal| {
                let start = backup.start.offset();
                flip(wal, Lsn::new(start - start % segment_size().bytes()));
            },
            |backup| backup.start,
            "file \"{file}\": unrecognized magic number ",
        ),
        (
            "no segments",
            |_, wal| {
                names(wal.path()).iter().for_each(|name| fs::remove_file(wal.join(name)).unwrap());
            },
            |backup| backup.start,
            "could not find any WAL file",
        ),
    ]
}

fn damaged_wal_is_found_where_it_is_needed(installation: Installation) {
    let (server, _load) = start(installation);
    let scratch = Scratch::new();
    let backup = Backup::take(&server, &scratch);
    let verify =
        |wal: &Scratch| Client::verifybackup().arg("-w").arg(wal.path()).arg(&backup.target).run();
    let wal = backup.copy_wal();
    verify(&wal).succeeded();
    // Behind the end, the log may be anything.
    flip(&wal, after(backup.end, 100));
    verify(&wal).succeeded();
    for (what, damage, at, reason) in damages() {
        let wal = backup.copy_wal();
        damage(&backup, &wal);
        let (at, file) = (at(&backup), segment_of(at(&backup)));
        let expected = reason.replace("{at}", &at.to_string()).replace("{file}", &file);
        let verified = verify(&wal);
        let errors = verified.errors();
        assert_eq!(errors.len(), 2, "{what}: {}", verified.stderr);
        assert!(errors[0].starts_with(&expected), "{what}: {} is not {expected}", errors[0]);
        assert_eq!(errors[1], LAST_LINE, "{what}");
        assert_eq!(verified.status.code(), Some(1), "{what}");
    }
}

fn segments_may_be_compressed_one_by_one(installation: Installation) {
    if !can_unpack() {
        return;
    }
    let (server, _load) = start(installation);
    let scratch = Scratch::new();
    let backup = Backup::take(&server, &scratch);
    let wal = backup.copy_wal();
    for (index, name) in names(wal.path()).into_iter().enumerate() {
        let program = ["gzip", "lz4", "zstd", "true"][index % 4];
        let arguments: &[&str] = match program {
            "lz4" => &["-q", "-m", "--rm"],
            "zstd" => &["-q", "--rm"],
            _ => &[],
        };
        run(Command::new(program).args(arguments).arg(wal.join(name)));
    }
    let verify = || Client::verifybackup().arg("-w").arg(wal.path()).arg(&backup.target).run();
    verify().succeeded();
    let first = format!("{}.gz", segment_of(backup.start));
    let torn = fs::read(wal.join(&first)).unwrap();
    fs::write(wal.join(&first), &torn[..torn.len() - 1]).unwrap();
    let reason =
        format!("file \"{first}\": could not decompress data: unexpected end of compressed data");
    assert_eq!(verify().errors(), [reason.as_str(), LAST_LINE]);
}

/// The original's own last line follows what `pg_waldump` prints under its own name.
fn the_original_accepts_and_refuses_the_same(installation: Installation) {
    let (server, _load) = start(installation);
    let scratch = Scratch::new();
    let backup = Backup::take(&server, &scratch);
    for (what, damage, _, _) in damages() {
        let wal = backup.copy_wal();
        damage(&backup, &wal);
        let [original, ours] = [Client::verifybackup_original(), Client::verifybackup_drop_in()]
            .map(|client| client.arg("-w").arg(wal.path()).arg(&backup.target).run());
        assert_eq!(ours.status.code(), original.status.code(), "{what}");
        assert_eq!(ours.errors().last(), original.errors().last(), "{what}");
        assert_eq!(ours.errors().len(), original.errors().len(), "{what}");
    }
}
