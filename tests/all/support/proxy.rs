//! A network that fails on purpose: stands between client and server on a Unix socket.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::scratch::Scratch;
use super::server::{PORT, Server};
use super::{POLL_INTERVAL, wait_until};

/// What happens to the bytes from the server on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The first byte behind this text is inverted, once.
    FlipBehind(&'static [u8]),
    /// The connection breaks behind so many bytes.
    Cut(u64),
    /// Nothing comes any more behind so many bytes, until [`Proxy::release`].
    Stall(u64),
    /// The connection breaks when the client says this.
    HangUpOn(&'static [u8]),
}

/// A proxy before a server.
#[derive(Debug)]
pub struct Proxy {
    directory: Scratch,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    server: PathBuf,
    /// Faults of the connections, in the order in which they are made; later ones have none.
    faults: Vec<Fault>,
    connections: AtomicUsize,
    stalled: AtomicUsize,
    is_released: AtomicBool,
    is_closing: AtomicBool,
    sockets: Mutex<Vec<UnixStream>>,
}

impl Proxy {
    /// Stands before a server, with the faults of its first connections in order.
    pub fn before(server: &Server, faults: &[Fault]) -> Self {
        let directory = Scratch::new();
        let listener = UnixListener::bind(directory.join(socket_name(PORT))).unwrap();
        let shared = Arc::new(Shared {
            server: server.sockets().join(socket_name(server.port())),
            faults: faults.to_vec(),
            connections: AtomicUsize::new(0),
            stalled: AtomicUsize::new(0),
            is_released: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            sockets: Mutex::new(Vec::new()),
        });
        let acceptor = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || accept_all(&listener, &shared))
        };
        Proxy { directory, shared, acceptor: Some(acceptor) }
    }

    /// Returns the directory of its socket.
    pub fn sockets(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the port in its socket's name.
    pub fn port(&self) -> u16 {
        PORT
    }

    /// Waits until so many connections were made.
    pub fn wait_for_connections(&self, count: usize) {
        wait_until("connections", || self.shared.connections.load(Ordering::SeqCst) >= count);
    }

    /// Waits until a connection stands still.
    pub fn wait_for_stall(&self) {
        wait_until("the stall", || self.shared.stalled.load(Ordering::SeqCst) > 0);
    }

    /// Lets connections that stand still go on.
    pub fn release(&self) {
        self.shared.is_released.store(true, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_closing.store(true, Ordering::SeqCst);
        self.release();
        // Wakes the acceptor.
        let _ = UnixStream::connect(self.directory.join(socket_name(PORT)));
        let _ = self.acceptor.take().map(JoinHandle::join);
        for socket in self.shared.sockets.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn socket_name(port: u16) -> String {
    format!(".s.PGSQL.{port}")
}

fn accept_all(listener: &UnixListener, shared: &Arc<Shared>) {
    while let Ok((client, _)) = listener.accept() {
        if shared.is_closing.load(Ordering::SeqCst) {
            break;
        }
        // Where the server is gone, the client finds its connection closed.
        let Ok(server) = UnixStream::connect(&shared.server) else { continue };
        let index = shared.connections.fetch_add(1, Ordering::SeqCst);
        let fault = shared.faults.get(index).copied().unwrap_or(Fault::None);
        let copies = [&client, &server].map(|socket| socket.try_clone().unwrap());
        shared.sockets.lock().unwrap().extend(copies);
        let [to_server, from_client] = [&server, &client].map(|s| s.try_clone().unwrap());
        let shared = Arc::clone(shared);
        // They end with their sockets, at the latest when the proxy is dropped.
        thread::spawn(move || forward(from_client, to_server, fault));
        thread::spawn(move || Relay { shared, fault, passed: 0 }.run(server, client));
    }
}

fn forward(mut from: UnixStream, mut to: UnixStream, fault: Fault) {
    let _ = match fault {
        Fault::HangUpOn(text) => forward_up_to(text, &mut from, &mut to),
        _ => io::copy(&mut from, &mut to).map(|_| ()),
    };
    let _ = to.shutdown(Shutdown::Both);
}

/// A client sends its commands one by one, and each of them is short.
fn forward_up_to(text: &[u8], from: &mut UnixStream, to: &mut UnixStream) -> io::Result<()> {
    let mut buffer = [0; 8192];
    loop {
        let message = match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => &buffer[..count],
        };
        if message.windows(text.len()).any(|window| window == text) {
            return Ok(());
        }
        to.write_all(message)?;
    }
}

/// The way from server to client on one connection.
struct Relay {
    shared: Arc<Shared>,
    fault: Fault,
    /// Bytes handed on.
    passed: u64,
}

impl Relay {
    fn run(mut self, mut server: UnixStream, mut client: UnixStream) {
        let _ = self.hand_on(&mut server, &mut client);
        for socket in [server, client] {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn hand_on(&mut self, server: &mut UnixStream, client: &mut UnixStream) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = match server.read(&mut buffer)? {
                0 => return Ok(()),
                count => count,
            };
            let mut chunk = &mut buffer[..count];
            match self.fault {
                Fault::None | Fault::HangUpOn(_) => {}
                Fault::FlipBehind(text) => self.flip_behind(text, chunk),
                Fault::Cut(after) => {
                    if let Some(before) = self.reaches(after, count) {
                        client.write_all(&chunk[..before])?;
                        return Err(ErrorKind::ConnectionReset.into());
                    }
                }
                Fault::Stall(after) => {
                    if let Some(before) = self.reaches(after, count) {
                        client.write_all(&chunk[..before])?;
                        self.passed += before as u64;
                        self.stall();
                        chunk = &mut chunk[before..];
                    }
                }
            }
            client.write_all(chunk)?;
            self.passed += chunk.len() as u64;
        }
    }

    /// Returns how much of the next chunk comes before an offset that lies in it.
    fn reaches(&self, offset: u64, count: usize) -> Option<usize> {
        let before = usize::try_from(offset.saturating_sub(self.passed)).unwrap();
        (before < count).then_some(before)
    }

    /// The text may lie across two chunks and be missed; there has to be more of it.
    fn flip_behind(&mut self, text: &[u8], chunk: &mut [u8]) {
        let found = chunk.windows(text.len()).position(|window| window == text);
        if let Some(byte) = found.and_then(|start| chunk.get_mut(start + text.len())) {
            *byte = !*byte;
            self.fault = Fault::None;
        }
    }

    fn stall(&mut self) {
        self.shared.stalled.fetch_add(1, Ordering::SeqCst);
        while !self.shared.is_released.load(Ordering::SeqCst) {
            thread::sleep(POLL_INTERVAL);
        }
        self.fault = Fault::None;
    }
}
