//! What is written down of the answer to BASE_BACKUP.

use std::fmt::Write as _;
use std::io::Cursor;

use pgsiphon::manifest::{ManifestError, compare};
use pgsiphon::pg::{ChecksumAlgorithm, ServerVersion, Tablespace, TablespaceLocation};
use pgsiphon::protocol::{
    BackupEvent, BaseBackupStream, ManifestExpected, Message, ProtocolError, ServerMessage,
};
use sha2::{Digest as _, Sha256};

use super::archive::{Archive, ArchiveError};
use super::fixture::Original;
use super::tally::Tally;

/// Why a recorded backup cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupTranscriptError {
    /// The order of its messages is wrong.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// An archive is wrong.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// The answer to BASE_BACKUP, as far as it was followed.
pub struct BackupTranscript {
    stream: BaseBackupStream,
    algorithm: ChecksumAlgorithm,
    tablespaces: Vec<Tablespace>,
    archive: Option<Archive>,
    tally: Tally,
    manifest: Option<Vec<u8>>,
    progress: Option<u64>,
}

impl BackupTranscript {
    /// Waits for the answer to a recorded command.
    pub fn new(command: &str) -> Self {
        let is_multiplexed = command.starts_with("BASE_BACKUP (");
        let version = ServerVersion::major_release(if is_multiplexed { 15 } else { 14 });
        let manifest = match command.contains("MANIFEST '") {
            true => ManifestExpected::Yes,
            false => ManifestExpected::No,
        };
        let named = command.split_once("MANIFEST_CHECKSUMS '").map(|(_, rest)| rest);
        let name = named.and_then(|rest| rest.split('\'').next());
        let algorithm = name.and_then(|name| name.parse().ok()).unwrap_or_default();
        BackupTranscript {
            stream: BaseBackupStream::new(version, manifest),
            algorithm,
            tablespaces: Vec::new(),
            archive: None,
            tally: Tally::new(algorithm),
            manifest: None,
            progress: None,
        }
    }

    /// Takes the next message, writes down what it tells and returns whether it was the last
    /// that counts.
    ///
    /// # Errors
    /// If it breaks a rule.
    pub fn handle_message(
        &mut self,
        message: Message,
        text: &mut String,
        outcome: &mut Original,
    ) -> Result<bool, BackupTranscriptError> {
        let event = match self.stream.handle_message(message) {
            Err(ProtocolError::Server(message)) => {
                let _ = writeln!(text, "  failed: {}", first_line(&message));
                outcome.exit_code = 1;
                outcome.files = self.tally.files_outside_wal;
                // ReadyForQuery follows.
                return Ok(true);
            }
            event => event?,
        };
        match event {
            None => {}
            Some(BackupEvent::ArchiveData(bytes)) => {
                if let Some(archive) = &mut self.archive {
                    archive.handle(bytes, &mut self.tally)?;
                }
            }
            Some(BackupEvent::ManifestData(bytes)) => {
                self.manifest.get_or_insert_default().extend_from_slice(&bytes);
            }
            Some(BackupEvent::ServerProgress(bytes)) => self.progress = Some(bytes),
            Some(event) => self.handle_event(event, text, outcome)?,
        }
        Ok(self.stream.is_completed())
    }

