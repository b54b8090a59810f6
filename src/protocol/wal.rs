//! The answer to START_REPLICATION (protocol chapter "Streaming Replication Protocol"): a stream of WAL
//! in one direction and of status updates in the other.
//!
//! ```text
//! server  'w'  start i64, end of the server's WAL i64, clock i64, bytes
//!         'k'  end of the server's WAL i64, clock i64, reply wanted u8
//! client  'r'  written i64, flushed i64, applied i64, clock i64, reply wanted u8
//! ```

use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut, TryGetError};
use postgres_protocol::message::frontend;

use super::message::Rows;
use super::{Message, NextTimeline, ProtocolError, ServerMessage};
use crate::pg::{Lsn, Timestamp};

const COMMAND: &str = "START_REPLICATION";

/// What the WAL stream tells.
#[derive(Clone, Debug)]
pub enum WalEvent {
    /// The server streams; nothing is received yet.
    Started,
    /// The next bytes of the log.
    Data {
        /// The position of the first byte; directly behind the bytes before.
        start: Lsn,
        /// The bytes.
        bytes: Bytes,
    },
    /// The server wants to know how far the client is, and gets an answer with the next
    /// [`WalStream::poll_transmit`].
    ReplyRequested,
    /// Something the user should see.
    Notice(Box<ServerMessage>),
    /// The timeline ends here; another one follows.
    TimelineEnded(NextTimeline),
    /// The stream ended as the client wished and the server is ready for commands.
    Stopped,
    /// The server shut down, in good order.
    ServerShutDown,
}

/// What the server says of itself with each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    /// The end of its WAL.
    pub end: Lsn,
    /// Its clock.
    pub clock: Timestamp,
}

/// Whether flushed positions are told to the server; they move the slot that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushReports {
    /// As they become known.
    Send,
    /// Never: the server sees 0, "no statement".
    Withhold,
}

/// How a stream is followed.
#[derive(Clone, Copy, Debug)]
pub struct WalStreamConfig {
    /// The position that was asked for.
    pub start: Lsn,
    /// How often a status update is sent without need; `None` for never.
    pub status_interval: Option<Duration>,
    /// Whether flushed positions are reported.
    pub flush_reports: FlushReports,
}

/// Follows the server's answer to START_REPLICATION.
#[derive(Debug)]
pub struct WalStream {
    config: WalStreamConfig,
    state: State,
    /// Everything before this is received.
    received: Lsn,
    /// Everything before this is written, as far as the caller said.
    written: Lsn,
    /// Everything before this is on stable storage, as far as the caller said.
    flushed: Lsn,
    server: Option<ServerStatus>,
    status_due: bool,
    /// Whether the next status update wants an answer.
    reply_wanted: bool,
    next_status: Option<Instant>,
    copy_done_due: bool,
    rows: Rows,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    WaitingForCopy,
    Streaming,
    /// The client ended the stream; data still under way are dropped.
    Stopping,
    /// The server ended the stream; the next timeline follows.
    WaitingForTimeline,
    /// Both directions are closed.
    WaitingForReady,
    Ended,
}

impl WalStream {
    /// Waits for the answer to a START_REPLICATION that was sent.
    pub fn new(config: WalStreamConfig) -> Self {
        WalStream {
            config,
            state: State::WaitingForCopy,
            received: config.start,
            written: Lsn::INVALID,
            flushed: Lsn::INVALID,
            server: None,
            status_due: false,
            reply_wanted: false,
            next_status: None,
            copy_done_due: false,
            rows: Rows::default(),
        }
    }

    /// Returns how the stream is followed.
    pub fn config(&self) -> &WalStreamConfig {
        &self.config
    }

    /// Returns the position before which everything is received.
    pub fn received(&self) -> Lsn {
        self.received
    }

    /// Returns what the server last said of itself.
    pub fn server(&self) -> Option<ServerStatus> {
        self.server
    }

    /// Says whether the server accepted START_REPLICATION.
    pub fn has_started(&self) -> bool {
        self.state != State::WaitingForCopy
    }

