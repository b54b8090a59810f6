//! `pgsiphon check`: what it finds at real servers, in the words that it has for it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::installation::Installation;
use crate::support::receive::{Program, Receiver};
use crate::support::scratch::{Scratch, names};
use crate::support::server::Server;
use crate::support::timelines::{promote, standby_of};
use crate::support::wait_until;

on_servers!(a_healthy_server_is_ok_and_left_as_it_was: pg13 pg18);
on_servers!(slots_are_looked_at: pg13 pg18);
on_servers!(settings_are_looked_at: pg13 pg18);
on_servers!(commits_that_would_wait_are_found: pg13 pg18);
on_servers!(roles_that_may_not_receive_are_found: pg13 pg18);
on_servers!(servers_that_send_no_wal_are_found: pg13 pg18);
on_servers!(invalidated_and_logical_slots_are_found: pg13 pg18);
on_servers!(unfit_directories_are_found: pg13 pg18);
on_servers!(all_hosts_are_looked_at: pg13 pg18);

/// A slot that cannot fill the server's disk, and little room that is needed.
const BOUND: &str = "slot = 'pgsiphon'\nslot_retained_max = '1GB'\ndisk_free_min = '64MB'";

/// A configuration with one server, and the places that it names.
struct Setup {
    scratch: Scratch,
    /// What varies, and what stands for it in what is expected.
    names: Vec<(String, &'static str)>,
    conninfo: String,
}

impl Setup {
    fn new(server: &Server) -> Self {
        let scratch = Scratch::new();
        let wal = scratch.directory("wal").display().to_string();
        let (sockets, port) = (server.sockets().display().to_string(), server.port());
        let socket = format!("{sockets}/.s.PGSQL.{port}");
        let names = vec![(wal, "WAL"), (host(server), "HOST"), (socket, "SOCKET")];
        let conninfo = format!("host={sockets} port={port} user=postgres");
        Setup { scratch, names, conninfo }
    }

    fn wal(&self) -> PathBuf {
        self.scratch.join("wal")
    }

    /// Checks the server with further lines in its table, which may begin other tables.
    fn check(&self, lines: &str) -> String {
        self.check_at(&self.conninfo, lines)
    }

    /// Checks it with another connection string.
    fn check_at(&self, conninfo: &str, lines: &str) -> String {
        self.check_file(&self.file(conninfo, lines))
    }

    fn file(&self, conninfo: &str, lines: &str) -> String {
        let directory = self.wal().display().to_string();
        format!("[servers.main]\nconninfo = '{conninfo}'\ndirectory = '{directory}'\n{lines}\n")
    }

    /// Returns the messages, without the program's name, and then what is on standard output.
    fn check_file(&self, text: &str) -> String {
        let Output { status, stdout, stderr } = self.run(text, &[]);
        let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        let said = stderr.replace("pgsiphon: ", "") + &stdout;
        let code = i32::from(stderr.contains("pgsiphon: error: "));
        assert_eq!(status.code(), Some(code), "{said}");
        let said = self.names.iter().fold(said, |said, (name, short)| said.replace(name, short));
        said.replace(&self.scratch.path().display().to_string(), "SCRATCH")
    }

    fn run(&self, text: &str, arguments: &[&str]) -> Output {
        let file = self.scratch.join("pgsiphon.toml");
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgsiphon"));
        command.env_clear().env("HOME", "/nonexistent").env("LC_ALL", "C");
        command.arg("check").arg("--config").arg(file).args(arguments).output().unwrap()
    }
}

/// Returns what a host is called.
fn host(server: &Server) -> String {
    format!("{}:{}", server.sockets().display(), server.port())
}

/// Changes a setting, and waits until new sessions have it.
fn set(server: &Server, name: &str, value: &str) {
    server.sql(format!("ALTER SYSTEM SET {name} = '{value}'"));
    server.sql("SELECT pg_reload_conf()");
    let query = format!("SELECT setting FROM pg_settings WHERE name = '{name}'");
    wait_until("the setting", || server.sql(&query) == value);
}

fn a_healthy_server_is_ok_and_left_as_it_was(installation: Installation) {
    let server = Server::start(installation);
    let setup = Setup::new(&server);
    assert_eq!(setup.check(BOUND), "main: ok\n");
    assert_eq!(setup.check("disk_free_min = '64MB'"), "main: ok\n");
    assert_eq!(server.sql("SELECT count(*) FROM pg_replication_slots"), "0");
    assert!(names(&setup.wal()).is_empty());
    let output = setup.run(&setup.file(&setup.conninfo, BOUND), &["--json"]);
    let servers = json!([{ "name": "main", "findings": [] }]);
    let expected = json!({ "type": "check", "ok": true, "error": null, "servers": servers });
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), expected);
}

