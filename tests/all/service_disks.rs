//! The service and disks that are full or dead: it is told, nothing else is touched, and it goes on when the disk does.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use pgsiphon::service::{EventKind, Limits, ServerConfig};
use rustix::process::Signal;

use crate::support::client::{Client, Running};
use crate::support::installation::Installation;
use crate::support::mount::{Ballast, DeadMount, Disk, Mount};
use crate::support::receive::{end_segment, write_wal};
use crate::support::scratch::Scratch;
use crate::support::server::Server;
use crate::support::service::{Service, config, count, server_config};
use crate::support::wait_until;
use crate::support::wal_files::assert_log;

on_servers!(a_full_disk_is_told_and_so_is_its_end: pg18);
on_servers!(a_directory_is_used_by_one_receiver: pg18);
on_servers!(a_dead_disk_keeps_neither_another_server_nor_the_end: pg18);
on_servers!(a_dead_mount_with_backups_keeps_nobody: pg18);

/// Starts a service that receives into a directory, with nothing else that could keep a second one out.
fn receive_into(directory: &Path, server: &Server, scratch: &Scratch) -> Running {
    let (sockets, port) = (server.sockets(), server.port());
    let file = scratch.join(directory.file_name().unwrap()).with_extension("toml");
    let text = format!(
        "[http]\nenabled = false\n[log]\nformat = \"text\"\n\
         [servers.main]\nconninfo = \"host={} port={port} user=postgres\"\ndirectory = \"{}\"\n",
        sockets.display(),
        directory.display()
    );
    fs::write(&file, text).unwrap();
    Client::serve(&file).start()
}

fn a_directory_is_used_by_one_receiver(installation: Installation) {
    let server = Server::start(installation);
    let scratch = Scratch::new();
    let (directory, link) = (scratch.directory("wal"), scratch.join("link"));
    symlink(&directory, &link).unwrap();
    let streams = || server.sql("SELECT count(*) FROM pg_stat_replication");
    let first = receive_into(&directory, &server, &scratch);
    wait_until("the first stream", || first.said().contains("streaming from"));
    let second = receive_into(&link, &server, &scratch);
    let refusal = format!("directory \"{}\" is in use by another receiver", link.display());
    wait_until(&refusal, || second.said().contains(&refusal));
    assert_eq!(streams(), "1");
    first.signal(Signal::KILL);
    wait_until("the second stream", || second.said().contains("streaming from"));
    first.wait();
    second.signal(Signal::TERM);
    second.wait().succeeded();
}

/// Two segments and a half.
const ROOM: u64 = 5 << 19;

/// Starts a server with small segments, which it keeps.
fn source(installation: Installation) -> Server {
    Server::builder(installation).initdb(&["--wal-segsize=1"]).setting("wal_keep_size=1GB").start()
}

fn a_full_disk_is_told_and_so_is_its_end(installation: Installation) {
    let server = source(installation);
    let Some(disk) = Mount::of_size("64m") else { return };
    let directory = disk.path().join("wal");
    fs::create_dir(&directory).unwrap();
    let wanted = server_config("main", &[&server], &directory);
    let slot_retained_max = Some(1 << 20);
    let limits = Limits { disk_free_min: 32 << 20, slot_retained_max, ..wanted.limits };
    let service = Service::start(&[ServerConfig { limits, ..wanted }]);
    service.wait_until_flushed("main", write_wal(&server, 1000));
    let ballast = Ballast::but_for(disk.path(), ROOM);
    for _ in 0..4 {
        end_segment(&server);
    }
    service.wait_for_event("main", EventKind::DiskFull);
    service.wait_for_event("main", EventKind::DiskLow);
    service.wait_for_event("main", EventKind::SlotAtRisk);
    let full = service.status("main").events.into_iter().find(|e| e.kind == EventKind::DiskFull);
    let cause = full.unwrap().cause;
    assert!(cause.ends_with(": No space left on device"), "{cause}");
    drop(ballast);
    let end = write_wal(&server, 1000);
    service.wait_until_flushed("main", end);
    // Of the disk, of its room, and of the slot.
    service.wait_for("main", "recovery", |status| count(status, EventKind::Recovered) == 3);
    drop(service);
    assert_log(&directory, &server, end);
}

fn a_dead_disk_keeps_neither_another_server_nor_the_end(installation: Installation) {
    let (mut dead, lives) = (source(installation), source(installation));
    let Some(disk) = Disk::formatted("ext4") else { return };
    let (scratch, directory) = (Scratch::new(), disk.path().join("wal"));
    fs::create_dir(&directory).unwrap();
    let wanted = [
        server_config("dead", &[&dead], &directory),
        server_config("lives", &[&lives], &scratch.directory("lives")),
    ];
    let mut service = Service::start(&wanted);
    service.wait_until_flushed("dead", write_wal(&dead, 1000));
    let frozen = disk.freeze();
    write_wal(&dead, 1000);
    // It wants to see everything acknowledged.
    dead.stop();
    dead.start_again();
    service.wait_for_event("dead", EventKind::DiskStalled);
    service.wait_until_flushed("lives", write_wal(&lives, 1000));
    let [changed, same] = wanted;
    let changed = ServerConfig { time_index: true, ..changed };
    let begun = Instant::now();
    service.servers().apply(&config(&[changed, same])).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    // It took long enough to notice a thread that stands still.
    assert!(service.servers().are_alive());
    let status = service.status("lives");
    assert_eq!((count(&status, EventKind::Connected), status.reconnects.len()), (1, 0));
    drop(frozen);
    let end = write_wal(&dead, 1000);
    service.wait_until_flushed("dead", end);
    drop(service);
    assert_log(&directory, &dead, end);
}

fn a_dead_mount_with_backups_keeps_nobody(installation: Installation) {
    let server = source(installation);
    let Some(mount) = DeadMount::new() else { return };
    let scratch = Scratch::new();
    let directory = scratch.directory("wal");
    // Without a hole, nobody looks for backups.
    let hole = r#"{"from":"0/100000","to":"0/200000","timeline":1,"cause":"removed_by_server","noticed":"2000-01-01T00:00:00Z"}"#;
    fs::write(directory.join(".pgsiphon-holes"), format!("{hole}\n")).unwrap();
    let wanted = server_config("main", &[&server], &directory);
    let wanted = ServerConfig { backups: Some(mount.path().join("backups")), ..wanted };
    let mut service = Service::start(std::slice::from_ref(&wanted));
    service.wait_until_flushed("main", write_wal(&server, 1000));
    let begun = Instant::now();
    let changed = ServerConfig { time_index: true, ..wanted };
    service.servers().apply(&config(&[changed])).unwrap();
    service.wait_until_flushed("main", write_wal(&server, 1000));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    service.wait_for("main", "the hole", |status| {
        status.open_holes.iter().any(|hole| hole.from.is_some())
    });
    let status = service.status("main");
    assert_eq!(count(&status, EventKind::DiskStalled), 0, "{status:#?}");
}
