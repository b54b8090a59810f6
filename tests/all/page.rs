//! The pages of real servers, checked by our own reader: all are sound, a flipped bit is found, and where
//! `pg_checksums` finds damage, so do we.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use pgsiphon::control::BackupLabel;
use pgsiphon::manifest::read_manifest;
use pgsiphon::page::{PAGE_SIZE, PageChecksums, PageFault, PageReader, PageRules, RelationFile};
use pgsiphon::pg::Lsn;

use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::random::Random;
use crate::support::scratch::{Scratch, run};
use crate::support::server::Server;
use crate::support::tree::walk;
use crate::support::workload::{Flood, WriteLoad};

on_servers!(every_page_of_a_stopped_cluster_is_sound_and_a_flipped_bit_is_found: pg13 pg15 pg18);
on_servers!(pg_checksums_finds_the_same_pages: pg13 pg15 pg18);
on_servers!(pages_of_a_backup_under_load_are_sound_but_for_those_left_to_replay: pg13 pg15 pg18);
on_servers!(pages_of_an_incremental_backup_are_sound: pg17 pg18);
on_servers!(pages_without_checksums_have_sound_headers: pg18);

/// No page is left to replay.
const ALL: PageRules = PageRules {
    started_at: Lsn::new(u64::MAX),
    ended_at: Lsn::new(u64::MAX),
    checksums: PageChecksums::Present,
};

/// No multiple or divisor of a page.
const PIECE_SIZE: usize = 100_003;

/// A file with pages.
struct Relation {
    /// The path below the data directory.
    path: PathBuf,
    kind: RelationFile,
    bytes: Vec<u8>,
}

impl Relation {
    /// Loads all of a data directory.
    fn all(data: &Path) -> Vec<Self> {
        let files = walk(data).into_keys();
        let relations = files.filter_map(|path| {
            let kind = RelationFile::of_path(path.to_str().unwrap().as_bytes())?;
            let bytes = fs::read(data.join(&path)).unwrap();
            Some(Relation { path, kind, bytes })
        });
        relations.collect()
    }

    fn faults(&self, rules: PageRules) -> Vec<(u32, Lsn, PageFault)> {
        let mut faults = Vec::new();
        let mut on_fault = |block, lsn, fault| faults.push((block, lsn, fault));
        let mut reader = PageReader::new(self.kind, rules);
        for piece in self.bytes.chunks(PIECE_SIZE) {
            reader.handle(piece, &mut on_fault);
        }
        reader.finish(&mut on_fault);
        faults
    }

    /// Returns the latest position of a page.
    fn last_position(&self) -> Lsn {
        let half = |bytes: &[u8]| u64::from(u32::from_le_bytes(bytes.try_into().unwrap()));
        let position = |page: &[u8]| Lsn::new(half(&page[..4]) << 32 | half(&page[4..8]));
        self.bytes.chunks(PAGE_SIZE).map(position).max().unwrap_or(Lsn::INVALID)
    }

    #[track_caller]
    fn assert_sound(&self, rules: PageRules) {
        assert_eq!(self.faults(rules), [], "{}", self.path.display());
    }
}

/// Writes pages of every access method and every fork.
fn write(server: &Server) {
    drop(WriteLoad::start(server));
    let table = [
        "CREATE TABLE filled AS SELECT id, md5(id::text) AS t, ARRAY[id % 7, id % 11] AS a,
             point(id % 100, id) AS p, repeat(md5(id::text), 200) AS long
             FROM generate_series(1, 3000) id",
        "CREATE INDEX ON filled (t)",
        "CREATE INDEX ON filled USING hash (t)",
        "CREATE INDEX ON filled USING gin (a)",
        "CREATE INDEX ON filled USING gist (p)",
        "CREATE INDEX ON filled USING spgist (p)",
        "CREATE INDEX ON filled USING brin (id)",
        "CREATE UNLOGGED TABLE unlogged AS SELECT * FROM filled",
        "CREATE INDEX ON unlogged USING gist (p)",
        "CREATE SEQUENCE numbers",
        "UPDATE filled SET t = t || 'x' WHERE id % 3 = 0",
        "DELETE FROM filled WHERE id > 2500",
        "VACUUM",
        "VACUUM FULL pgbench_branches",
    ];
    for statement in table {
        server.sql(statement);
    }
}