fn slots_are_looked_at(installation: Installation) {
    let server = Server::start(installation);
    let setup = Setup::new(&server);
    assert_eq!(
        setup.check(&format!("{BOUND}\nslot_policy = 'require'")),
        "error: main (host HOST): replication slot \"pgsiphon\" does not exist\n\
         hint: Create it, or set slot_policy to \"create\".\n\
         main: 1 error\n"
    );
    assert_eq!(
        setup.check("slot = 'pgsiphon'"),
        "warning: main (host HOST): nothing bounds the WAL that the slot keeps\n\
         hint: Set slot_retained_max here, or max_slot_wal_keep_size on the server.\n\
         main: ok, 1 warning\n"
    );
    server.sql("SELECT pg_create_physical_replication_slot('pgsiphon')");
    assert_eq!(
        setup.check(BOUND),
        "warning: main (host HOST): replication slot \"pgsiphon\" keeps no WAL yet\n\
         hint: It does from the moment on that something is received through it.\n\
         main: ok, 1 warning\n"
    );
    // The name of the directory is that of the application.
    let receive = |name: &str| {
        let directory = setup.scratch.directory(name);
        Receiver::streaming(Program::ours(), &server, &directory, &["-S", "pgsiphon"])
    };
    let ours = receive("pgsiphon");
    assert_eq!(setup.check(BOUND), "main: ok\n");
    ours.stop();
    let other = receive("other");
    let pid = server.sql("SELECT active_pid FROM pg_replication_slots");
    let expected = format!(
        "error: main (host HOST): replication slot \"pgsiphon\" is in use by PID {pid} \
         (\"other\")\n\
         hint: Stop the other receiver, or name another slot.\n\
         main: 1 error\n"
    );
    assert_eq!(setup.check(BOUND), expected);
    other.stop();
}

fn settings_are_looked_at(installation: Installation) {
    let server = Server::start(installation);
    let setup = Setup::new(&server);
    set(&server, "max_slot_wal_keep_size", "1024");
    assert_eq!(
        setup.check(BOUND),
        "warning: main (host HOST): slot_retained_max (1 GB) is not below \
         max_slot_wal_keep_size (1 GB)\n\
         hint: The slot is lost before anybody hears of it: lower slot_retained_max.\n\
         main: ok, 1 warning\n"
    );
    set(&server, "max_slot_wal_keep_size", "2048");
    assert_eq!(setup.check(BOUND), "main: ok\n");
    set(&server, "wal_sender_timeout", "0");
    assert_eq!(
        setup.check(BOUND),
        "warning: main (host HOST): wal_sender_timeout is 0: after a network failure the slot \
         stays in use\n\
         hint: Set wal_sender_timeout to a minute or so.\n\
         main: ok, 1 warning\n"
    );
    set(&server, "wal_sender_timeout", "10000");
    assert_eq!(
        setup.check(BOUND),
        "warning: main (host HOST): status_interval (10s) is not below wal_sender_timeout \
         (10000 ms)\n\
         hint: Set status_interval to a third of wal_sender_timeout or less.\n\
         main: ok, 1 warning\n"
    );
    let frequent = format!("{BOUND}\nstatus_interval = '3s'");
    assert_eq!(setup.check(&frequent), "main: ok\n");
    if installation.major >= 18 {
        set(&server, "idle_replication_slot_timeout", "3600");
        assert_eq!(
            setup.check(&frequent),
            "warning: main (host HOST): the server invalidates slots that nobody uses for 1h\n\
             hint: Be back sooner after each stop, or raise idle_replication_slot_timeout.\n\
             main: ok, 1 warning\n"
        );
    }
}

