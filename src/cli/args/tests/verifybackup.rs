//! Command lines of verifying a stored backup.

use std::path::PathBuf;

use super::super::{ReportForm, ShowProgress, Verbosity, VerifybackupRequest};
use super::{Outcome, outcome, refusal};
use crate::verify::{BackupForm, Contents, OnFinding, Pages, VerifyConfig, WalLocation};

const HINT: &str = "pg_verifybackup: hint: Try \"pg_verifybackup --help\" for more information.\n";

fn request(line: &str) -> VerifybackupRequest {
    let argv: Vec<&str> = line.split_ascii_whitespace().collect();
    match outcome(&argv) {
        Ok(Outcome::Verifybackup(request)) => *request,
        other => panic!("{line:?} gave {other:?}"),
    }
}

/// What nothing but a directory means.
fn plain_wish() -> VerifyConfig {
    VerifyConfig {
        directory: PathBuf::from("d"),
        form: None,
        manifest: None,
        ignored: Vec::new(),
        contents: Contents::Compared,
        pages: Pages::Skipped,
        wal: Some(WalLocation::Backup),
        on_finding: OnFinding::GoOn,
    }
}

#[test]
fn each_option_changes_what_it_names() {
    type Change = fn(&mut VerifyConfig);
    let table: [(&str, Change); 12] = [
        ("d", |_| {}),
        ("./d//", |_| {}),
        ("-e d", |config| config.on_finding = OnFinding::Stop),
        ("d -Ft", |config| config.form = Some(BackupForm::Tar)),
        ("-F tar --form=plain d", |config| config.form = Some(BackupForm::Plain)),
        ("-i a/ d --ign ./b//c", |config| config.ignored = vec![b"a".to_vec(), b"b/c".to_vec()]),
        ("-m x -m y/../m d", |config| config.manifest = Some(PathBuf::from("m"))),
        ("d -n", |config| config.wal = None),
        ("-n -w w d", |config| config.wal = None),
        ("-w w/ d", |config| config.wal = Some(WalLocation::Directory(PathBuf::from("w")))),
        ("--skip d", |config| config.contents = Contents::Skipped),
        ("-nse d", |config| {
            config.wal = None;
            config.contents = Contents::Skipped;
            config.on_finding = OnFinding::Stop;
        }),
    ];
    for (line, change) in table {
        let mut expected = plain_wish();
        change(&mut expected);
        for program in ["pg_verifybackup", "pgsiphon verifybackup"] {
            assert_eq!(request(&format!("{program} {line}")).config, expected, "{program} {line}");
        }
    }
}

#[test]
fn what_is_shown_depends_on_the_name() {
    let drop_in = request("pg_verifybackup -P d");
    assert_eq!((drop_in.progress, drop_in.verbosity), (ShowProgress::Yes, Verbosity::Verbose));
    let quiet = request("pg_verifybackup -q d");
    assert_eq!((quiet.progress, quiet.verbosity), (ShowProgress::No, Verbosity::Quiet));
    let native = request("pgsiphon verifybackup --pages --json d");
    assert_eq!(native.report, ReportForm::Json);
    assert_eq!(native.config, VerifyConfig { pages: Pages::Checked, ..plain_wish() });
    for own in ["--pages", "--json"] {
        let refused = refusal("pg_verifybackup", &format!("{own} d"));
        let expected = format!("/bin/pg_verifybackup: unrecognized option '{own}'\n{HINT}");
        assert_eq!(refused, expected);
    }
}

#[test]
fn refusals_come_in_the_order_of_the_original() {
    let table = [
        ("", "no backup directory specified", true),
        ("-q -P", "no backup directory specified", true),
        ("-q -P d e", "too many command-line arguments (first is \"e\")", true),
        ("-q -P d", "cannot specify both -P/--progress and -q/--quiet", false),
        ("-Fx d e", "invalid backup format \"x\", must be \"plain\" or \"tar\"", false),
    ];
    for (line, text, has_hint) in table {
        let hint = if has_hint { HINT } else { "" };
        let expected = format!("pg_verifybackup: error: {text}\n{hint}");
        assert_eq!(refusal("pg_verifybackup", line), expected, "{line}");
    }
}
