//! A server that plays a recorded or made-up session to the real program over a unix socket, and
//! fails on request.

pub mod run;
pub mod session;
pub mod synthetic;

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use pgsiphon::pg::Lsn;
use tempfile::TempDir;

use crate::recording::scram::ScramServer;
use crate::recording::wire::{self, ClientMessage, ClientReader};
use session::Session;

/// What goes wrong, counted in bytes of one connection.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Nothing.
    None,
    /// The server dies, with all its connections, when it has sent so many bytes on a connection.
    DiesAt { connection: usize, position: usize },
    /// A connection breaks when so many bytes were sent on it; the server lives on.
    BreaksAt { connection: usize, position: usize },
    /// A byte of a connection is not the right one.
    Corrupts { connection: usize, position: usize },
    /// Everything is sent in pieces of this size.
    Dribbles { size: usize },
}

/// A running fake server; stops when it is dropped.
pub struct FakeServer {
    directory: TempDir,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    listener: UnixListener,
    /// What is said on each connection; the last one serves all further connections too.
    sessions: Vec<Session>,
    fault: Fault,
    /// The last position that a client said is flushed.
    acknowledged: AtomicU64,
    connections: Mutex<Vec<UnixStream>>,
}

impl FakeServer {
    /// Starts to listen in a directory of its own.
    pub fn start(session: Session, fault: Fault) -> Self {
        FakeServer::start_each(vec![session], fault)
    }

    /// Starts to listen, with a session for each connection; the last one serves all further connections.
    pub fn start_each(sessions: Vec<Session>, fault: Fault) -> Self {
        let directory = TempDir::new().expect("a directory for the socket");
        let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432"));
        let shared = Arc::new(Shared {
            listener: listener.expect("a socket in an empty directory"),
            sessions,
            fault,
            acknowledged: AtomicU64::new(0),
            connections: Mutex::default(),
        });
        let own = Arc::clone(&shared);
        let listening = Some(thread::spawn(move || listen(&own)));
        FakeServer { directory, shared, listening }
    }

    /// Returns up to where a client acknowledged WAL, on whichever connection.
    pub fn acknowledged(&self) -> Lsn {
        Lsn::new(self.shared.acknowledged.load(Ordering::SeqCst))
    }

    /// Returns what to give to the program's option `-h`.
    pub fn host(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.shared.die();
        if let Some(listening) = self.listening.take() {
            // A panic of a connection's thread shows as a failure of the program's run.
            let _ = listening.join();
        }
    }
}

impl Shared {
    /// Ends all connections and refuses new ones.
    fn die(&self) {
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        for connection in self.connections().iter() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    fn session(&self, connection: usize) -> &Session {
        let session = self.sessions.get(connection).or(self.sessions.last());
        session.expect("there is a session")
    }

    /// Takes note of a status update.
    fn hear(&self, copy_data: &[u8]) {
        let flushed = copy_data.strip_prefix(b"r").and_then(|positions| positions.get(8..16));
        if let Some(flushed) = flushed.and_then(|bytes| bytes.try_into().ok()) {
            self.acknowledged.fetch_max(u64::from_be_bytes(flushed), Ordering::SeqCst);
        }
    }

    fn connections(&self) -> MutexGuard<'_, Vec<UnixStream>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts connections until the listener is shut down, then waits for them.
fn listen(shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    while let Ok((stream, _)) = shared.listener.accept() {
        let index = threads.len();
        shared.connections().extend(stream.try_clone());
        let shared = Arc::clone(shared);
        threads.push(thread::spawn(move || {
            // Either side may go at any time; that is what the tests are about.
            let _ = Connection::new(&shared, stream, index).serve();
        }));
    }
    for thread in threads {
        let _ = thread.join();
    }
}

/// One connection and what is still to be played on it.
struct Connection<'a> {
    shared: &'a Shared,
    stream: UnixStream,
    index: usize,
    sent: usize,
    pending: VecDeque<Vec<u8>>,
    scram: Option<ScramServer>,
    /// Both sides send COPY data; the server's CopyDone waits for the client's.
    is_copying_both: bool,
}

impl<'a> Connection<'a> {
    fn new(shared: &'a Shared, stream: UnixStream, index: usize) -> Self {
        let scram = shared.session(index).scram.clone();
        let pending = VecDeque::new();
        Connection { shared, stream, index, sent: 0, pending, scram, is_copying_both: false }
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut reader = ClientReader::default();
        let mut buffer = vec![0; 16 << 10];
        loop {
            match self.stream.read(&mut buffer)? {
                0 => return Ok(()),
                size => reader.handle(buffer.get(..size).unwrap_or_default()),
            }
            while let Some(message) = reader.poll() {
                match message {
                    ClientMessage::EncryptionRequest => self.send(b"N")?,
                    ClientMessage::Startup => self.play(self.session().startup(self.index))?,
                    ClientMessage::Query(command) => {
                        self.play(&self.session().answer(&command))?;
                    }
                    ClientMessage::CopyData(payload) => self.shared.hear(&payload),
                    ClientMessage::Password(payload) => self.resume(&payload)?,
                    ClientMessage::CopyDone => {
                        self.is_copying_both = false;
                        self.resume(&[])?;
                    }
                    ClientMessage::Other(_) => {}
                    ClientMessage::Terminate => return Ok(()),
                }
            }
        }
    }

