//! Refusals, as `pg_basebackup` 18.6 gave them when it was run.

use super::outcome;

pub(super) const HINT: &str =
    "pg_basebackup: hint: Try \"pg_basebackup --help\" for more information.\n";

fn refusal(line: &str) -> String {
    super::refusal("pg_basebackup", line)
}

#[test]
fn what_getopt_refuses_is_refused_in_its_words() {
    let table = [
        ("-y", "invalid option -- 'y'"),
        ("-vy", "invalid option -- 'y'"),
        ("-v -V", "invalid option -- 'V'"),
        ("-v -?", "invalid option -- '?'"),
        ("-v=1", "invalid option -- '='"),
        ("-Nvy", "invalid option -- 'y'"),
        ("-v-y", "invalid option -- '-'"),
        ("---", "unrecognized option '---'"),
        ("a -y", "invalid option -- 'y'"),
        ("-y -Fx", "invalid option -- 'y'"),
        ("-v -y", "invalid option -- 'y'"),
        ("-Dx -i", "option requires an argument -- 'i'"),
        ("-:", "invalid option -- ':'"),
        ("--bogus", "unrecognized option '--bogus'"),
        ("--bogus=", "unrecognized option '--bogus='"),
        ("--bogus=3 -Fx", "unrecognized option '--bogus=3'"),
        ("--gzip=", "option '--gzip' doesn't allow an argument"),
        ("--json", "unrecognized option '--json'"),
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
        (
            "--c",
            "option '--c' is ambiguous; possibilities: '--checkpoint' '--create-slot' '--compress'",
        ),
        (
            "--s",
            "option '--s' is ambiguous; possibilities: '--slot' '--status-interval' '--sync-method'",
        ),
        (
            "--w",
            "option '--w' is ambiguous; possibilities: '--write-recovery-conf' '--wal-method' '--waldir'",
        ),
        (
            "--ta=x",
            "option '--ta=x' is ambiguous; possibilities: '--target' '--tablespace-mapping'",
        ),
        ("--no-s=3", "option '--no-s=3' is ambiguous; possibilities: '--no-sync' '--no-slot'"),
        (
            "--ma",
            "option '--ma' is ambiguous; possibilities: '--max-rate' '--manifest-force-encode' \
             '--manifest-checksums'",
        ),
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
        ("-F=t", format("=t")),
        ("-T /a=/b=/c", multiple),
        ("-rx -s -1", "transfer rate \"x\" is not a valid value".to_owned()),
        ("-r 5 -y", "transfer rate \"5\" is out of range".to_owned()),
        ("-s 5s", "invalid value \"5s\" for option -s/--status-interval".to_owned()),
        ("--stat -1", "-s/--status-interval must be in range 0..2147483".to_owned()),
        ("--sync=Fsync", "unrecognized sync method: Fsync".to_owned()),
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
        ("-t client", "must specify output directory or backup target"),
        ("-t server:/x -Fp -D x", "cannot specify both format and backup target"),
        ("-D x -t blackhole -Z foo", "cannot specify both output directory and backup target"),
        (
            "-t blackhole -Z client-none",
            "client-side compression is not possible when a backup target is specified",
        ),
        ("-D x -z -t client", "only tar mode backups can be compressed"),
        ("-D x -Z lz4 -S s -Xnone", "only tar mode backups can be compressed"),
        ("-t blackhole -S s", "WAL cannot be streamed when a backup target is specified"),
        ("-t x -Xf -S s --waldir=/y", "replication slots can only be used with WAL streaming"),
        (
            "-t x -Xf --waldir=y",
            "WAL directory location cannot be specified along with a backup target",
        ),
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

/// The original ends on these without a hint, too, but for the last, which it takes.
#[test]
fn compressions_that_make_no_sense_and_incremental_backups_are_refused_without_a_hint() {
    let table = [
        ("-D x -Z foo", "unrecognized compression algorithm: \"foo\""),
        ("-D x -Z 5x --waldir=y", "unrecognized compression algorithm: \"5x\""),
        (
            "-D x -Z 10",
            "invalid compression specification: compression algorithm \"gzip\" expects a compression \
             level between 1 and 9 (default at -1)",
        ),
        (
            "-t blackhole -Z client-zstd:",
            "invalid compression specification: found empty string where a compression option was \
             expected",
        ),
        ("-D x -i old", "incremental backups are not supported yet"),
    ];
    for (line, text) in table {
        assert_eq!(refusal(line), format!("pg_basebackup: error: {text}\n"), "{line}");
    }
    assert!(refusal("-D x -i old -Xf -S s").contains("replication slots"));
}

#[test]
fn the_native_name_has_commands_and_hints_at_itself() {
    let hint =
        |command: &str| format!("pgsiphon: hint: Try \"{command} --help\" for more information.\n");
    let table: [(&[&str], String); 19] = [
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
            &["basebackup", "-D", "-", "-Ft", "-Xn", "--json"],
            format!(
                "pgsiphon: error: --json cannot be used when the backup is written to standard output\n{}",
                hint("pgsiphon basebackup")
            ),
        ),
        (
            &["receivewal", "--bogus"],
            format!("./pgsiphon: unrecognized option '--bogus'\n{}", hint("pgsiphon receivewal")),
        ),
        (
            &["receivewal", "--on-hole=ignore"],
            "pgsiphon: error: invalid on-hole option \"ignore\", must be \"stop\" or \"skip\"\n".into(),
        ),
        (
            &["receivewal", "--no-t", "--direct-io=off"],
            format!("pgsiphon: error: no target directory specified\n{}", hint("pgsiphon receivewal")),
        ),
        (
            &["verifybackup", "--json"],
            format!("pgsiphon: error: no backup directory specified\n{}", hint("pgsiphon verifybackup")),
        ),
        (
            &["bench"],
            format!("pgsiphon: error: no directory specified to work in\n{}", hint("pgsiphon bench")),
        ),
        (
            &["bench", "-D", "d", "restore"],
            "pgsiphon: error: unrecognized part \"restore\", must be \"base-backup\", \"verify\", \
             \"small-files\", \"empty-cluster\", \"catch-up\", or \"standby\"\n"
                .into(),
        ),
        (
            &["bench", "-D", "d", "-d", "host=x", "verify", "empty-cluster"],
            format!(
                "pgsiphon: error: part \"empty-cluster\" cannot be measured on a given server\n{}",
                hint("pgsiphon bench")
            ),
        ),
        (
            &["bench", "--rounds=0"],
            "pgsiphon: error: invalid value \"0\" for option --rounds, must be in range 1..1000\n".into(),
        ),
        (&["completions"], format!("pgsiphon: error: no shell specified\n{}", hint("pgsiphon"))),
        (
            &["completions", "tcsh"],
            "pgsiphon: error: unrecognized shell \"tcsh\", must be \"bash\", \"elvish\", \"fish\", \
             \"powershell\", or \"zsh\"\n"
                .into(),
        ),
        (
            &["completions", "bash", "psql"],
            "pgsiphon: error: unrecognized program \"psql\", must be \"pgsiphon\", \
             \"pg_basebackup\", \"pg_receivewal\", or \"pg_verifybackup\"\n"
                .into(),
        ),
        (
            &["man", "basebackup"],
            "pgsiphon: error: unrecognized manual page \"basebackup\", must be \"pgsiphon\", \
             \"pgsiphon-basebackup\", \"pgsiphon-receivewal\", \"pgsiphon-verifybackup\", \
             \"pgsiphon-serve\", \"pgsiphon-check\", \"pgsiphon-status\", \
             \"pgsiphon-bench\", \"pg_basebackup\", \"pg_receivewal\", or \"pg_verifybackup\"\n"
                .into(),
        ),
        (
            &["man", "pgsiphon", "x"],
            format!(
                "pgsiphon: error: too many command-line arguments (first is \"x\")\n{}",
                hint("pgsiphon")
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
}
