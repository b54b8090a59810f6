//! An established session: framed reads, commands and their small answers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::conninfo::{ConnectOptions, Host};
use super::low_water::LowWater;
use super::tls::TlsError;
use super::{CommandError, ConnectionError, Stream};
use crate::protocol::{Frame, Message, ProtocolError, Row, Session, SimpleQuery, poll_frame};

/// Memory that one allocation of the read buffer takes. Several reads fill it before the next one is
/// needed, so that few frames lie across two allocations and have to be moved.
const READ_BUFFER_SIZE: usize = 1 << 20;

/// Space that a read gets at least. A Unix-domain socket gives up to 208 KiB at once, TCP more.
const READ_SIZE_MIN: usize = 256 << 10;

/// How long bytes may gather before they are read, however few: a server that is slow, throttled or in trouble is heard
/// all the same.
const GATHERING_MAX: Duration = Duration::from_millis(200);

/// A session with a server that is ready for commands or in the middle of answering one.
#[derive(Debug)]
pub struct Connection {
    wire: Wire,
    session: Session,
    host: Option<Host>,
    passfile: Option<PathBuf>,
}

impl Connection {
    pub(super) fn new(wire: Wire, session: Session) -> Self {
        Connection { wire, session, host: None, passfile: None }
    }

    /// Notes which server this is, and the file that the password came from.
    pub(super) fn with_origin(mut self, host: Host, passfile: Option<PathBuf>) -> Self {
        self.host = Some(host);
        self.passfile = passfile;
        self
    }

    /// Returns what the server said of itself.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Returns which of the hosts this is.
    pub fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// Returns the password file that the password came from, if it came from one.
    pub fn passfile(&self) -> Option<&Path> {
        self.passfile.as_deref()
    }

    /// Returns how to connect to the very same server once more: of several hosts, to this one only.
    pub fn same_server(&self, options: &ConnectOptions) -> ConnectOptions {
        let mut same = options.clone();
        if let Some(host) = &self.host {
            same.hosts = vec![host.clone()];
        }
        same
    }

    /// Returns the next message if it is already in the read buffer.
    ///
    /// # Errors
    /// If it breaks the protocol.
    pub fn buffered_message(&mut self) -> Result<Option<Message>, ConnectionError> {
        match poll_frame(&mut self.wire.input)? {
            Some(frame) => Ok(Some(Message::decode(frame)?)),
            None => Ok(None),
        }
    }

    /// Waits for more bytes from the server. Cancellation safe.
    ///
    /// # Errors
    /// If the connection is lost.
    pub async fn receive(&mut self) -> Result<(), ConnectionError> {
        self.wire.receive().await
    }

    /// Waits for more bytes from the server, of which so many are certain to come. Cancellation safe.
    ///
    /// Over TCP, what comes in small pieces gathers then. A server that breaks off meanwhile is heard a little later.
    ///
    /// # Errors
    /// If the connection is lost.
    pub async fn receive_of(&mut self, coming: u64) -> Result<(), ConnectionError> {
        self.wire.receive_of(coming).await
    }

    /// Returns how many bytes came since this was asked last. What was taken out of the read buffer meanwhile keeps about
    /// as much memory from being used again, however small it is.
    pub fn take_received(&mut self) -> usize {
        std::mem::take(&mut self.wire.received)
    }

    /// Waits for the next message. Cancellation safe.
    ///
    /// # Errors
    /// If the connection is lost or the protocol broken.
    pub async fn next_message(&mut self) -> Result<Message, ConnectionError> {
        loop {
            if let Some(message) = self.buffered_message()? {
                return Ok(message);
            }
            self.receive().await?;
        }
    }

    /// Sends a command; its answer comes as messages.
    ///
    /// # Errors
    /// If the command contains a zero byte or the connection is lost.
    pub async fn send_command(&mut self, command: &str) -> Result<(), ConnectionError> {
        frontend::query(command, &mut self.wire.output).map_err(|source| {
            ConnectionError::Protocol(ProtocolError::Malformed { tag: b'Q', source })
        })?;
        self.flush().await
    }