    fn session(&self) -> &'a Session {
        self.shared.session(self.index)
    }

    fn play(&mut self, bytes: &[u8]) -> io::Result<()> {
        let frames = wire::frames(bytes);
        let complete: usize = frames.iter().map(|frame| frame.len()).sum();
        self.pending = frames.into_iter().map(<[u8]>::to_vec).collect();
        // What is no frame is sent as it is.
        self.pending.extend(bytes.get(complete..).filter(|rest| !rest.is_empty()).map(Vec::from));
        self.resume(&[])
    }

    /// Plays on until the client has to say something. `client` is what it said last.
    fn resume(&mut self, client: &[u8]) -> io::Result<()> {
        while let Some(frame) = self.pending.pop_front() {
            let is_answer = self.is_copying_both && !self.session().ends_stream;
            if is_answer && frame.first() == Some(&b'c') {
                self.pending.push_front(frame);
                return Ok(());
            }
            let adapted = match &mut self.scram {
                None => Some(frame.clone()),
                Some(scram) => scram.rewrite(&frame, client),
            };
            self.send(&adapted.ok_or(io::ErrorKind::PermissionDenied)?)?;
            self.is_copying_both |= frame.first() == Some(&b'W');
            if waits_for_password(&frame) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut bytes = bytes.to_vec();
        let is_at = |index, position: usize| {
            index == self.index && (self.sent..self.sent + bytes.len()).contains(&position)
        };
        match self.shared.fault {
            Fault::DiesAt { connection, position } if is_at(connection, position) => {
                self.stream.write_all(bytes.get(..position - self.sent).unwrap_or_default())?;
                self.shared.die();
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Fault::BreaksAt { connection, position } if is_at(connection, position) => {
                self.stream.write_all(bytes.get(..position - self.sent).unwrap_or_default())?;
                self.stream.shutdown(Shutdown::Both)?;
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Fault::Corrupts { connection, position } if is_at(connection, position) => {
                if let Some(byte) = bytes.get_mut(position - self.sent) {
                    *byte ^= 0x55;
                }
            }
            _ => {}
        }
        self.sent += bytes.len();
        match self.shared.fault {
            Fault::Dribbles { size } => {
                bytes.chunks(size).try_for_each(|piece| self.stream.write_all(piece))
            }
            _ => self.stream.write_all(&bytes),
        }
    }
}

/// Says whether a frame asks for a password or for a step of SASL.
fn waits_for_password(frame: &[u8]) -> bool {
    let code = frame.strip_prefix(b"R").and_then(|rest| rest.get(4..8));
    matches!(code, Some([0, 0, 0, 3 | 5 | 10 | 11]))
}
