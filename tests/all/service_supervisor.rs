//! The service as a library: servers that die, move and lose slots, and what is told of it.

use std::fs;
use std::path::Path;

use pgsiphon::pg::Lsn;
use pgsiphon::service::{
    Changes, Conninfo, EventKind, Phase, ServerConfig, ServerRole, SlotConfig, SlotPolicy,
};

use crate::support::installation::Installation;
use crate::support::receive::{end_segment, source, write_wal};
use crate::support::scratch::Scratch;
use crate::support::server::Server;
use crate::support::service::{SLOT, Service, config, count, server_config};
use crate::support::timelines::{follow, promote, standby_of, wait_for_replay};
use crate::support::wait_until;
use crate::support::wal_files::assert_log;

on_servers!(a_missing_slot_is_created_and_everything_is_received: pg13 pg18);
on_servers!(a_server_that_restarts_is_received_from_again: pg13 pg18);
on_servers!(mirror_slots_keep_wal_for_a_promotion: pg13 pg18);
on_servers!(an_invalidated_slot_is_made_anew_and_the_hole_is_told: pg13 pg18);
on_servers!(wal_that_another_host_has_is_not_skipped: pg13 pg18);
on_servers!(wal_that_no_host_has_is_skipped: pg18);
on_servers!(a_slot_lost_on_one_host_is_not_dropped_on_another: pg18);
on_servers!(a_dead_server_does_not_touch_another: pg18);
on_servers!(only_what_changed_is_restarted: pg18);
on_servers!(another_cluster_is_passed_over_also_after_a_restart: pg18);

fn a_missing_slot_is_created_and_everything_is_received(installation: Installation) {
    let server = source(installation).start();
    let scratch = Scratch::new();
    let directory = scratch.directory("wal");
    let service = Service::start(&[server_config("main", &[&server], &directory)]);
    service.wait_for_event("main", EventKind::Connected);
    service.wait_for_event("main", EventKind::SlotCreated);
    let end = write_wal(&server, 100_000);
    service.wait_until_flushed("main", end);
    service.wait_for("main", "streaming", |status| status.phase == Phase::Streaming);
    service.wait_for("main", "the slot", |status| {
        let slot = status.slot.as_ref();
        slot.is_some_and(|slot| slot.name == SLOT && slot.restart_lsn >= Some(end))
    });
    let status = service.status("main");
    assert_eq!(status.role, Some(ServerRole::Primary));
    assert_eq!(status.system_identifier, Some(server.sql(IDENTIFIER)));
    assert!(status.disk_free.is_some());
    drop(service);
    assert_log(&directory, &server, end);
}

const IDENTIFIER: &str = "SELECT system_identifier FROM pg_control_system()";

fn a_server_that_restarts_is_received_from_again(installation: Installation) {
    let mut server = source(installation).start();
    let scratch = Scratch::new();
    let directory = scratch.directory("wal");
    let service = Service::start(&[server_config("main", &[&server], &directory)]);
    service.wait_until_flushed("main", write_wal(&server, 1000));
    for end in [Server::stop, Server::kill] {
        end(&mut server);
        service
            .wait_for("main", "the loss", |status| matches!(status.phase, Phase::Waiting { .. }));
        server.start_again();
        service.wait_until_flushed("main", write_wal(&server, 1000));
    }
    let end = write_wal(&server, 100_000);
    service.wait_until_flushed("main", end);
    let status = service.status("main");
    assert_eq!(count(&status, EventKind::Connected), 3, "{status:#?}");
    assert_eq!(count(&status, EventKind::Failover), 0, "{status:#?}");
    assert!(status.reconnects.values().sum::<u64>() >= 2, "{status:#?}");
    drop(service);
    assert_log(&directory, &server, end);
}

fn mirrored(config: ServerConfig) -> ServerConfig {
    let slot = config.slot.map(|slot| SlotConfig { is_mirrored: true, ..slot });
    ServerConfig { slot, ..config }
}

