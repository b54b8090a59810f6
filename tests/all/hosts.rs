//! Finding the server: services, and choosing among several hosts.

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::support::client::Client;
use crate::support::installation::{Installation, client_program};
use crate::support::scratch::{Scratch, run};
use crate::support::server::Server;
use crate::support::skip;

on_servers!(a_service_leads_to_its_server: pg18);
on_servers!(the_wanted_kind_of_server_is_taken: pg13 pg14 pg18);
on_servers!(a_standby_that_is_missing_is_replaced_only_where_it_is_preferred: pg13 pg18);
on_servers!(both_connections_of_a_random_choice_go_to_one_server: pg18);

/// A server and a standby that follows it.
struct Pair {
    primary: Server,
    standby: Server,
    _backup: Scratch,
}

fn pair(installation: Installation) -> Pair {
    let primary = Server::start(installation);
    let backup = Scratch::new();
    let data = backup.join("data");
    run(primary.client("pg_basebackup").args(["-R", "-c", "fast", "-D"]).arg(&data));
    let standby = Server::from_backup(installation, &data);
    Pair { primary, standby, _backup: backup }
}

/// Writes a connection string that leads to these servers in this order.
fn to_hosts(servers: &[&Server], attributes: &str) -> String {
    let hosts: Vec<_> =
        servers.iter().map(|server| server.sockets().display().to_string()).collect();
    let ports: Vec<_> = servers.iter().map(|server| server.port().to_string()).collect();
    format!("host={} port={} user=postgres {attributes}", hosts.join(","), ports.join(","))
}

/// Takes a small backup.
fn take(client: Client, target: &Path) -> Client {
    client.args(["-w", "-c", "fast", "-N"]).into_directory(target)
}

/// Takes a backup and says whether it is of a standby.
#[track_caller]
fn is_taken_from_standby(connection: &str) -> bool {
    let scratch = Scratch::new();
    let target = scratch.join("target");
    take(Client::pgsiphon().args(["-d", connection]), &target).run().succeeded();
    let label = fs::read_to_string(target.join("backup_label")).unwrap();
    label.contains("\nBACKUP FROM: standby\n")
}

fn the_wanted_kind_of_server_is_taken(installation: Installation) {
    let Pair { primary, standby, .. } = &pair(installation);
    let table = [
        ("any", false, true),
        ("read-write", false, false),
        ("read-only", true, true),
        ("primary", false, false),
        ("standby", true, true),
        ("prefer-standby", true, true),
    ];
    for (wanted, primary_first, standby_first) in table {
        let attributes = format!("target_session_attrs={wanted}");
        let connection = to_hosts(&[primary, standby], &attributes);
        assert_eq!(is_taken_from_standby(&connection), primary_first, "{wanted}");
        let connection = to_hosts(&[standby, primary], &attributes);
        assert_eq!(is_taken_from_standby(&connection), standby_first, "{wanted}");
    }
    let refused = [
        (primary, "read-only", "session is not read-only"),
        (standby, "read-write", "session is read-only"),
        (primary, "standby", "server is not in hot standby mode"),
        (standby, "primary", "server is in hot standby mode"),
    ];
    for (server, wanted, reason) in refused {
        let connection = to_hosts(&[server, server], &format!("target_session_attrs={wanted}"));
        let error = format!(
            "connection to server on socket \"{}/.s.PGSQL.{}\" failed: {reason}",
            server.sockets().display(),
            server.port()
        );
        let [ours, original] = [Client::drop_in(), Client::original()].map(|client| {
            let scratch = Scratch::new();
            take(client.args(["-d", &connection]), &scratch.join("target")).run()
        });
        assert_eq!(ours.stderr, format!("pg_basebackup: error: {error}\n{error}\n"), "{wanted}");
        // The original asks servers before 14 for a standby in SQL, which they refuse.
        if installation.major >= 14 || wanted.starts_with("read-") {
            assert_eq!(ours.stderr, original.stderr, "{wanted}");
        }
    }
}

fn a_standby_that_is_missing_is_replaced_only_where_it_is_preferred(installation: Installation) {
    let server = Server::start(installation);
    let connection = |wanted: &str| to_hosts(&[&server], &format!("target_session_attrs={wanted}"));
    assert!(!is_taken_from_standby(&connection("prefer-standby")));
    server.sql("ALTER SYSTEM SET default_transaction_read_only = on");
    server.sql("SELECT pg_reload_conf()");
    assert!(!is_taken_from_standby(&connection("read-only")));
    let scratch = Scratch::new();
    let client = Client::pgsiphon().args(["-d", &connection("standby")]);
    let finished = take(client, &scratch.join("target")).run();
    let reason = match installation.major {
        // Nothing that a walsender of 13 tells makes a difference between the two.
        13 => "could not determine whether server is in hot standby mode",
        _ => "server is not in hot standby mode",
    };
    let error = finished.failed();
    assert!(error.ends_with(reason), "{error}");
}