fn commits_that_would_wait_are_found(installation: Installation) {
    let server = Server::start(installation);
    let setup = Setup::new(&server);
    let at_once = &format!("{BOUND}\nfsync = 'at-once'");
    set(&server, "synchronous_standby_names", "ANY 1 (other, PgSiphon)");
    assert_eq!(
        setup.check(BOUND),
        "error: main (host HOST): synchronous_standby_names has \"pgsiphon\", but fsync is \
         \"segments\": commits may wait for whole segments\n\
         hint: Set fsync to \"at-once\", or take the name off the list.\n\
         main: 1 error\n"
    );
    assert_eq!(
        setup.check(&format!("{BOUND}\nfsync = 'never'")),
        "error: main (host HOST): synchronous_standby_names has \"pgsiphon\", but fsync is \
         \"never\": commits may never end\n\
         hint: Set fsync to \"at-once\", or take the name off the list.\n\
         main: 1 error\n"
    );
    assert_eq!(setup.check(at_once), "main: ok\n");
    let named = format!("{} application_name=archive", setup.conninfo);
    assert_eq!(setup.check_at(&named, BOUND), "main: ok\n");
    let trap = "error: main (host HOST): synchronous_standby_names has \"pgsiphon\", and \
        synchronous_commit is \"remote_apply\": such commits may never end\n\
        hint: Set synchronous_commit to \"on\": what is received here is never applied.\n\
        main: 1 error\n";
    set(&server, "synchronous_commit", "remote_apply");
    assert_eq!(setup.check(at_once), trap);
    set(&server, "synchronous_commit", "local");
    assert_eq!(setup.check(BOUND), "main: ok\n");
    server.sql("ALTER DATABASE template1 SET synchronous_commit = 'remote_apply'");
    assert_eq!(setup.check(at_once), trap);
}

fn roles_that_may_not_receive_are_found(installation: Installation) {
    let hba = "local replication nobody reject\nlocal postgres blind reject\n";
    let server = Server::builder(installation).hba(hba).start();
    server.sql("CREATE ROLE plain LOGIN");
    server.sql("CREATE ROLE nobody LOGIN REPLICATION");
    server.sql("CREATE ROLE blind LOGIN REPLICATION");
    let setup = Setup::new(&server);
    let as_role = |role: &str| setup.conninfo.replace("postgres", role);
    let failed = "connection to server on socket \"SOCKET\" failed: FATAL:  ";
    let refusal = match installation.major {
        ..16 => "must be superuser or replication role to start walsender",
        16.. => {
            "permission denied to start WAL sender; DETAIL:  Only roles with the REPLICATION \
             attribute may start a WAL sender process."
        }
    };
    let expected = format!(
        "error: main (host HOST): {failed}{refusal}\n\
         error: main (host HOST): role \"plain\" does not have the REPLICATION attribute\n\
         hint: Give it with ALTER ROLE \"plain\" REPLICATION.\n\
         main: 2 errors\n"
    );
    assert_eq!(setup.check_at(&as_role("plain"), BOUND), expected);
    let encryption = if installation.major < 14 { "SSL off" } else { "no encryption" };
    let expected = format!(
        "error: main (host HOST): {failed}pg_hba.conf rejects replication connection for host \
         \"[local]\", user \"nobody\", {encryption}\n\
         hint: Add a line for database \"replication\" to pg_hba.conf of the server.\n\
         main: 1 error\n"
    );
    assert_eq!(setup.check_at(&as_role("nobody"), BOUND), expected);
    let expected = format!(
        "warning: main (host HOST): slot and settings could not be looked at: {failed}\
         pg_hba.conf rejects connection for host \"[local]\", user \"blind\", database \
         \"postgres\", {encryption}\n\
         hint: Let the role connect to database \"postgres\" too, or name another one with \
         \"dbname\".\n\
         main: ok, 1 warning\n"
    );
    assert_eq!(setup.check_at(&as_role("blind"), BOUND), expected);
    let elsewhere = as_role("blind") + " dbname=template1";
    assert_eq!(setup.check_at(&elsewhere, BOUND), "main: ok\n");
}