fn mirror_slots_keep_wal_for_a_promotion(installation: Installation) {
    let segments_of_1_mb: &[&str] = &["--wal-segsize=1"];
    let builder = Server::builder(installation).initdb(segments_of_1_mb);
    let mut primary = builder.setting("wal_keep_size=0").start();
    let scratch = Scratch::new();
    let standby = standby_of(&primary, installation, &scratch.join("standby"));
    let directory = scratch.directory("wal");
    let wanted = mirrored(server_config("main", &[&primary, &standby], &directory));
    let service = Service::start(&[wanted]);
    let end = write_wal(&primary, 100_000);
    service.wait_until_flushed("main", end);
    wait_for_replay(&standby, end);
    service.wait_for("main", "the mirror slot", |status| {
        status
            .mirrors
            .iter()
            .any(|mirror| mirror.problem.is_none() && mirror.restart_lsn >= Some(end))
    });
    let restart =
        format!("SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = '{SLOT}'");
    assert!(standby.sql(&restart).parse::<Lsn>().unwrap() >= end);
    primary.kill();
    promote(&standby);
    // What comes next is far away from where a new primary would begin to keep WAL.
    for _ in 0..5 {
        end_segment(&standby);
        standby.sql("CHECKPOINT");
    }
    let end = write_wal(&standby, 100_000);
    service.wait_until_flushed("main", end);
    let status = service.status("main");
    assert_eq!(count(&status, EventKind::Failover), 1, "{status:#?}");
    assert_eq!(count(&status, EventKind::TimelineSwitched), 1, "{status:#?}");
    assert_eq!((status.timeline, status.role), (Some(2), Some(ServerRole::Primary)));
    // One may be noticed when the directory was empty.
    assert!(status.open_holes.iter().all(|hole| hole.from.is_none()), "{status:#?}");
    follow(&mut primary, &standby);
    let host = format!("{}:5432", primary.sockets().display());
    service.wait_for("main", "a slot on the former primary", |status| {
        let [mirror] = &status.mirrors[..] else { return false };
        mirror.host == host && mirror.problem.is_none() && mirror.restart_lsn.is_some()
    });
}

fn an_invalidated_slot_is_made_anew_and_the_hole_is_told(installation: Installation) {
    let builder = Server::builder(installation).initdb(&["--wal-segsize=1"]);
    let server = builder.setting("max_slot_wal_keep_size=1MB").start();
    let scratch = Scratch::new();
    let directory = scratch.directory("wal");
    let wanted = server_config("main", &[&server], &directory);
    let slot = wanted.slot.clone().map(|slot| SlotConfig { policy: SlotPolicy::Recreate, ..slot });
    let wanted = ServerConfig { slot, backups: Some(scratch.join("backups")), ..wanted };
    let service = Service::start(std::slice::from_ref(&wanted));
    service.wait_until_flushed("main", end_segment(&server));
    drop(service);
    for _ in 0..6 {
        end_segment(&server);
    }
    server.sql("CHECKPOINT");
    let service = Service::start(&[wanted]);
    service.wait_for("main", "the hole", |status| {
        status.open_holes.iter().any(|hole| hole.from.is_some())
    });
    let end = write_wal(&server, 10_000);
    service.wait_until_flushed("main", end);
    wait_until("the slot to keep WAL again", || {
        server.sql("SELECT wal_status FROM pg_replication_slots") == "reserved"
    });
    let status = service.status("main");
    assert!(count(&status, EventKind::HoleOpened) > 0, "{status:#?}");
    // Of the run before, too.
    assert!(count(&status, EventKind::SlotCreated) > 0, "{status:#?}");
    fs::create_dir(scratch.join("backups")).unwrap();
    let backup = scratch.join("backups/first");
    let client = crate::support::client::Client::pgsiphon().to(&server);
    client.args(["-N", "-c", "fast"]).into_directory(&backup).run().succeeded();
    service.wait_for_event("main", EventKind::HoleCovered);
    service.wait_for("main", "no hole", |status| status.open_holes.is_empty());
}

