//! Receiving WAL: refusals, as `pg_receivewal` 18.6 gave them when it was run, and what accepted command
//! lines mean.

use std::time::Duration;

use super::*;
use crate::pg::{Compression, Lsn};
use crate::receive::{HolePolicy, IfSlotExists, OnDisconnect, ReceiveConfig, TimeIndex};
use crate::storage::DirectIo;
use crate::wal::SyncPolicy;

const HINT: &str = "pg_receivewal: hint: Try \"pg_receivewal --help\" for more information.\n";

fn refusal(line: &str) -> String {
    super::refusal("pg_receivewal", line)
}

fn request(line: &str) -> ReceivewalRequest {
    let argv: Vec<&str> = line.split_ascii_whitespace().collect();
    match outcome(&argv) {
        Ok(Outcome::Receivewal(request)) => *request,
        other => panic!("{line:?} gave {other:?}"),
    }
}

fn config(line: &str) -> ReceiveConfig {
    match request(line).action {
        ReceivewalAction::Receive(config) => *config,
        other => panic!("{line:?} gave {other:?}"),
    }
}

#[test]
fn what_getopt_refuses_is_refused_in_its_words() {
    let table = [
        ("-N", "invalid option -- 'N'"),
        ("-v -V", "invalid option -- 'V'"),
        ("-nE", "option requires an argument -- 'E'"),
        ("--pgdata=x", "unrecognized option '--pgdata=x'"),
        ("--on-hole=skip", "unrecognized option '--on-hole=skip'"),
        ("--no-time-index", "unrecognized option '--no-time-index'"),
        ("--sync=1", "option '--synchronous' doesn't allow an argument"),
        ("--e", "option '--endpos' requires an argument"),
        ("--h", "option '--h' is ambiguous; possibilities: '--help' '--host'"),
        ("--v", "option '--v' is ambiguous; possibilities: '--version' '--verbose'"),
        ("--d", "option '--d' is ambiguous; possibilities: '--directory' '--dbname' '--drop-slot'"),
        ("--p", "option '--p' is ambiguous; possibilities: '--port' '--password'"),
        (
            "--n",
            "option '--n' is ambiguous; possibilities: '--no-loop' '--no-password' '--no-sync'",
        ),
        (
            "--s",
            "option '--s' is ambiguous; possibilities: '--status-interval' '--slot' '--synchronous'",
        ),
        ("--c", "option '--c' is ambiguous; possibilities: '--compress' '--create-slot'"),
    ];
    for (line, text) in table {
        assert_eq!(refusal(line), format!("/bin/pg_receivewal: {text}\n{HINT}"), "{line}");
    }
    assert_eq!(refusal("-v --help"), HINT);
}

#[test]
fn values_are_refused_without_a_hint_where_the_scan_meets_them() {
    let table = [
        ("-E x --create-slot --drop-slot", "could not parse end position \"x\""),
        ("--endp=1/", "could not parse end position \"1/\""),
        ("-s -1 -y", "-s/--status-interval must be in range 0..2147483"),
        ("-s 5s", "invalid value \"5s\" for option -s/--status-interval"),
    ];
    for (line, text) in table {
        assert_eq!(refusal(line), format!("pg_receivewal: error: {text}\n"), "{line}");
    }
}

#[test]
fn options_that_do_not_go_together_are_refused_in_the_original_order() {
    let table = [
        ("", "no target directory specified"),
        ("-Z zstd -S s --if-not-exists", "no target directory specified"),
        ("a --create-slot --drop-slot", "too many command-line arguments (first is \"a\")"),
        ("--create-slot --drop-slot", "cannot use --create-slot together with --drop-slot"),
        (
            "--create-slot --synchronous --no-sync",
            "--create-slot needs a slot to be specified using --slot",
        ),
        ("--drop -D d", "--drop-slot needs a slot to be specified using --slot"),
        ("--sync --no-sync", "cannot use --synchronous together with --no-sync"),
        (
            "--create-slot -S s --no-s --synchronous -Z foo",
            "cannot use --synchronous together with --no-sync",
        ),
    ];
    for (line, text) in table {
        assert_eq!(refusal(line), format!("pg_receivewal: error: {text}\n{HINT}"), "{line}");
    }
}

