//! The original and our program under its name, which are given the same and say the same.

use std::fs::File;

use super::client::{Client, Finished};
use super::scratch::Scratch;

/// A tool in both forms.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    original: fn() -> Client,
    ours: fn() -> Client,
}

/// `pg_basebackup`.
pub const BASEBACKUP: Pair = Pair { original: Client::original, ours: Client::drop_in };

/// `pg_receivewal`.
pub const RECEIVEWAL: Pair =
    Pair { original: Client::receivewal_original, ours: Client::receivewal_drop_in };

/// `pg_verifybackup`.
pub const VERIFYBACKUP: Pair =
    Pair { original: Client::verifybackup_original, ours: Client::verifybackup_drop_in };

impl Pair {
    /// Runs both, the original first.
    pub fn run(self, prepare: impl Fn(Client) -> Client) -> [Finished; 2] {
        [self.original, self.ours].map(|client| prepare(client()).run())
    }

    /// Makes sure that both refuse command lines in the same words and leave nothing. In the directory where they
    /// run there is a directory `d` and a file `f`, both empty.
    pub fn agree_to_refuse(self, lines: &[&str], name: &str) {
        let scratch = Scratch::new();
        scratch.directory("d");
        File::create(scratch.join("f")).unwrap();
        for line in lines {
            let arguments = line.split(' ').filter(|argument| !argument.is_empty());
            let finished = self.run(|client| client.within(scratch.path()).args(arguments.clone()));
            let said = agree(finished, line);
            assert!(said.starts_with(&format!("{name}: ")), "{line}: {said}");
        }
        assert_eq!(scratch.names(), ["d", "f"]);
    }

    /// Makes sure that both print help or version when that is the first argument, and compares the help.
    pub fn agree_on_help(self, compare: impl Fn(&str, &str)) {
        for option in ["--help", "-?", "--version", "-V"] {
            let [original, ours] = self.run(|client| client.args([option, "--bogus", "x"]));
            assert_eq!(
                (&ours.stderr, ours.status),
                (&original.stderr, original.status),
                "{option}"
            );
            let [original, ours] = [original, ours].map(|f| String::from_utf8(f.stdout).unwrap());
            match option {
                "--help" | "-?" => compare(&original, &ours),
                _ => assert!(ours.starts_with(original.trim_end()), "{ours}"),
            }
        }
    }
}

/// Makes sure that both said the same and ended the same way, the original being the first; returns what they said.
#[track_caller]
pub fn agree(both: [Finished; 2], what: &str) -> String {
    agree_after(str::to_owned, both, what)
}

/// Makes sure of the same of programs that list what they find in whatever order.
#[track_caller]
pub fn agree_in_any_order(both: [Finished; 2], what: &str) -> String {
    let sorted = |said: &str| {
        let mut lines: Vec<_> = said.split_inclusive('\n').collect();
        lines.sort_unstable();
        lines.concat()
    };
    agree_after(sorted, both, what)
}

#[track_caller]
fn agree_after(
    order: impl Fn(&str) -> String,
    [original, ours]: [Finished; 2],
    what: &str,
) -> String {
    let said = order(&without_path(&original.stderr));
    assert_eq!(order(&without_path(&ours.stderr)), said, "{what}");
    assert_eq!(ours.stdout, original.stdout, "{what}");
    assert_eq!(ours.status, original.status, "{what}");
    said
}

/// Takes the directory of the program away, with which `getopt` begins its lines.
fn without_path(stderr: &str) -> String {
    let name = |line: &str| match line.split_once(": ") {
        Some((program, text)) if program.starts_with('/') => {
            let name = program.rsplit('/').next().unwrap_or(program);
            format!("{name}: {text}\n")
        }
        _ => format!("{line}\n"),
    };
    stderr.lines().map(name).collect()
}