/// Receives something from hosts, then lets the first of them remove what comes next when the others have it; returns
/// where that begins, and the service that receives again.
fn receive_without_the_first_host(
    hosts: &[&Server],
    directory: &Path,
    wait: impl Fn(Lsn),
) -> (Lsn, Service) {
    let wanted = server_config("main", hosts, directory);
    let any = format!("{} target_session_attrs=any", wanted.conninfo.reveal());
    let wanted = ServerConfig { slot: None, conninfo: Conninfo::new(any), ..wanted };
    let service = Service::start(std::slice::from_ref(&wanted));
    let missing = end_segment(hosts[0]);
    service.wait_until_flushed("main", missing);
    drop(service);
    for _ in 0..6 {
        end_segment(hosts[0]);
    }
    wait(write_wal(hosts[0], 1000));
    hosts[0].sql("CHECKPOINT");
    (missing, Service::start(&[wanted]))
}

fn wal_that_another_host_has_is_not_skipped(installation: Installation) {
    let builder = Server::builder(installation).initdb(&["--wal-segsize=1"]);
    let primary = builder.setting("wal_keep_size=0").start();
    let scratch = Scratch::new();
    let standby = standby_of(&primary, installation, &scratch.join("standby"));
    let (directory, hosts) = (scratch.directory("wal"), [&primary, &standby]);
    let wait = |end| wait_for_replay(&standby, end);
    let (_, service) = receive_without_the_first_host(&hosts, &directory, wait);
    let end = write_wal(&primary, 10_000);
    service.wait_until_flushed("main", end);
    let status = service.status("main");
    assert_eq!(status.role, Some(ServerRole::Standby));
    assert!(status.open_holes.iter().all(|hole| hole.from.is_none()), "{status:#?}");
    drop(service);
    assert_log(&directory, &standby, end);
}

fn wal_that_no_host_has_is_skipped(installation: Installation) {
    let builder = Server::builder(installation).initdb(&["--wal-segsize=1"]);
    let server = builder.setting("wal_keep_size=0").start();
    let scratch = Scratch::new();
    let (directory, hosts) = (scratch.directory("wal"), [&server, &server]);
    let (missing, service) = receive_without_the_first_host(&hosts, &directory, |_| {});
    service.wait_for("main", "the hole", |status| {
        status.open_holes.iter().any(|hole| hole.from == Some(missing))
    });
    service.wait_until_flushed("main", write_wal(&server, 10_000));
}

fn a_slot_lost_on_one_host_is_not_dropped_on_another(installation: Installation) {
    let loses = Server::builder(installation).initdb(&["--wal-segsize=1"]).start();
    let scratch = Scratch::new();
    let keeps = standby_of(&loses, installation, &scratch.join("standby"));
    loses.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'");
    loses.sql("SELECT pg_reload_conf()");
    let directory = scratch.directory("wal");
    let wanted = mirrored(server_config("main", &[&loses, &keeps], &directory));
    let slot = wanted.slot.map(|slot| SlotConfig { policy: SlotPolicy::Recreate, ..slot });
    let conninfo = format!("{} target_session_attrs=any", wanted.conninfo.reveal());
    let wanted = ServerConfig { slot, conninfo: Conninfo::new(conninfo), ..wanted };
    let service = Service::start(std::slice::from_ref(&wanted));
    let begun = write_wal(&loses, 1000);
    service.wait_until_flushed("main", begun);
    service.wait_for("main", "the mirror slot", |status| {
        status.mirrors.iter().any(|mirror| mirror.restart_lsn >= Some(begun))
    });
    drop(service);
    for _ in 0..6 {
        end_segment(&loses);
    }
    loses.sql("CHECKPOINT");
    assert_eq!(loses.sql("SELECT wal_status FROM pg_replication_slots"), "lost");
    let service = Service::start(&[wanted]);
    let end = write_wal(&loses, 1000);
    service.wait_until_flushed("main", end);
    let status = service.status("main");
    assert_eq!(count(&status, EventKind::Failover), 1, "{status:#?}");
    let tells = |cause: &str| status.events.iter().filter(|event| event.cause == cause).count();
    // Which is said of the host that is received from, while mirror slots are told with their hosts.
    assert_eq!(tells("slot \"pgsiphon\" was missing"), 1, "{status:#?}");
    assert_eq!(tells("slot \"pgsiphon\" was invalidated by the server"), 0, "{status:#?}");
    drop(service);
    assert_log(&directory, &keeps, end);
}

