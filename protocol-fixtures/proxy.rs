//! A proxy between two unix sockets that records what passes.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::recording::fixture::Recording;

/// Listens until it is finished.
pub struct Proxy {
    socket: PathBuf,
    is_finished: Arc<AtomicBool>,
    listening: JoinHandle<io::Result<Vec<Recording>>>,
}

impl Proxy {
    /// Begins to pass connections to `socket` on to `server`.
    ///
    /// # Errors
    /// If the socket cannot be made.
    pub fn start(socket: &Path, server: PathBuf) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        std::fs::set_permissions(socket, PermissionsExt::from_mode(0o777))?;
        let is_finished = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_finished);
        let listening = thread::spawn(move || listen(&listener, &server, &flag));
        Ok(Proxy { socket: socket.to_owned(), is_finished, listening })
    }

    /// Waits until all connections have ended and returns what passed on them, in the order in which
    /// they were made.
    ///
    /// # Errors
    /// If a connection broke.
    pub fn finish(self) -> io::Result<Vec<Recording>> {
        self.is_finished.store(true, Ordering::Release);
        // Wakes up the listener.
        UnixStream::connect(&self.socket)?;
        self.listening.join().map_err(|_| io::Error::other("the proxy panicked"))?
    }
}

fn listen(
    listener: &UnixListener,
    server: &Path,
    is_finished: &AtomicBool,
) -> io::Result<Vec<Recording>> {
    let mut connections = Vec::new();
    loop {
        let (client, _) = listener.accept()?;
        if is_finished.load(Ordering::Acquire) {
            break;
        }
        let server = UnixStream::connect(server)?;
        connections.push(thread::spawn(move || pass(client, server)));
    }
    let joined = connections.into_iter().map(|connection| {
        connection.join().map_err(|_| io::Error::other("a connection panicked"))?
    });
    joined.collect()
}

fn pass(client: UnixStream, server: UnixStream) -> io::Result<Recording> {
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let upwards = thread::spawn(move || copy(from_client, to_server));
    let mut recording = Recording { server: copy(server, client)?, ..Recording::default() };
    let upwards = upwards.join().map_err(|_| io::Error::other("a direction panicked"))?;
    recording.client = upwards?;
    Ok(recording)
}

fn copy(mut from: UnixStream, mut to: UnixStream) -> io::Result<Vec<u8>> {
    let mut passed = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let size = match from.read(&mut buffer) {
            // It went before it had read everything; all that it sent has arrived.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            size => size?,
        };
        let bytes = buffer.get(..size).unwrap_or_default();
        passed.extend_from_slice(bytes);
        // The other side may have gone first; what it would have got is of no interest then.
        if size == 0 || to.write_all(bytes).is_err() {
            let _ = to.shutdown(Shutdown::Write);
            return Ok(passed);
        }
    }
}
