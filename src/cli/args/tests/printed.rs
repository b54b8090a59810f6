//! Texts for standard output: help, versions, completions and manual pages.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::refused::HINT;
use super::{OsStr, Outcome, Program, outcome, refusal, typed};

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
fn completions_offer_the_options_of_the_program_and_no_others() {
    let complete = |shell, program| printed(&["pgsiphon", "completions", shell, program]);
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (own, drop_in) = (complete(shell, "pgsiphon"), complete(shell, "pg_basebackup"));
        assert_eq!(printed(&["pgsiphon", "completions", shell]), own);
        for word in ["compress", "sync-method", "help"] {
            assert!(own.contains(word) && drop_in.contains(word), "{shell}: {word}");
        }
        for word in ["basebackup", "completions", "man", "json", "direct-io"] {
            assert!(own.contains(word), "{shell}: {word}");
        }
        for word in ["json", "direct-io", "incremental"] {
            assert!(!drop_in.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn completions_offer_values_where_the_shell_can() {
    for shell in ["bash", "fish", "zsh"] {
        let script = printed(&["pgsiphon", "completions", shell]);
        for value in ["tar", "fetch", "spread", "server-zstd", "CRC32C", "syncfs", "fish"] {
            assert!(script.contains(value), "{shell}: {value}");
        }
    }
}

#[test]
fn bash_completes_names_and_values() {
    let script = printed(&["pgsiphon", "completions", "bash", "pg_basebackup"]);
    let ask = "
        COMP_WORDS=(pg_basebackup --comp) COMP_CWORD=1
        _pg_basebackup pg_basebackup --comp pg_basebackup && echo \"${COMPREPLY[@]}\"
        COMP_WORDS=(pg_basebackup -F '') COMP_CWORD=2
        _pg_basebackup pg_basebackup '' -F && echo \"${COMPREPLY[@]}\"
        complete -p pg_basebackup";
    let bash = Command::new("bash").arg("-c").arg(script + ask).output().unwrap();
    let (out, errors) = (String::from_utf8(bash.stdout).unwrap(), bash.stderr);
    assert!(out.starts_with("--compress\nplain tar\n"), "{out}");
    assert!(out.trim_end().ends_with("-F _pg_basebackup pg_basebackup"), "{out}");
    assert_eq!(String::from_utf8(errors).unwrap(), "");
}

#[test]
fn manual_pages_name_options_variables_and_exit_codes() {
    let own = printed(&["pgsiphon", "man"]);
    let command = printed(&["pgsiphon", "man", "pgsiphon-basebackup"]);
    let drop_in = printed(&["pgsiphon", "man", "pg_basebackup"]);
    for page in [&own, &command, &drop_in] {
        assert!(page.contains(".SH ENVIRONMENT\n") && page.contains("PGPASSFILE"), "{page}");
        assert!(page.contains(".SH \"EXIT STATUS\"\n"), "{page}");
        if let Some(complaints) = groff_complaints(page) {
            assert_eq!(complaints, "");
        }
    }
    assert!(own.contains(".SH COMMANDS\n"), "{own}");
    assert!(command.contains("\\-\\-json") && command.contains("\\fBpgsiphon basebackup\\fR"));
    assert!(drop_in.contains("\\-\\-compress") && !drop_in.contains("\\-\\-json"));
    assert!(!drop_in.contains("\\-\\-incremental"));
}

/// Returns what groff says of a page with all warnings on; nothing if there is no groff.
fn groff_complaints(page: &str) -> Option<String> {
    let mut command = Command::new("groff");
    let command = command.args(["-man", "-Tutf8", "-ww", "-z"]);
    let command = command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut groff = command.spawn().ok()?;
    groff.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    Some(String::from_utf8(groff.wait_with_output().unwrap().stderr).unwrap())
}

fn printed(argv: &[&str]) -> String {
    match outcome(argv) {
        Ok(Outcome::Print(text)) => text,
        other => panic!("{argv:?} gave {other:?}"),
    }
}