    /// Notes that everything before `written` is handed to the operating system.
    pub fn handle_written(&mut self, written: Lsn) {
        self.written = self.written.max(written);
    }

    /// Asks for a status update with the next [`Self::poll_transmit`].
    pub fn handle_news(&mut self) {
        self.status_due = true;
    }

    /// Asks for a status update that the server has to answer, if WAL is streamed.
    pub fn handle_silence(&mut self) {
        if self.state == State::Streaming {
            self.status_due = true;
            self.reply_wanted = true;
        }
    }

    /// Notes that everything before `flushed` is on stable storage.
    pub fn handle_flushed(&mut self, flushed: Lsn) {
        self.flushed = self.flushed.max(flushed);
    }

    /// Ends the stream: [`Self::poll_transmit`] writes CopyDone, and what still comes is dropped.
    pub fn handle_stop(&mut self) {
        if self.state == State::Streaming {
            self.state = State::Stopping;
            self.copy_done_due = true;
            self.status_due = true;
        }
    }

    /// Notes that time passed; a status update may be due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_status.is_some_and(|due| due <= now) {
            self.status_due = true;
        }
    }

    /// Returns when [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_status
    }

    /// Writes what the client has to send; says whether there was anything.
    pub fn poll_transmit(&mut self, now: Instant, clock: Timestamp, out: &mut BytesMut) -> bool {
        let before = out.len();
        if std::mem::take(&mut self.status_due) {
            self.write_status(clock, out);
            self.next_status = self.config.status_interval.map(|interval| now + interval);
        }
        if std::mem::take(&mut self.copy_done_due) {
            frontend::copy_done(out);
        }
        out.len() > before
    }

    /// Takes the server's next message and returns what it tells, if anything.
    ///
    /// # Errors
    /// The server's error, or a message that breaks the rules of the stream.
    pub fn handle_message(&mut self, message: Message) -> Result<Option<WalEvent>, ProtocolError> {
        match (self.state, message) {
            (State::Streaming, Message::CopyData(payload)) => self.handle_copy_data(payload),
            (State::Stopping, Message::CopyData(_)) => Ok(None),
            (_, Message::Notice(message)) => Ok(Some(WalEvent::Notice(message))),
            (_, Message::ParameterStatus { .. }) => Ok(None),
            (State::WaitingForCopy, Message::CopyBoth) => {
                self.state = State::Streaming;
                // The first status tells the server at once that someone listens.
                self.status_due = true;
                Ok(Some(WalEvent::Started))
            }
            (State::Stopping, Message::CopyDone) => {
                self.state = State::WaitingForReady;
                Ok(None)
            }
            (State::Streaming, Message::CopyDone) => {
                self.state = State::WaitingForTimeline;
                self.copy_done_due = true;
                Ok(None)
            }
            // A shutdown ends the stream without CopyDone.
            (State::Streaming | State::Stopping, Message::CommandComplete(_)) => {
                self.state = State::Ended;
                Ok(Some(WalEvent::ServerShutDown))
            }
            (State::WaitingForCopy, Message::RowDescription) => {
                // The position asked for is exactly where the timeline ends.
                self.state = State::WaitingForTimeline;
                Ok(None)
            }
            (State::WaitingForTimeline, Message::RowDescription) => Ok(None),
            (State::WaitingForTimeline, Message::DataRow(row)) => {
                self.rows.push(row, COMMAND).map(|()| None)
            }
            (State::WaitingForTimeline | State::WaitingForReady, Message::CommandComplete(_)) => {
                Ok(None)
            }
            (State::WaitingForTimeline, Message::ReadyForQuery) => {
                self.state = State::Ended;
                self.timeline_end().map(Some)
            }
            (State::WaitingForReady, Message::ReadyForQuery) => {
                self.state = State::Ended;
                Ok(Some(WalEvent::Stopped))
            }
            (state, message) => Err(message.unexpected(state.expected())),
        }
    }

    fn handle_copy_data(&mut self, mut payload: Bytes) -> Result<Option<WalEvent>, ProtocolError> {
        let size = payload.len();
        let too_small = |_| ProtocolError::WalStream(format!("streaming header too small: {size}"));
        match payload.try_get_u8().map_err(too_small)? {
            b'w' => {
                let start = Lsn::new(payload.try_get_u64().map_err(too_small)?);
                self.server = Some(ServerStatus::read(&mut payload).map_err(too_small)?);
                self.advance(start, payload.len())?;
                Ok(Some(WalEvent::Data { start, bytes: payload }))
            }
            b'k' => {
                self.server = Some(ServerStatus::read(&mut payload).map_err(too_small)?);
                let reply_requested = payload.try_get_u8().map_err(too_small)? != 0;
                self.status_due |= reply_requested;
                Ok(reply_requested.then_some(WalEvent::ReplyRequested))
            }
            kind => Err(ProtocolError::WalStream(format!(
                "unrecognized streaming header: \"{}\"",
                char::from(kind).escape_default()
            ))),
        }
    }

    fn advance(&mut self, start: Lsn, size: usize) -> Result<(), ProtocolError> {
        let expected = self.received;
        if start != expected {
            return Err(ProtocolError::WalStream(format!(
                "got WAL data at {start}, expected {expected}"
            )));
        }
        self.received = start.checked_add(size as u64).ok_or_else(|| {
            ProtocolError::WalStream(format!("WAL data at {start} leave the address space"))
        })?;
        Ok(())
    }

    fn timeline_end(&mut self) -> Result<WalEvent, ProtocolError> {
        let row = self
            .rows
            .take()
            .pop()
            .ok_or_else(|| ProtocolError::answer(COMMAND, "the next timeline is missing"))?;
        Ok(WalEvent::TimelineEnded(NextTimeline {
            timeline: row.parse(0, COMMAND, "next_tli")?,
            start: row.parse(1, COMMAND, "next_tli_startpos")?,
        }))
    }

    fn write_status(&mut self, clock: Timestamp, out: &mut BytesMut) {
        let flushed = match self.config.flush_reports {
            FlushReports::Send => self.flushed,
            FlushReports::Withhold => Lsn::INVALID,
        };
        out.put_u8(b'd');
        out.put_i32(4 + 1 + 4 * 8 + 1);
        out.put_u8(b'r');
        out.put_u64(self.written.offset());
        out.put_u64(flushed.offset());
        out.put_u64(Lsn::INVALID.offset());
        out.put_i64(clock.micros());
        out.put_u8(u8::from(std::mem::take(&mut self.reply_wanted)));
    }
}