    /// Handles the rare events.
    fn handle_event(
        &mut self,
        event: BackupEvent,
        text: &mut String,
        outcome: &mut Original,
    ) -> Result<(), BackupTranscriptError> {
        let line = match event {
            BackupEvent::Started { start_lsn, timeline } => {
                outcome.start_lsn = Some(start_lsn.to_string());
                format!("started at {start_lsn} on timeline {timeline}")
            }
            BackupEvent::Tablespaces(tablespaces) => {
                self.tablespaces = tablespaces;
                self.tablespaces.iter().map(describe).collect::<Vec<_>>().join("\n  ")
            }
            BackupEvent::ArchiveStarted { tablespace, compression } => {
                self.end_archive(text)?;
                self.archive = Some(Archive::new(compression));
                let tablespace = self.tablespaces.get(tablespace);
                let name = tablespace.map(describe).unwrap_or_default();
                self.tally.begin_archive(tablespace.and_then(|tablespace| tablespace.oid));
                let form = compression.map(|format| format!(", as {}", format.suffix()));
                format!("archive of {name}{}", form.unwrap_or_default())
            }
            BackupEvent::ManifestStarted => {
                self.end_archive(text)?;
                "manifest".to_owned()
            }
            BackupEvent::ReceivedAll => {
                self.end_archive(text)?;
                outcome.files = self.tally.files_outside_wal;
                self.describe_manifest(text, outcome)?;
                "received all".to_owned()
            }
            BackupEvent::Ended { end_lsn } => {
                outcome.end_lsn = Some(end_lsn.to_string());
                format!("ended at {end_lsn}")
            }
            BackupEvent::Notice(message) => {
                outcome.notices.push(first_line(&message));
                first_line(&message)
            }
            BackupEvent::ChecksumFailure(message) => {
                outcome.exit_code = 1;
                format!("completed, with failure: {}", first_line(&message))
            }
            BackupEvent::Completed => "completed".to_owned(),
            BackupEvent::ArchiveData(_)
            | BackupEvent::ManifestData(_)
            | BackupEvent::ServerProgress(_) => return Ok(()),
        };
        let _ = writeln!(text, "  {line}");
        Ok(())
    }

    fn end_archive(&mut self, text: &mut String) -> Result<(), BackupTranscriptError> {
        if let Some(archive) = self.archive.take() {
            archive.finish(&self.tally, text)?;
            if let Some(progress) = self.progress.take() {
                let _ = writeln!(text, "    server counts {progress} bytes");
            }
        }
        Ok(())
    }

    fn describe_manifest(
        &mut self,
        text: &mut String,
        outcome: &mut Original,
    ) -> Result<(), BackupTranscriptError> {
        let Some(manifest) = self.manifest.take() else { return Ok(()) };
        let sha256: String =
            Sha256::digest(&manifest).iter().map(|byte| format!("{byte:02x}")).collect();
        let log = self.tally.take_log();
        let comparison = compare(log, Cursor::new(&manifest), self.algorithm)?;
        let summary = comparison.summary;
        let _ = writeln!(
            text,
            "    {} bytes, SHA-256 {sha256}\n    version {}, {} files of {} bytes by {}",
            manifest.len(),
            summary.version,
            summary.file_count,
            summary.total_size,
            self.algorithm,
        );
        if let Some(identifier) = summary.system_identifier {
            let _ = writeln!(text, "    system {identifier}");
        }
        for range in summary.wal_ranges {
            let (start, end) = (range.start_lsn, range.end_lsn);
            let _ = writeln!(text, "    WAL from {start} to {end} on timeline {}", range.timeline);
        }
        for finding in &comparison.findings {
            let _ = writeln!(text, "    {finding}");
        }
        if comparison.findings.is_empty() {
            text.push_str("    everything is as listed\n");
        }
        outcome.manifest_sha256 = Some(sha256);
        Ok(())
    }
}

/// Details of notices change with the server's build; the first line says what it is about.
fn first_line(message: &ServerMessage) -> String {
    message.to_string().lines().next().unwrap_or_default().to_owned()
}

fn describe(tablespace: &Tablespace) -> String {
    let place = match &tablespace.location {
        TablespaceLocation::DataDirectory => "data directory".to_owned(),
        TablespaceLocation::InPlace(path) => format!("in-place tablespace {}", path.display()),
        TablespaceLocation::Directory(path) => format!("tablespace {}", path.display()),
    };
    let oid = tablespace.oid.map(|oid| format!(", identifier {oid}")).unwrap_or_default();
    let size = tablespace.size_kb.map(|size| format!(", {size} kB")).unwrap_or_default();
    place + &oid + &size
}
