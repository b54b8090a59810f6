//! Signing in with GSSAPI and encrypting with it, against a Kerberos realm of the tests' own.
//!
//! Which way a connection came is what the server says: its `pg_hba.conf` lets each user in by one.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::account::give_to_server;
use crate::support::client::{Client, Finished};
use crate::support::installation::Installation;
use crate::support::kdc::Kdc;
use crate::support::scratch::Scratch;
use crate::support::server::Server;
use crate::support::verify::{Wal, verify};
use crate::support::workload::{WriteLoad, fill};

on_servers!(each_user_gets_in_by_his_way: pg17 pg18);
on_servers!(a_whole_backup_passes_through_the_encryption: pg18);
on_servers!(refusals_have_the_words_of_the_original: pg17 pg18);
on_servers!(a_server_without_gssapi_is_used_unless_it_has_to_have_it: pg13 pg16);

/// The ways in, by user. Who has to prove himself by a ticket may come without any encryption, with that
/// by TLS, or with that by GSSAPI.
const WAYS: &str = "
    hostgssenc   replication plain   all reject
    hostnossl    replication plain   all gss include_realm=0
    hostssl      replication wrapped all gss include_realm=0
    hostgssenc   replication sealed  all gss include_realm=0
    hostgssenc   replication trusted all trust
    hostnogssenc replication open    all trust
    host         replication all     all reject
";

const USERS: [&str; 5] = ["plain", "wrapped", "sealed", "trusted", "open"];

/// A server that has TLS, and a key for the services `postgres` and `other`.
fn server(installation: Installation, kdc: &Kdc) -> Server {
    let scratch = Scratch::new();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [certificate, key] = ["certificate", "key"].map(|name| scratch.join(name));
    fs::write(&certificate, cert.pem()).unwrap();
    fs::write(&key, signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    give_to_server(scratch.path());
    // The server reads them when it starts.
    let file = |name: &str, path: &Path| format!("{name}='{}'", path.display());
    let server = Server::builder(installation).tcp().hba(WAYS).setting("ssl=on");
    let server = server.setting(file("ssl_cert_file", &certificate));
    let server = server.setting(file("ssl_key_file", &key));
    let server = server.setting(file("krb_server_keyfile", &kdc.keytab())).start();
    create_users(&server);
    server
}

fn create_users(server: &Server) {
    for user in USERS {
        server.sql(format!("CREATE ROLE {user} REPLICATION LOGIN"));
    }
}

fn kdc(user: &str) -> Option<Kdc> {
    let kdc = Kdc::start(&["postgres", "other"])?;
    kdc.sign_in(user);
    Some(kdc)
}

/// Runs until both connections are signed in, which is when a slot that is not there is missed.
fn sign_in(client: Client, connection: &str) -> Finished {
    let scratch = Scratch::new();
    let client = client.args(["-S", "missing", "-c", "fast", "-w", "-d", connection]);
    client.into_directory(&scratch.join("target")).run()
}

fn each_user_gets_in_by_his_way(installation: Installation) {
    let table = [
        ("plain", "gssencmode=disable sslmode=disable"),
        ("plain", "gssencmode=disable sslmode=disable krbsrvname=other gssdelegation=1"),
        ("plain", "gssencmode=disable sslmode=disable require_auth=gss"),
        ("wrapped", "gssencmode=disable sslmode=require"),
        // The server refuses the connection that GSSAPI encrypts, so there is another one.
        ("wrapped", "gssencmode=prefer"),
        ("sealed", "gssencmode=require"),
        ("sealed", "gssencmode=prefer sslmode=require"),
        ("sealed", "krbsrvname=other gssdelegation=1"),
        ("sealed", "require_auth=gss"),
    ];
    let Some(kdc) = kdc("plain") else { return };
    let server = server(installation, &kdc);
    for (user, options) in table {
        kdc.sign_in(user);
        let connection = format!("host=localhost port={} user={user} {options}", server.port());
        let finished = sign_in(kdc.signed_in(Client::pgsiphon()), &connection);
        let error = finished.failed();
        assert!(error.ends_with("slot \"missing\" does not exist"), "{connection}: {error}");
    }
}

fn a_whole_backup_passes_through_the_encryption(installation: Installation) {
    let Some(kdc) = kdc("sealed") else { return };
    let server = server(installation, &kdc);
    fill(&server);
    let mut load = WriteLoad::start(&server);
    let scratch = Scratch::new();
    let target = scratch.join("target");
    let connection = format!("host=localhost port={} user=sealed", server.port());
    let client = kdc.signed_in(Client::pgsiphon()).args(["-d", &connection, "-c", "fast"]);
    client.args(["-X", "stream"]).into_directory(&target).run().succeeded();
    assert!(load.is_running(), "the server was not written to all the time");
    verify(installation, &target, Wal::Included);
}

/// Makes sure that ours says what the original says, with a ticket and without.
#[track_caller]
fn says_the_same(kdc: &Kdc, connection: &str) {
    for dress in [Kdc::signed_in, Kdc::stranger] {
        let [original, ours] = [Client::original(), Client::drop_in()]
            .map(|client| sign_in(dress(kdc, client), connection));
        let [expected, seen] = [&original, &ours].map(errors);
        assert_eq!(seen, expected, "{connection}");
        assert_eq!(ours.status.code(), original.status.code(), "{connection}");
    }
}

/// Returns what is said of the first connection, or that there was nothing to say.
fn errors(finished: &Finished) -> &str {
    match finished.stderr.contains("slot \"missing\" does not exist") {
        true => "signed in",
        false => &finished.stderr,
    }
}

fn refusals_have_the_words_of_the_original(installation: Installation) {
    let Some(kdc) = kdc("plain") else { return };
    let server = server(installation, &kdc);
    let (port, sockets) = (server.port(), server.sockets().display().to_string());
    let table = [
        "host=localhost user=plain gssencmode=prefer krbsrvname=nobody",
        "host=localhost user=plain gssencmode=disable krbsrvname=",
        "host=localhost user=plain gssencmode=prefer sslmode=require",
        "host=localhost user=plain gssencmode=require",
        "host=localhost user=plain gssencmode=require krbsrvname=nobody",
        "host=localhost user=plain gssencmode=disable require_auth=md5",
        "host=localhost user=sealed gssencmode=prefer",
        "host=localhost user=open gssencmode=require",
        "host=localhost user=open gssencmode=prefer require_auth=gss",
        "host=localhost user=trusted gssencmode=require require_auth=gss",
        "host=localhost user=trusted gssencmode=require require_auth=md5",
        "host=localhost user=trusted gssencmode=require channel_binding=require",
        "host=127.0.0.1 user=plain gssencmode=disable",
        "host=localhost hostaddr=127.0.0.1 user=trusted",
        "host=SOCKETS,localhost user=trusted gssencmode=require",
        "host=SOCKETS user=postgres",
    ];
    for connection in table {
        let connection = connection.replace("SOCKETS", &sockets);
        says_the_same(&kdc, &format!("{connection} port={port}"));
    }
}

fn a_server_without_gssapi_is_used_unless_it_has_to_have_it(installation: Installation) {
    let Some(kdc) = kdc("open") else { return };
    let server = Server::builder(installation).tcp().start();
    create_users(&server);
    let table = [
        "gssencmode=prefer",
        "gssencmode=prefer sslmode=disable",
        "gssencmode=prefer sslmode=require",
        "gssencmode=require",
    ];
    for options in table {
        let port = server.port();
        says_the_same(&kdc, &format!("host=localhost port={port} user=open {options}"));
    }
}
