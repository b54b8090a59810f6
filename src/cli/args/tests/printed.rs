//! Texts for standard output: help, versions, completions and manual pages.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::refused::HINT;
use super::{Job, OsStr, Outcome, Program, Tool, outcome, refusal, typed};

#[test]
fn help_and_version_count_only_as_the_first_argument() {
    for line in ["-v --help", "-v --version -y", "--he", "--versio", "-D x --help=1 -Fx"] {
        let expected = match line.contains('=') {
            true => {
                format!("/bin/pg_basebackup: option '--help' doesn't allow an argument\n{HINT}")
            }
            false => HINT.to_owned(),
        };
        assert_eq!(refusal("pg_basebackup", line), expected, "{line}");
    }
    let version = printed(&["/x/pg_basebackup", "-V", "--bogus"]);
    assert!(version.starts_with("pg_basebackup (PostgreSQL) 18.6 (pgsiphon "), "{version}");
    for original in ["pg_receivewal", "pg_verifybackup"] {
        let version = printed(&[original, "--version", "extra"]);
        let line = format!("{original} (PostgreSQL) 18.6 (pgsiphon ");
        assert!(version.starts_with(&line), "{version}");
    }
    assert_eq!(printed(&["pgsiphon", "--version"]), printed(&["pgsiphon", "basebackup", "-V"]));
    assert_eq!(printed(&["pg_receivewal", "-?"]), printed(&["pg_receivewal", "--help", "-y"]));
    assert_eq!(printed(&["pg_basebackup", "-?"]), printed(&["pg_basebackup", "--help", "-y"]));
    assert!(printed(&["pgsiphon", "-?"]).contains("\nUsage: pgsiphon COMMAND [OPTION]...\n"));
}

/// Options of the original, and those that only we have.
const OPTIONS: [(Tool, &[&str], &[&str]); 3] = [
    (
        Tool::Basebackup,
        &["-D, --pgdata", "-W, --password", "--no-slot", "-?, --help", "-V, --version"],
        &["--direct-io <auto|off>", "--json"],
    ),
    (
        Tool::Receivewal,
        &["-D, --directory", "-E, --endpos", "-d, --dbname", "--if-not-exists", "-V, --version"],
        &["--direct-io <auto|off>", "--on-hole <stop|skip>", "--no-time-index", "-P, --progress"],
    ),
    (
        Tool::Verifybackup,
        &["-e, --exit-on-error", "-w, --wal-directory", "-P, --progress", "-?, --help"],
        &["--pages", "--json"],
    ),
];

#[test]
fn help_names_every_option_of_the_name_it_is_called_by_in_80_columns() {
    for (tool, common, own) in OPTIONS {
        let help = |argv0| typed::help(Job::Tool(tool), &Program::called(Some(OsStr::new(argv0))));
        let (drop_in, native) = (help(tool.original()), help("pgsiphon"));
        for option in common {
            assert!(drop_in.contains(option) && native.contains(option), "{option}:\n{drop_in}");
        }
        for option in own {
            assert!(native.contains(option) && !drop_in.contains(option), "{option}:\n{native}");
        }
        let (original, command) = (tool.original(), tool.command());
        let operand = if tool == Tool::Verifybackup { " BACKUPDIR" } else { "" };
        let usage = format!("\n\nUsage: pgsiphon {command} [OPTION]...{operand}\n");
        assert!(native.contains(&usage), "{native}");
        assert!(drop_in.contains(&format!("{original} [OPTION]...{operand}\n")), "{drop_in}");
        for line in native.lines().chain(drop_in.lines()) {
            assert!(line.chars().count() <= 80 && line == line.trim_end(), "{line:?}");
        }
    }
}

#[test]
fn the_benchmark_has_a_help_and_a_page_of_its_own() {
    let help = printed(&["pgsiphon", "bench", "--help"]);
    assert!(
        help.contains("\nUsage: pgsiphon bench [OPTION]... -D DIRECTORY [PART]...\n"),
        "{help}"
    );
    assert!(help.contains("Parts: base-backup, verify, small-files"), "{help}");
    assert!(
        help.lines().all(|line| line.chars().count() <= 80 && line == line.trim_end()),
        "{help}"
    );
    let page = printed(&["pgsiphon", "man", "pgsiphon-bench"]);
    assert!(page.contains("\\-\\-backlog") && page.contains("PGPASSFILE"), "{page}");
    assert!(groff_complaints(&page).is_none_or(|complaints| complaints.is_empty()));
}