/// Returns a server's data directory after it wrote and ended in good order.
fn stopped(server: &mut Server) -> &Path {
    write(server);
    server.stop();
    server.data()
}

fn every_page_of_a_stopped_cluster_is_sound_and_a_flipped_bit_is_found(installation: Installation) {
    let mut server = Server::start(installation);
    let mut relations = Relation::all(stopped(&mut server));
    relations.iter().for_each(|relation| relation.assert_sound(ALL));
    for suffix in ["_fsm", "_vm", "_init"] {
        let has_suffix = |r: &Relation| r.path.to_str().unwrap().ends_with(suffix);
        assert!(relations.iter().any(has_suffix), "{suffix}");
    }
    relations.retain(|relation| !relation.bytes.is_empty());
    let mut random = Random::new(installation.major.into());
    let found = (0..300).filter(|_| {
        let index = random.below(relations.len() as u64) as usize;
        finds_flipped_bit(&mut relations[index], &mut random)
    });
    // One checksum in 65,535 is right by chance.
    assert!(found.count() >= 299);
}

/// Flips a bit for a while; says whether its page is found, and makes sure that no other is.
fn finds_flipped_bit(relation: &mut Relation, random: &mut Random) -> bool {
    let bit = random.below(relation.bytes.len() as u64 * 8) as usize;
    relation.bytes[bit / 8] ^= 1 << (bit % 8);
    let faults = relation.faults(ALL);
    relation.bytes[bit / 8] ^= 1 << (bit % 8);
    let block = relation.kind.first_block() + (bit / 8 / PAGE_SIZE) as u32;
    assert!(faults.iter().all(|(found, ..)| *found == block), "{faults:?}, not {block}");
    faults.len() == 1
}

/// A damaged block as `pg_checksums` reports it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reported {
    path: PathBuf,
    block: u32,
    computed: u16,
    stored: u16,
}

fn pg_checksums_finds_the_same_pages(installation: Installation) {
    let mut server = Server::start(installation);
    let data = stopped(&mut server);
    let mut random = Random::new(installation.major.into());
    let relations = Relation::all(data);
    for relation in relations.iter().filter(|relation| !relation.bytes.is_empty()).step_by(10) {
        damage(&data.join(&relation.path), &relation.bytes, &mut random);
    }
    let mut ours: Vec<_> = Relation::all(data).iter().flat_map(reported).collect();
    ours.sort();
    assert!(ours.len() > 20, "{ours:?}");
    assert_eq!(ours, reported_by_pg_checksums(installation, data));
}

/// Flips a bit of a page that was used, in its contents.
fn damage(path: &Path, bytes: &[u8], random: &mut Random) {
    let block = random.below((bytes.len() / PAGE_SIZE) as u64) as usize;
    let (start, offset) = (block * PAGE_SIZE, 24 + random.below(8000) as usize);
    if bytes[start + 14..start + 16] != [0, 0] {
        let damaged = bytes[start + offset] ^ 1 << random.below(8);
        let file = File::options().write(true).open(path).unwrap();
        file.write_all_at(&[damaged], (start + offset) as u64).unwrap();
    }
}

fn reported(relation: &Relation) -> Vec<Reported> {
    let as_reported = |(block, _, fault)| match fault {
        PageFault::Checksum { computed, stored } => {
            Reported { path: relation.path.clone(), block, computed, stored }
        }
        other => panic!("{}, block {block}: {other}", relation.path.display()),
    };
    relation.faults(ALL).into_iter().map(as_reported).collect()
}

/// Reads lines with `checksum verification failed in file "PATH", block 0: calculated checksum AB but block
/// contains CD`.
fn reported_by_pg_checksums(installation: Installation, data: &Path) -> Vec<Reported> {
    let program = installation.verifier().0.with_file_name("pg_checksums");
    let output =
        Command::new(program).env("LC_ALL", "C").args(["--check", "-D"]).arg(data).output();
    let said = String::from_utf8(output.unwrap().stderr).unwrap();
    let mut reported: Vec<_> = said.lines().map(|line| reported_in(line, data)).collect();
    reported.sort();
    reported
}

