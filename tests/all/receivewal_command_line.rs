//! The program under the name of `pg_receivewal` takes and refuses the command lines that the original does,
//! with the same words and exit codes.

use std::fs;

use crate::support::agreement::{RECEIVEWAL, agree};
use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::scratch::Scratch;
use crate::support::server::Server;

on_servers!(both_refuse_the_same_command_lines: pg18);
on_servers!(help_and_version_count_only_as_the_first_argument: pg18);
on_servers!(both_create_and_drop_slots: pg13 pg15 pg18);
on_servers!(both_say_why_there_is_no_slot: pg13 pg18);
on_servers!(a_first_connection_that_fails_ends_both: pg13 pg18);

/// Command lines that end before a connection is made.
const REFUSED: [&str; 54] = [
    "",
    "-v",
    "a b",
    "-D d a",
    "-- -y",
    "-y",
    "-vN",
    "-D",
    "-vE",
    "-n -V",
    "-v -?",
    "-v --help",
    "--versio",
    "--help=1",
    "--bogus=1",
    "--pgdata=d",
    "--h",
    "--v",
    "--d",
    "--p",
    "--n",
    "--no",
    "--s",
    "--c",
    "--w",
    "--e",
    "--verbose=1",
    "--synch=1",
    "--on-hole=skip",
    "--no-time-index",
    "--direct-io=off",
    "--create-slot",
    "--drop-slot -D d",
    "--create-slot --drop-slot",
    "--create-slot --synchronous --no-sync",
    "--synchronous --no-sync",
    "-D d --no-sync --sync -Z foo",
    "-E x --create-slot --drop-slot",
    "-E 1/ -y",
    "-E 123",
    "-s x",
    "-s -1 --bogus",
    "-s 2147484",
    "-Z foo",
    "-D d -Z foo",
    "-D d -Z gzip:10",
    "-D d -Z 10",
    "-D d -Z lz4:workers=1",
    "-D d -Z gzip:long",
    "-D d -Z none:1",
    "-D d -Z server-gzip",
    "-Z client-lz4 --create-slot -S s",
    "-D missing -h nowhere",
    "-D f -E 0x1/+2 -Z zstd:99 -Z lz4:0 -s ",
];

fn both_refuse_the_same_command_lines(_: Installation) {
    RECEIVEWAL.agree_to_refuse(&REFUSED, "pg_receivewal");
}

/// The help is in our own words, but on the same options.
fn help_and_version_count_only_as_the_first_argument(_: Installation) {
    RECEIVEWAL.agree_on_help(|original, ours| {
        let end_of_name = |c: char| !(c.is_ascii_lowercase() || c == '-');
        let names = original.split("--").skip(1).filter_map(|text| text.split(end_of_name).next());
        let missing: Vec<_> = names.filter(|name| !ours.contains(&format!("--{name}"))).collect();
        assert!(missing.is_empty(), "{missing:?} missing in {ours}");
    });
}

fn both_create_and_drop_slots(installation: Installation) {
    let server = Server::start(installation);
    let missing = Scratch::new().join("missing");
    let slots = || {
        server.sql("SELECT slot_name, slot_type, restart_lsn, temporary FROM pg_replication_slots")
    };
    let steps: [(&[&str], &str); 9] = [
        (&["--create-slot", "-S", "s", "-v"], "s|physical||f"),
        (&["--create-slot", "-S", "s", "-v"], "s|physical||f"),
        (&["--create-slot", "-S", "s", "-v", "--if-not-exists"], "s|physical||f"),
        (
            &["--create-slot", "-S", "s", "-Z", "gzip", "--if-n", "-d", "dbname=postgres"],
            "s|physical||f",
        ),
        (&["--create-slot", "-S", "Bad\"Name", "--if-not-exists"], "s|physical||f"),
        (&["--create-slot", "-S", ""], "s|physical||f"),
        (&["--drop-slot", "-S", "s", "-vn"], ""),
        (&["--drop-slot", "-S", "s", "-v", "--if-not-exists"], ""),
        (&["--drop-slot", "-S", ""], ""),
    ];
    let run = |client: fn() -> Client| {
        steps.map(|(arguments, expected)| {
            // No directory is looked at.
            let finished = client().to(&server).args(arguments).into_directory(&missing).run();
            assert_eq!(slots(), expected, "{arguments:?}");
            finished
        })
    };
    let (originals, ours) = (run(Client::receivewal_original), run(Client::receivewal_drop_in));
    for ((original, ours), (arguments, _)) in originals.into_iter().zip(ours).zip(steps) {
        agree([original, ours], &format!("{arguments:?}"));
    }

    let native = Client::receivewal().to(&server).args(["--create-slot", "-S", "s", "-v"]).run();
    assert_eq!(native.succeeded().stderr, "pgsiphon: creating replication slot \"s\"\n");
    assert_eq!(slots(), "s|physical||f");
}

fn both_say_why_there_is_no_slot(installation: Installation) {
    let settings: [&[&str]; 2] =
        [&["max_replication_slots=0"], &["wal_level=minimal", "max_wal_senders=0"]];
    for settings in settings {
        let mut builder = Server::builder(installation);
        for setting in settings {
            builder = builder.setting(*setting);
        }
        let server = builder.start();
        for action in ["--create-slot", "--drop-slot"] {
            let finished =
                RECEIVEWAL.run(|client| client.to(&server).args([action, "-v", "-S", "s"]));
            let said = agree(finished, &format!("{settings:?} {action}"));
            assert_eq!(said.matches(": error: ").count(), 1, "{said}");
        }
    }
}

/// Also without `-n`: only a connection that was made once is made again.
fn a_first_connection_that_fails_ends_both(installation: Installation) {
    let hba = "host replication all all scram-sha-256\n";
    let server = Server::builder(installation).tcp().hba(hba).start();
    server.sql("CREATE ROLE powerless LOGIN; CREATE ROLE r REPLICATION LOGIN PASSWORD 'right'");
    let scratch = Scratch::new();
    fs::write(scratch.join("passwords"), "*:*:*:*:wrong\n").unwrap();
    let table: [&[&str]; 11] = [
        &["-p", "1"],
        &["-p", "x"],
        &["-h", "nowhere.invalid"],
        &["-U", "nobody"],
        &["-U", "powerless"],
        &["-h", "127.0.0.1", "-U", "r"],
        &["-h", "127.0.0.1", "-d", "user=x password=wrong"],
        &["-h", "127.0.0.1", "-U", "r", "-d", "passfile=passwords"],
        &["-d", "postgres"],
        &["-d", "bogus=1"],
        &["-h", "127.0.0.1", "-d", "sslmode=require"],
    ];
    for arguments in table {
        for action in [&["-D", "."][..], &["-D", ".", "-n", "-v"], &["--drop-slot", "-S", "s"]] {
            let prepare = |client: Client| client.to(&server).args(arguments).args(action);
            let finished = RECEIVEWAL.run(|client| prepare(client).within(scratch.path()));
            agree(finished, &format!("{arguments:?} {action:?}"));
        }
    }
    assert_eq!(scratch.names(), ["passwords"]);
}
