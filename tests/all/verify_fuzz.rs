//! Backups in which anything may be changed: verifying them ends, and changes are found.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use pgsiphon::archive::codec::{DecodeError, Decoder};
use pgsiphon::archive::{Member, MemberSink, TarParser};
use pgsiphon::manifest::read_manifest;
use pgsiphon::pg::CompressionFormat;
use pgsiphon::verify::{
    Contents, OnFinding, Pages, VerifyConfig, VerifyProgress, WalLocation, verify,
};

use crate::fake_server::synthetic::file;
use crate::hostile_compression::compress;
use crate::support::damage::{BackupFormat, Sample};
use crate::support::installation::Installation;
use crate::support::mutation::mutate;
use crate::support::random::Random;
use crate::support::scratch::Scratch;
use crate::support::tamper::{last_segment, sealed};

on_servers!(changes_in_plain_format_are_found: pg18);
on_servers!(changes_in_tar_format_do_no_harm: pg18);
on_servers!(changed_manifests_and_archives_do_no_harm_to_their_parsers: pg18);

/// What stays of a backup, so that it is verified in a moment.
const KEPT: [&str; 4] = ["PG_VERSION", "global/1262", "global/pg_control", "backup_label"];

/// The files of a small backup in plain format, and of its manifest.
struct Small {
    files: BTreeMap<String, Vec<u8>>,
}

impl Small {
    fn take(installation: Installation) -> Self {
        let specimen = Sample::take(installation).copy(BackupFormat::Plain);
        let backup = specimen.backup();
        let manifest = fs::read_to_string(backup.join("backup_manifest")).unwrap();
        let is_kept = |line: &&str| {
            let is_file = line.starts_with("{ \"Path\"");
            !is_file || KEPT.iter().any(|name| line.contains(&format!("\"{name}\"")))
        };
        let lines: Vec<_> = manifest.lines().filter(is_kept).collect();
        // The last entry has no comma.
        let manifest =
            lines.join("\n").replace(",\n],\n\"WAL", "\n],\n\"WAL").replace("},\n]", "}\n]");
        let read = |name: &str| (name.to_owned(), fs::read(backup.join(name)).unwrap());
        let mut files: BTreeMap<_, _> = KEPT.into_iter().map(read).collect();
        let segment = last_segment(&backup.join("pg_wal"));
        let name = segment.strip_prefix(&backup).unwrap().to_str().unwrap();
        files.extend([read(name)]);
        files.insert("backup_manifest".to_owned(), sealed(&manifest).into_bytes());
        Small { files }
    }

    /// Returns the same in tar format.
    fn into_tar(self, compression: Option<CompressionFormat>) -> Self {
        let mut files = BTreeMap::new();
        let suffix = compression.map_or("", CompressionFormat::suffix);
        let (mut base, mut wal) = (Vec::new(), Vec::new());
        for (name, contents) in self.files {
            match name.strip_prefix("pg_wal/") {
                Some(segment) => wal.extend(file(segment, &contents)),
                None if name == "backup_manifest" => drop(files.insert(name, contents)),
                None => base.extend(file(&name, &contents)),
            }
        }
        for (name, mut tar) in [("base.tar", base), ("pg_wal.tar", wal)] {
            tar.extend([0; 1024]);
            let bytes = compression.map_or(tar.clone(), |format| compress(format, &tar));
            files.insert(format!("{name}{suffix}"), bytes);
        }
        Small { files }
    }

