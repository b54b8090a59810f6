//! Making a backup the beginning of a standby (`-R`): the settings that lead to the primary, and the file
//! that says that there is one (`recovery_gen.c` and `astreamer_inject.c` of 18).

use bytes::Bytes;

use super::output::Output;
use super::{BackupConfig, BackupError, BackupJob, Event, SlotChoice, StandbySetup, WalMethod};
use crate::archive::{Member, MemberKind, MemberSink, NewMember};
use crate::net::{Cluster, Connection};
use crate::storage::{StorageError, now_as_mtime};

/// The file that ALTER SYSTEM writes; what stands last in it counts.
const SETTINGS_NAME: &str = "postgresql.auto.conf";

/// The file that makes a server a standby.
const SIGNAL_NAME: &str = "standby.signal";

/// What a standby needs besides the data.
#[derive(Clone, Debug)]
pub(super) struct StandbyFiles {
    settings: Bytes,
    file_mode: u32,
}

impl StandbyFiles {
    /// Works out what a backup gets besides what the server sends, if it is to become a standby.
    pub(super) fn of_job(
        job: BackupJob<'_>,
        connection: &Connection,
        cluster: &Cluster,
    ) -> Option<Self> {
        let BackupConfig { standby: StandbySetup::Write, wal, .. } = job.config else {
            return None;
        };
        let conninfo = job.connect.for_standby(cluster.version, connection.passfile());
        for keyword in conninfo.left_out {
            job.reporter.report(Event::StandbySettingLeftOut(keyword.name()));
        }
        let slot = match wal {
            WalMethod::Stream(SlotChoice::Existing(name) | SlotChoice::Create(name)) => {
                Some(name.as_str())
            }
            WalMethod::Stream(SlotChoice::Temporary | SlotChoice::None)
            | WalMethod::Fetch
            | WalMethod::None => None,
        };
        Some(StandbyFiles::new(&conninfo.text, slot, cluster.modes.file))
    }

    /// Writes the settings: how the primary is reached, and the slot to stream with.
    fn new(primary_conninfo: &str, slot: Option<&str>, file_mode: u32) -> Self {
        // What was edited by hand may lack its last line's end.
        let mut settings = format!("\nprimary_conninfo = {}\n", quoted(primary_conninfo));
        if let Some(slot) = slot {
            settings += &format!("primary_slot_name = {}\n", quoted(slot));
        }
        StandbyFiles { settings: settings.into(), file_mode }
    }
}

/// Quotes a value as `guc-file.l` reads it.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// Passes the members of an archive on; with [`StandbyFiles`], it adds them on the way.
#[derive(Debug)]
pub(super) struct Injector {
    output: Output,
    files: Option<StandbyFiles>,
    passage: Passage,
    /// The archive brought a file of settings, to which ours were added.
    has_settings: bool,
}

/// What becomes of the member that is passing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passage {
    Unchanged,
    /// Our settings follow its own contents.
    Extended,
    /// Ours comes instead.
    Dropped,
}

impl Injector {
    pub(super) fn new(output: Output, files: Option<StandbyFiles>) -> Self {
        Injector { output, files, passage: Passage::Unchanged, has_settings: false }
    }

    /// Takes the archive's bytes as they come, for an output that keeps them so.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.output.keep(bytes)
    }

    /// Adds what the archive did not bring, and gives back the output.
    pub(super) fn finish(mut self) -> Result<Output, BackupError> {
        if let Some(StandbyFiles { settings, file_mode }) = self.files.take() {
            if !self.has_settings {
                self.append(SETTINGS_NAME, file_mode, settings)?;
            }
            self.append(SIGNAL_NAME, file_mode, Bytes::new())?;
        }
        Ok(self.output)
    }

    fn append(&mut self, name: &str, mode: u32, contents: Bytes) -> Result<(), BackupError> {
        let size = contents.len() as u64;
        let header = NewMember { name, mode, size, mtime: now_as_mtime(), injected: true };
        let member = Member::from_header(&header.to_header()).map_err(BackupError::Archive)?;
        self.output.begin(&member)?;
        if !contents.is_empty() {
            self.output.contents(contents)?;
        }
        self.output.end()
    }
}

impl MemberSink for Injector {
    type Error = BackupError;

