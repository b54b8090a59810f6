//! The program under the name of the original does what the original does: same arguments, same quiet
//! server, same tree, same archives, same words.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::support::client::{Client, Finished};
use crate::support::installation::Installation;
use crate::support::scratch::{Scratch, names, run};
use crate::support::server::Server;
use crate::support::tree::{self, Kind, Node};
use crate::support::verify::tar_on;
use crate::support::workload::fill;

on_servers!(plain_trees_are_equal: pg13 pg15 pg17 pg18);
on_servers!(tar_files_are_equal: pg13 pg15 pg17 pg18);
on_servers!(both_say_the_same: pg13 pg15 pg17 pg18);
on_servers!(both_refuse_with_the_same_words: pg13 pg18);

/// Files whose contents no two backups of the same server share, and why.
const DIFFERENT: [&str; 4] = [
    "backup_label",         // names its own start position and time
    "backup_manifest",      // has the checksums of the others, times and WAL positions
    "global/pg_control",    // names the checkpoint with which the backup began
    "postgresql.auto.conf", // with -R: ours only says what was given or is needed
];

fn may_differ(path: &Path) -> bool {
    // Each backup has its own segments of WAL; their names are compared without their numbers.
    DIFFERENT.iter().any(|name| path == Path::new(name)) || path.starts_with("pg_wal")
}

/// A server on which nothing moves but for the backups themselves.
fn quiet_server(installation: Installation) -> Server {
    let server = Server::start(installation);
    fill(&server);
    // Sets the hint bits, and has statistics and visibility written before the first backup.
    server.sql("VACUUM ANALYZE");
    server.sql("CHECKPOINT");
    server
}

/// Takes the same backup with both programs.
fn take_both(server: &Server, scratch: &Scratch, arguments: &[&str]) -> [(PathBuf, Finished); 2] {
    [("original", Client::original()), ("drop-in", Client::drop_in())].map(|(name, client)| {
        let target = scratch.join(name);
        let client = client.to(server).arg("-N").args(arguments);
        let finished = client.into_directory(&target).run();
        (target, finished.succeeded())
    })
}

fn plain_trees_are_equal(installation: Installation) {
    let server = quiet_server(installation);
    let mut table: Vec<&[&str]> = vec![
        &["-X", "stream"],
        &["-X", "fetch"],
        &["-X", "none", "--no-estimate-size"],
        &["--no-manifest"],
        &["--manifest-checksums=SHA224", "--manifest-force-encode", "--no-slot"],
        &["-R", "-r", "200M", "-s", "1", "-t", "client"],
        &["--write-rec", "--max-rate=1048576k", "--status=0", "--sync-m=syncfs", "-Z", "none"],
    ];
    if installation.major >= 15 {
        table.push(&["-Z", "server-gzip:1", "-X", "fetch", "-R"]);
    }
    if installation.major >= 17 {
        table.push(&["-Z", "server-lz4"]);
        table.push(&["-Z", "server-zstd:level=1,workers=2"]);
    }
    for arguments in table {
        let scratch = Scratch::new();
        let [(original, _), (ours, _)] = take_both(&server, &scratch, arguments);
        for tree in [&original, &ours] {
            anonymize_wal(&tree.join("pg_wal"));
        }
        let differences = tree::differences(&original, &ours, may_differ);
        assert!(differences.is_empty(), "{arguments:?}: {differences:#?}");
        assert_eq!(tree::node(&original), tree::node(&ours), "{arguments:?}");
    }
}

/// Replaces the numbers in the names of segments, which grow from backup to backup, by their rank. Takes
/// away the mark of the last segment: it is there if by chance all of the segment came before the end.
fn anonymize_wal(directory: &Path) {
    for (rank, segment) in names(directory).iter().filter(|name| name.len() == 24).enumerate() {
        let path = directory.join(segment);
        fs::rename(path, directory.join(format!("segment-{rank}"))).unwrap();
        let _ = fs::remove_file(directory.join(format!("archive_status/{segment}.done")));
    }
}

fn tar_files_are_equal(installation: Installation) {
    let server = quiet_server(installation);
    let mut table: Vec<&[&str]> = vec![
        &["-X", "stream"],
        &["-X", "fetch"],
        &["-z"],
        &["-Z", "9", "-X", "none"],
        &["-R", "-X", "fetch", "--compress=client-gzip:level=2"],
        &["-Z", "lz4"],
        &["-Z", "client-zstd:3", "-R"],
        &["-Z0"],
    ];
    if installation.major >= 15 {
        table.push(&["-Z", "server-gzip"]);
        table.push(&["-Z", "server-gzip:9", "-X", "fetch", "--no-manifest"]);
    }
    if installation.major >= 17 {
        table.push(&["-Z", "server-lz4:2"]);
        table.push(&["-Z", "server-zstd:level=1,long"]);
    }
    for arguments in table {
        let scratch = Scratch::new();
        let arguments = [&["-Ft"], arguments].concat();
        let both = take_both(&server, &scratch, &arguments);
        let [original, ours] = both.map(|(target, _)| target);
        assert_eq!(names(&original), names(&ours), "{arguments:?}");
        for archive in names(&original).iter().filter(|name| name.contains(".tar")) {
            let [theirs, ours] = [original.join(archive), ours.join(archive)];
            assert_eq!(list(&theirs), list(&ours), "{arguments:?}: {archive}");
            // Sizes of what is compressed depend on times and on the program.
            if archive.ends_with(".tar") && !arguments.contains(&"-R") {
                let nodes = [&theirs, &ours].map(|archive| node_without_marks(archive));
                assert_eq!(nodes[0], nodes[1], "{arguments:?}: {archive}");
            }
        }
    }
}

