//! What `--json` prints: an object about how the backup went, with `-P` after others about how far it is.
//! The names of the fields are what other programs rely on: they may become more, not others.

use std::cell::RefCell;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use crate::backup::{
    BackupConfig, BackupError, BackupSummary, Event, Progress, Reporter, ServerTarget, Target,
};

/// The most warnings that a report lists: a server may send any number.
const WARNINGS_MAX: usize = 100;

/// A line of the output.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line<'a> {
    /// How far the backup is.
    Progress(&'a ProgressObject),
    /// How it went; the last line.
    Report(&'a Report),
}

impl Line<'_> {
    /// Writes the object and ends the line.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        write_object(self, out)
    }
}

/// Writes an object and ends the line.
///
/// # Errors
/// If `out` fails.
pub(super) fn write_object(object: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    let mut text = serde_json::to_vec(object)?;
    text.push(b'\n');
    out.write_all(&text).and_then(|()| out.flush())
}

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The server makes its checkpoint.
    WaitingForCheckpoint,
    /// Data come.
    Receiving,
    /// The data are complete; the WAL stream is not.
    WaitingForWal,
    /// The last files are brought to stable storage.
    Syncing,
}

/// How far the backup is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgressObject {
    /// What is going on.
    pub phase: Phase,
    /// Bytes of the data, not compressed.
    pub received_bytes: u64,
    /// The server's estimate of all the data, if it is known.
    pub total_bytes: Option<u64>,
    /// Bytes of WAL that came over the second connection.
    pub wal_bytes: u64,
    /// Tablespaces that are complete.
    pub tablespaces_done: u64,
    /// Tablespaces in all, if it is known.
    pub tablespaces_total: Option<u64>,
}

/// How a backup went. What only a complete one has is null after a failure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Whether there is a backup.
    pub status: Status,
    /// Why there is none.
    pub error: Option<String>,
    /// `plain`, `tar`, or `server` if the server stores it.
    pub format: &'static str,
    /// The directory, `-` for standard output, or the server's target.
    pub target: String,
    /// The label in `backup_label`.
    pub label: String,
    /// Identifies the cluster; 64 bits, so in a string.
    pub system_identifier: Option<String>,
    /// The timeline of the start.
    pub timeline: Option<u32>,
    /// Where replay starts.
    pub start_lsn: Option<String>,
    /// Up to where it must go.
    pub end_lsn: Option<String>,
    /// Files that were received.
    pub files: u64,
    /// Files that were compared with the manifest; null if there was no manifest.
    pub verified_files: Option<u64>,
    /// Bytes of the data, not compressed.
    pub received_bytes: u64,
    /// Bytes of WAL that came over the second connection.
    pub wal_bytes: u64,
    /// How long it took, from the first connection on.
    pub seconds: f64,
    /// Received bytes by seconds.
    pub bytes_per_second: u64,
    /// How many warnings and notices there were.
    pub warning_count: u64,
    /// The first of them.
    pub warnings: Vec<Warning>,
}

/// Whether there is a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// There is, and it is complete.
    Completed,
    /// There is none.
    Failed,
}

/// What was said on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// `WARNING`, `NOTICE`, ..., as the server calls it.
    pub severity: String,
    /// The text.
    pub message: String,
    /// More about the cause.
    pub detail: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Warning {
    /// Returns a warning that is a text alone.
    pub fn text(message: String) -> Self {
        Warning { severity: "WARNING".to_owned(), message, ..Warning::default() }
    }
}

/// The warnings of a run.
#[derive(Debug, Default)]
pub struct Warnings {
    // Events come from one thread, but through a shared reference.
    kept: RefCell<(u64, Vec<Warning>)>,
}

impl Warnings {
    /// Counts a warning, and keeps it if it is one of the first.
    pub fn add(&self, warning: Warning) {
        let (count, list) = &mut *self.kept.borrow_mut();
        *count += 1;
        if list.len() < WARNINGS_MAX {
            list.push(warning);
        }
    }