    fn begin(&mut self, member: &Member) -> Result<(), BackupError> {
        self.passage = Passage::Unchanged;
        if let (Some(files), MemberKind::File) = (&self.files, &member.kind) {
            if member.path.as_bytes() == SIGNAL_NAME.as_bytes() {
                self.passage = Passage::Dropped;
                return Ok(());
            }
            if member.path.as_bytes() == SETTINGS_NAME.as_bytes() {
                self.passage = Passage::Extended;
                self.has_settings = true;
                let size = member.size.saturating_add(files.settings.len() as u64);
                return self.output.begin(&member.resized(size));
            }
        }
        self.output.begin(member)
    }

    fn contents(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        match self.passage {
            Passage::Unchanged | Passage::Extended => self.output.contents(bytes),
            Passage::Dropped => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), BackupError> {
        match (self.passage, &self.files) {
            (Passage::Dropped, _) => return Ok(()),
            (Passage::Extended, Some(files)) => self.output.contents(files.settings.clone())?,
            (Passage::Extended | Passage::Unchanged, _) => {}
        }
        self.output.end()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::path::PathBuf;

    use super::*;
    use crate::archive::TarParser;
    use crate::storage::{TarFile, TarOutput};

    /// Sends an archive with these members through the injector; returns names and contents.
    fn injected(members: &[(&str, &str)], files: Option<StandbyFiles>) -> Vec<(String, String)> {
        let written = tempfile::NamedTempFile::new().unwrap();
        let name = PathBuf::from("archive");
        let stream = TarOutput::Stream(Box::new(written.reopen().unwrap()), name);
        let mut injector = Injector::new(Output::Tar(TarFile::new(stream)), files);
        let mut parser = TarParser::default();
        for (name, contents) in members {
            let mut archive = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_ustar();
            header.set_size(contents.len() as u64);
            header.set_mode(0o600);
            archive.append_data(&mut header, name, contents.as_bytes()).unwrap();
            let mut bytes = archive.into_inner().unwrap();
            bytes.truncate(bytes.len() - crate::archive::TRAILER_SIZE);
            parser.handle(bytes.into(), &mut injector).unwrap();
        }
        let Output::Tar(tar) = injector.finish().unwrap() else { unreachable!("it was a tar") };
        tar.finish().unwrap();
        let mut archive = tar::Archive::new(written.reopen().unwrap());
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut contents = String::new();
            entry.read_to_string(&mut contents).unwrap();
            (entry.path().unwrap().display().to_string(), contents)
        });
        entries.collect()
    }

    fn owned(members: &[(&str, &str)]) -> Vec<(String, String)> {
        members.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    const OURS: &str = "\nprimary_conninfo = 'user=u password=''it\\\\''s'''\n\
        primary_slot_name = 's'\n";

    fn files() -> StandbyFiles {
        StandbyFiles::new(r"user=u password='it\'s'", Some("s"), 0o600)
    }

    #[test]
    fn settings_are_added_to_those_of_the_server() {
        let members = [("a", "1"), (SETTINGS_NAME, "x = 1"), ("b", "2")];
        let expected = owned(&[
            ("a", "1"),
            (SETTINGS_NAME, &format!("x = 1{OURS}")),
            ("b", "2"),
            (SIGNAL_NAME, ""),
        ]);
        assert_eq!(injected(&members, Some(files())), expected);
    }

    #[test]
    fn settings_come_also_where_the_server_has_none() {
        let expected = owned(&[("a", "1"), (SETTINGS_NAME, OURS), (SIGNAL_NAME, "")]);
        assert_eq!(injected(&[("a", "1")], Some(files())), expected);
    }

    #[test]
    fn the_signal_of_a_standby_is_replaced() {
        let members = [(SIGNAL_NAME, "old"), (SETTINGS_NAME, "")];
        let expected = owned(&[(SETTINGS_NAME, OURS), (SIGNAL_NAME, "")]);
        assert_eq!(injected(&members, Some(files())), expected);
    }

    #[test]
    fn nothing_changes_without_files_to_add() {
        let members = [(SIGNAL_NAME, "old"), (SETTINGS_NAME, "x = 1"), ("b", "2")];
        assert_eq!(injected(&members, None), owned(&members));
    }
}
