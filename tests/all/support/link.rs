//! A network of two machines whose cable can be pulled.

use std::fs::File;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::account::is_root;
use super::scratch::run;
use super::server::Server;
use super::skip;

/// Two network namespaces with a cable between them. One has the server, by a port that is handed on to its
/// socket, and the other one its client. They are taken away with the value.
#[derive(Debug)]
pub struct Link {
    near: String,
    far: String,
}

impl Link {
    /// The server's address.
    pub const HOST: &str = "192.0.2.1";

    /// The server's port.
    pub const PORT: u16 = 5432;

    /// The client's address.
    const FAR: &str = "192.0.2.2";

    /// Lays the cable; `None`, with a line that says so, where that is not permitted.
    pub fn to(server: &Server) -> Option<Self> {
        let name = |end| format!("pgsiphon-{end}-{}", process::id());
        let link = Link { near: name("near"), far: name("far") };
        let add = |name: &String| Command::new("ip").args(["netns", "add", name]).output();
        let added = |name| is_root() && add(name).is_ok_and(|output| output.status.success());
        if !added(&link.near) || !added(&link.far) {
            skip("there are no network namespaces here");
            return None;
        }
        let Link { near, far } = &link;
        ip(&format!("-n {near} link add cable type veth peer name cable netns {far}"));
        for (end, address) in [(near, Link::HOST), (far, Link::FAR)] {
            ip(&format!("-n {end} addr add {address}/30 dev cable"));
            ip(&format!("-n {end} link set cable up"));
        }
        let place = Path::new("/run/netns").join(near);
        let socket = server.sockets().join(format!(".s.PGSQL.{}", server.port()));
        // It ends with the test process.
        thread::spawn(move || hand_on_all(&place, &socket));
        Some(link)
    }

    /// Returns what to put before a program and its arguments, so that it runs at the client's end.
    pub fn at_the_far_end(&self) -> (&'static str, [&str; 3]) {
        ("ip", ["netns", "exec", &self.far])
    }

    /// Pulls the cable: nothing arrives at either end, and no connection is told.
    pub fn pull(&self) {
        ip(&format!("-n {} link set cable down", self.near));
    }

    /// Plugs it in again.
    pub fn plug(&self) {
        ip(&format!("-n {} link set cable up", self.near));
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for name in [&self.near, &self.far] {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

fn ip(arguments: &str) {
    run(Command::new("ip").args(arguments.split(' ')));
}

/// Hands on connections to a port in a network namespace, into which this thread moves.
fn hand_on_all(namespace: &Path, socket: &PathBuf) {
    let namespace = File::open(namespace).unwrap();
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    let listener = TcpListener::bind((Link::HOST, Link::PORT)).unwrap();
    while let Ok((client, _)) = listener.accept() {
        let Ok(server) = UnixStream::connect(socket) else { continue };
        let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || hand_on(from_client, to_server));
        thread::spawn(move || hand_back(server, client));
    }
}

fn hand_on(mut client: TcpStream, mut server: UnixStream) {
    let _ = io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Both);
}

fn hand_back(mut server: UnixStream, mut client: TcpStream) {
    let _ = io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
}
