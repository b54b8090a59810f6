//! The answer to BASE_BACKUP, in both of its forms (protocol chapter, `BASE_BACKUP`;
//! `basebackup_copy.c` of 14 and 15).
//!
//! ```text
//!           start position, list of tablespaces        end position, verdict
//! 15..      T D C  T D.. C   H d.. c                    T D C  C Z
//!                              one COPY; each payload starts with a type:
//!                              n new archive  d data  p progress  m manifest follows
//! ..14      T D C  T D.. C   (H d.. c) per tablespace  (H d.. c) manifest    T D C  C Z
//! ```

use std::collections::HashSet;

use bytes::{Buf as _, Bytes};

use super::message::Rows;
use super::{Message, ProtocolError, Row, ServerMessage};
use crate::pg::{
    CompressionFormat, Lsn, Oid, ServerVersion, Tablespace, TablespaceLocation, TimelineId,
};

const COMMAND: &str = "BASE_BACKUP";

/// What a base backup's stream consists of, in the order of the stream.
#[derive(Clone, Debug)]
pub enum BackupEvent {
    /// The checkpoint is done; the backup starts here.
    Started {
        /// Where replay of the backup's WAL begins.
        start_lsn: Lsn,
        /// The timeline of that position.
        timeline: TimelineId,
    },
    /// The archives that will come, one a tablespace, though not in this order.
    Tablespaces(Vec<Tablespace>),
    /// The archive of a tablespace begins, and the one before it is complete.
    ArchiveStarted {
        /// The index of the tablespace in [`BackupEvent::Tablespaces`].
        tablespace: usize,
        /// How the server compressed it; `None` if it did not.
        compression: Option<CompressionFormat>,
    },
    /// The next bytes of the archive.
    ArchiveData(Bytes),
    /// The manifest begins, and the archive before it is complete.
    ManifestStarted,
    /// The next bytes of the manifest.
    ManifestData(Bytes),
    /// The server's count of bytes sent so far, before compression.
    ServerProgress(u64),
    /// Everything is received; the last archive or the manifest is complete.
    ReceivedAll,
    /// The backup is consistent once WAL is replayed up to here.
    Ended {
        /// That position.
        end_lsn: Lsn,
    },
    /// Something the user should see.
    Notice(Box<ServerMessage>),
    /// The server found damaged pages while it sent them. The data are complete all the same.
    ChecksumFailure(Box<ServerMessage>),
    /// The server is done and ready for the next command.
    Completed,
}

/// Whether a manifest was asked for; servers up to 14 send it as one more COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestExpected {
    /// It was.
    Yes,
    /// It was not.
    No,
}

/// Follows the server's answer to BASE_BACKUP.
#[derive(Debug)]
pub struct BaseBackupStream {
    state: State,
    multiplexed: bool,
    manifest: ManifestExpected,
    tablespaces: Vec<Tablespace>,
    /// Indices of the archives that have begun.
    begun: HashSet<usize>,
    rows: Rows,
    checksum_failure: Option<Box<ServerMessage>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    ReadingStart,
    ReadingTablespaces,
    WaitingForCopy,
    /// In the COPY of 15 and newer; what a `d` payload is part of.
    Multiplexed(Part),
    /// In a COPY of 14 and older.
    Plain(Part),
    ReadingEnd,
    WaitingForVerdict,
    WaitingForReady,
    Completed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Nothing,
    Archive,
    Manifest,
}

impl BaseBackupStream {
    /// Waits for the answer to a BASE_BACKUP that was sent.
    pub fn new(version: ServerVersion, manifest: ManifestExpected) -> Self {
        BaseBackupStream {
            state: State::ReadingStart,
            multiplexed: version.has_multiplexed_base_backup(),
            manifest,
            tablespaces: Vec::new(),
            begun: HashSet::new(),
            rows: Rows::default(),
            checksum_failure: None,
        }
    }

