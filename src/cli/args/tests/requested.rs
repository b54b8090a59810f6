//! What accepted command lines mean.

use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::backup::{
    BackupCompression, Checkpoint, DirectIo, Durability, ManifestRequest, OnFailure, PageChecksums,
    ServerTarget, SizeEstimate, SlotChoice, StandbySetup, SyncMethod, Target, WalMethod,
};
use crate::pg::{Compression, TablespaceMappings};

#[test]
fn without_options_the_defaults_are_those_of_the_original() {
    let BasebackupRequest { config, connection, verbosity, progress, report } =
        request(&["pg_basebackup", "-D", "d"]);
    assert_eq!(report, ReportForm::Messages);
    assert_eq!(config.compression, BackupCompression::None);
    assert_eq!(config.max_rate_kb, None);
    assert_eq!(config.standby, StandbySetup::Skip);
    assert_eq!(config.status_interval, Some(Duration::from_secs(10)));
    assert_eq!(connection, ConnectionArgs::default());
    assert_eq!((verbosity, progress), (Verbosity::Quiet, ShowProgress::No));
    assert_eq!(config.wal, WalMethod::Stream(SlotChoice::Temporary));
    assert_eq!(config.checkpoint, Checkpoint::Spread);
    assert_eq!(config.label, "pg_basebackup base backup");
    assert_eq!(config.size_estimate, SizeEstimate::Ask);
    assert_eq!(config.page_checksums, PageChecksums::Verify);
    assert_eq!(config.durability, Durability::Sync(SyncMethod::Fsync));
    assert_eq!(config.on_failure, OnFailure::CleanUp);
    assert_eq!(config.direct_io, DirectIo::Auto);
    let manifest = ManifestRequest::Checksums { algorithm: None, force_encode: false };
    assert_eq!(config.manifest, manifest);
    assert_eq!(config.target, plain("d", &[], None));
}

fn plain(directory: &str, mappings: &[(&str, &str)], wal: Option<&str>) -> Target {
    let mut tablespaces = TablespaceMappings::default();
    for (old, new) in mappings {
        tablespaces.add(Path::new(old), Path::new(new));
    }
    Target::Plain {
        directory: directory.into(),
        tablespaces,
        wal_directory: wal.map(PathBuf::from),
    }
}

#[test]
fn targets_follow_format_and_directory() {
    let table = [
        ("-Ft", Target::Tar { directory: "d".into() }),
        ("--form=tar -D e", Target::Tar { directory: "e".into() }),
        ("-Ft -Fp", plain("d", &[], None)),
        ("-t client", plain("d", &[], None)),
        ("-t blackhole --targ client", plain("d", &[], None)),
        ("-D - -Xn", plain("-", &[], None)),
        ("-D - -Ftar -X none", Target::Stdout),
        ("-D -v", plain("-v", &[], None)),
        ("--pgdata=", plain("", &[], None)),
        ("-T /a=/b --tablespace-m /c=/d", plain("d", &[("/a", "/b"), ("/c", "/d")], None)),
        ("--waldir /x//y/../z/", plain("d", &[], Some("/x/z"))),
    ];
    for (line, target) in table {
        assert_eq!(config(line).target, target, "{line}");
    }
}

#[test]
fn a_target_of_the_server_splits_at_its_first_colon() {
    let table = [
        ("blackhole", "blackhole", None),
        ("server:/a:b", "server", Some("/a:b")),
        ("shell:", "shell", Some("")),
        ("", "", None),
        ("Client", "Client", None),
    ];
    for (typed, name, detail) in table {
        let config = request(&["pg_basebackup", "-Xnone", "-t", typed]).config;
        let (name, detail) = (name.to_owned(), detail.map(str::to_owned));
        assert_eq!(config.target, Target::Server(ServerTarget { name, detail }), "{typed}");
    }
}

#[test]
fn the_last_compression_counts_on_the_side_that_stores_unless_said_otherwise() {
    let gzip = |level| BackupCompression::Client(Compression::Gzip { level });
    let server = |algorithm: &str, detail: Option<&str>| BackupCompression::Server {
        algorithm: algorithm.to_owned(),
        detail: detail.map(str::to_owned),
    };
    let table = [
        ("-D d -Ft -z", gzip(None)),
        ("-D d -Ft -z -Z 3", gzip(Some(3))),
        ("-D d -Ft -Z 3 -z", gzip(None)),
        ("-D d -Ft -Z server-gzip:9 --gzip", gzip(None)),
        ("-D d -Ft -Z lz4 -Z client-gzip:level=1", gzip(Some(1))),
        ("-D d -Z zstd --compress=none", BackupCompression::None),
        ("-D d -Z 0", BackupCompression::None),
        ("-D d -z -Z server-foo:x:y", server("foo", Some("x:y"))),
        ("-D d -Z server-5", server("gzip", Some("5"))),
        ("-t x -Xf -z", server("gzip", None)),
        ("-t x -Xf -Z lz4:", server("lz4", Some(""))),
        ("-t x -Xf", BackupCompression::None),
    ];
    for (line, compression) in table {
        let argv = ["pg_basebackup"].into_iter().chain(line.split_ascii_whitespace());
        let config = request(&argv.collect::<Vec<_>>()).config;
        assert_eq!(config.compression, compression, "{line}");
    }
}