fn servers_that_send_no_wal_are_found(installation: Installation) {
    let builder = Server::builder(installation).setting("max_wal_senders=0");
    let server = builder.setting("wal_level=minimal").start();
    let name = if installation.major < 17 { "max_wal_senders" } else { "\"max_wal_senders\"" };
    let expected = format!(
        "error: main (host HOST): connection to server on socket \"SOCKET\" failed: FATAL:  \
         number of requested standby connections exceeds {name} (currently 0)\n\
         error: main (host HOST): wal_level is \"minimal\"\n\
         hint: Set wal_level to \"replica\" and restart the server.\n\
         error: main (host HOST): max_wal_senders is 0\n\
         hint: Raise max_wal_senders and restart the server.\n\
         main: 3 errors\n"
    );
    assert_eq!(Setup::new(&server).check(""), expected);
    let builder = Server::builder(installation).setting("max_wal_senders=1");
    let server = builder.setting("max_replication_slots=0").start();
    assert_eq!(
        Setup::new(&server).check(BOUND),
        "error: main (host HOST): replication slot \"pgsiphon\" cannot be created: all 0 are in \
         use\n\
         hint: Drop one that nobody needs, or raise max_replication_slots.\n\
         warning: main (host HOST): all 1 WAL senders are in use with that of this check\n\
         hint: Raise max_wal_senders and restart the server.\n\
         main: 1 error, 1 warning\n"
    );
}

fn invalidated_and_logical_slots_are_found(installation: Installation) {
    let builder = Server::builder(installation).initdb(&["--wal-segsize=1"]);
    let builder = builder.setting("max_slot_wal_keep_size=1MB").setting("wal_level=logical");
    let server = builder.start();
    server.sql("SELECT pg_create_physical_replication_slot('pgsiphon', true)");
    for _ in 0..6 {
        server.sql("CREATE TABLE t (); DROP TABLE t; SELECT pg_switch_wal()");
    }
    server.sql("CHECKPOINT");
    let setup = Setup::new(&server);
    assert_eq!(
        setup.check("slot = 'pgsiphon'"),
        "error: main (host HOST): replication slot \"pgsiphon\" has lost its WAL\n\
         hint: Drop it, or set slot_policy to \"recreate\"; then take a base backup.\n\
         main: 1 error\n"
    );
    assert_eq!(
        setup.check("slot = 'pgsiphon'\nslot_policy = 'recreate'"),
        "warning: main (host HOST): replication slot \"pgsiphon\" has lost its WAL\n\
         hint: It will be created anew; take a base backup behind the hole.\n\
         main: ok, 1 warning\n"
    );
    server.sql("SELECT pg_create_logical_replication_slot('logical', 'pgoutput')");
    assert_eq!(
        setup.check("slot = 'logical'"),
        "error: main (host HOST): replication slot \"logical\" is logical\n\
         hint: Name another slot: WAL comes through physical ones.\n\
         main: 1 error\n"
    );
}

fn unfit_directories_are_found(installation: Installation) {
    let server = Server::start(installation);
    let setup = Setup::new(&server);
    let low = setup.check("disk_free_min = '1000000TB'");
    let (start, rest) = low.split_once(" are free in ").unwrap();
    assert!(start.starts_with("warning: main: only "), "{low}");
    let expected = "the file system of \"WAL\", less than disk_free_min (1000000 TB)\n\
        hint: Make room, or lower disk_free_min.\n\
        main: ok, 1 warning\n";
    assert_eq!(rest, expected);
    symlink(setup.wal(), setup.scratch.join("link")).unwrap();
    let other = setup.file(&setup.conninfo, "").replace("main", "other");
    let other = other.replace("/wal'", "/link'");
    assert_eq!(
        setup.check(&other),
        "error: other: \"SCRATCH/link\" is the directory of server \"main\", too\n\
         hint: Choose an empty directory for each cluster.\n\
         main: ok\n\
         other: 1 error\n"
    );
    let name = store_segment_of_another_cluster(&server, &setup.wal());
    let identifier = server.sql("SELECT system_identifier FROM pg_control_system()");
    let stored = identifier.parse::<u64>().unwrap() ^ 1;
    let expected = format!(
        "error: main: \"WAL/{name}\" is WAL of the cluster with system identifier {stored}, not \
         {identifier}\n\
         hint: Choose an empty directory for each cluster.\n\
         main: 1 error\n"
    );
    assert_eq!(setup.check(""), expected);
    fs::remove_dir_all(setup.wal()).unwrap();
    assert_eq!(
        setup.check("backups = '/nonexistent'"),
        "error: main: could not open directory \"WAL\": No such file or directory\n\
         hint: The directory has to be there, and belong to whoever runs the service.\n\
         warning: main: could not open directory \"/nonexistent\": No such file or directory\n\
         hint: Holes are not closed by base backups before it is there.\n\
         main: 1 error, 1 warning\n"
    );
}