    /// Takes the server's next message and returns what it tells, if anything.
    ///
    /// # Errors
    /// The server's error, or a message that breaks the order of the answer.
    pub fn handle_message(
        &mut self,
        message: Message,
    ) -> Result<Option<BackupEvent>, ProtocolError> {
        match (self.state, message) {
            // The hot path first: nearly all messages are these.
            (State::Multiplexed(part), Message::CopyData(payload)) => {
                self.handle_multiplexed(part, payload)
            }
            (State::Plain(part), Message::CopyData(payload)) => Ok(Some(match part {
                Part::Manifest => BackupEvent::ManifestData(payload),
                Part::Archive | Part::Nothing => BackupEvent::ArchiveData(payload),
            })),
            (_, Message::Notice(message)) => Ok(Some(BackupEvent::Notice(message))),
            (_, Message::ParameterStatus { .. }) => Ok(None),
            (State::WaitingForVerdict, Message::Error(message))
                if message.code == ServerMessage::DATA_CORRUPTED =>
            {
                self.state = State::WaitingForReady;
                self.checksum_failure = Some(message);
                Ok(None)
            }
            (State::ReadingStart | State::ReadingTablespaces | State::ReadingEnd, message) => {
                self.handle_result_set(message)
            }
            (State::WaitingForCopy, Message::CopyOut) => Ok(self.begin_copy()),
            (State::Multiplexed(_), Message::CopyDone) => {
                self.state = State::ReadingEnd;
                self.check_all_archives_begun()?;
                Ok(Some(BackupEvent::ReceivedAll))
            }
            (State::Plain(_), Message::CopyDone) => Ok(self.end_plain_copy()),
            (State::WaitingForVerdict, Message::CommandComplete(_)) => {
                self.state = State::WaitingForReady;
                Ok(None)
            }
            (State::WaitingForReady, Message::ReadyForQuery) => {
                self.state = State::Completed;
                let failure = self.checksum_failure.take();
                Ok(Some(failure.map_or(BackupEvent::Completed, BackupEvent::ChecksumFailure)))
            }
            (state, message) => Err(message.unexpected(state.expected())),
        }
    }

    /// Returns whether the server is ready for the next command.
    pub fn is_completed(&self) -> bool {
        self.state == State::Completed
    }

    fn handle_result_set(
        &mut self,
        message: Message,
    ) -> Result<Option<BackupEvent>, ProtocolError> {
        match message {
            Message::RowDescription => Ok(None),
            Message::DataRow(row) => self.rows.push(row, COMMAND).map(|()| None),
            Message::CommandComplete(_) => self.end_result_set().map(Some),
            other => Err(other.unexpected(self.state.expected())),
        }
    }

    fn end_result_set(&mut self) -> Result<BackupEvent, ProtocolError> {
        let rows = self.rows.take();
        match self.state {
            State::ReadingStart => {
                self.state = State::ReadingTablespaces;
                let (start_lsn, timeline) = position(&rows)?;
                Ok(BackupEvent::Started { start_lsn, timeline })
            }
            State::ReadingTablespaces => {
                self.state = State::WaitingForCopy;
                self.tablespaces =
                    rows.iter().map(tablespace).collect::<Result<_, ProtocolError>>()?;
                if self.tablespaces.is_empty() {
                    return Err(ProtocolError::answer(COMMAND, "no data returned from server"));
                }
                Ok(BackupEvent::Tablespaces(self.tablespaces.clone()))
            }
            _ => {
                self.state = State::WaitingForVerdict;
                let (end_lsn, _) = position(&rows)?;
                Ok(BackupEvent::Ended { end_lsn })
            }
        }
    }

    fn begin_copy(&mut self) -> Option<BackupEvent> {
        if self.multiplexed {
            self.state = State::Multiplexed(Part::Nothing);
            return None;
        }
        let tablespace = self.begun.len();
        if tablespace == self.tablespaces.len() {
            self.state = State::Plain(Part::Manifest);
            return Some(BackupEvent::ManifestStarted);
        }
        self.begun.insert(tablespace);
        self.state = State::Plain(Part::Archive);
        Some(BackupEvent::ArchiveStarted { tablespace, compression: None })
    }

    fn end_plain_copy(&mut self) -> Option<BackupEvent> {
        let archives_are_left = self.begun.len() < self.tablespaces.len();
        let manifest_is_left =
            self.manifest == ManifestExpected::Yes && self.state != State::Plain(Part::Manifest);
        if archives_are_left || manifest_is_left {
            self.state = State::WaitingForCopy;
            return None;
        }
        self.state = State::ReadingEnd;
        Some(BackupEvent::ReceivedAll)
    }