#[test]
fn the_native_name_has_options_of_its_own() {
    let own = |option: &str| request(&["pgsiphon", "basebackup", "-D", "d", option]);
    assert_eq!(own("--direct=off").config.direct_io, DirectIo::Off);
    assert_eq!(own("--json").report, ReportForm::Json);
}

#[test]
fn wal_methods_and_slots_combine() {
    let table = [
        ("-X n", WalMethod::None),
        ("-Xs -Xfetch", WalMethod::Fetch),
        ("-X none --no-slot", WalMethod::None),
        ("--no-slot", WalMethod::Stream(SlotChoice::None)),
        ("-S s", WalMethod::Stream(SlotChoice::Existing("s".into()))),
        ("-CS s -X stream", WalMethod::Stream(SlotChoice::Create("s".into()))),
    ];
    for (line, wal) in table {
        assert_eq!(config(line).wal, wal, "{line}");
    }
}

#[test]
fn the_other_options_reach_the_configuration() {
    let config = config(
        "-c FaSt -l label -nN -R -r 2M -s 3 --no-verify-checksums --no-estimate-size \
         --manifest-force-encode --manifest-checksums sha256",
    );
    assert_eq!(config.checkpoint, Checkpoint::Fast);
    assert_eq!(config.label, "label");
    assert_eq!(config.standby, StandbySetup::Write);
    assert_eq!(config.max_rate_kb, Some(2048));
    assert_eq!(config.status_interval, Some(Duration::from_secs(3)));
    assert_eq!(config.size_estimate, SizeEstimate::Skip);
    assert_eq!(config.page_checksums, PageChecksums::Ignore);
    assert_eq!(config.durability, Durability::NoSync);
    assert_eq!(config.on_failure, OnFailure::Keep);
    let algorithm = Some("sha256".to_owned());
    assert_eq!(config.manifest, ManifestRequest::Checksums { algorithm, force_encode: true });
    assert_eq!(self::config("--no-manifest").manifest, ManifestRequest::None);
    assert_eq!(self::config("-s 0").status_interval, None);
    let durability = self::config("--sync-method=syncfs").durability;
    assert_eq!(durability, Durability::Sync(SyncMethod::Syncfs));
}

#[test]
fn connection_and_display_options_are_handed_on() {
    let request = request(&[
        "pg_basebackup",
        "-Dd",
        "-d",
        "dbname=x y",
        "-h",
        "host",
        "-p7",
        "-Ume",
        "-vPv",
        "-wW",
    ]);
    let connection = ConnectionArgs {
        dbname: Some("dbname=x y".to_owned().into()),
        host: Some("host".into()),
        port: Some("7".into()),
        user: Some("me".into()),
        password_prompt: PasswordPrompt::Always,
    };
    assert_eq!(request.connection, connection);
    assert_eq!((request.verbosity, request.progress), (Verbosity::Verbose, ShowProgress::Yes));
    let never = self::request(&["pg_basebackup", "-Dd", "-W", "--no-password"]);
    assert_eq!(never.connection.password_prompt, PasswordPrompt::Never);
}

#[test]
fn paths_may_be_any_bytes_and_texts_may_not() {
    let program = Program::called(Some(OsStr::new("pg_basebackup")));
    let parse = |arguments: [&[u8]; 2]| {
        interpret(&program, &arguments.map(|bytes| OsString::from_vec(bytes.to_vec())))
    };
    let Ok(Outcome::Basebackup(request)) = parse([b"-Ft", b"-D\xff"]) else {
        panic!("the directory was refused")
    };
    let directory = PathBuf::from(OsString::from_vec(b"\xff".to_vec()));
    assert_eq!(request.config.target, Target::Tar { directory });
    let error = parse([b"-Dd", b"-l\xff"]).unwrap_err();
    assert_eq!(error.to_string(), "argument \"\u{fffd}\" is not valid UTF-8");
}