fn reported_in(line: &str, data: &Path) -> Reported {
    let mut quoted = line.split('"').skip(1);
    let (path, rest) = (Path::new(quoted.next().unwrap()), quoted.next().unwrap());
    let words: Vec<_> = rest.split([' ', ':', ',']).filter(|word| !word.is_empty()).collect();
    let ["block", block, "calculated", "checksum", computed, "but", "block", "contains", stored] =
        words[..]
    else {
        panic!("{line}");
    };
    let checksum = |digits| u16::from_str_radix(digits, 16).unwrap();
    Reported {
        path: path.strip_prefix(data).unwrap().to_owned(),
        block: block.parse().unwrap(),
        computed: checksum(computed),
        stored: checksum(stored),
    }
}

fn pages_of_a_backup_under_load_are_sound_but_for_those_left_to_replay(installation: Installation) {
    let primary = Server::start(installation);
    let scratch = Scratch::new();
    let copy = scratch.join("standby");
    Client::original().to(&primary).args(["-N", "-R"]).into_directory(&copy).run().succeeded();
    let standby = Server::from_backup(installation, &copy);
    let load = WriteLoad::start(&primary);
    for (name, server) in [("from_primary", &primary), ("from_standby", &standby)] {
        let backup = scratch.join(name);
        // Slow enough for the load to change pages that are not sent yet.
        let client = Client::original().to(server).args(["-N", "-c", "fast", "-r", "20M"]);
        client.into_directory(&backup).run().succeeded();
        let rules = left_to_replay(&backup);
        let relations = Relation::all(&backup);
        relations.iter().for_each(|relation| relation.assert_sound(rules));
        assert!(relations.iter().all(|relation| relation.last_position() <= rules.ended_at));
    }
    drop(load);
}

/// What the manifest says of a backup's start and end.
fn left_to_replay(backup: &Path) -> PageRules {
    let manifest = File::open(backup.join("backup_manifest")).unwrap();
    let range = read_manifest(manifest, |_| Ok(())).unwrap().wal_ranges[0];
    let (started_at, ended_at) = (range.start_lsn, range.end_lsn);
    PageRules { started_at, ended_at, checksums: PageChecksums::Present }
}

fn label(backup: &Path) -> BackupLabel {
    BackupLabel::parse(&fs::read(backup.join("backup_label")).unwrap()).unwrap()
}

fn pages_of_an_incremental_backup_are_sound(installation: Installation) {
    let server = Server::builder(installation).setting("summarize_wal=on").start();
    let scratch = Scratch::new();
    let backup = |name: &str, arguments: &[&str]| {
        let directory = scratch.join(name);
        // The client of 18 takes no incremental backup of 17's server.
        let mut command = Command::new(installation.program("pg_basebackup"));
        command.args(["-N", "-c", "fast", "-U", "postgres", "-h"]).arg(server.sockets());
        run(command.args(arguments).arg("-D").arg(&directory));
        directory
    };
    // The summarizer sleeps the longer, the less WAL there is.
    let _wakening = Flood::start(&server, 100_000);
    server.sql("CREATE TABLE changed AS SELECT id, id AS n FROM generate_series(1, 50000) id");
    // Later, a scan would write hint bits to every page.
    server.sql("VACUUM changed");
    let full = backup("full", &[]).join("backup_manifest");
    server.sql("UPDATE changed SET n = 0 WHERE id IN (1, 20000, 50000)");
    let incremental = backup("incremental", &["-i", full.to_str().unwrap()]);
    assert!(label(&incremental).incremental_from.is_some());
    let mut relations = Relation::all(&incremental);
    relations.iter().for_each(|relation| relation.assert_sound(ALL));
    relations.retain(|r| r.kind.is_incremental() && r.bytes.len() >= 4 * PAGE_SIZE);
    let changed = relations.last_mut().expect("a file with a header and three pages");
    *changed.bytes.last_mut().unwrap() ^= 1;
    assert_eq!(changed.faults(ALL).len(), 1);
}

fn pages_without_checksums_have_sound_headers(installation: Installation) {
    let mut server = Server::builder(installation).initdb(&["--no-data-checksums"]).start();
    let relations = Relation::all(stopped(&mut server));
    let headers_only = PageRules { checksums: PageChecksums::Absent, ..ALL };
    relations.iter().for_each(|relation| relation.assert_sound(headers_only));
    assert!(relations.iter().any(|relation| !relation.faults(ALL).is_empty()));
}
