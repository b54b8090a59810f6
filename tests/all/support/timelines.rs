//! Standbys, and servers that begin new timelines.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use pgsiphon::pg::Lsn;

use super::account::give_to_server;
use super::client::Client;
use super::installation::Installation;
use super::server::Server;
use super::{wait_until, wal_files};

/// Starts a standby of a server in a new directory.
pub fn standby_of(primary: &Server, installation: Installation, data: &Path) -> Server {
    Client::pgsiphon().to(primary).args(["-R", "-N"]).into_directory(data).run().succeeded();
    let standby = Server::from_backup(installation, data);
    wait_until("the standby to stream", || {
        standby.sql("SELECT status FROM pg_stat_wal_receiver") == "streaming"
    });
    standby
}

/// Waits until a standby has replayed the log up to a position.
pub fn wait_for_replay(standby: &Server, position: Lsn) {
    let has_replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{position}'");
    wait_until("the standby to replay", || standby.sql(&has_replayed) == "t");
}

/// Promotes a standby; returns where the new timeline begins.
pub fn promote(standby: &Server) -> Lsn {
    assert_eq!(standby.sql("SELECT pg_promote()"), "t");
    wal_files::last_switch(standby)
}

/// Starts a former primary again as a standby of the new one.
pub fn follow(former: &mut Server, primary: &Server) {
    let settings = File::options().append(true).open(former.data().join("postgresql.auto.conf"));
    let connection = format!("host={} user=postgres", primary.sockets().display());
    writeln!(settings.unwrap(), "primary_conninfo = '{connection}'").unwrap();
    let signal = former.data().join("standby.signal");
    fs::write(&signal, "").unwrap();
    give_to_server(&signal);
    former.start_again();
}

/// Makes a server begin a new timeline all by itself, behind a shutdown in good order or a crash;
/// returns where that begins.
pub fn begin_timeline(server: &mut Server, end: fn(&mut Server)) -> Lsn {
    end(server);
    let signal = server.data().join("standby.signal");
    fs::write(&signal, "").unwrap();
    give_to_server(&signal);
    server.start_again();
    promote(server)
}