    fn handle_multiplexed(
        &mut self,
        part: Part,
        mut payload: Bytes,
    ) -> Result<Option<BackupEvent>, ProtocolError> {
        let size = payload.len();
        if payload.is_empty() {
            return Err(ProtocolError::BackupStream("empty COPY message".to_owned()));
        }
        match (payload.get_u8(), part) {
            (b'd', Part::Archive) => Ok(Some(BackupEvent::ArchiveData(payload))),
            (b'd', Part::Manifest) => Ok(Some(BackupEvent::ManifestData(payload))),
            (b'd', Part::Nothing) => {
                Err(ProtocolError::BackupStream("unexpected payload data".to_owned()))
            }
            (b'n', Part::Manifest) => {
                Err(ProtocolError::BackupStream("archives must precede manifest".to_owned()))
            }
            (b'n', _) => self.begin_archive(&payload).map(Some),
            (b'p', _) => Ok(payload
                .try_get_i64()
                .ok()
                .and_then(|bytes| u64::try_from(bytes).ok())
                .map(BackupEvent::ServerProgress)),
            (b'm', Part::Archive | Part::Nothing) if self.manifest == ManifestExpected::Yes => {
                self.check_all_archives_begun()?;
                self.state = State::Multiplexed(Part::Manifest);
                Ok(Some(BackupEvent::ManifestStarted))
            }
            (kind, _) => Err(ProtocolError::BackupStream(format!(
                "malformed COPY message of type {kind}, length {size}"
            ))),
        }
    }

    fn begin_archive(&mut self, names: &[u8]) -> Result<BackupEvent, ProtocolError> {
        let name = names.split(|&byte| byte == 0).next().unwrap_or_default();
        let invalid = || {
            let name = String::from_utf8_lossy(name).into_owned();
            ProtocolError::BackupStream(format!("invalid archive name: \"{name}\""))
        };
        let (stem, compression) = CompressionFormat::split_suffix(name);
        let oid = match stem {
            b"base.tar" => None,
            _ => {
                let digits = stem.strip_suffix(b".tar").ok_or_else(invalid)?;
                let digits = std::str::from_utf8(digits).map_err(|_| invalid())?;
                Some(digits.parse::<Oid>().map_err(|_| invalid())?)
            }
        };
        let tablespace = self.tablespaces.iter().position(|tablespace| tablespace.oid == oid);
        let tablespace =
            tablespace.filter(|index| self.begun.insert(*index)).ok_or_else(invalid)?;
        self.state = State::Multiplexed(Part::Archive);
        Ok(BackupEvent::ArchiveStarted { tablespace, compression })
    }

    fn check_all_archives_begun(&self) -> Result<(), ProtocolError> {
        if self.begun.len() == self.tablespaces.len() {
            return Ok(());
        }
        let (sent, listed) = (self.begun.len(), self.tablespaces.len());
        Err(ProtocolError::BackupStream(format!(
            "server sent {sent} archives but listed {listed} tablespaces"
        )))
    }
}

impl State {
    /// Says what would be in order, for error messages.
    fn expected(self) -> &'static str {
        match self {
            State::ReadingStart => "the start position of the backup",
            State::ReadingTablespaces => "the list of tablespaces",
            State::WaitingForCopy => "COPY of an archive",
            State::Multiplexed(_) | State::Plain(_) => "COPY data",
            State::ReadingEnd => "the end position of the backup",
            State::WaitingForVerdict => "the end of the backup",
            State::WaitingForReady | State::Completed => "the server to become ready",
        }
    }
}

/// Reads the one row of a position: WAL location and timeline.
fn position(rows: &[Row]) -> Result<(Lsn, TimelineId), ProtocolError> {
    let [row] = rows else {
        let problem = format!("got {} rows, expected 1", rows.len());
        return Err(ProtocolError::answer(COMMAND, problem));
    };
    Ok((row.parse(0, COMMAND, "recptr")?, row.parse(1, COMMAND, "tli")?))
}

fn tablespace(row: &Row) -> Result<Tablespace, ProtocolError> {
    let oid = row.bytes(0).map(|_| row.parse(0, COMMAND, "spcoid")).transpose()?;
    let size_kb = row.bytes(2).map(|_| row.parse(2, COMMAND, "size")).transpose()?;
    let location = TablespaceLocation::from_row(row.bytes(1));
    // One is absent exactly when the other is, for the data directory.
    if oid.is_none() != (location == TablespaceLocation::DataDirectory) {
        return Err(ProtocolError::answer(COMMAND, "tablespace without location or identifier"));
    }
    Ok(Tablespace { oid, location, size_kb })
}