fn a_dead_server_does_not_touch_another(installation: Installation) {
    let (mut dead, lives) = (source(installation).start(), source(installation).start());
    let scratch = Scratch::new();
    let directories = ["dead", "lives"].map(|name| scratch.directory(name));
    let mut service = Service::start(&[
        server_config("dead", &[&dead], &directories[0]),
        server_config("lives", &[&lives], &directories[1]),
    ]);
    service.wait_until_flushed("dead", write_wal(&dead, 1000));
    dead.kill();
    service.wait_for("dead", "the loss", |status| matches!(status.phase, Phase::Waiting { .. }));
    let end = write_wal(&lives, 100_000);
    service.wait_until_flushed("lives", end);
    let status = service.status("lives");
    assert_eq!((count(&status, EventKind::Connected), status.reconnects.len()), (1, 0));
    assert!(service.servers().are_alive());
    drop(service);
    assert_log(&directories[1], &lives, end);
}

fn only_what_changed_is_restarted(installation: Installation) {
    let server = source(installation).start();
    let scratch = Scratch::new();
    let [same, changed, gone, new] = ["same", "changed", "gone", "new"].map(|name| {
        let wanted = server_config(name, &[&server], &scratch.directory(name));
        let slot = wanted.slot.map(|slot| SlotConfig { name: name.to_owned(), ..slot });
        ServerConfig { slot, ..wanted }
    });
    let mut service = Service::start(&[same.clone(), changed.clone(), gone]);
    for name in ["same", "changed", "gone"] {
        service.wait_until_flushed(name, write_wal(&server, 10));
    }
    let changed = ServerConfig { time_index: true, ..changed };
    let changes = service.servers().apply(&config(&[same, changed, new])).unwrap();
    let [started, restarted, stopped] =
        ["new", "changed", "gone"].map(|name| vec![name.to_owned()]);
    assert_eq!(changes, Changes { started, restarted, stopped });
    let end = write_wal(&server, 1000);
    for (name, connections) in [("same", 1), ("changed", 2), ("new", 1)] {
        service.wait_until_flushed(name, end);
        let status = service.status(name);
        assert_eq!(count(&status, EventKind::Connected), connections, "{status:#?}");
    }
    assert_eq!(service.servers().board().servers().len(), 3);
}

fn another_cluster_is_passed_over_also_after_a_restart(installation: Installation) {
    let ours = source(installation).start();
    let other = Server::builder(installation).initdb(&["--wal-segsize=1"]).start();
    assert_ne!(ours.sql(IDENTIFIER), other.sql(IDENTIFIER));
    let scratch = Scratch::new();
    let directory = scratch.directory("wal");
    let alone = Service::start(&[server_config("main", &[&ours], &directory)]);
    alone.wait_until_flushed("main", write_wal(&ours, 1000));
    drop(alone);
    let service = Service::start(&[server_config("main", &[&other, &ours], &directory)]);
    service.wait_until_flushed("main", write_wal(&ours, 1000));
    let status = service.status("main");
    let failed = status.events.iter().find(|event| event.kind == EventKind::Failed).unwrap();
    let [known, found] = [&ours, &other].map(|server| server.sql(IDENTIFIER));
    let words = format!("system identifier does not match: expected {known}, got {found}");
    assert_eq!(failed.cause, words);
    assert_eq!(other.sql("SELECT count(*) FROM pg_replication_slots"), "0");
}
