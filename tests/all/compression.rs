//! `-z` and `-Z`: archives that the client or the server compresses.

use std::fs::{self, File};
use std::path::Path;

use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::scratch::{Scratch, names};
use crate::support::server::Server;
use crate::support::verify::{self, Wal, data_directory};
use crate::support::workload::{WriteLoad, fill};

on_servers!(archives_are_compressed_here: pg13 pg18);
on_servers!(archives_are_compressed_by_the_server: pg15 pg16 pg17 pg18);
on_servers!(compressed_archives_go_to_standard_output: pg15 pg18);
on_servers!(what_the_server_cannot_compress_it_refuses: pg13 pg15 pg18);

fn archives_are_compressed_here(installation: Installation) {
    let table: [(&[&str], &[&str]); 8] = [
        (&["-z"], &["base.tar.gz", "pg_wal.tar.gz"]),
        (&["-Z9"], &["base.tar.gz", "pg_wal.tar.gz"]),
        (&["-Z", "gzip:level=1", "-X", "fetch"], &["base.tar.gz"]),
        (&["-Z0"], &["base.tar", "pg_wal.tar"]),
        (&["-Z", "client-lz4"], &["base.tar.lz4", "pg_wal.tar"]),
        (&["-Z", "lz4:9", "-R"], &["base.tar.lz4", "pg_wal.tar"]),
        (&["-Z", "zstd"], &["base.tar.zst", "pg_wal.tar"]),
        (&["-Z", "zstd:level=7,workers=3,long"], &["base.tar.zst", "pg_wal.tar"]),
    ];
    verify_each(installation, &table);
}

fn archives_are_compressed_by_the_server(installation: Installation) {
    let gzip: [(&[&str], &[&str]); 4] = [
        (&["-Ft", "-Z", "server-gzip"], &["base.tar.gz", "pg_wal.tar"]),
        (&["-Ft", "-Z", "server-gzip:9", "-R"], &["base.tar.gz", "pg_wal.tar"]),
        (&["-Fp", "-Z", "server-gzip:1"], &[]),
        (&["-Fp", "-Z", "server-none"], &[]),
    ];
    verify_each(installation, &gzip);
    // The servers of the other releases are built without these libraries.
    if installation.major >= 17 {
        let others: [(&[&str], &[&str]); 5] = [
            (&["-Ft", "-Z", "server-lz4"], &["base.tar.lz4", "pg_wal.tar"]),
            (&["-Ft", "-Z", "server-zstd:1", "-R"], &["base.tar.zst", "pg_wal.tar"]),
            (&["-Ft", "-Z", "server-zstd:level=3,long"], &["base.tar.zst", "pg_wal.tar"]),
            (&["-Fp", "-Z", "server-lz4:12", "-R"], &[]),
            (&["-Fp", "-Z", "server-zstd:level=2,workers=2,long"], &[]),
        ];
        verify_each(installation, &others);
    }
}

/// Takes backups with these arguments while the server is written to. Looks for the files, and whether
/// PostgreSQL and the ordinary tools read them.
fn verify_each(installation: Installation, table: &[(&[&str], &[&str])]) {
    let server = Server::start(installation);
    fill(&server);
    let _load = WriteLoad::start(&server);
    for (arguments, archives) in table {
        let scratch = Scratch::new();
        let target = scratch.join("target");
        let client = Client::drop_in().to(&server).args(["-N", "-Ft"]).args(*arguments);
        client.into_directory(&target).run().succeeded();
        if !archives.is_empty() {
            let mut files = vec!["backup_manifest"];
            files.extend(*archives);
            assert_eq!(names(&target), files, "{arguments:?}");
            verify::verify_tar(installation, &target);
        }
        let data = data_directory(&target, &scratch);
        verify::verify(installation, &data, Wal::Included);
        assert_eq!(data.join("standby.signal").exists(), arguments.contains(&"-R"));
    }
}

fn compressed_archives_go_to_standard_output(installation: Installation) {
    let server = Server::start(installation);
    let table: [(&str, &[&str]); 3] = [
        ("base.tar.gz", &["-z", "-R"]),
        ("base.tar.zst", &["-Z", "client-zstd"]),
        ("base.tar.gz", &["-Z", "server-gzip", "--no-manifest"]),
    ];
    for (name, arguments) in table {
        let scratch = Scratch::new();
        let target = scratch.directory("target");
        let client = Client::drop_in().to(&server).args(["-Ft", "-X", "fetch"]).args(arguments);
        let archive = File::create(target.join(name)).unwrap();
        client.into_directory(Path::new("-")).stdout(archive).run().succeeded();
        let data = data_directory(&target, &scratch);
        if arguments.contains(&"--no-manifest") {
            assert!(fs::exists(data.join("global/pg_control")).unwrap());
        } else {
            verify::verify(installation, &data, Wal::Included);
        }
    }
}

fn what_the_server_cannot_compress_it_refuses(installation: Installation) {
    let server = Server::start(installation);
    let scratch = Scratch::new();
    let target = scratch.join("target");
    let stdout = Path::new("-");
    let mut table: Vec<(&Path, &[&str])> = vec![
        (&target, &["-Z", "server-gzip:99"]),
        (&target, &["-Z", "server-bogus:x"]),
        (&target, &["-Ft", "-Z", "server-zstd:level=high"]),
        (stdout, &["-Ft", "-X", "fetch", "-Z", "server-gzip"]),
    ];
    if installation.major < 17 {
        table.push((&target, &["-Z", "server-lz4"]));
        table.push((&target, &["-Z", "server-zstd"]));
    }
    for (target, arguments) in table {
        let [original, ours] = [Client::original(), Client::drop_in()]
            .map(|client| client.to(&server).args(arguments).into_directory(target).run());
        assert_eq!(ours.failed(), original.failed(), "{arguments:?}");
        assert_eq!(ours.stderr, original.stderr, "{arguments:?}");
        assert!(ours.stdout.is_empty());
    }
    assert!(!target.exists());
}