/// Copies a segment of a server with another cluster's identifier; returns its name.
fn store_segment_of_another_cluster(server: &Server, directory: &Path) -> String {
    const IDENTIFIER: usize = 24;
    let pg_wal = server.data().join("pg_wal");
    let name = names(&pg_wal).into_iter().find(|name| name.len() == 24).unwrap();
    let mut segment = fs::read(pg_wal.join(&name)).unwrap();
    segment[IDENTIFIER] ^= 1;
    fs::write(directory.join(&name), segment).unwrap();
    name
}

fn all_hosts_are_looked_at(installation: Installation) {
    let primary = Server::start(installation);
    let scratch = Scratch::new();
    let standby = standby_of(&primary, installation, &scratch.join("standby"));
    let mut setup = Setup::new(&primary);
    setup.names.push((host(&standby), "SECOND"));
    let hosts = |hosts: &[&Path]| {
        let hosts: Vec<_> = hosts.iter().map(|host| host.display().to_string()).collect();
        format!("host={} user=postgres", hosts.join(","))
    };
    let (first, second) = (primary.sockets(), standby.sockets());
    let both = hosts(&[&first, &second]);
    let missing = Path::new("/nonexistent");
    assert_eq!(setup.check_at(&both, BOUND), "main: ok\n");
    let away = "main (host /nonexistent:5432): connection to server on socket \
        \"/nonexistent/.s.PGSQL.5432\" failed: No such file or directory; Is the server running \
        locally and accepting connections on that socket?\n";
    let expected = format!("warning: {away}main: ok, 1 warning\n");
    assert_eq!(setup.check_at(&hosts(&[&first, missing]), BOUND), expected);
    let expected = format!("error: {away}main: 1 error\n");
    assert_eq!(setup.check_at(&hosts(&[missing]), BOUND), expected);
    let expected = format!(
        "error: main: none of the hosts that answer is a primary\n\
         hint: Promote one, or set target_session_attrs in the connection string.\n\
         warning: {away}main: 1 error, 1 warning\n"
    );
    assert_eq!(setup.check_at(&hosts(&[missing, &second]), BOUND), expected);
    promote(&standby);
    assert_eq!(
        setup.check_at(&both, BOUND),
        "error: main: both HOST and SECOND are primaries\n\
         hint: Only one of them may take writes; stop the other one.\n\
         main: 1 error\n"
    );
}

#[test]
fn a_host_that_does_not_answer_holds_nobody_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let (scratch, names) = (Scratch::new(), vec![(address.port().to_string(), "PORT")]);
    scratch.directory("wal");
    let setup = Setup { scratch, names, conninfo: String::new() };
    let conninfo = format!("host=127.0.0.1 port={} connect_timeout=1", address.port());
    let expected = "error: main (host 127.0.0.1:PORT): connection to server at \"127.0.0.1\", \
        port PORT failed: timeout expired\n\
        main: 1 error\n";
    assert_eq!(setup.check_at(&conninfo, "disk_free_min = '64MB'"), expected);
    let expected = "error: main (host 127.0.0.1:PORT): connection to server at \"127.0.0.1\", \
        port PORT failed: timeout expired\n\
        warning: main: \"SCRATCH/pgsiphon.toml\" has a password, and everybody may read it\n\
        hint: Let only its owner read it, or put the password into a password file.\n\
        main: 1 error, 1 warning\n";
    let conninfo = conninfo + " password=secret";
    assert_eq!(setup.check_at(&conninfo, "disk_free_min = '64MB'"), expected);
}

#[test]
fn a_file_that_is_wrong_is_told_with_line_and_column() {
    let scratch = Scratch::new();
    let setup = Setup { scratch, names: Vec::new(), conninfo: String::new() };
    let expected = "error: SCRATCH/pgsiphon.toml:2:1: unknown field `port`, expected `enabled` or \
        `listen`\n";
    assert_eq!(setup.check_file("[http]\nport = 80\n"), expected);
    let output = setup.run("", &["--json"]);
    let file = setup.scratch.join("pgsiphon.toml").display().to_string();
    let error = format!("{file}:1:1: no server is configured");
    let expected = json!({ "type": "check", "ok": false, "error": error, "servers": [] });
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), expected);
}