impl ServerStatus {
    fn read(payload: &mut Bytes) -> Result<Self, TryGetError> {
        let end = Lsn::new(payload.try_get_u64()?);
        Ok(ServerStatus { end, clock: Timestamp::from_micros(payload.try_get_i64()?) })
    }
}

impl State {
    /// Says what would be in order, for error messages.
    fn expected(self) -> &'static str {
        match self {
            State::WaitingForCopy => "the WAL stream",
            State::Streaming | State::Stopping => "WAL",
            State::WaitingForTimeline => "the next timeline",
            State::WaitingForReady | State::Ended => "the end of the WAL stream",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the last byte of the status update that is due, if one is.
    fn reply_wanted(stream: &mut WalStream) -> Option<u8> {
        let mut out = BytesMut::new();
        stream.poll_transmit(Instant::now(), Timestamp::from_micros(0), &mut out);
        out.last().copied()
    }

    #[test]
    fn silence_is_met_with_one_status_update_that_wants_an_answer() {
        let mut stream = WalStream::new(WalStreamConfig {
            start: Lsn::new(1),
            status_interval: None,
            flush_reports: FlushReports::Send,
        });
        stream.handle_silence();
        assert_eq!(reply_wanted(&mut stream), None, "before the stream");
        stream.handle_message(Message::CopyBoth).unwrap();
        assert_eq!(reply_wanted(&mut stream), Some(0));
        stream.handle_silence();
        assert_eq!([(); 2].map(|()| reply_wanted(&mut stream)), [Some(1), None]);
        stream.handle_news();
        assert_eq!(reply_wanted(&mut stream), Some(0));
    }
}
