//! `-t`: backups that the server puts somewhere itself.

use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::scratch::names;
use crate::support::server::Server;

on_servers!(the_server_fills_the_target: pg15 pg16 pg17 pg18);
on_servers!(targets_that_cannot_be_are_refused_in_the_original_words: pg13 pg15 pg18);

fn the_server_fills_the_target(installation: Installation) {
    let server = Server::start(installation);
    let directory = server.directory("backups");
    let table: [(&str, &[&str], &[&str]); 4] = [
        ("plain", &["-X", "none"], &["backup_manifest", "base.tar"]),
        ("wal", &["-X", "fetch", "--no-manifest"], &["base.tar"]),
        ("zipped", &["-X", "fetch", "-Z", "gzip:1"], &["backup_manifest", "base.tar.gz"]),
        ("server", &["-X", "fetch", "-Z", "server-gzip"], &["backup_manifest", "base.tar.gz"]),
    ];
    for (name, arguments, files) in table {
        let target = directory.join(name);
        let client = Client::drop_in().to(&server).arg(format!("-tserver:{}", target.display()));
        let finished = client.args(arguments).args(["-v", "-P"]).run().succeeded();
        assert_eq!(names(&target), files, "{arguments:?}");
        assert!(finished.stdout.is_empty());
        let last = finished.stderr.lines().rev().find(|line| line.contains("kB")).unwrap();
        assert!(last.contains("(100%), 1/1 tablespace"), "{last}");
        assert!(finished.stderr.ends_with("base backup completed\n"), "{}", finished.stderr);
        assert!(!finished.stderr.contains("syncing"), "{}", finished.stderr);
    }
    let client = Client::drop_in().to(&server).args(["-t", "blackhole", "-X", "fetch"]);
    let finished = client.run().succeeded();
    assert_eq!(finished.stderr, "");
}

fn targets_that_cannot_be_are_refused_in_the_original_words(installation: Installation) {
    let server = Server::start(installation);
    let directory = server.directory("backups");
    let existing = format!("server:{}", server.data().display());
    let fresh = format!("server:{}", directory.join("fresh").display());
    let table: [&[&str]; 7] = [
        &["-t", "server", "-X", "none"],
        &["-t", "bogus:1", "-X", "none"],
        &["-t", "blackhole:1", "-X", "none"],
        &["-t", "server:relative", "-X", "none"],
        &["-t", &existing, "-X", "none"],
        &["-t", &fresh, "-X", "none", "-R"],
        &["-t", &fresh, "-X", "none", "-Z", "bogus"],
    ];
    for arguments in table {
        let [original, ours] = [Client::original(), Client::drop_in()]
            .map(|client| client.to(&server).args(arguments).run());
        assert_eq!(ours.failed(), original.failed(), "{arguments:?}");
        assert_eq!(ours.stderr, original.stderr, "{arguments:?}");
    }
    assert!(names(&directory).is_empty());
}
