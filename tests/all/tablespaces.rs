//! Where files go, and what is left of a run that fails.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::support::account::give_to_server;
use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::proxy::{Fault, Proxy};
use crate::support::scratch::{Scratch, names};
use crate::support::server::Server;
use crate::support::tree::{self, Kind};
use crate::support::verify::{self, Wal};
use crate::support::wait_until;

on_servers!(tablespaces_go_where_they_are_mapped: pg13 pg15 pg18);
on_servers!(a_tablespace_that_comes_up_meanwhile_is_left_to_replay: pg13 pg18);
on_servers!(in_place_tablespaces_stay_inside: pg15 pg16 pg18);
on_servers!(wal_goes_to_its_own_directory: pg13 pg18);
on_servers!(the_group_has_access_as_on_the_server: pg13 pg18);
on_servers!(names_that_are_not_utf8_are_kept: pg13 pg18);
on_servers!(a_failed_run_takes_away_what_it_made: pg13 pg18);
on_servers!(an_interrupted_run_takes_away_what_it_made: pg13 pg18);
on_servers!(a_directory_with_a_foreign_file_is_refused_and_left_alone: pg13 pg18);

/// Creates a tablespace with a table in it, and returns its location.
fn create_tablespace(server: &Server, name: &str) -> PathBuf {
    let location = server.directory(name);
    server.sql(format!("CREATE TABLESPACE {name} LOCATION '{}'", location.display()));
    server.sql(format!(
        "CREATE TABLE in_{name} TABLESPACE {name} AS SELECT g FROM generate_series(1, 5000) g"
    ));
    location
}

/// Returns the argument that maps one directory to another.
fn mapping(old: &Path, new: &Path) -> OsString {
    let escaped = |path: &Path| {
        let bytes = path.as_os_str().as_bytes().iter();
        bytes.flat_map(|&byte| if byte == b'=' { vec![b'\\', b'='] } else { vec![byte] }).collect()
    };
    let (old, new): (Vec<u8>, Vec<u8>) = (escaped(old), escaped(new));
    OsString::from_vec([b"-T".to_vec(), old, b"=".to_vec(), new].concat())
}

fn tablespaces_go_where_they_are_mapped(installation: Installation) {
    let server = Server::start(installation);
    let first = create_tablespace(&server, "first");
    let existing = create_tablespace(&server, "existing");
    let empty = server.directory("empty");
    server.sql(format!("CREATE TABLESPACE empty LOCATION '{}'", empty.display()));

    let scratch = Scratch::new();
    let target = scratch.join("target");
    let mapped = [scratch.join("new/deep=er"), scratch.directory("there"), scratch.join("empty")];
    let pairs = [&first, &existing, &empty].into_iter().zip(&mapped);
    let arguments = pairs.map(|(old, new)| mapping(old, new));
    let client = Client::pgsiphon().to(&server).args(arguments).arg("-N");
    client.into_directory(&target).run().succeeded();

    verify::verify(installation, &target, Wal::Included);
    let links = tree::walk(&target.join("pg_tblspc"));
    let targets: Vec<_> = links.values().map(|node| node.kind.clone()).collect();
    assert_eq!(targets.len(), 3);
    for directory in mapped {
        assert!(targets.contains(&Kind::Link(directory.clone())), "{targets:?}");
    }
    give_to_server(scratch.path());
    let restored = Server::from_backup(installation, &target);
    assert_eq!(restored.sql("SELECT count(*) FROM in_first"), "5000");
    assert_eq!(restored.sql("SELECT count(*) FROM in_existing"), "5000");
}

/// The server sends its link with the data directory, though it was not there when it listed the tablespaces.
fn a_tablespace_that_comes_up_meanwhile_is_left_to_replay(installation: Installation) {
    let mut server = Server::start(installation);
    let first = create_tablespace(&server, "first");
    server.sql("INSERT INTO in_first SELECT g FROM generate_series(1, 200000) g");
    let scratch = Scratch::new();
    let target = scratch.join("target");
    let client = Client::pgsiphon().to(&server).arg(mapping(&first, &scratch.join("first")));
    let running = client.args(["-N", "-r", "4M"]).into_directory(&target).start();
    wait_until("the first archive to be sent", || {
        server.sql("SELECT backup_streamed > 0 FROM pg_stat_progress_basebackup") == "t"
    });
    create_tablespace(&server, "second");
    running.wait().succeeded();

    verify::verify(installation, &target, Wal::Included);
    assert_eq!(tree::walk(&target.join("pg_tblspc")).len(), 1);
    // Replay empties the directory of the tablespace, which both servers would use.
    server.stop();
    give_to_server(scratch.path());
    let restored = Server::from_backup(installation, &target);
    assert_eq!(restored.sql("SELECT count(*) FROM in_second"), "5000");
}

fn in_place_tablespaces_stay_inside(installation: Installation) {
    let server = Server::builder(installation).setting("allow_in_place_tablespaces=on").start();
    server.sql("CREATE TABLESPACE inside LOCATION ''");
    server.sql("CREATE TABLE here TABLESPACE inside AS SELECT g FROM generate_series(1, 5000) g");
    let scratch = Scratch::new();
    let target = scratch.join("target");
    Client::pgsiphon().to(&server).arg("-N").into_directory(&target).run().succeeded();

    verify::verify(installation, &target, Wal::Included);
    let inside = tree::walk(&target.join("pg_tblspc"));
    assert!(inside.values().all(|node| !matches!(node.kind, Kind::Link(_))), "{inside:?}");
    let restored = Server::from_backup(installation, &target);
    assert_eq!(restored.sql("SELECT count(*) FROM here"), "5000");
}