    fn write(&self, directory: &Path) {
        for (name, contents) in &self.files {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
    }
}

/// Says whether a backup is sound.
fn is_sound(directory: &Path) -> bool {
    let config = VerifyConfig {
        directory: directory.to_owned(),
        form: None,
        manifest: None,
        ignored: Vec::new(),
        contents: Contents::Compared,
        pages: Pages::Checked,
        wal: Some(WalLocation::Backup),
        on_finding: OnFinding::GoOn,
    };
    let verdict = verify(&config, &VerifyProgress::default());
    verdict.is_ok_and(|verdict| verdict.findings.is_empty())
}

/// Changes a file at a time, and verifies; `is_covered` says whether each change of a file has to be found.
#[track_caller]
fn fuzz(small: &Small, runs: u64, is_covered: impl Fn(&str) -> bool) {
    let scratch = Scratch::new();
    small.write(scratch.path());
    assert!(is_sound(scratch.path()), "it is sound at first");
    let names: Vec<_> = small.files.keys().collect();
    for seed in 1..=runs {
        let mut random = Random::new(seed);
        let name = names[(seed % names.len() as u64) as usize];
        let original = &small.files[name];
        let mut bytes = original.clone();
        mutate(&mut bytes, &mut random);
        let path = scratch.join(name);
        fs::write(&path, &bytes).unwrap();
        let is_changed = bytes != *original;
        assert!(!(is_sound(scratch.path()) && is_changed && is_covered(name)), "{name}, {seed}");
        fs::write(&path, original).unwrap();
    }
}

fn changes_in_plain_format_are_found(installation: Installation) {
    let small = Small::take(installation);
    // Blanks in the manifest's last line do not matter, nor does what is not needed of the WAL.
    fuzz(&small, 600, |name| KEPT.contains(&name));
}

fn changes_in_tar_format_do_no_harm(installation: Installation) {
    let small = Small::take(installation);
    let formats = [CompressionFormat::Gzip, CompressionFormat::Lz4, CompressionFormat::Zstd];
    for compression in [None].into_iter().chain(formats.map(Some)) {
        let small = Small { files: small.files.clone() }.into_tar(compression);
        // Times and owners of members do not matter, nor does what aligns them.
        fuzz(&small, 150, |_| false);
    }
}

/// Counts what an archive gives.
#[derive(Default)]
struct Counter {
    members: usize,
    bytes: usize,
}

impl MemberSink for Counter {
    type Error = std::convert::Infallible;

    fn begin(&mut self, _: &Member) -> Result<(), Self::Error> {
        self.members += 1;
        Ok(())
    }

    fn contents(&mut self, bytes: Bytes) -> Result<(), Self::Error> {
        self.bytes += bytes.len();
        Ok(())
    }

    fn end(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// The most that a stream of the size of these archives is decompressed to.
const OUTPUT_SIZE_MAX: usize = 64 << 20;

fn changed_manifests_and_archives_do_no_harm_to_their_parsers(installation: Installation) {
    let mut small = Small::take(installation);
    let manifest = small.files["backup_manifest"].clone();
    small.files.retain(|name, _| KEPT.contains(&name.as_str()));
    let tar = small.into_tar(None).files.remove("base.tar").unwrap();
    let mut random = Random::new(1);
    for _ in 0..2000 {
        let mut text = manifest.clone();
        mutate(&mut text, &mut random);
        // The grammar is at stake, not the checksum.
        let text = sealed(&String::from_utf8_lossy(&text));
        let mut files = 0;
        let taken = read_manifest(text.as_bytes(), |_| {
            files += 1;
            Ok(())
        });
        assert!(files <= text.len());
        assert!(taken.is_err() || files <= 2 * KEPT.len(), "{text}");

        let mut archive = tar.clone();
        mutate(&mut archive, &mut random);
        let size = archive.len();
        let (mut parser, mut counter) = (TarParser::default(), Counter::default());
        let _ = parser.handle(Bytes::from(archive), &mut counter);
        assert!(counter.bytes + 512 * counter.members <= size, "more than there is");
    }
    for format in [CompressionFormat::Gzip, CompressionFormat::Lz4, CompressionFormat::Zstd] {
        let compressed = compress(format, &tar);
        for _ in 0..1000 {
            let mut stream = compressed.clone();
            mutate(&mut stream, &mut random);
            let mut size = 0;
            let mut decoder = Decoder::new(format);
            let _ = decoder.handle(&stream, &mut |bytes: Bytes| {
                size += bytes.len();
                assert!(size <= OUTPUT_SIZE_MAX, "{format:?}");
                Ok::<_, DecodeError<()>>(())
            });
        }
    }
}