/// Lists an archive: mode, owner, size and name of each member, in order. Times are those of the files,
/// and differ where the files do.
fn list(archive: &Path) -> Vec<String> {
    let members = members(archive);
    members.iter().filter(|line| !is_mark(line)).map(|line| without_time(line)).collect()
}

/// Returns what an archive is, as if it had no marks of segments, which are members without contents.
fn node_without_marks(archive: &Path) -> Node {
    let node = tree::node(archive);
    let marks = members(archive).iter().filter(|line| is_mark(line)).count() as u64;
    match node.kind {
        Kind::File(size) => Node { kind: Kind::File(size - marks * 512), ..node },
        _ => node,
    }
}

fn members(archive: &Path) -> Vec<String> {
    let output = run(tar_on(archive).args(["--numeric-owner", "-tvf"]).arg(archive));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Returns whether a member is the mark of a segment. The last segment has one if by chance all of it
/// came before the end.
fn is_mark(line: &str) -> bool {
    line.ends_with(".done")
}

fn without_time(line: &str) -> String {
    let mut fields: Vec<_> = line.split_whitespace().collect();
    fields.drain(3..5);
    // The label has two positions, of as many digits as they need.
    if matches!(fields.last(), Some(&("postgresql.auto.conf" | "backup_label"))) {
        fields.remove(2);
    }
    fields.iter().map(|field| without_segment_number(field)).collect::<Vec<_>>().join(" ")
}

fn without_segment_number(name: &str) -> String {
    let is_segment = |part: &str| part.len() == 24 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let words = name.split_inclusive(['/', '.']);
    let words = words.map(|word| match word.strip_suffix('.').unwrap_or(word) {
        part if is_segment(part) => word.replace(part, "SEGMENT"),
        _ => word.to_owned(),
    });
    words.collect()
}

fn both_say_the_same(installation: Installation) {
    let server = quiet_server(installation);
    let table: [&[&str]; 6] = [
        &["-v"],
        &["-v", "--no-slot"],
        &["-v", "-X", "fetch"],
        &["-v", "-X", "none"],
        &["-v", "-Ft", "--no-manifest"],
        &["-X", "none"],
    ];
    for arguments in table {
        let scratch = Scratch::new();
        let [(_, original), (_, ours)] = take_both(&server, &scratch, arguments);
        assert_eq!(normalized(&ours.stderr), normalized(&original.stderr), "{arguments:?}");
        assert_eq!(ours.stdout, original.stdout);
    }
    let [original, ours] = [Client::original(), Client::drop_in()].map(|client| {
        let scratch = Scratch::new();
        let client = client.to(&server).arg("-v").into_directory(&scratch.join("synced"));
        normalized(&client.run().succeeded().stderr)
    });
    assert_eq!(ours, original);
    let scratch = Scratch::new();
    let [(_, original), (_, ours)] = take_both(&server, &scratch, &["-P", "-X", "fetch"]);
    let last = |finished: &Finished| finished.stderr.lines().last().map(str::to_owned);
    assert_eq!(last(&ours), last(&original));
    let first = |finished: &Finished| finished.stderr.lines().next().map(str::to_owned);
    assert_eq!(first(&ours), first(&original));
}

/// Replaces WAL positions and the numbers in names of slots.
fn normalized(stderr: &str) -> String {
    let is_hexadecimal =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let word = |word: &str| match word.trim_matches('"').split_once('/') {
        Some((high, low)) if is_hexadecimal(high) && is_hexadecimal(low) => "LSN".to_owned(),
        _ if word.starts_with("\"pg_basebackup_") => "SLOT".to_owned(),
        _ => word.to_owned(),
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    stderr.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn both_refuse_with_the_same_words(installation: Installation) {
    let server = Server::start(installation);
    let scratch = Scratch::new();
    let full = scratch.directory("full");
    File::create(full.join("file")).unwrap();
    let fresh = scratch.join("fresh");
    let table: [(&Path, &[&str]); 6] = [
        (&full, &[]),
        (&full.join("file"), &[]),
        (&fresh, &["-U", "nobody"]),
        (&fresh, &["-p", "1"]),
        (&fresh, &["--manifest-checksums=MD5"]),
        (&fresh, &["-S", "missing"]),
    ];
    for (target, arguments) in table {
        let [original, ours] = [Client::original(), Client::drop_in()].map(|client| {
            let finished = client.to(&server).args(arguments).into_directory(target).run();
            assert!(!fresh.exists(), "{arguments:?}");
            finished
        });
        // The original may add a second error, of the process that it started for the WAL.
        assert_eq!(ours.failed(), original.errors()[0], "{arguments:?}");
        assert_eq!(ours.status.code(), original.status.code());
    }
    assert_eq!(names(&full), ["file"]);
}