    /// Sends a command and collects its rows; notices in between are dropped. `name` is for messages.
    ///
    /// # Errors
    /// The server's error, after which the session can be used again, or a lost connection.
    pub async fn query(
        &mut self,
        name: &'static str,
        command: &str,
    ) -> Result<Vec<Row>, CommandError> {
        let failed = |source| CommandError { command: command.to_owned(), source };
        self.send_command(command).await.map_err(failed)?;
        let mut answer = SimpleQuery::new(name);
        loop {
            let message = match self.next_message().await {
                Ok(message) => message,
                // A server that gives up a session says why before it hangs up.
                Err(lost) => {
                    return Err(failed(answer.into_error().map_or(lost, ConnectionError::from)));
                }
            };
            let rows = answer.handle_message(message);
            if let Some(rows) = rows.map_err(|error| failed(error.into()))? {
                return Ok(rows);
            }
        }
    }

    /// Returns the buffer of what is to be sent; [`Self::flush`] sends it.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.wire.output
    }

    /// Sends what is in the output buffer. Cancellation safe: what was sent has left the buffer.
    ///
    /// # Errors
    /// If the connection is lost.
    pub async fn flush(&mut self) -> Result<(), ConnectionError> {
        self.wire.flush().await
    }

    /// Says goodbye. A failure is of no interest any more.
    pub async fn terminate(mut self) {
        frontend::terminate(&mut self.wire.output);
        let _ = self.flush().await;
    }
}

/// A connected socket with its buffers, before there is a session.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: Stream,
    pub(super) input: BytesMut,
    pub(super) output: BytesMut,
    low_water: LowWater,
    /// Bytes that came since somebody asked.
    received: usize,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Wire {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            low_water: LowWater::default(),
            received: 0,
        }
    }

    /// Waits for the next frame.
    pub(super) async fn next_frame(&mut self) -> Result<Frame, ConnectionError> {
        loop {
            if let Some(frame) = poll_frame(&mut self.input)? {
                return Ok(frame);
            }
            self.receive().await?;
        }
    }

    /// Waits for more bytes, of which so many are certain to come.
    pub(super) async fn receive_of(&mut self, coming: u64) -> Result<(), ConnectionError> {
        // What the read buffer holds of a frame has come already.
        let coming = coming.saturating_sub(self.input.len() as u64);
        self.set_low_water(LowWater::for_coming(coming));
        if self.low_water == LowWater::High {
            match timeout(GATHERING_MAX, self.receive()).await {
                Ok(received) => return received,
                Err(_) => self.set_low_water(LowWater::Any),
            }
        }
        self.receive().await
    }

    fn set_low_water(&mut self, wanted: LowWater) {
        let Some(socket) = self.stream.tcp().filter(|_| wanted != self.low_water) else { return };
        // Where the system does not do it, each byte wakes us, as ever.
        if wanted.set(socket).is_ok() {
            self.low_water = wanted;
        }
    }

    /// Waits for more bytes.
    async fn receive(&mut self) -> Result<(), ConnectionError> {
        self.make_room();
        match self.stream.read_buf(&mut self.input).await {
            Ok(0) => Err(match self.stream {
                Stream::Tcp(_) | Stream::Unix(_) | Stream::Gss(_) => ConnectionError::Closed,
                Stream::Tls(_) => TlsError::Closed.into(),
            }),
            Ok(size) => {
                self.received = self.received.saturating_add(size);
                Ok(())
            }
            Err(source) => Err(ConnectionError::receive(source)),
        }
    }

    /// Makes room for a read, in an allocation of the usual size where the frame under way allows it: allocations that
    /// differ by what is left of the one before ([`BytesMut::reserve`]) leave holes that the next one does not fit in, half
    /// as much again as all that waits for the disk.
    fn make_room(&mut self) {
        let left = self.input.len();
        if self.input.capacity() - left >= READ_SIZE_MIN || self.input.try_reclaim(READ_SIZE_MIN) {
            return;
        }
        let mut fresh = BytesMut::with_capacity(READ_BUFFER_SIZE.max(2 * left));
        fresh.extend_from_slice(&self.input);
        self.input = fresh;
    }

    /// Sends what is in the output buffer.
    pub(super) async fn flush(&mut self) -> Result<(), ConnectionError> {
        self.stream.write_all_buf(&mut self.output).await.map_err(ConnectionError::send)?;
        self.stream.flush().await.map_err(ConnectionError::send)
    }
}
