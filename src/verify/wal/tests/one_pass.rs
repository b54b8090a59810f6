//! The log in a compressed archive of the data directory, of which the other files are looked at in the same pass.

use std::io::Write as _;
use std::path::Path;
use std::{fs, thread};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::super::*;
use super::stored_log::{
    Archive, FIRST, Log, MIDDLE, MIDDLE_START, OTHER_CONTENTS, OTHERS, PG_WAL, compress, only, tar,
};
use super::{CHECKSUM, record_damage};
use crate::archive::TRAILER_SIZE;
use crate::manifest::ManifestSummary;
use crate::manifest::fixture::{file, manifest_of};
use crate::verify::cluster::ClusterCheck;
use crate::verify::contents::ContentsRules;
use crate::verify::listing::Listing;
use crate::verify::tar::Origin;
use crate::verify::tar_stream::StreamedArchive;
use crate::verify::verification::{Findings, Verification};
use crate::verify::{OnFinding, Pages, VerifyProgress};
use crate::walrecord::fixture::SYSTEM_IDENTIFIER;

use CompressionFormat::{Gzip, Lz4, Zstd};

/// Says what is found in such an archive.
pub(super) fn found_in_pass(path: &Path, format: CompressionFormat, log: &Log) -> Vec<Finding> {
    let manifest = manifest_of(&OTHERS.map(|name| file(name, OTHER_CONTENTS)));
    let (listing, summary) = Listing::read(manifest.as_bytes(), &[]).unwrap();
    let system_identifier = Some(SYSTEM_IDENTIFIER);
    let summary = ManifestSummary { wal_ranges: log.ranges.clone(), system_identifier, ..summary };
    let verification = Verification {
        listing,
        cluster: ClusterCheck::new(summary, Pages::Skipped, PathBuf::new()),
        rules: ContentsRules { is_compared: true, pages: None },
        findings: Findings::new(OnFinding::GoOn, 0),
        progress: &VerifyProgress::default(),
    };
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let origin = Origin { name, prefix: String::new() };
    let path = path.to_owned();
    StreamedArchive { path, origin, format, size: 0, proves_log: true }.check(&verification);
    verification.into_findings()
}

/// Says the same of an archive that can be read only once.
fn found_in_pipe(archive: Vec<u8>, format: CompressionFormat, log: &Log) -> Vec<Finding> {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join(Archive(PG_WAL, Some(format)).archive_name().unwrap());
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut pipe = fs::File::options().write(true).open(&path).unwrap();
            // Whoever opens it again is told that it is not there.
            fs::remove_file(&path).unwrap();
            pipe.write_all(&archive).unwrap();
        });
        found_in_pass(&path, format, log)
    })
}

#[test]
fn an_archive_of_files_and_log_is_read_once() {
    let mut damaged = Log::new();
    damaged.flip(MIDDLE_START + 50);
    let damage = record_damage(damaged.record_into_middle(), CHECKSUM);
    for format in [Gzip, Lz4, Zstd] {
        let form = Archive(PG_WAL, Some(format));
        for (log, expected) in [(Log::new(), vec![]), (damaged.clone(), only(form, FIRST, &damage))]
        {
            let archive = compress(Some(format), &tar(PG_WAL, &log.segments));
            assert_eq!(found_in_pipe(archive, format, &log), expected, "{form:?}");
        }
    }
}

#[test]
fn a_torn_archive_is_said_of_the_log_if_that_is_not_proved_before() {
    let log = Log::new();
    let archive = tar(PG_WAL, &log.segments);
    // Inside the middle segment, and behind all that is needed of the last one.
    for (length, segment) in [(1_500_000, Some(MIDDLE)), (archive.len() - TRAILER_SIZE - 100, None)]
    {
        let torn = compress(Some(Zstd), &archive[..length]);
        let reason = "COPY stream ended before last file was finished";
        let broken = Finding {
            path: b"base.tar.zst".to_vec(),
            archive: None,
            problem: Problem::Archive(reason.to_owned()),
        };
        let wal = segment.map(|segment| {
            let archive = Some("base.tar.zst");
            finding(TimelineId::FIRST, Some(segment), archive, broken.to_string())
        });
        let expected: Vec<_> = [broken].into_iter().chain(wal).collect();
        assert_eq!(found_in_pipe(torn, Zstd, &log), expected, "{length}");
    }
}
