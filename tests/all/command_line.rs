//! What the command line adds to a backup: reports for programs, and a password that stays hidden.

use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::scratch::Scratch;
use crate::support::server::Server;
use crate::support::{PATIENCE, POLL_INTERVAL};

on_servers!(json_reports_a_backup_and_its_progress: pg13 pg18);

fn objects(stdout: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn json_reports_a_backup_and_its_progress(installation: Installation) {
    let server = Server::start(installation);
    let scratch = Scratch::new();
    let target = scratch.join("target");
    let client = || Client::pgsiphon().to(&server).args(["--json", "-P", "-X", "stream"]);
    let finished = client().into_directory(&target).run().succeeded();
    assert_eq!(finished.stderr, "");
    let objects = self::objects(&finished.stdout);
    let (report, progress) = objects.split_last().unwrap();
    assert!(progress.iter().all(|object| object["type"] == "progress"), "{progress:?}");
    assert_eq!(progress[0]["phase"], "waiting_for_checkpoint");
    assert_eq!((&report["type"], &report["status"]), (&"report".into(), &"completed".into()));
    assert_eq!(report["target"], target.to_str().unwrap());
    assert_eq!(report["files"], report["verified_files"]);
    let system = server.sql("SELECT system_identifier FROM pg_control_system()");
    assert_eq!(report["system_identifier"], system);
    for counter in ["files", "received_bytes", "wal_bytes", "bytes_per_second"] {
        assert!(report[counter].as_u64().unwrap() > 0, "{counter} is missing: {report}");
    }

    let finished = client().into_directory(&target).run();
    let error = finished.failed();
    let report = &self::objects(&finished.stdout)[0];
    assert_eq!((&report["status"], &report["error"]), (&"failed".into(), &error.into()));
}

#[test]
fn a_password_on_the_command_line_is_not_left_in_the_process_list() {
    let scratch = Scratch::new();
    let socket = scratch.join(".s.PGSQL.5432");
    // Nobody answers, so the program waits.
    let _listener = UnixListener::bind(&socket).unwrap();
    let host = socket.parent().unwrap().display().to_string();
    let connection = format!("host={host} user=u password=open-sesame");
    let clients =
        [Client::pgsiphon(), Client::drop_in(), Client::receivewal(), Client::receivewal_drop_in()];
    for client in clients {
        let client = client.args(["-D", "/", "-v", "-d", &connection]);
        let running = client.start();
        let started = Instant::now();
        while !running.visible_arguments().ends_with("-D / -v -d *** ") {
            assert!(started.elapsed() < PATIENCE, "{}", running.visible_arguments());
            thread::sleep(POLL_INTERVAL);
        }
        running.signal(Signal::TERM);
        assert!(running.wait().was_killed());
    }
}
