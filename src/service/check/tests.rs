//! What is judged without asking anybody: hosts that no test can have.

use std::path::Path;

use super::cluster::{self, Sought};
use super::host::{Database, HostFacts, LookError, Replication, Slot};
use super::*;
use crate::net::conninfo::{Host, HostKind};
use crate::net::{Cluster, Modes};
use crate::pg::{Lsn, TimelineId, WalSegmentSize};

fn server(lines: &str) -> ServerConfig {
    let text = format!(
        "[servers.main]\nconninfo = 'host=a'\ndirectory = '/wal'\nslot = 's'\n\
         slot_retained_max = '1GB'\n{lines}"
    );
    Config::parse(&text, Path::new("f")).expect(lines).servers.remove(0)
}

/// A host about which there is nothing to say.
fn healthy(name: &str) -> HostFacts {
    let cluster = Cluster {
        version: "18.1".parse().expect("a version"),
        modes: Modes { directory: 0o700, file: 0o600 },
        segment_size: WalSegmentSize::SMALLEST,
        system_identifier: "7".to_owned(),
        timeline: TimelineId::FIRST,
        position: Lsn::new(1),
    };
    let settings = [
        ("max_replication_slots", "10"),
        ("max_slot_wal_keep_size", "-1"),
        ("max_wal_senders", "10"),
        ("synchronous_commit", "on"),
        ("synchronous_standby_names", ""),
        ("wal_level", "replica"),
        ("wal_sender_timeout", "60000"),
    ];
    let kind = HostKind::Tcp { name: name.to_owned(), address: None, is_named: true };
    HostFacts {
        host: Host { kind, port: 5432, reached: None },
        replication: Ok(Replication {
            major_version: 18,
            version_text: "18.1".to_owned(),
            in_hot_standby: Some(false),
            cluster,
        }),
        database: Some(Ok(Database {
            is_standby: false,
            user: "replicator".to_owned(),
            can_replicate: true,
            clock_ahead_micros: 0,
            senders_used: 1,
            slots_used: 1,
            some_wait_for_apply: false,
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            slot: Some(Slot {
                is_physical: true,
                wal_status: Some("reserved".to_owned()),
                user: None,
                keeps_wal: true,
            }),
        })),
        warnings: Vec::new(),
    }
}

/// Returns what is said of hosts, each finding in a line.
fn said(config: &ServerConfig, hosts: &[HostFacts], target: TargetSessionAttrs) -> Vec<String> {
    let sought = Sought { target, application_name: "pgsiphon".to_owned() };
    let findings = cluster::judge(config, hosts, &sought);
    let line = |Finding { severity, host, problem, hint }| {
        format!("{severity:?} {} {problem}: {}", host.unwrap_or_default(), hint.unwrap_or_default())
    };
    CheckedServer::new("main", findings).findings.into_iter().map(line).collect()
}

#[test]
fn each_fault_of_a_host_is_told_and_nothing_else() {
    type Change = fn(&mut Replication, &mut Database);
    let table: [(Change, &[&str]); 8] = [
        (|_, _| {}, &[]),
        (
            |host, _| (host.major_version, host.version_text) = (12, "12.22".to_owned()),
            &["Error a:5432 server version 12.22 is not supported: \
               WAL of version 13 and later is received."],
        ),
        (
            |_, server| server.clock_ahead_micros = 61_000_000,
            &["Warning a:5432 the server's clock is 61 seconds ahead of ours: \
               Synchronize both clocks; until then, lags in seconds are wrong."],
        ),
        (
            |_, server| server.clock_ahead_micros = -i64::MAX,
            &["Warning a:5432 the server's clock is 9223372036854 seconds behind ours: \
               Synchronize both clocks; until then, lags in seconds are wrong."],
        ),
        (|_, server| server.clock_ahead_micros = 5_000_000, &[]),
        (
            |_, server| {
                let slot = server.slot.as_mut().expect("there is one");
                slot.wal_status = Some("unreserved".to_owned());
            },
            &["Warning a:5432 replication slot \"s\" is about to lose its WAL: \
               Receive soon, or raise max_slot_wal_keep_size."],
        ),
        (
            |_, server| {
                let slot = server.slot.as_mut().expect("there is one");
                slot.user = Some((7, None));
            },
            &["Error a:5432 replication slot \"s\" is in use by PID 7: \
               Stop the other receiver, or name another slot."],
        ),
        (|_, server| server.settings.clear(), &[]),
    ];
    for (change, expected) in table {
        let mut facts = healthy("a");
        if let (Ok(host), Some(Ok(server))) = (&mut facts.replication, &mut facts.database) {
            change(host, server);
        }
        assert_eq!(said(&server(""), &[facts], TargetSessionAttrs::Any), expected);
    }
}

#[test]
fn a_slot_is_wanted_on_the_other_hosts_if_it_is_mirrored() {
    let mut standby = healthy("b");
    if let (Ok(host), Some(Ok(server))) = (&mut standby.replication, &mut standby.database) {
        host.in_hot_standby = Some(true);
        server.is_standby = true;
        server.slot = None;
        server.slots_used = 10;
    }
    let hosts = [healthy("a"), standby];
    let full = "Error b:5432 replication slot \"s\" cannot be created: all 10 are in use: \
        Drop one that nobody needs, or raise max_replication_slots.";
    let table: [(&str, &[&str]); 3] =
        [("", &[full]), ("slot_policy = 'require'", &[full]), ("slot_mirror = false", &[])];
    for (lines, expected) in table {
        let seen = said(&server(lines), &hosts, TargetSessionAttrs::Primary);
        assert_eq!(seen, expected, "{lines}");
    }
}

#[test]
fn a_host_of_another_cluster_is_told() {
    let mut other = healthy("b");
    if let Ok(host) = &mut other.replication {
        host.cluster.system_identifier = "8".to_owned();
    }
    let hosts = [healthy("a"), other];
    let expected = ["Error b:5432 system identifier is 8, that of the first host is 7: \
         List only hosts of one cluster."];
    assert_eq!(said(&server(""), &hosts, TargetSessionAttrs::Any), expected);
}

#[test]
fn a_host_that_is_away_is_an_error_only_if_there_is_no_other() {
    let away =
        || HostFacts { replication: Err(LookError::TimedOut), database: None, ..healthy("b") };
    let refused = HostFacts {
        replication: Err(LookError::Answer("the role")),
        database: None,
        ..healthy("c")
    };
    let hosts = [away(), healthy("a"), refused];
    let expected = [
        "Error c:5432 could not read the role: unexpected answer: ",
        "Warning b:5432 no answer within 20 seconds: ",
    ];
    assert_eq!(said(&server(""), &hosts, TargetSessionAttrs::Primary), expected);
    let expected = ["Error b:5432 no answer within 20 seconds: "];
    assert_eq!(said(&server(""), &[away()], TargetSessionAttrs::Any), expected);
}
