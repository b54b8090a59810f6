//! The original and our program under its name, which are given the same and say the same.

use super::client::Finished;

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
