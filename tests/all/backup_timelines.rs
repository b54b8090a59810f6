//! The WAL beside a backup of a standby that follows its primary to another timeline meanwhile.

use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::receive::{source, write_wal};
use crate::support::scratch::{Scratch, names};
use crate::support::timelines::{promote, standby_of, wait_for_replay};
use crate::support::verify::{self, Wal, data_directory};
use crate::support::wait_until;

on_servers!(a_backup_goes_over_to_the_next_timeline: pg13 pg15 pg18);

fn a_backup_goes_over_to_the_next_timeline(installation: Installation) {
    let primary = source(installation).start();
    let scratch = Scratch::new();
    let middle = standby_of(&primary, installation, &scratch.join("middle"));
    let source = standby_of(&middle, installation, &scratch.join("source"));
    wait_for_replay(&source, write_wal(&primary, 1000));

    let slow = ["-c", "fast", "-r", "4M", "-N"];
    let targets = ["original", "plain", "tar"].map(|name| scratch.join(name));
    let [original, plain, tar] = &targets;
    let running = [
        Client::original().to(&source).args(slow).into_directory(original),
        Client::pgsiphon().to(&source).args(slow).into_directory(plain),
        Client::pgsiphon().to(&source).args(slow).arg("-Ft").into_directory(tar),
    ]
    .map(Client::start);
    wait_until("the backups to stream", || {
        source.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "3"
    });
    write_wal(&primary, 100_000);
    promote(&middle);
    wait_for_replay(&source, write_wal(&middle, 100_000));
    for run in running {
        run.wait().succeeded();
    }

    for target in &targets {
        let unpacked = Scratch::new();
        let data = data_directory(target, &unpacked);
        verify::verify(installation, &data, Wal::Included);
        Client::verifybackup().arg(target).run().succeeded();
        let wal = names(&data.join("pg_wal"));
        for kind in ["000000010", "000000020", "00000002.history"] {
            assert!(wal.iter().any(|name| name.starts_with(kind)), "{kind} in {wal:?}");
        }
        // Those that the server need not archive, among them no segment that has not come to its end.
        let marks = names(&data.join("pg_wal/archive_status"));
        assert!(marks.contains(&"00000002.history.done".to_owned()), "{marks:?}");
    }
}
