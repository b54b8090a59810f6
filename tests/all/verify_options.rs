//! The options of `pg_verifybackup`, with both programs.

use std::fs;
use std::path::Path;

use pgsiphon::pg::CompressionFormat;

use crate::support::client::Client;
use crate::support::damage::{BackupFormat, Said, Sample};
use crate::support::installation::Installation;
use crate::support::scratch::{Scratch, run};
use crate::support::server::Server;
use crate::support::tamper::{flip, last_segment, truncate};
use crate::support::verify::tar_on;

on_servers!(options_do_what_they_do_in_the_original: pg18);
on_servers!(the_first_finding_ends_it_where_that_is_asked_for: pg18);
on_servers!(tar_format_is_read_with_its_wal: pg18);
on_servers!(archives_that_tar_packed_are_read: pg18);
on_servers!(pages_need_no_checksums_to_be_sound: pg18);

/// What is done to a backup in plain format, the arguments, and what both programs find then.
type Case = (fn(&Path), &'static [&'static str], &'static [&'static str]);

const CASES: &[Case] = &[
    (|_| {}, &["-P"], &[]),
    (|_| {}, &["-Fp"], &[]),
    (|_| {}, &["--format=plain", "-e", "-s", "-n"], &[]),
    (|_| {}, &["-F", "x"], &["invalid backup format \"x\", must be \"plain\" or \"tar\""]),
    (no_version, &["-Fp"], &["\"PG_VERSION\" is present in the manifest but not on disk"]),
    (no_version, &["-Fp", "-i", "PG_VERSION"], &[]),
    (extra, &["-i", "extra"], &["\"extra2\" is present on disk but not in the manifest"]),
    (extra, &["-i", "extra//", "-i", "./extra2"], &[]),
    (
        extra,
        &["-i", "ext", "-i", "extra2/file", "-i", "tra"],
        &[
            "\"extra/file\" is present on disk but not in the manifest",
            "\"extra2\" is present on disk but not in the manifest",
        ],
    ),
    (flipped, &["-i", "global"], &[]),
    (flipped, &["-i", "global/126"], &["checksum mismatch for file \"global/1262\""]),
    (flipped, &["-s"], &[]),
    (flipped, &["--skip-checksums", "-m", "backup/backup_manifest"], &[]),
    (
        |backup| truncate(backup.join("PG_VERSION"), 1),
        &["-s"],
        &["\"PG_VERSION\" has size 1 on disk but size 3 in the manifest"],
    ),
    (elsewhere, &["-m", "manifest", "-w", "wal"], &[]),
    (elsewhere, &["-m", "none"], &["could not open file \"none\": No such file or directory"]),
    (elsewhere, &["-m", "manifest", "-n"], &[]),
    (|backup| flip(last_segment(&backup.join("pg_wal")), 100), &["-n"], &[]),
];

fn no_version(backup: &Path) {
    fs::remove_file(backup.join("PG_VERSION")).unwrap();
}

fn extra(backup: &Path) {
    fs::create_dir(backup.join("extra")).unwrap();
    fs::write(backup.join("extra/file"), "").unwrap();
    fs::write(backup.join("extra2"), "").unwrap();
}

fn flipped(backup: &Path) {
    flip(backup.join("global/1262"), 100);
}

/// Puts manifest and WAL beside the backup.
fn elsewhere(backup: &Path) {
    fs::rename(backup.join("backup_manifest"), backup.with_file_name("manifest")).unwrap();
    fs::rename(backup.join("pg_wal"), backup.with_file_name("wal")).unwrap();
}

fn options_do_what_they_do_in_the_original(installation: Installation) {
    let sample = Sample::take(installation);
    for (prepare, arguments, found) in CASES {
        let specimen = sample.copy(BackupFormat::Plain);
        prepare(&specimen.backup());
        let without_progress = |mut said: Said| {
            said.lines.retain(|line| !line.contains(" verified"));
            said
        };
        let expected = Said::expected(found);
        assert_eq!(without_progress(specimen.ours(arguments)), expected, "{arguments:?}");
        let original = without_progress(specimen.original(arguments)).in_order();
        assert_eq!(original, expected.in_order(), "the original: {arguments:?}");
        let quiet = [arguments, &["-q"][..]].concat();
        if !arguments.contains(&"-P") {
            let expected = Said { stdout: String::new(), ..Said::expected(found) };
            assert_eq!(specimen.ours(&quiet), expected, "{quiet:?}");
            assert_eq!(specimen.original(&quiet).in_order(), expected.in_order(), "{quiet:?}");
        }
    }
}

