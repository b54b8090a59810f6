//! Whether commits on the server would wait for us, and for what.

use super::Finding;
use super::host::Database;
use crate::service::ServerConfig;
use crate::wal::SyncPolicy;

/// Judges what a server would wait for with its commits.
pub(super) fn judge(
    config: &ServerConfig,
    server: &Database,
    application_name: &str,
) -> Vec<Finding> {
    if !is_listed(server.text("synchronous_standby_names"), application_name) {
        return Vec::new();
    }
    let commit = server.text("synchronous_commit");
    let waits_for_apply = commit == "remote_apply" || server.some_wait_for_apply;
    let waits_for_flush = matches!(commit, "on" | "remote_apply");
    let listed = format!("synchronous_standby_names has \"{application_name}\"");
    let apply = waits_for_apply.then(|| {
        Finding::error(format!(
            "{listed}, and synchronous_commit is \"remote_apply\": such commits may never end"
        ))
        .hint("Set synchronous_commit to \"on\": what is received here is never applied.")
    });
    let sync = match config.sync {
        SyncPolicy::AtOnce => None,
        SyncPolicy::Segments => Some("\"segments\": commits may wait for whole segments"),
        SyncPolicy::Never => Some("\"never\": commits may never end"),
    };
    let flush = sync.filter(|_| waits_for_flush).map(|effect| {
        Finding::error(format!("{listed}, but fsync is {effect}"))
            .hint("Set fsync to \"at-once\", or take the name off the list.")
    });
    apply.into_iter().chain(flush).collect()
}

/// Says whether a list of `synchronous_standby_names` has a name: `a, b`, `2 (a, b)`, `ANY 1 (*)`. Case does not
/// matter.
fn is_listed(list: &str, application_name: &str) -> bool {
    let names = names(list);
    names.iter().any(|name| name == "*" || name.eq_ignore_ascii_case(application_name))
}

/// Splits at the commas that are outside of quotes, in which a double quote stands for one. What is before a
/// parenthesis says how many of the names count.
fn names(list: &str) -> Vec<String> {
    let (mut names, mut name, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut characters = list.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, is_quoted) {
            ('"', true) if characters.next_if_eq(&'"').is_some() => name.push('"'),
            ('"', _) => is_quoted = !is_quoted,
            (',', false) => names.push(std::mem::take(&mut name)),
            ('(', false) => name.clear(),
            (')', false) => {}
            (space, false) if space.is_whitespace() => {}
            (character, _) => name.push(character),
        }
    }
    names.push(name);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_name_in_all_its_forms() {
        let table = [
            ("", false),
            ("pgsiphon", true),
            ("PgSiphon", true),
            ("other, pgsiphon", true),
            ("other,pgsiphon2", false),
            ("*", true),
            ("2 (other, pgsiphon)", true),
            ("FIRST 1 (other)", false),
            ("ANY 1 (\"pgsiphon\", other)", true),
            ("ANY 1 (*)", true),
            ("\"a (b\", \"x, pgsiphon\"", false),
            ("\"pg\"\"siphon\"", false),
            ("pgsiphon (other)", false),
            ("(", false),
            ("\"", false),
        ];
        for (list, expected) in table {
            assert_eq!(is_listed(list, "pgsiphon"), expected, "{list}");
        }
        assert!(is_listed("\"a \"\"b\"\", c\"", "a \"b\", c"));
    }
}
