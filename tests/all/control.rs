//! Control files and labels of backups of real servers say what `pg_controldata` and the manifest say.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use pgsiphon::control::{BackupLabel, BackupSource, ControlFile};
use pgsiphon::pg::{Lsn, TimelineId};

use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::scratch::{Scratch, run};
use crate::support::server::Server;
use crate::support::timelines::standby_of;

on_servers!(the_control_file_and_the_label_of_a_backup_are_read: pg13 pg14 pg15 pg16 pg17 pg18);
on_servers!(the_control_file_and_the_label_of_a_standby_s_backup_are_read: pg13 pg18);

fn the_control_file_and_the_label_of_a_backup_are_read(installation: Installation) {
    let server = Server::builder(installation).initdb(&["--wal-segsize=1"]).start();
    let label = assert_read(&server, installation);
    assert_eq!((label.source, label.timeline), (BackupSource::Primary, TimelineId::FIRST));
}

fn the_control_file_and_the_label_of_a_standby_s_backup_are_read(installation: Installation) {
    let primary = Server::start(installation);
    let scratch = Scratch::new();
    let standby = standby_of(&primary, installation, &scratch.join("standby"));
    assert_eq!(assert_read(&standby, installation).source, BackupSource::Standby);
}

/// Takes a backup and compares what we read in it with what others do.
fn assert_read(server: &Server, installation: Installation) -> BackupLabel {
    let scratch = Scratch::new();
    let backup = scratch.join("backup");
    let client = Client::original().to(server).args(["-N", "-l", "the label", "-c", "fast"]);
    client.into_directory(&backup).run().succeeded();

    let control_file = fs::read(backup.join("global/pg_control")).unwrap();
    let control_file = ControlFile::parse(&control_file).unwrap();
    let printed = control_data(installation, &backup);
    for (name, ours) in fields(&control_file) {
        assert_eq!(printed.get(name), Some(&ours), "{name}");
    }

    let label = BackupLabel::parse(&fs::read(backup.join("backup_label")).unwrap()).unwrap();
    assert_eq!((label.method.as_str(), label.label.as_str()), ("streamed", "the label"));
    assert_eq!(label.incremental_from, None);
    assert_eq!(label.check_control_file(&control_file), Ok(()));
    let manifest = fs::read_to_string(backup.join("backup_manifest")).unwrap();
    let (_, start) = manifest.split_once("\"Start-LSN\": \"").unwrap();
    let start: Lsn = start.split_once('"').unwrap().0.parse().unwrap();
    assert_eq!(label.check_start(label.timeline, start), Ok(()));
    label
}

/// Lists the fields as `pg_controldata` prints them.
fn fields(file: &ControlFile) -> [(&'static str, String); 12] {
    [
        ("pg_control version number", file.control_version.to_string()),
        ("Catalog version number", file.catalog_version.to_string()),
        ("Database system identifier", file.system_identifier.to_string()),
        ("Latest checkpoint location", file.checkpoint.to_string()),
        ("Latest checkpoint's REDO location", file.redo.to_string()),
        ("Latest checkpoint's TimeLineID", file.timeline.to_string()),
        ("Minimum recovery ending location", file.min_recovery_point.to_string()),
        ("Database block size", file.block_size.to_string()),
        ("Blocks per segment of large relation", file.segment_blocks.to_string()),
        ("WAL block size", file.wal_block_size.to_string()),
        ("Bytes per WAL segment", file.wal_segment_size.bytes().to_string()),
        ("Data page checksum version", file.data_checksum_version.to_string()),
    ]
}

fn control_data(installation: Installation, data: &Path) -> HashMap<String, String> {
    let program = installation.verifier().0.with_file_name("pg_controldata");
    let output = run(Command::new(program).env("LC_ALL", "C").arg(data)).stdout;
    let lines = String::from_utf8(output).unwrap();
    let fields = lines.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}