    fn note(&self, event: &Event) {
        match event {
            Event::Notice(notice) => self.add(Warning {
                severity: notice.severity.clone(),
                message: notice.message.clone(),
                detail: notice.detail.clone(),
                hint: notice.hint.clone(),
            }),
            Event::WalStreamBroken { reason, resume_at } => self.add(Warning {
                detail: Some(format!("It is resumed at {resume_at} on a new connection.")),
                ..Warning::text(format!("WAL streaming was interrupted: {reason}"))
            }),
            // The rest is no reason to worry.
            _ => {}
        }
    }
}

/// Keeps the warnings, and passes everything on.
pub struct WarningsKeeper<'a> {
    /// Where they are kept.
    pub warnings: &'a Warnings,
    /// Who hears of everything.
    pub next: &'a dyn Reporter,
}

impl Reporter for WarningsKeeper<'_> {
    fn report(&self, event: Event) {
        self.warnings.note(&event);
        self.next.report(event);
    }

    fn failed(&self, error: &BackupError) {
        self.next.failed(error);
    }
}

/// What a report is made of, but for the outcome.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// What was wanted.
    pub config: &'a BackupConfig,
    /// What was counted.
    pub progress: &'a Progress,
    /// What was said.
    pub warnings: &'a Warnings,
    /// How long it took.
    pub elapsed: Duration,
}

impl Report {
    /// Reports a backup, or why there is none.
    pub fn new(run: Run<'_>, outcome: Result<&BackupSummary, String>) -> Self {
        let Run { config, progress, warnings, elapsed } = run;
        let received_bytes = Progress::read(&progress.received_bytes);
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let rate = u128::from(received_bytes) * 1_000 / u128::from(elapsed_ms.max(1));
        let (format, target) = place(&config.target);
        let (warning_count, warnings) = warnings.kept.borrow().clone();
        let summary = outcome.as_ref().ok();
        Report {
            status: if summary.is_some() { Status::Completed } else { Status::Failed },
            format,
            target,
            label: config.label.clone(),
            system_identifier: summary.map(|summary| summary.system_identifier.clone()),
            timeline: summary.map(|summary| summary.timeline.number()),
            start_lsn: summary.map(|summary| summary.start_lsn.to_string()),
            end_lsn: summary.map(|summary| summary.end_lsn.to_string()),
            files: Progress::read(&progress.files),
            verified_files: summary.and_then(|summary| summary.verified_files),
            received_bytes,
            wal_bytes: Progress::read(&progress.wal_bytes),
            seconds: elapsed_ms as f64 / 1_000.0,
            bytes_per_second: u64::try_from(rate).unwrap_or(u64::MAX),
            warning_count,
            warnings,
            error: outcome.err(),
        }
    }
}