fn the_first_finding_ends_it_where_that_is_asked_for(installation: Installation) {
    let sample = Sample::take(installation);
    let specimen = sample.copy(BackupFormat::Plain);
    extra(&specimen.backup());
    flipped(&specimen.backup());
    for option in ["-e", "--exit-on-error"] {
        for said in [specimen.ours(&[option]), specimen.original(&[option])] {
            let [line] = &said.lines[..] else { panic!("{option}: {said:?}") };
            assert!(line.contains("\"extra"), "{line}");
            assert_eq!((said.code, &said.stdout[..]), (Some(1), ""));
        }
    }
}

/// The original refuses to do that.
fn tar_format_is_read_with_its_wal(installation: Installation) {
    let sample = Sample::take(installation);
    for compression in [None, Some(CompressionFormat::Gzip)] {
        let specimen = sample.copy(BackupFormat::Tar(compression));
        specimen.compress();
        let sound = Said::expected(&[""; 0]);
        for arguments in [&[][..], &["-n"], &["-Ft"], &["-s"]] {
            assert_eq!(specimen.ours(arguments), sound, "{arguments:?}");
        }
        let suffix = compression.map_or("", CompressionFormat::suffix);
        fs::remove_file(specimen.backup().join(format!("pg_wal.tar{suffix}"))).unwrap();
        assert_eq!(specimen.ours(&["-n"]), sound);
        assert_eq!(specimen.ours(&[]).code, Some(1));
    }
}

fn pages_need_no_checksums_to_be_sound(installation: Installation) {
    let server = Server::builder(installation).initdb(&["--no-data-checksums"]).start();
    let scratch = Scratch::new();
    // In the last one, the control file comes behind the pages.
    for (name, format) in [("plain", "-Fp"), ("tar", "-Ft"), ("compressed", "-Ft -z")] {
        let backup = scratch.join(name);
        let client = Client::original().to(&server).arg("-N").args(format.split(' '));
        client.into_directory(&backup).run().succeeded();
        let verified = Client::verifybackup().args(["--pages", "-e"]).arg(&backup).run();
        verified.succeeded();
    }
    // The page says where its special space begins.
    flip(scratch.join("plain/global/1262"), 17);
    let verified = Client::verifybackup().args(["--pages", "-s"]).arg(scratch.join("plain")).run();
    assert_eq!(verified.status.code(), Some(1));
    assert!(verified.stderr.contains("file \"global/1262\", block 0, "), "{}", verified.stderr);
}

/// Their first member is `./`, and all names begin with it.
fn archives_that_tar_packed_are_read(installation: Installation) {
    let server = Server::start(installation);
    let scratch = Scratch::new();
    let plain = scratch.join("plain");
    Client::pgsiphon().to(&server).arg("-N").into_directory(&plain).run().succeeded();
    let pack = |directory: &Path, archive: &Path| {
        run(tar_on(archive).arg("-C").arg(directory).arg("-cf").arg(archive).arg("."));
    };
    for suffix in ["", ".gz", ".zst"] {
        let packed = scratch.directory(format!("packed{suffix}"));
        pack(&plain.join("pg_wal"), &packed.join(format!("pg_wal.tar{suffix}")));
        pack(&plain, &packed.join(format!("base.tar{suffix}")));
        fs::copy(plain.join("backup_manifest"), packed.join("backup_manifest")).unwrap();
        Client::verifybackup_original().arg("-n").arg(&packed).run().succeeded();
        Client::verifybackup().arg(&packed).run().succeeded();
    }
    let changed = scratch.directory("changed");
    flip(plain.join("global/1262"), 100);
    pack(&plain, &changed.join("base.tar"));
    fs::copy(plain.join("backup_manifest"), changed.join("backup_manifest")).unwrap();
    let finished = Client::verifybackup().arg("-n").arg(&changed).run();
    assert_eq!(
        finished.errors(),
        ["checksum mismatch for file \"global/1262\" in archive \"base.tar\""]
    );
}
