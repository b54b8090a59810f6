//! Drives the protocol code with the bytes of a recording and writes down what it makes of them.

use std::collections::VecDeque;
use std::fmt::Write as _;

use bytes::BytesMut;
use pgsiphon::protocol::{
    AuthPolicy, FlushReports, Frame, Message, ProtocolError, SimpleQuery, Startup, StartupError,
    WalEvent, WalStream, WalStreamConfig, poll_frame,
};

use super::backup_transcript::{BackupTranscript, BackupTranscriptError};
use super::fixture::{Fixture, Original, Recording};
use super::scram::ScramServer;
use super::wire::{self, ClientMessage};

/// Why a recording cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum TranscriptError {
    /// No session came about.
    #[error(transparent)]
    Startup(#[from] StartupError),
    /// The bytes break the protocol, or the server said no.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The backup in them cannot be used.
    #[error(transparent)]
    Backup(#[from] BackupTranscriptError),
    /// The client gave up at SCRAM, or the recording has no client for what the server says.
    #[error("the recorded client has nothing more to say")]
    ClientIsDone,
    /// The recording ends in the middle.
    #[error("the recording ends too early")]
    Truncated,
}

/// Returns the events of all connections of a fixture, fed to the protocol code in chunks.
///
/// # Errors
/// If the protocol code refuses what a real server sent.
pub fn of_fixture(fixture: &Fixture, chunk_size: usize) -> Result<String, TranscriptError> {
    let mut text = String::new();
    for recording in &fixture.connections {
        text += &of_recording(fixture, recording, chunk_size)?.text;
    }
    Ok(text)
}

/// Follows one connection of a fixture to its end, fed in chunks.
///
/// # Errors
/// If the protocol code refuses it or wants more.
pub fn of_recording(
    fixture: &Fixture,
    recording: &Recording,
    chunk_size: usize,
) -> Result<Transcript, TranscriptError> {
    let mut transcript = Transcript::new(fixture, recording)?;
    for chunk in recording.server.chunks(chunk_size.max(1)) {
        transcript.handle(chunk)?;
    }
    if transcript.is_complete() { Ok(transcript) } else { Err(TranscriptError::Truncated) }
}

/// One connection, as far as it was followed.
pub struct Transcript {
    /// The events so far.
    pub text: String,
    /// What a client would report.
    pub outcome: Original,
    commands: VecDeque<String>,
    scram: Option<ScramServer>,
    input: BytesMut,
    output: BytesMut,
    phase: Phase,
}

enum Phase {
    Startup(Box<Startup>),
    Query(SimpleQuery),
    Backup(Box<BackupTranscript>),
    Wal(Box<WalTranscript>),
    Complete,
}

impl Transcript {
    /// Starts at the first byte of a connection.
    ///
    /// # Errors
    /// If the user's name cannot be sent.
    pub fn new(fixture: &Fixture, recording: &Recording) -> Result<Self, TranscriptError> {
        let parameters = [("user".to_owned(), fixture.meta.user.clone())];
        let password = fixture.meta.password.as_deref().map(str::as_bytes);
        let mut output = BytesMut::new();
        let startup = Startup::begin(&parameters, password, AuthPolicy::default(), &mut output)?;
        output.clear();
        let commands = wire::client_messages(&recording.client).into_iter();
        Ok(Transcript {
            text: String::new(),
            outcome: Original::default(),
            commands: commands
                .filter_map(|message| match message {
                    ClientMessage::Query(command) => Some(command),
                    _ => None,
                })
                .collect(),
            scram: ScramServer::from_recording(fixture, recording),
            input: BytesMut::new(),
            output,
            phase: Phase::Startup(Box::new(startup)),
        })
    }

    /// Says whether the last command is answered.
    pub fn is_complete(&self) -> bool {
        matches!(self.phase, Phase::Complete)
    }

    /// Takes the server's next bytes.
    ///
    /// # Errors
    /// If they break a rule.
    pub fn handle(&mut self, bytes: &[u8]) -> Result<(), TranscriptError> {
        self.input.extend_from_slice(bytes);
        while let Some(frame) = poll_frame(&mut self.input)? {
            self.handle_frame(frame)?;
        }
        Ok(())
    }

    fn handle_frame(&mut self, frame: Frame) -> Result<(), TranscriptError> {
        let is_answered = match &mut self.phase {
            Phase::Startup(_) => self.handle_startup(frame)?,
            Phase::Query(query) => match query.handle_message(Message::decode(frame)?)? {
                None => false,
                Some(rows) => {
                    for row in rows {
                        let columns = (0..).map_while(|index| row.text(index));
                        let _ =
                            writeln!(self.text, "  {}", columns.collect::<Vec<_>>().join(" | "));
                    }
                    true
                }
            },
            Phase::Backup(backup) => {
                let message = Message::decode(frame)?;
                backup.handle_message(message, &mut self.text, &mut self.outcome)?
            }
            Phase::Wal(wal) => wal.handle_message(Message::decode(frame)?, &mut self.text)?,
            // After an error.
            Phase::Complete if frame.tag() == b'Z' && self.outcome.exit_code != 0 => false,
            Phase::Complete => return Err(TranscriptError::ClientIsDone),
        };
        if is_answered {
            self.next_command();
        }
        Ok(())
    }

    fn handle_startup(&mut self, frame: Frame) -> Result<bool, TranscriptError> {
        let frame = self.adapt(frame)?;
        let Phase::Startup(startup) = &mut self.phase else { return Ok(false) };
        self.output.clear();
        let Some(session) = startup.handle_frame(frame, &mut self.output)? else {
            return Ok(false);
        };
        let method = if self.scram.is_some() { "SCRAM-SHA-256" } else { "trust" };
        let version = session.server_version_text;
        let _ = writeln!(self.text, "signed in by {method}; server {version}");
        Ok(true)
    }

    /// Makes a recorded step of SCRAM one for the nonce of this client.
    fn adapt(&mut self, frame: Frame) -> Result<Frame, TranscriptError> {
        let Some(scram) = &mut self.scram else { return Ok(frame) };
        let sent = self.output.get(5..).unwrap_or_default();
        let adapted = scram.rewrite(frame.as_bytes(), sent).ok_or(TranscriptError::ClientIsDone)?;
        poll_frame(&mut BytesMut::from(&adapted[..]))?.ok_or(TranscriptError::Truncated)
    }

    fn next_command(&mut self) {
        let Some(command) = self.commands.pop_front() else {
            self.phase = Phase::Complete;
            return;
        };
        let _ = writeln!(self.text, "{command}");
        self.phase = if command.starts_with("BASE_BACKUP") {
            Phase::Backup(Box::new(BackupTranscript::new(&command)))
        } else if command.starts_with("START_REPLICATION") {
            Phase::Wal(Box::new(WalTranscript::new(&command)))
        } else {
            Phase::Query(SimpleQuery::new("a recorded command"))
        };
    }
}

/// The stream of WAL.
struct WalTranscript {
    stream: WalStream,
    bytes: u64,
    crc: u32,
}

impl WalTranscript {
    fn new(command: &str) -> Self {
        let start = command.split(' ').find_map(|word| word.parse().ok());
        let config = WalStreamConfig {
            start: start.unwrap_or(pgsiphon::pg::Lsn::INVALID),
            status_interval: None,
            flush_reports: FlushReports::Withhold,
        };
        WalTranscript { stream: WalStream::new(config), bytes: 0, crc: 0 }
    }

    /// Returns whether the stream has ended.
    fn handle_message(
        &mut self,
        message: Message,
        text: &mut String,
    ) -> Result<bool, TranscriptError> {
        if matches!(message, Message::CopyDone) {
            // The recorded client asked for the end some time before the server agreed.
            self.stream.handle_stop();
        }
        match self.stream.handle_message(message)? {
            None => return Ok(false),
            Some(WalEvent::Started) => text.push_str("  started\n"),
            Some(WalEvent::Data { bytes, .. }) => {
                self.bytes += bytes.len() as u64;
                self.crc = crc32c::crc32c_append(self.crc, &bytes);
            }
            Some(WalEvent::Notice(message)) => {
                let _ = writeln!(text, "  notice {message}");
            }
            Some(event) => {
                let WalTranscript { stream, bytes, crc } = self;
                let received = stream.received();
                let _ = writeln!(
                    text,
                    "  {bytes} bytes up to {received}, crc32c {crc:08x}\n  {event:?}"
                );
                return Ok(true);
            }
        }
        Ok(false)
    }
}
