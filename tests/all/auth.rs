//! Signing in, by each way to the server and each method.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::client::{Client, Finished};
use crate::support::installation::Installation;
use crate::support::scratch::Scratch;
use crate::support::server::Server;
use crate::support::skip;

on_servers!(each_method_works_on_each_way: pg13 pg18);
on_servers!(the_first_living_host_of_a_list_is_used: pg13 pg18);
on_servers!(the_password_comes_from_each_source: pg18);
on_servers!(refusals_have_the_words_of_the_original: pg13 pg18);

/// Users are named by the method that they sign in with; all have this password.
const PASSWORD: &str = "s3cret %\\' pass";

/// The methods that want a password.
const METHODS: [&str; 3] = ["password", "md5", "scram-sha-256"];

fn server(installation: Installation) -> Server {
    let mut lines = String::new();
    for way in ["local replication USER", "host replication USER all"] {
        for method in METHODS {
            lines += &format!("{} {method}\n", way.replace("USER", &quoted(method)));
        }
        lines += &format!("{} trust\n", way.replace("USER", "trust"));
    }
    let server = Server::builder(installation).tcp().hba(&lines).start();
    for method in METHODS {
        let encryption = if method == "md5" { "md5" } else { "scram-sha-256" };
        let literal = PASSWORD.replace('\'', "''");
        server.sql(format!(
            "SET password_encryption = '{encryption}'; SET standard_conforming_strings = on;
             CREATE ROLE {} REPLICATION LOGIN PASSWORD '{literal}'",
            quoted(method)
        ));
    }
    server.sql("CREATE ROLE trust REPLICATION LOGIN");
    server
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// Lists the hosts by which the server can be reached from here.
fn hosts(server: &Server) -> Vec<String> {
    let mut hosts = vec![server.sockets().display().to_string(), "127.0.0.1".to_owned()];
    match TcpListener::bind("[::1]:0") {
        Ok(_) => hosts.push("::1".to_owned()),
        Err(error) => skip(&format!("there is no IPv6 here: {error}")),
    }
    hosts
}

/// Runs until both connections are signed in, which is when a slot that is not there is missed.
fn sign_in(client: Client) -> Finished {
    let scratch = Scratch::new();
    client.args(["-S", "missing", "-c", "fast", "-w"]).into_directory(&scratch.join("target")).run()
}

/// Makes sure that both connections are signed in.
#[track_caller]
fn signs_in(client: Client) {
    let finished = sign_in(client);
    let error = finished.failed();
    assert!(error.ends_with("replication slot \"missing\" does not exist"), "{error}");
}

fn each_method_works_on_each_way(installation: Installation) {
    let server = server(installation);
    for host in hosts(&server) {
        for user in METHODS.iter().chain(&["trust"]) {
            let client = Client::pgsiphon().args(["-h", &host, "-U", user]);
            let client = client.args(["-p", &server.port().to_string()]);
            signs_in(client.env("PGPASSWORD", PASSWORD));
        }
    }
}

/// Returns a port on which nobody listens. That somebody takes it meanwhile does no harm: no PostgreSQL
/// will.
fn dead_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn the_first_living_host_of_a_list_is_used(installation: Installation) {
    let server = server(installation);
    let (dead, port) = (dead_port(), server.port());
    let sockets = server.sockets().display().to_string();
    let connections = [
        format!("host=127.0.0.1,localhost port={dead},{port} user=trust"),
        format!("host=/nonexistent,{sockets} port={port} user=trust"),
        format!(
            "host=nonexistent.invalid,x hostaddr=127.0.0.1,127.0.0.1 port={dead},{port} user=trust"
        ),
        format!("postgresql://trust@127.0.0.1:{dead},127.0.0.1:{port}/"),
    ];
    for connection in connections {
        signs_in(Client::pgsiphon().args(["-d", &connection]));
    }
}

fn the_password_comes_from_each_source(installation: Installation) {
    let server = server(installation);
    let port = server.port();
    let scratch = Scratch::new();
    let passfile = scratch.join("passfile");
    let entry = PASSWORD.replace('\\', "\\\\");
    fs::write(&passfile, format!("other:*:*:*:wrong\n*:{port}:replication:md5:{entry}\n")).unwrap();
    fs::set_permissions(&passfile, Permissions::from_mode(0o600)).unwrap();
    let encoded = PASSWORD.replace('%', "%25").replace(' ', "%20");
    let literal = PASSWORD.replace('\\', "\\\\").replace('\'', "\\'");

    let base = format!("host=127.0.0.1 port={port} user=md5");
    let connection = |text: &str| Client::pgsiphon().args(["-d", text]);
    let passfile = passfile.display();
    signs_in(connection(&base).env("PGPASSFILE", passfile.to_string()));
    signs_in(connection(&format!("{base} passfile={passfile}")));
    signs_in(connection(&format!("{base} password='{literal}'")));
    signs_in(connection(&format!("postgresql://md5:{encoded}@127.0.0.1:{port}/")));
    let environment = Client::pgsiphon().env("PGHOST", "127.0.0.1").env("PGUSER", "md5");
    let environment = environment.env("PGPORT", port.to_string()).env("PGPASSWORD", PASSWORD);
    signs_in(environment);
}

fn refusals_have_the_words_of_the_original(installation: Installation) {
    let server = server(installation);
    let scratch = Scratch::new();
    let passfile = scratch.join("passfile");
    fs::write(&passfile, "*:*:*:*:wrong\n").unwrap();
    fs::set_permissions(&passfile, Permissions::from_mode(0o600)).unwrap();
    let passfile = passfile.display().to_string();
    let dead = dead_port();
    let mut table = vec![
        (format!("host=127.0.0.1 port={dead}"), vec![]),
        ("host=255.255.255.255".to_owned(), vec![]),
        ("host=127.0.0.1 keepalives_idle=99999".to_owned(), vec![]),
        ("host=/nonexistent".to_owned(), vec![]),
        ("host=nonexistent.invalid".to_owned(), vec![]),
        ("host=127.0.0.1 bogus=1".to_owned(), vec![]),
    ];
    for host in hosts(&server) {
        for user in METHODS {
            let connection = format!("host={host} port={} user={user}", server.port());
            table.push((connection.clone(), vec![]));
            table.push((connection.clone(), vec![("PGPASSWORD", "wrong")]));
            table.push((connection, vec![("PGPASSFILE", &*passfile)]));
        }
    }
    let names_and_addresses = "host=127.0.0.1,localhost hostaddr=127.0.0.1,127.0.0.1";
    table.push((format!("{names_and_addresses} port={dead}"), vec![]));
    for (connection, environment) in table {
        let [original, ours] = [Client::original(), Client::drop_in()].map(|client| {
            let client = client.args(["-d", &connection]).env("PGUSER", "trust");
            let set = |client: Client, &(name, value): &(&str, &str)| client.env(name, value);
            sign_in(environment.iter().fold(client, set))
        });
        assert_eq!(ours.stderr, original.stderr, "{connection} {environment:?}");
        assert_eq!(ours.status.code(), Some(1));
    }
}
