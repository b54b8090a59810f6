//! The program under the name of `pg_verifybackup` takes and refuses the command lines that the original does,
//! with the same words and exit codes; under its own name it has more to offer.

use std::fs::{self, File};
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::support::agreement::{VERIFYBACKUP, agree_in_any_order};
use crate::support::client::Client;
use crate::support::damage::{BackupFormat, Sample};
use crate::support::installation::Installation;
use crate::support::scratch::Scratch;
use crate::support::server::Server;

on_servers!(both_refuse_the_same_command_lines: pg18);
on_servers!(help_and_version_count_only_as_the_first_argument: pg18);
on_servers!(both_say_the_same_of_a_backup_whatever_the_options: pg18);
on_servers!(json_reports_a_verification: pg13 pg18);

/// Command lines that end before a backup is looked at.
const REFUSED: [&str; 52] = [
    "",
    "-n",
    "d",
    "./d//",
    "f",
    "missing",
    "-n d",
    "-nsq d",
    "d f",
    "d f -y",
    "d -q f",
    "-y",
    "-ey d",
    "-P -q",
    "-P -q d",
    "-qP d f",
    "d -q -P",
    "-F x",
    "-F x -y",
    "-y -F x",
    "-Fx d f",
    "-F T d",
    "-F tar",
    "-F p d",
    "--format=t d",
    "--format= d",
    "-m missing d",
    "-m ./missing/ d",
    "-m f d",
    "-m f missing",
    "-m d d",
    "-m f/x d",
    "-w missing d",
    "-i",
    "-m",
    "-nw",
    "-ei",
    "--ignore",
    "--m=f d",
    "--skip --manifest-path=f d",
    "--e",
    "--n",
    "--no",
    "--p d",
    "--w d",
    "--quiet=1 d",
    "-q --help",
    "-q -V",
    "-q -?",
    "--help=1",
    "--vers",
    "--pages --json d",
];

fn both_refuse_the_same_command_lines(_: Installation) {
    VERIFYBACKUP.agree_to_refuse(&REFUSED, "pg_verifybackup");
}

fn help_and_version_count_only_as_the_first_argument(_: Installation) {
    VERIFYBACKUP.agree_on_help(|original, ours| assert_eq!(ours, original));
}

/// Command lines for a backup in plain format, `b`, with a file too much, `b/extra/file`, beside a link to its WAL
/// and the same backup in tar format, `t`.
const ACCEPTED: [&str; 18] = [
    "b",
    "-q b",
    "-e b",
    "-Fp b",
    "-n b",
    "-i extra b",
    "-q -i extra b",
    "-i extra/ -s b",
    "-i extra/file b",
    "-i extr b",
    "-i extra/fil b",
    "-i ./extra//file -n b",
    "-i extra -w wal b",
    "-m b/backup_manifest -i extra b",
    "-n t",
    "-nq -F tar t",
    "-ns t",
    "-n -F plain -i base t",
];

fn both_say_the_same_of_a_backup_whatever_the_options(installation: Installation) {
    let sample = Sample::take(installation);
    let (plain, tar, scratch) =
        (sample.copy(BackupFormat::Plain), sample.copy(BackupFormat::Tar(None)), Scratch::new());
    let backup = plain.backup();
    symlink(&backup, scratch.join("b")).unwrap();
    symlink(tar.backup(), scratch.join("t")).unwrap();
    fs::create_dir(backup.join("extra")).unwrap();
    File::create(backup.join("extra/file")).unwrap();
    symlink("b/pg_wal", scratch.join("wal")).unwrap();
    let run =
        |line: &str| VERIFYBACKUP.run(|client| client.within(scratch.path()).args(line.split(' ')));
    for line in ACCEPTED {
        agree_in_any_order(run(line), line);
    }
    for line in ["-P -i extra b", "-P -n t", "-P -n -s t", "-P -s -i extra b"] {
        let [original, ours] = run(line).map(|finished| {
            assert!(finished.status.success(), "{line}: {}", finished.stderr);
            // Before it comes a line a second.
            finished.stderr.lines().next_back().map(str::to_owned)
        });
        assert_eq!(ours, original, "{line}");
    }
}

fn json_reports_a_verification(installation: Installation) {
    let (server, scratch) = (Server::start(installation), Scratch::new());
    let backup = scratch.join("b");
    Client::pgsiphon().to(&server).arg("-N").into_directory(&backup).run().succeeded();
    let verify = || {
        let finished = Client::verifybackup().args(["--json", "--pages"]).arg(&backup).run();
        let report: Value = serde_json::from_slice(&finished.stdout).unwrap();
        (report, finished)
    };
    let (report, finished) = verify();
    assert_eq!((&report["verified"], &report["findings"]), (&json!(true), &json!([])));
    assert_eq!(finished.succeeded().stderr, "");
    assert_eq!(report["manifest_version"], if installation.major < 17 { 1 } else { 2 });
    assert_eq!(report["wal_ranges"][0]["timeline"], 1);
    for counter in ["files", "bytes", "bytes_per_second"] {
        assert!(report[counter].as_u64().unwrap() > 0, "{counter} is missing: {report}");
    }

    fs::write(backup.join("PG_VERSION"), "99\n").unwrap();
    fs::remove_file(backup.join("global/pg_filenode.map")).unwrap();
    let (report, finished) = verify();
    assert_eq!(report["verified"], false);
    let findings = report["findings"].as_array().unwrap();
    let kinds: Vec<_> = findings.iter().filter_map(|finding| finding["kind"].as_str()).collect();
    assert_eq!(kinds, ["checksum", "missing"]);
    assert_eq!(finished.errors().len(), 2);

    fs::remove_file(backup.join("backup_manifest")).unwrap();
    let (report, finished) = verify();
    let error = finished.failed();
    assert_eq!((&report["verified"], &report["error"]), (&json!(false), &json!(error)));
}
