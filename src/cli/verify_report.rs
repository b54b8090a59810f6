//! What `pgsiphon verifybackup --json` prints: an object about how it went. The names of the fields are what
//! other programs rely on: they may become more, not others.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::report::write_object;
use crate::manifest::WalRange;
use crate::verify::{Finding, Problem, Verdict, VerifyError};

/// How verifying went. What the manifest says is null if it could not be read.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename = "report")]
pub struct VerifyReport {
    /// Whether everything that was looked at is as it should be.
    verified: bool,
    /// Why nothing can be said of the backup.
    error: Option<String>,
    /// What is wrong.
    findings: Vec<FindingObject>,
    /// Files that the manifest lists.
    files: Option<u64>,
    /// The manifest's version.
    manifest_version: Option<u32>,
    /// Identifies the cluster; 64 bits, so in a string. Null in a manifest of version 1, too.
    system_identifier: Option<String>,
    /// The WAL that the backup needs.
    wal_ranges: Option<Vec<RangeObject>>,
    /// Bytes that were read, of archives as they are stored.
    bytes: u64,
    /// How long it took.
    seconds: f64,
    /// Bytes by seconds.
    bytes_per_second: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct FindingObject {
    /// What it is, in a word.
    kind: &'static str,
    /// The path in the backup; what is not UTF-8 in it is replaced.
    path: String,
    /// The path in hexadecimal, if it is not UTF-8.
    encoded_path: Option<String>,
    /// The archive that holds the file.
    archive: Option<String>,
    /// What is printed.
    message: String,
    /// What the message is made of.
    #[serde(flatten)]
    data: Value,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct RangeObject {
    timeline: u32,
    start_lsn: String,
    end_lsn: String,
}

/// What verifying cost.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Bytes that were read.
    pub bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl VerifyReport {
    /// Reports what was found, or why nothing was.
    pub fn new(outcome: Result<&Verdict, &VerifyError>, effort: Effort) -> Self {
        let verdict = outcome.ok();
        let summary = verdict.map(|verdict| &verdict.summary);
        let findings = verdict.map_or(&[][..], |verdict| verdict.findings.as_slice());
        let elapsed_ms = u64::try_from(effort.elapsed.as_millis()).unwrap_or(u64::MAX);
        let rate = u128::from(effort.bytes) * 1_000 / u128::from(elapsed_ms.max(1));
        VerifyReport {
            verified: verdict.is_some() && findings.is_empty(),
            error: outcome.err().map(ToString::to_string),
            findings: findings.iter().map(FindingObject::from).collect(),
            files: summary.map(|summary| summary.file_count),
            manifest_version: summary.map(|summary| summary.version),
            system_identifier: summary
                .and_then(|summary| summary.system_identifier)
                .map(|identifier| identifier.to_string()),
            wal_ranges: summary
                .map(|summary| summary.wal_ranges.iter().map(RangeObject::from).collect()),
            bytes: effort.bytes,
            seconds: elapsed_ms as f64 / 1_000.0,
            bytes_per_second: u64::try_from(rate).unwrap_or(u64::MAX),
        }
    }

    /// Writes the object and ends the line.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        write_object(self, out)
    }
}

impl From<&WalRange> for RangeObject {
    fn from(range: &WalRange) -> Self {
        RangeObject {
            timeline: range.timeline.number(),
            start_lsn: range.start_lsn.to_string(),
            end_lsn: range.end_lsn.to_string(),
        }
    }
}

impl From<&Finding> for FindingObject {
    fn from(finding: &Finding) -> Self {
        let (kind, data) = kind_and_data(&finding.problem);
        let encoded = || finding.path.iter().map(|byte| format!("{byte:02x}")).collect();
        FindingObject {
            kind,
            path: String::from_utf8_lossy(&finding.path).into_owned(),
            encoded_path: str::from_utf8(&finding.path).is_err().then(encoded),
            archive: finding.archive.clone(),
            message: finding.to_string(),
            data,
        }
    }
}

fn kind_and_data(problem: &Problem) -> (&'static str, Value) {
    match problem {
        Problem::Missing => ("missing", json!({})),
        Problem::Extra => ("extra", json!({})),
        Problem::Repeated => ("repeated", json!({})),
        Problem::OddType => ("odd_type", json!({})),
        Problem::NotRegular => ("not_regular", json!({})),
        Problem::NotExpected => ("not_expected", json!({})),
        Problem::Io(_) => ("io", json!({})),
        Problem::Size { found, listed } => {
            ("size", json!({ "found_bytes": found, "listed_bytes": listed }))
        }
        Problem::ReadSize { read, listed } => {
            ("read_size", json!({ "read_bytes": read, "listed_bytes": listed }))
        }
        Problem::ChecksumLength { computed, listed } => {
            ("checksum_length", json!({ "computed_bytes": computed, "listed_bytes": listed }))
        }
        Problem::Checksum => ("checksum", json!({})),
        Problem::Archive(reason) => ("archive", json!({ "reason": reason })),
        Problem::ControlFile { fault, .. } => {
            ("control_file", json!({ "reason": fault.to_string() }))
        }
        Problem::OtherCluster { manifest, found, .. } => (
            "other_cluster",
            json!({
                "manifest_system_identifier": manifest.to_string(),
                "found_system_identifier": found.to_string(),
            }),
        ),
        Problem::OtherPages { page_size, segment_pages } => {
            ("other_pages", json!({ "page_bytes": page_size, "segment_pages": segment_pages }))
        }
        Problem::BackupLabel(reason) => ("backup_label", json!({ "reason": reason })),
        Problem::Pages { first, last, lsn, fault } => {
            let (lsn, reason) = (lsn.to_string(), fault.to_string());
            let blocks =
                json!({ "first_block": first, "last_block": last, "lsn": lsn, "reason": reason });
            ("pages", blocks)
        }
        Problem::Wal { timeline, reason } => {
            ("wal", json!({ "timeline": timeline.number(), "reason": reason }))
        }
        Problem::TooMany(count) => ("too_many", json!({ "count": count })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{ManifestError, ManifestSummary};
    use crate::page::PageFault;
    use crate::pg::{Lsn, TimelineId};

    fn line(outcome: Result<&Verdict, &VerifyError>) -> Value {
        let effort = Effort { bytes: 3_000_000, elapsed: Duration::from_micros(1_500_999) };
        let mut out = Vec::new();
        VerifyReport::new(outcome, effort).write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    fn verdict(findings: Vec<Finding>) -> Verdict {
        let range = WalRange {
            timeline: TimelineId::FIRST,
            start_lsn: Lsn::new(0x200_0028),
            end_lsn: Lsn::new(0x200_0120),
        };
        let summary = ManifestSummary {
            version: 2,
            system_identifier: Some(7_710_810_266_139_740_432),
            wal_ranges: vec![range],
            file_count: 968,
            total_size: 3_000_000,
        };
        Verdict { summary, findings }
    }

    #[test]
    fn a_sound_backup_is_reported_with_what_its_manifest_says() {
        let expected = json!({
            "type": "report",
            "verified": true,
            "error": null,
            "findings": [],
            "files": 968,
            "manifest_version": 2,
            "system_identifier": "7710810266139740432",
            "wal_ranges": [{ "timeline": 1, "start_lsn": "0/2000028", "end_lsn": "0/2000120" }],
            "bytes": 3_000_000,
            "seconds": 1.5,
            "bytes_per_second": 2_000_000,
        });
        assert_eq!(line(Ok(&verdict(Vec::new()))), expected);
    }

    #[test]
    fn a_backup_that_cannot_be_verified_is_reported_with_the_reason() {
        let report = line(Err(&ManifestError::ManifestChecksumMismatch.into()));
        assert_eq!(report["verified"], false);
        assert_eq!(report["error"], "manifest checksum mismatch");
        for unknown in ["files", "manifest_version", "system_identifier", "wal_ranges"] {
            assert_eq!(report[unknown], Value::Null, "{unknown}");
        }
    }

    #[test]
    fn findings_are_data() {
        let pages = Problem::Pages {
            first: 3,
            last: 4,
            lsn: Lsn::new(0x100_0000),
            fault: PageFault::Checksum { computed: 0x1234, stored: 0 },
        };
        let wal = Problem::Wal { timeline: TimelineId::FIRST, reason: "gone".into() };
        let table: [(&[u8], Option<&str>, Problem, Value); 5] = [
            (b"a", None, Problem::Missing, json!({ "kind": "missing", "path": "a" })),
            (
                b"a",
                Some("base.tar"),
                Problem::Size { found: 1, listed: 2 },
                json!({
                    "kind": "size", "path": "a", "archive": "base.tar",
                    "found_bytes": 1, "listed_bytes": 2,
                }),
            ),
            (
                b"caf\xe9",
                None,
                Problem::Extra,
                json!({ "kind": "extra", "path": "caf\u{fffd}", "encoded_path": "636166e9" }),
            ),
            (
                b"base/1/1259",
                None,
                pages,
                json!({
                    "kind": "pages", "path": "base/1/1259", "first_block": 3, "last_block": 4,
                    "lsn": "0/1000000",
                    "reason": "page verification failed, calculated checksum 1234 but found 0000",
                }),
            ),
            (
                b"pg_wal",
                None,
                wal,
                json!({ "kind": "wal", "path": "pg_wal", "timeline": 1, "reason": "gone" }),
            ),
        ];
        for (path, archive, problem, mut expected) in table {
            let archive = archive.map(str::to_owned);
            let finding = Finding { path: path.to_vec(), archive, problem };
            expected["message"] = finding.to_string().into();
            for absent in ["archive", "encoded_path"] {
                if expected.get(absent).is_none() {
                    expected[absent] = Value::Null;
                }
            }
            let report = line(Ok(&verdict(vec![finding])));
            assert_eq!(report["verified"], false);
            assert_eq!(report["findings"], json!([expected]));
        }
    }
}
