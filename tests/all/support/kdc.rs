//! A Kerberos realm of a test's own.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::account::give_to_server;
use super::client::Client;
use super::scratch::{Scratch, run};
use super::{skip, wait_until};

/// The realm's name.
const REALM: &str = "PGSIPHON.TEST";

/// Where systems keep the programs of the realm, which need not be on an ordinary user's path.
const DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];

/// The password of every user.
const PASSWORD: &str = "secret";

/// A running key distribution centre on a loopback address. It is stopped and taken away with the value.
#[derive(Debug)]
pub struct Kdc {
    scratch: Scratch,
    process: Child,
}

impl Kdc {
    /// Starts a realm in which `localhost` has the services named; `None` if there are no programs for
    /// it here.
    pub fn start(services: &[&str]) -> Option<Self> {
        let programs = ["krb5kdc", "kdb5_util", "kadmin.local", "kinit"];
        if let Some(missing) = programs.iter().find(|name| program(name).is_none()) {
            skip(&format!("{missing} is missing: install a Kerberos KDC and its tools"));
            return None;
        }
        let scratch = Scratch::new();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        write_configuration(&scratch, port);
        let command = |name| command(&scratch, name);
        run(command("kdb5_util").args(["create", "-s", "-r", REALM, "-P", "master"]));
        for service in services {
            let principal = format!("{service}/localhost");
            administer(&scratch, &format!("addprinc -randkey {principal}"));
            administer(&scratch, &format!("ktadd -k {} {principal}", keytab(&scratch).display()));
        }
        give_to_server(&keytab(&scratch));
        let log = fs::File::create(scratch.join("kdc.log")).unwrap();
        let mut process =
            command("krb5kdc").arg("-n").stdout(Stdio::null()).stderr(log).spawn().unwrap();
        wait_until("the KDC to listen", || {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "{}", fs::read_to_string(scratch.join("kdc.log")).unwrap());
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(Kdc { scratch, process })
    }

    /// Returns the file of the services' keys.
    pub fn keytab(&self) -> PathBuf {
        keytab(&self.scratch)
    }

    /// Adds a user if he is new and gets him a ticket that may be forwarded, in place of the one before.
    /// Clients that are [`Self::signed_in`] have it.
    pub fn sign_in(&self, user: &str) {
        administer(&self.scratch, &format!("addprinc -pw {PASSWORD} {user}"));
        let mut kinit = command(&self.scratch, "kinit");
        let mut child =
            kinit.arg("-f").arg(user).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{PASSWORD}\n").as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// Prepares a client that knows the realm and has the ticket, if there is one.
    pub fn signed_in(&self, client: Client) -> Client {
        self.stranger(client).env("KRB5CCNAME", tickets(&self.scratch))
    }

    /// Prepares a client that knows the realm and has no ticket.
    pub fn stranger(&self, client: Client) -> Client {
        client
            .env("KRB5_CONFIG", self.scratch.join("krb5.conf"))
            .env("KRB5CCNAME", "FILE:/nonexistent/cc")
    }
}

impl Drop for Kdc {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write_configuration(scratch: &Scratch, port: u16) {
    let client = format!(
        "[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n \
         rdns = false\n dns_canonicalize_hostname = false\n\
         [realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{port}\n }}\n\
         [domain_realm]\n localhost = {REALM}\n"
    );
    let directory = scratch.directory("kdc");
    let directory = directory.display();
    let server = format!(
        "[realms]\n {REALM} = {{\n  database_name = {directory}/principal\n  \
         key_stash_file = {directory}/stash\n  acl_file = {directory}/acl\n  \
         kdc_listen = 127.0.0.1:{port}\n  kdc_tcp_listen = 127.0.0.1:{port}\n }}\n"
    );
    fs::write(scratch.join("krb5.conf"), client).unwrap();
    fs::write(scratch.join("kdc.conf"), server).unwrap();
}

fn administer(scratch: &Scratch, query: &str) {
    run(command(scratch, "kadmin.local").args(["-r", REALM, "-q", query]));
}

fn command(scratch: &Scratch, name: &str) -> Command {
    let mut command = Command::new(program(name).expect("looked for before"));
    command.env("KRB5_CONFIG", scratch.join("krb5.conf"));
    command.env("KRB5_KDC_PROFILE", scratch.join("kdc.conf"));
    command.env("KRB5CCNAME", tickets(scratch));
    command
}

fn program(name: &str) -> Option<PathBuf> {
    DIRECTORIES.iter().map(|directory| Path::new(directory).join(name)).find(|path| path.exists())
}

fn keytab(scratch: &Scratch) -> PathBuf {
    scratch.join("keytab")
}

fn tickets(scratch: &Scratch) -> String {
    format!("FILE:{}", scratch.join("tickets").display())
}