fn wal_goes_to_its_own_directory(installation: Installation) {
    let server = Server::start(installation);
    for method in ["stream", "fetch"] {
        let scratch = Scratch::new();
        let (target, wal) = (scratch.join("target"), scratch.join("wal"));
        let client =
            Client::pgsiphon().to(&server).args(["-N", "-X", method, "--waldir"]).arg(&wal);
        client.into_directory(&target).run().succeeded();
        assert_eq!(tree::node(&target.join("pg_wal")).kind, Kind::Link(wal.clone()), "{method}");
        verify::verify(installation, &target, Wal::Included);
        give_to_server(&wal);
        Server::from_backup(installation, &target);
    }
}

fn the_group_has_access_as_on_the_server(installation: Installation) {
    for (initdb, directory_mode, file_mode) in
        [(&["-g"][..], 0o750, 0o640), (&[][..], 0o700, 0o600)]
    {
        let server = Server::builder(installation).initdb(initdb).start();
        let scratch = Scratch::new();
        let target = scratch.join("target");
        Client::pgsiphon().to(&server).arg("-N").into_directory(&target).run().succeeded();
        assert_eq!(tree::node(&target).mode, directory_mode);
        for (path, node) in tree::walk(&target) {
            let expected = match node.kind {
                Kind::Directory => directory_mode,
                _ => file_mode,
            };
            assert_eq!(node.mode, expected, "{}", path.display());
        }
    }
}

fn names_that_are_not_utf8_are_kept(installation: Installation) {
    let server = Server::start(installation);
    let name = OsStr::from_bytes(b"caf\xe9");
    let location = server.directory(name);
    // Only a database without an encoding takes such a name.
    server.sql("CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII'");
    let statement = [b"CREATE TABLESPACE t LOCATION '", location.as_os_str().as_bytes(), b"'"];
    server.sql_in("bytes", OsStr::from_bytes(&statement.concat()));
    File::create(server.data().join(name)).unwrap();
    give_to_server(&server.data().join(name));

    let scratch = Scratch::new();
    let target = scratch.join(OsStr::from_bytes(b"target-\xff"));
    let mapped = scratch.join(OsStr::from_bytes(b"mapped-\xfe"));
    let client = Client::pgsiphon().to(&server).arg(mapping(&location, &mapped));
    client.into_directory(&target).run().succeeded();

    assert!(target.join(name).exists());
    let links = tree::walk(&target.join("pg_tblspc"));
    assert_eq!(links.values().next().map(|node| &node.kind), Some(&Kind::Link(mapped.clone())));
    verify::verify(installation, &target, Wal::Included);
}

/// A run with all kinds of directories, half of which were there before.
struct Directories {
    scratch: Scratch,
    arguments: Vec<OsString>,
}

impl Directories {
    fn of(server: &Server) -> Self {
        let locations = ["a", "b"].map(|name| create_tablespace(server, name));
        let scratch = Scratch::new();
        let mapped = [scratch.join("new/a"), scratch.directory("b")];
        let mut arguments: Vec<_> =
            locations.iter().zip(&mapped).map(|(old, new)| mapping(old, new)).collect();
        arguments.extend(["--waldir".into(), scratch.directory("wal").into()]);
        arguments.extend(["-D".into(), scratch.join("parent/target").into()]);
        Directories { scratch, arguments }
    }

    /// What was there is there, empty, and what was not is not.
    #[track_caller]
    fn are_as_before(&self) {
        let left = tree::walk(self.scratch.path());
        assert_eq!(left.keys().collect::<Vec<_>>(), [Path::new("b"), Path::new("wal")]);
    }
}

fn a_failed_run_takes_away_what_it_made(installation: Installation) {
    let server = Server::start(installation);
    let directories = Directories::of(&server);
    let proxy = Proxy::before(&server, &[Fault::Cut(10_000_000)]);
    let client = Client::pgsiphon().through(proxy.sockets(), proxy.port());
    let finished = client.args(&directories.arguments).run();
    finished.failed();
    directories.are_as_before();
    assert!(finished.stderr.contains("removing data directory"), "{}", finished.stderr);
    assert!(finished.stderr.contains("removing contents of WAL directory"), "{}", finished.stderr);
}

fn an_interrupted_run_takes_away_what_it_made(installation: Installation) {
    let server = Server::start(installation);
    let directories = Directories::of(&server);
    for signal in [Signal::INT, Signal::TERM] {
        let proxy = Proxy::before(&server, &[Fault::Stall(10_000_000)]);
        let client = Client::pgsiphon().through(proxy.sockets(), proxy.port());
        let running = client.args(&directories.arguments).start();
        proxy.wait_for_stall();
        running.signal(signal);
        let finished = running.wait();
        assert!(!finished.status.success(), "{signal:?}: {}", finished.stderr);
        assert!(!finished.stderr.contains("panicked"), "{signal:?}: {}", finished.stderr);
        directories.are_as_before();
    }
}

fn a_directory_with_a_foreign_file_is_refused_and_left_alone(installation: Installation) {
    let server = Server::start(installation);
    let location = create_tablespace(&server, "a");
    for foreign in ["target", "wal", "tablespace"] {
        let scratch = Scratch::new();
        let full = scratch.directory(foreign);
        fs::write(full.join(".foreign"), "mine").unwrap();
        let client = Client::pgsiphon()
            .to(&server)
            .arg(mapping(&location, &scratch.join("tablespace")))
            .arg("--waldir")
            .arg(scratch.join("wal"));
        let finished = client.into_directory(&scratch.join("target")).run();
        let expected = format!("directory \"{}\" exists but is not empty", full.display());
        assert_eq!(finished.failed(), expected);
        assert_eq!(scratch.names(), [foreign]);
        assert_eq!(names(&full), [".foreign"]);
    }
}
