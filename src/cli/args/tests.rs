//! Command lines as tables: what is refused and in which words, and what the accepted ones mean. The
//! refusals are those of `pg_basebackup` 18.6 as it was run.

use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::backup::{
    BackupConfig, Checkpoint, DirectIo, Durability, ManifestRequest, OnFailure, PageChecksums,
    SizeEstimate, SlotChoice, Target, WalMethod,
};
use crate::cli::{Messages, refuse};
use crate::pg::TablespaceMappings;

const HINT: &str = "pg_basebackup: hint: Try \"pg_basebackup --help\" for more information.\n";

fn outcome(argv: &[&str]) -> Result<Outcome, String> {
    let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
    let program = Program::called(argv.first().map(OsString::as_os_str));
    interpret(&program, argv.get(1..).unwrap_or_default()).map_err(|error| {
        let mut stderr = Vec::new();
        refuse(&program, &error, &mut Messages::new(&mut stderr, program.name(), None));
        String::from_utf8(stderr).unwrap()
    })
}

/// Returns what the drop-in prints on standard error for a line of arguments without blanks in them.
fn refusal(line: &str) -> String {
    let argv: Vec<&str> =
        ["/bin/pg_basebackup"].into_iter().chain(line.split_ascii_whitespace()).collect();
    outcome(&argv).err().unwrap_or_else(|| panic!("{line:?} was accepted"))
}

fn request(argv: &[&str]) -> BasebackupRequest {
    match outcome(argv) {
        Ok(Outcome::Basebackup(request)) => *request,
        other => panic!("{argv:?} gave {other:?}"),
    }
}

fn config(line: &str) -> BackupConfig {
    let argv: Vec<&str> =
        ["pg_basebackup", "-D", "d"].into_iter().chain(line.split_ascii_whitespace()).collect();
    request(&argv).config
}

#[test]
fn what_getopt_refuses_is_refused_in_its_words() {
    let table = [
        ("-y", "invalid option -- 'y'"),
        ("-vy", "invalid option -- 'y'"),
        ("-v -V", "invalid option -- 'V'"),
        ("-v -?", "invalid option -- '?'"),
        ("-v=1", "invalid option -- '='"),
        ("-Nvs", "invalid option -- 's'"),
        ("-v-y", "invalid option -- '-'"),
        ("---", "unrecognized option '---'"),
        ("a -y", "invalid option -- 'y'"),
        ("-y -Fx", "invalid option -- 'y'"),
        ("-v -y", "invalid option -- 'y'"),
        ("-Dx -i old", "invalid option -- 'i'"),
        ("--bogus", "unrecognized option '--bogus'"),
        ("--bogus=", "unrecognized option '--bogus='"),
        ("--bogus=3 -Fx", "unrecognized option '--bogus=3'"),
        ("--gzip", "unrecognized option '--gzip'"),
        ("--direct-io=auto", "unrecognized option '--direct-io=auto'"),
        ("-D", "option requires an argument -- 'D'"),
        ("-vF", "option requires an argument -- 'F'"),
        ("-D x -h", "option requires an argument -- 'h'"),
        ("--pgdata", "option '--pgdata' requires an argument"),
        ("--pgd", "option '--pgdata' requires an argument"),
        ("--wal-m", "option '--wal-method' requires an argument"),
        ("--manifest-checksums", "option '--manifest-checksums' requires an argument"),
        ("--verbose=1", "option '--verbose' doesn't allow an argument"),
        ("--verb=", "option '--verbose' doesn't allow an argument"),
        ("--no-password= -Fx", "option '--no-password' doesn't allow an argument"),
        ("--h", "option '--h' is ambiguous; possibilities: '--help' '--host'"),
        ("--v", "option '--v' is ambiguous; possibilities: '--version' '--verbose'"),
        ("--c", "option '--c' is ambiguous; possibilities: '--checkpoint' '--create-slot'"),
        ("--no-s=3", "option '--no-s=3' is ambiguous; possibilities: '--no-sync' '--no-slot'"),
        (
            "--man x",
            "option '--man' is ambiguous; possibilities: '--manifest-force-encode' \
             '--manifest-checksums'",
        ),
        (
            "--no",
            "option '--no' is ambiguous; possibilities: '--no-clean' '--no-sync' '--no-password' \
             '--no-slot' '--no-verify-checksums' '--no-estimate-size' '--no-manifest'",
        ),
    ];
    for (line, text) in table {
        assert_eq!(refusal(line), format!("/bin/pg_basebackup: {text}\n{HINT}"), "{line}");
    }
}