#[test]
fn the_commands_of_the_service_have_a_help_and_a_page_of_their_own() {
    let table: [(&str, &str, &[&str], bool); 3] = [
        ("serve", " --config FILE", &["config"], true),
        ("check", " --config FILE [OPTION]...", &["config", "json"], true),
        ("status", " [OPTION]...", &["config", "address", "json", "watch"], false),
    ];
    for (command, usage, options, connects) in table {
        let help = printed(&["pgsiphon", command, "--help"]);
        assert!(help.contains(&format!("\n\nUsage: pgsiphon {command}{usage}\n")), "{help}");
        let is_tidy = |line: &str| line.chars().count() <= 80 && line == line.trim_end();
        assert!(help.lines().all(is_tidy), "{help}");
        let page = printed(&["pgsiphon", "man", &format!("pgsiphon-{command}")]);
        assert_eq!(page.contains("PGPASSFILE"), connects, "{page}");
        assert!(groff_complaints(&page).is_none_or(|complaints| complaints.is_empty()));
        for option in options {
            assert!(help.contains(&format!("--{option}")), "{option}: {help}");
            assert!(page.contains(&format!("\\-\\-{option}")), "{option}: {page}");
        }
    }
}

#[test]
fn completions_offer_the_options_of_the_program_and_no_others() {
    let own_words = ["json", "direct-io", "on-hole", "no-time-index"];
    let table: [(&str, &[&str], &[&str]); 4] = [
        (
            "pgsiphon",
            &[
                "basebackup",
                "receivewal",
                "verifybackup",
                "serve",
                "check",
                "status",
                "bench",
                "man",
                "compress",
                "config",
                "watch",
            ],
            &[],
        ),
        ("pg_basebackup", &["compress", "sync-method", "help"], &["incremental", "endpos"]),
        ("pg_receivewal", &["compress", "endpos", "drop-slot", "help"], &["pgdata", "wal-method"]),
        ("pg_verifybackup", &["ignore", "skip-checksums", "help"], &["pgdata", "compress"]),
    ];
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let complete = |program| printed(&["pgsiphon", "completions", shell, program]);
        assert_eq!(printed(&["pgsiphon", "completions", shell]), complete("pgsiphon"));
        for (program, present, absent) in table {
            let script = complete(program);
            let lacks = |word: &&str| !script.contains(word);
            assert!(!present.iter().any(lacks), "{shell} {program}");
            assert!(absent.iter().all(lacks), "{shell} {program}");
            let has_own = program == "pgsiphon";
            assert!(own_words.iter().all(|word| lacks(word) != has_own), "{shell} {program}");
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
    let complete = |page: &str| {
        assert!(page.contains(".SH ENVIRONMENT\n") && page.contains("PG_COLORS"), "{page}");
        assert!(page.contains(".SH \"EXIT STATUS\"\n"), "{page}");
        if let Some(complaints) = groff_complaints(page) {
            assert_eq!(complaints, "");
        }
    };
    let own = printed(&["pgsiphon", "man"]);
    complete(&own);
    assert!(own.contains(".SH COMMANDS\n"), "{own}");
    for (tool, common, own) in OPTIONS {
        let command = printed(&["pgsiphon", "man", &format!("pgsiphon-{}", tool.command())]);
        let drop_in = printed(&["pgsiphon", "man", tool.original()]);
        complete(&command);
        complete(&drop_in);
        let connects = tool != Tool::Verifybackup;
        assert!([&command, &drop_in].iter().all(|page| page.contains("PGPASSFILE") == connects));
        assert!(command.contains(&format!("\\fBpgsiphon {}\\fR", tool.command())), "{command}");
        assert!(!drop_in.contains("incremental"), "{drop_in}");
        let has = |page: &str, option: &str| {
            let long = option.split(' ').find(|word| word.starts_with("--")).unwrap();
            page.contains(&long.replace('-', "\\-"))
        };
        assert!(common.iter().all(|option| has(&command, option) && has(&drop_in, option)));
        assert!(own.iter().all(|option| has(&command, option) && !has(&drop_in, option)));
    }
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