fn both_connections_of_a_random_choice_go_to_one_server(installation: Installation) {
    // Made anew instead of copied: WAL of another cluster would be refused.
    let other = Server::builder(installation).initdb(&["--wal-segsize=1"]).start();
    let servers = [Server::start(installation), other];
    let connection = to_hosts(&[&servers[0], &servers[1]], "load_balance_hosts=random");
    for _ in 0..6 {
        is_taken_from_standby(&connection);
    }
}

#[test]
fn hosts_are_tried_in_random_order_where_that_is_wanted() {
    let hosts = ["/nonexistent/a", "/nonexistent/b", "/nonexistent/c", "/nonexistent/d"];
    let order = |attributes: &str| {
        let connection = format!("host={} {attributes}", hosts.join(","));
        let scratch = Scratch::new();
        let client = Client::drop_in().args(["-d", &connection]);
        let stderr = take(client, &scratch.join("target")).run().stderr;
        let mut tried = hosts.to_vec();
        tried.sort_by_key(|host| stderr.find(host).expect("each host is tried"));
        tried
    };
    for _ in 0..5 {
        assert_eq!(order(""), hosts);
    }
    // One in 24 is in order by chance.
    assert!((0..30).any(|_| order("load_balance_hosts=random") != hosts));
}

#[test]
fn a_server_that_hangs_up_ends_the_search() {
    let original = client_program("pg_basebackup");
    if !original.exists() {
        return skip(&format!("{} is missing: run tests/servers.sh", original.display()));
    }
    let scratch = Scratch::new();
    let listener = UnixListener::bind(scratch.join(".s.PGSQL.5432")).unwrap();
    let connection = format!("host={},/nonexistent user=u", scratch.path().display());
    let [ours, original] = [Client::drop_in(), Client::original()].map(|client| {
        let running = take(client.args(["-d", &connection]), &scratch.join("target")).start();
        let (mut socket, _) = listener.accept().unwrap();
        assert_ne!(socket.read(&mut [0; 1000]).unwrap(), 0);
        drop(socket);
        running.wait()
    });
    assert_eq!(ours.stderr, original.stderr);
    assert_eq!(ours.stderr.matches("connection to server").count(), 1, "{}", ours.stderr);
}

fn a_service_leads_to_its_server(installation: Installation) {
    let server = Server::start(installation);
    let home = Scratch::new();
    let system = home.directory("system");
    let definition = format!(
        "[other]\nhost=/nonexistent\n\n# ours\n[ours]\nhost={}\nport={}\nuser=postgres\n",
        server.sockets().display(),
        server.port()
    );
    let files = [home.join(".pg_service.conf"), home.join("named"), system.join("pg_service.conf")];
    for file in &files {
        fs::write(file, definition.replace("ours", &service_of(file))).unwrap();
    }
    let client = || {
        let client = Client::pgsiphon().env("HOME", home.path()).env("PGHOST", "/elsewhere");
        client.env("PGSYSCONFDIR", &system)
    };
    let [_, named, _] = &files;
    let service = |file: &Path| format!("service={}", service_of(file));
    let clients = [
        client().args(["-d", &service(&files[0])]),
        client().env("PGSERVICE", service_of(&files[0])),
        client().args(["-d", &format!("postgresql:///?{}", service(&files[2]))]),
        client().env("PGSERVICEFILE", named).args(["-d", &service(named)]),
        client().args(["-d", &format!("{} servicefile={}", service(named), named.display())]),
        client().env("PGSERVICEFILE", named).env("PGSERVICE", service_of(&files[2])),
    ];
    for client in clients {
        let scratch = Scratch::new();
        take(client, &scratch.join("target")).run().succeeded();
    }
}

/// Names the service that a file defines.
fn service_of(file: &Path) -> String {
    file.file_name().unwrap().to_string_lossy().replace('.', "_")
}

#[test]
fn refusals_of_services_have_the_words_of_the_original() {
    let original = client_program("pg_basebackup");
    if !original.exists() {
        return skip(&format!("{} is missing: run tests/servers.sh", original.display()));
    }
    let scratch = Scratch::new();
    let file = |name: &str, contents: &str| -> PathBuf {
        let path = scratch.join(name);
        fs::write(&path, contents).unwrap();
        path
    };
    let long = format!("[s]\nuser={}\n", "x".repeat(1100));
    let files = [
        scratch.join("missing"),
        scratch.path().to_owned(),
        file("empty", ""),
        file("syntax", "[s]\n\nhost\n"),
        file("keyword", "[s]\nhost =/nonexistent\n"),
        file("nested", "[s]\nservice=t\n"),
        file("long", &long),
        file("value", "[s]\nhost=/nonexistent\nsslmode=bogus\n"),
        file("good", "[s]\nhost=/nonexistent\nport=7\n"),
    ];
    for path in files {
        let [ours, original] = [Client::drop_in(), Client::original()].map(|client| {
            let client = client.env("PGSERVICEFILE", &path).env("PGSYSCONFDIR", "/nonexistent");
            take(client.args(["-d", "service=s"]), &scratch.join("target")).run()
        });
        assert_eq!(ours.stderr, original.stderr, "{}", path.display());
        assert_eq!(ours.status.code(), Some(1));
    }
}