#[test]
fn values_are_refused_without_a_hint_where_the_scan_meets_them() {
    let format =
        |value: &str| format!("invalid output format \"{value}\", must be \"plain\" or \"tar\"");
    let wal = |value: &str| {
        format!("invalid wal-method option \"{value}\", must be \"fetch\", \"stream\", or \"none\"")
    };
    let checkpoint = |value: &str| {
        format!("invalid checkpoint argument \"{value}\", must be \"fast\" or \"spread\"")
    };
    let multiple = "multiple \"=\" signs in tablespace mapping".to_owned();
    let table = [
        ("-Fx", format("x")),
        ("-F Plain", format("Plain")),
        ("-Fx -y", format("x")),
        ("-F x -y", format("x")),
        ("-F x --bogus", format("x")),
        ("-F x -D", format("x")),
        ("-F x -Fp", format("x")),
        ("-F -v", format("-v")),
        ("-F -- extra", format("--")),
        ("--format=", format("")),
        ("-X N", wal("N")),
        ("--wal-method=foo", wal("foo")),
        ("-cfast -cx", checkpoint("x")),
        ("-c FOO -X foo", checkpoint("FOO")),
        ("-X foo -c FOO", wal("foo")),
        ("-T /a=/b=/c", multiple),
        ("-T a", "invalid tablespace mapping format \"a\", must be \"OLDDIR=NEWDIR\"".to_owned()),
    ];
    for (line, text) in table {
        assert_eq!(refusal(line), format!("pg_basebackup: error: {text}\n"), "{line}");
    }
}

#[test]
fn options_that_do_not_go_together_are_refused_in_the_original_order() {
    let table = [
        ("", "must specify output directory or backup target"),
        ("-T /a\\=b=/c --waldir=x", "must specify output directory or backup target"),
        ("-cFast -P --no-e", "must specify output directory or backup target"),
        ("a b", "too many command-line arguments (first is \"a\")"),
        ("-D x -D y a", "too many command-line arguments (first is \"a\")"),
        ("-- -y", "too many command-line arguments (first is \"-y\")"),
        ("-- --", "too many command-line arguments (first is \"--\")"),
        ("-", "too many command-line arguments (first is \"-\")"),
        ("-D - -Ft", "cannot stream write-ahead logs in tar mode to stdout"),
        ("-D - -Ft -X none -S s", "replication slots can only be used with WAL streaming"),
        (
            "-D x -C -S s -X fetch --waldir=y",
            "replication slots can only be used with WAL streaming",
        ),
        ("-D x -S s --no-slot -C", "--no-slot cannot be used with slot name"),
        ("-D x -C --no-slot", "--create-slot needs a slot to be specified using --slot"),
        ("-D x -Ft --waldir=y", "WAL directory location can only be specified in plain mode"),
        (
            "-D x --waldir=y -P --no-estimate-size",
            "WAL directory location must be an absolute path",
        ),
        ("-D x --waldir=", "WAL directory location must be an absolute path"),
        (
            "-D x -P --no-estimate-size --no-manifest --manifest-checksums=x",
            "--progress and --no-estimate-size are incompatible options",
        ),
        (
            "-D x --no-manifest --manifest-checksums= --manifest-force-encode",
            "--no-manifest and --manifest-checksums are incompatible options",
        ),
        (
            "-D x --no-manifest --manifest-force-encode",
            "--no-manifest and --manifest-force-encode are incompatible options",
        ),
    ];
    for (line, text) in table {
        assert_eq!(refusal(line), format!("pg_basebackup: error: {text}\n{HINT}"), "{line}");
    }
}

#[test]
fn help_and_version_count_only_as_the_first_argument() {
    for line in ["-v --help", "-v --version -y", "--he", "--versio", "-D x --help=1 -Fx"] {
        let expected = match line.contains('=') {
            true => {
                format!("/bin/pg_basebackup: option '--help' doesn't allow an argument\n{HINT}")
            }
            false => HINT.to_owned(),
        };
        assert_eq!(refusal(line), expected, "{line}");
    }
    let printed = |argv: &[&str]| match outcome(argv) {
        Ok(Outcome::Print(text)) => text,
        other => panic!("{argv:?} gave {other:?}"),
    };
    let version = printed(&["/x/pg_basebackup", "-V", "--bogus"]);
    assert!(version.starts_with("pg_basebackup (PostgreSQL) 18.6 (pgsiphon "), "{version}");
    assert_eq!(printed(&["pgsiphon", "--version"]), printed(&["pgsiphon", "basebackup", "-V"]));
    assert_eq!(printed(&["pg_basebackup", "-?"]), printed(&["pg_basebackup", "--help", "-y"]));
    assert!(printed(&["pgsiphon", "-?"]).contains("\nUsage: pgsiphon COMMAND [OPTION]...\n"));
}

