//! Command lines as tables: what is refused and in which words, what the accepted ones mean, and what is
//! printed at once.

mod bench;
mod printed;
mod receivewal;
mod refused;
mod requested;
mod service;
mod verifybackup;

use super::*;
use crate::backup::BackupConfig;
use crate::cli::{Messages, refuse};

fn outcome(argv: &[&str]) -> Result<Outcome, String> {
    let argv: Vec<OsString> = argv.iter().map(OsString::from).collect();
    let program = Program::called(argv.first().map(OsString::as_os_str));
    interpret(&program, argv.get(1..).unwrap_or_default()).map_err(|error| {
        let mut stderr = Vec::new();
        refuse(&program, &error, &mut Messages::new(&mut stderr, program.name(), None));
        String::from_utf8(stderr).unwrap()
    })
}

/// Returns what a drop-in prints on standard error for a line of arguments without blanks in them.
fn refusal(original: &str, line: &str) -> String {
    let argv0 = format!("/bin/{original}");
    let argv: Vec<&str> =
        [argv0.as_str()].into_iter().chain(line.split_ascii_whitespace()).collect();
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
