//! `-R`: a server started from the backup becomes a standby of the one that it was taken from.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::scratch::Scratch;
use crate::support::server::Server;
use crate::support::verify::{self, Wal, data_directory};
use crate::support::wait_until;

on_servers!(a_backup_becomes_a_standby: pg13 pg14 pg15 pg16 pg17 pg18);
on_servers!(a_standby_signs_in_with_the_password_that_was_given: pg13 pg18);
on_servers!(a_password_from_the_password_file_stays_there: pg14 pg18);
on_servers!(settings_of_the_server_stay: pg13 pg18);
on_servers!(only_what_the_release_knows_is_written: pg13 pg18);

/// The arguments of backups of each kind; the last one's archive is compressed on the server.
const KINDS: [&[&str]; 4] = [&[], &["-Ft"], &["-Ft", "-z"], &["-Ft", "-Z", "server-gzip"]];

fn a_backup_becomes_a_standby(installation: Installation) {
    let server = Server::start(installation);
    let kinds = if installation.major >= 15 { &KINDS[..] } else { &KINDS[..3] };
    for (index, arguments) in kinds.iter().enumerate() {
        let scratch = Scratch::new();
        let slot = format!("slot_{index}");
        let client = Client::drop_in().to(&server).args(["-R", "-C", "-S", &slot]);
        let target = scratch.join("target");
        client.args(*arguments).into_directory(&target).run().succeeded();
        let data = data_directory(&target, &scratch);
        verify::verify(installation, &data, Wal::Included);
        let standby = Server::from_backup(installation, &data);
        follows(&standby, &server, &format!("after_{index}"));
        let active = server
            .sql(format!("SELECT active FROM pg_replication_slots WHERE slot_name = '{slot}'"));
        assert_eq!(active, "t", "{arguments:?}");
    }
}

/// Makes sure that what is done on the primary comes to the standby.
fn follows(standby: &Server, primary: &Server, table: &str) {
    assert_eq!(standby.sql("SELECT pg_is_in_recovery()"), "t");
    primary.sql(format!("CREATE TABLE {table}()"));
    let find = format!("SELECT count(*) FROM pg_class WHERE relname = '{table}'");
    wait_until("the standby to follow", || standby.sql(&find) == "1");
}

/// A password that needs every kind of quoting.
const PASSWORD: &str = r"s3cret' \pass";

/// Starts a server whose role `replicator` must say its password.
fn server_with_password(installation: Installation) -> Server {
    let server =
        Server::builder(installation).hba("local replication replicator scram-sha-256\n").start();
    let literal = PASSWORD.replace('\'', "''");
    server.sql(format!(
        "SET password_encryption = 'scram-sha-256';
         CREATE ROLE replicator REPLICATION LOGIN PASSWORD '{literal}'"
    ));
    server
}

/// Takes a backup with `-R` as the role that must say its password.
fn as_replicator(server: &Server, scratch: &Scratch, variable: (&str, &str)) -> PathBuf {
    let target = scratch.join("target");
    let client = Client::pgsiphon().to(server).args(["-R", "-U", "replicator", "-N"]);
    client.env(variable.0, variable.1).into_directory(&target).run().succeeded();
    target
}

fn settings(backup: &Path) -> String {
    fs::read_to_string(backup.join("postgresql.auto.conf")).unwrap()
}

fn a_standby_signs_in_with_the_password_that_was_given(installation: Installation) {
    let server = server_with_password(installation);
    let scratch = Scratch::new();
    let target = as_replicator(&server, &scratch, ("PGPASSWORD", PASSWORD));
    let standby = Server::from_backup(installation, &target);
    follows(&standby, &server, "after");
    let user = server.sql("SELECT usename FROM pg_stat_replication");
    assert_eq!(user, "replicator");
}

fn a_password_from_the_password_file_stays_there(installation: Installation) {
    let server = server_with_password(installation);
    let scratch = Scratch::new();
    let passfile = scratch.join("passfile");
    fs::write(&passfile, format!("*:*:*:*:{}\n", PASSWORD.replace('\\', r"\\"))).unwrap();
    fs::set_permissions(&passfile, Permissions::from_mode(0o600)).unwrap();
    let passfile = passfile.display().to_string();
    let target = as_replicator(&server, &scratch, ("PGPASSFILE", &passfile));
    let settings = settings(&target);
    assert!(!settings.contains("s3cret") && !settings.contains("password"), "{settings}");
    assert!(settings.contains(&format!("passfile=''{passfile}''")), "{settings}");
}

fn settings_of_the_server_stay(installation: Installation) {
    let server = Server::start(installation);
    server.sql("ALTER SYSTEM SET work_mem = '7MB'");
    let scratch = Scratch::new();
    let target = scratch.join("target");
    let client = Client::pgsiphon().to(&server).args(["-R", "-N", "-X", "fetch"]);
    client.into_directory(&target).run().succeeded();
    let (theirs, ours) = {
        let settings = settings(&target);
        let (theirs, ours) = settings.split_once("\nprimary_conninfo = ").unwrap();
        (theirs.to_owned(), ours.to_owned())
    };
    let server_file = fs::read_to_string(server.data().join("postgresql.auto.conf")).unwrap();
    assert_eq!(theirs, server_file);
    let sockets = server.sockets();
    let expected =
        format!("'user=postgres host=''{}'' port={}'\n", sockets.display(), server.port());
    assert_eq!(ours, expected);
    assert_eq!(fs::read(target.join("standby.signal")).unwrap(), b"");
}

fn only_what_the_release_knows_is_written(installation: Installation) {
    let server = Server::start(installation);
    let scratch = Scratch::new();
    let target = scratch.join("target");
    let client = Client::pgsiphon().to(&server).args(["-R", "-N"]);
    let client = client.args(["-d", "dbname=app require_auth=none keepalives=1"]);
    let finished = client.into_directory(&target).run().succeeded();
    let settings = settings(&target);
    assert!(settings.contains(" keepalives=1"), "{settings}");
    let is_new = installation.major >= 17;
    assert_eq!(settings.contains("require_auth=none"), is_new, "{settings}");
    assert_eq!(settings.contains(" dbname=app"), is_new, "{settings}");
    let warning =
        "warning: connection option \"require_auth\" is not written into primary_conninfo";
    assert_eq!(finished.stderr.contains(warning), !is_new, "{}", finished.stderr);
}