#[test]
fn help_names_every_option_of_the_name_it_is_called_by_in_80_columns() {
    let help = |argv0: &str| typed::help(&Program::called(Some(OsStr::new(argv0))));
    let (drop_in, native) = (help("pg_basebackup"), help("pgsiphon"));
    for option in ["-D, --pgdata", "-W, --password", "--no-slot", "-?, --help", "-V, --version"] {
        assert!(drop_in.contains(option), "{option} is missing:\n{drop_in}");
    }
    assert!(drop_in.starts_with("Takes a base backup of a running PostgreSQL server.\n\n"));
    assert!(drop_in.contains("\nUsage: pg_basebackup [OPTION]...\n"), "{drop_in}");
    assert!(native.contains("\nUsage: pgsiphon basebackup [OPTION]...\n"), "{native}");
    assert!(native.contains("--direct-io <auto|off>") && !drop_in.contains("--direct-io"));
    for line in native.lines().chain(drop_in.lines()) {
        assert!(line.chars().count() <= 80 && line == line.trim_end(), "{line:?}");
    }
}

#[test]
fn the_native_name_has_commands_and_hints_at_itself() {
    let hint =
        |command: &str| format!("pgsiphon: hint: Try \"{command} --help\" for more information.\n");
    let table: [(&[&str], String); 5] = [
        (&[], format!("pgsiphon: error: no command specified\n{}", hint("pgsiphon"))),
        (
            &["backup"],
            format!("pgsiphon: error: unrecognized command \"backup\"\n{}", hint("pgsiphon")),
        ),
        (
            &["basebackup", "--bogus"],
            format!("./pgsiphon: unrecognized option '--bogus'\n{}", hint("pgsiphon basebackup")),
        ),
        (
            &["basebackup"],
            format!(
                "pgsiphon: error: must specify output directory or backup target\n{}",
                hint("pgsiphon basebackup")
            ),
        ),
        (
            &["basebackup", "--direct-io=on"],
            "pgsiphon: error: invalid direct-io option \"on\", must be \"auto\" or \"off\"\n"
                .into(),
        ),
    ];
    for (arguments, expected) in table {
        let argv: Vec<&str> = ["./pgsiphon"].iter().chain(arguments).copied().collect();
        assert_eq!(outcome(&argv).unwrap_err(), expected, "{arguments:?}");
    }
    assert_eq!(
        request(&["pgsiphon", "basebackup", "-D", "d", "--direct=off"]).config.direct_io,
        DirectIo::Off
    );
}

#[test]
fn without_options_the_defaults_are_those_of_the_original() {
    let BasebackupRequest { config, connection, verbosity, progress } =
        request(&["pg_basebackup", "-D", "d"]);
    assert_eq!(connection, ConnectionArgs::default());
    assert_eq!((verbosity, progress), (Verbosity::Quiet, ShowProgress::No));
    assert_eq!(config.wal, WalMethod::Stream(SlotChoice::Temporary));
    assert_eq!(config.checkpoint, Checkpoint::Spread);
    assert_eq!(config.label, "pg_basebackup base backup");
    assert_eq!(config.size_estimate, SizeEstimate::Ask);
    assert_eq!(config.page_checksums, PageChecksums::Verify);
    assert_eq!(config.durability, Durability::Sync(crate::backup::SyncMethod::Fsync));
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
        "-c FaSt -l label -nN --no-verify-checksums --no-estimate-size \
         --manifest-force-encode --manifest-checksums sha256",
    );
    assert_eq!(config.checkpoint, Checkpoint::Fast);
    assert_eq!(config.label, "label");
    assert_eq!(config.size_estimate, SizeEstimate::Skip);
    assert_eq!(config.page_checksums, PageChecksums::Ignore);
    assert_eq!(config.durability, Durability::NoSync);
    assert_eq!(config.on_failure, OnFailure::Keep);
    let algorithm = Some("sha256".to_owned());
    assert_eq!(config.manifest, ManifestRequest::Checksums { algorithm, force_encode: true });
    assert_eq!(self::config("--no-manifest").manifest, ManifestRequest::None);
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
        dbname: Some("dbname=x y".into()),
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