fn place(target: &Target) -> (&'static str, String) {
    match target {
        Target::Plain { directory, .. } => ("plain", directory.display().to_string()),
        Target::Tar { directory } => ("tar", directory.display().to_string()),
        Target::Stdout => ("tar", "-".to_owned()),
        Target::Server(ServerTarget { name, detail: None }) => ("server", name.clone()),
        Target::Server(ServerTarget { name, detail: Some(detail) }) => {
            ("server", format!("{name}:{detail}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::cli::args::{Outcome, interpret};
    use crate::cli::program::Program;
    use crate::pg::{Lsn, TimelineId};
    use crate::protocol::ServerMessage;

    fn config(line: &str) -> BackupConfig {
        let arguments: Vec<_> = line.split(' ').map(Into::into).collect();
        match interpret(&Program::called(Some("pg_basebackup".as_ref())), &arguments) {
            Ok(Outcome::Basebackup(request)) => request.config,
            other => panic!("{line} gave {other:?}"),
        }
    }

    fn line(report: &Report) -> String {
        let mut out = Vec::new();
        Line::Report(report).write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_report_of_a_backup_has_all_that_is_known_of_it() {
        let progress = Progress::default();
        progress.received_bytes.store(3_000_000, Ordering::Relaxed);
        progress.wal_bytes.store(16_777_216, Ordering::Relaxed);
        progress.files.store(970, Ordering::Relaxed);
        let warnings = Warnings::default();
        warnings.note(&Event::Notice(ServerMessage {
            severity: "WARNING".into(),
            message: "aborting \"backup\"".into(),
            hint: Some("Look.".into()),
            ..ServerMessage::default()
        }));
        warnings.note(&Event::WalStreamBroken {
            reason: "gone".into(),
            resume_at: Lsn::new(0x300_0000),
        });
        warnings.note(&Event::Completed);
        let summary = BackupSummary {
            system_identifier: "7710810266139740432".into(),
            start_lsn: Lsn::new(0x200_0028),
            end_lsn: Lsn::new(0x200_0120),
            timeline: TimelineId::FIRST,
            verified_files: Some(968),
        };
        let config = config("-D d -l monday");
        let elapsed = Duration::from_micros(1_500_999);
        let run = Run { config: &config, progress: &progress, warnings: &warnings, elapsed };
        let expected = "{\"type\":\"report\",\"status\":\"completed\",\"error\":null,\
            \"format\":\"plain\",\"target\":\"d\",\"label\":\"monday\",\
            \"system_identifier\":\"7710810266139740432\",\"timeline\":1,\
            \"start_lsn\":\"0/2000028\",\"end_lsn\":\"0/2000120\",\"files\":970,\
            \"verified_files\":968,\"received_bytes\":3000000,\"wal_bytes\":16777216,\
            \"seconds\":1.5,\"bytes_per_second\":2000000,\"warning_count\":2,\"warnings\":[\
            {\"severity\":\"WARNING\",\"message\":\"aborting \\\"backup\\\"\",\"detail\":null,\
            \"hint\":\"Look.\"},{\"severity\":\"WARNING\",\
            \"message\":\"WAL streaming was interrupted: gone\",\
            \"detail\":\"It is resumed at 0/3000000 on a new connection.\",\"hint\":null}]}\n";
        assert_eq!(line(&Report::new(run, Ok(&summary))), expected);
    }

    #[test]
    fn the_report_of_a_failure_says_why_and_leaves_the_rest_open() {
        let (progress, warnings) = (Progress::default(), Warnings::default());
        let table = [
            ("-D d -Ft", "tar", "d"),
            ("-D - -Ft -Xn", "tar", "-"),
            ("-t blackhole -Xn", "server", "blackhole"),
            ("-t server:/x -Xn", "server", "server:/x"),
        ];
        for (arguments, format, target) in table {
            let config = config(arguments);
            let elapsed = Duration::ZERO;
            let run = Run { config: &config, progress: &progress, warnings: &warnings, elapsed };
            let expected = format!(
                "{{\"type\":\"report\",\"status\":\"failed\",\"error\":\"no\\nroute\",\
                 \"format\":\"{format}\",\"target\":\"{target}\",\
                 \"label\":\"pg_basebackup base backup\",\"system_identifier\":null,\
                 \"timeline\":null,\"start_lsn\":null,\"end_lsn\":null,\"files\":0,\
                 \"verified_files\":null,\"received_bytes\":0,\"wal_bytes\":0,\"seconds\":0.0,\
                 \"bytes_per_second\":0,\"warning_count\":0,\"warnings\":[]}}\n"
            );
            let report = Report::new(run, Err("no\nroute".to_owned()));
            assert_eq!(line(&report), expected, "{arguments}");
        }
    }

    #[test]
    fn a_server_that_warns_without_end_fills_no_memory() {
        let warnings = Warnings::default();
        for number in 0..1000 {
            warnings.add(Warning::text(format!("warning {number}")));
        }
        let (count, list) = warnings.kept.into_inner();
        assert_eq!((count, list.len()), (1000, WARNINGS_MAX));
    }
}