#[test]
fn compressions_that_make_no_sense_are_refused_without_a_hint() {
    let table = [
        ("-Z foo --create-slot -S s", "unrecognized compression algorithm: \"foo\""),
        ("-D d -Z server-gzip", "unrecognized compression algorithm: \"server-gzip\""),
        ("-D d -Z client-lz4", "unrecognized compression algorithm: \"client-lz4\""),
        (
            "-D d -Z 10",
            "invalid compression specification: compression algorithm \"gzip\" expects a compression \
             level between 1 and 9 (default at -1)",
        ),
        (
            "-Z lz4:workers=1 --drop-slot -S s",
            "invalid compression specification: compression algorithm \"lz4\" does not accept a \
             worker count",
        ),
    ];
    for (line, text) in table {
        assert_eq!(refusal(line), format!("pg_receivewal: error: {text}\n"), "{line}");
    }
}

#[test]
fn without_options_the_defaults_are_those_of_the_original() {
    let ReceivewalRequest { connection, verbosity, .. } = request("pg_receivewal -D d");
    assert_eq!((connection, verbosity), (ConnectionArgs::default(), Verbosity::Quiet));
    let config = config("pg_receivewal -D d");
    assert_eq!(config.directory.to_str(), Some("d"));
    assert_eq!((config.slot, config.end, config.compression), (None, None, None));
    assert_eq!(config.on_disconnect, OnDisconnect::Reconnect);
    assert_eq!(config.sync, SyncPolicy::Segments);
    assert_eq!(config.status_interval, Some(Duration::from_secs(10)));
    assert_eq!((config.direct_io, config.on_hole), (DirectIo::Auto, HolePolicy::Refuse));
    assert_eq!(config.time_index, TimeIndex::None);
}

#[test]
fn the_options_reach_the_configuration_and_the_last_one_counts() {
    let config = config(
        "pg_receivewal -vnD x --dir d -E 1/0 -E 0/7 -S a --slot=b -s 5 -s0 --sync -Z 9 -Z zstd:3 \
         -d dbname=x -h host -p 7 -U me -W",
    );
    assert_eq!(config.directory.to_str(), Some("d"));
    assert_eq!((config.slot.as_deref(), config.end), (Some("b"), Some(Lsn::new(7))));
    assert_eq!(config.on_disconnect, OnDisconnect::Stop);
    assert_eq!((config.sync, config.status_interval), (SyncPolicy::AtOnce, None));
    let zstd = Compression::Zstd { level: Some(3), workers: None, long_distance: false };
    assert_eq!(config.compression, Some(zstd));

    let config = self::config("pg_receivewal -D d --no-s -Z gzip -Z none -E 0/0");
    assert_eq!((config.sync, config.compression, config.end), (SyncPolicy::Never, None, None));

    let request = request("pg_receivewal -D d -d dbname=x -h host -p 7 -U me -v -W -w");
    let connection = ConnectionArgs {
        dbname: Some("dbname=x".to_owned().into()),
        host: Some("host".into()),
        port: Some("7".into()),
        user: Some("me".into()),
        password_prompt: PasswordPrompt::Never,
    };
    assert_eq!((request.connection, request.verbosity), (connection, Verbosity::Verbose));
}

#[test]
fn slots_are_created_and_dropped_without_a_directory() {
    let create = |line: &str| match request(line).action {
        ReceivewalAction::CreateSlot { name, if_exists } => (name, if_exists),
        other => panic!("{line:?} gave {other:?}"),
    };
    let slot = || "s".to_owned();
    assert_eq!(create("pg_receivewal -S s --create"), (slot(), IfSlotExists::Refuse));
    assert_eq!(create("pg_receivewal -S s --cr --if -D d"), (slot(), IfSlotExists::Accept));
    match request("pgsiphon receivewal --drop-slot --slot s --if-not-exists").action {
        ReceivewalAction::DropSlot(name) => assert_eq!(name, "s"),
        other => panic!("gave {other:?}"),
    }
}

#[test]
fn only_the_native_name_has_options_of_its_own() {
    let table = [
        ("", DirectIo::Auto, HolePolicy::Refuse, TimeIndex::Keep),
        ("--direct-io=off --on-hole stop", DirectIo::Off, HolePolicy::Refuse, TimeIndex::Keep),
        ("--on-hole=skip --no-time-index", DirectIo::Auto, HolePolicy::Skip, TimeIndex::None),
    ];
    for (line, direct_io, on_hole, time_index) in table {
        let config = config(&format!("pgsiphon receivewal -D d {line}"));
        let found = (config.direct_io, config.on_hole, config.time_index);
        assert_eq!(found, (direct_io, on_hole, time_index), "{line}");
    }
}
