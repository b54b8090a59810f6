//! Keeps a password out of the process list.
//!
//! Every user of a machine may read the arguments of every process, but only the owner its environment. A
//! program can overwrite its arguments only by unsafe means; it can replace itself, though, with the
//! connection string in the environment. Files, process id and terminal stay as they are.

use std::env;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::net::conninfo::Parameters;

/// Holds the connection string.
const VARIABLE: &str = "PGSIPHON_CONNECTION_STRING";

/// Stands for the connection string among the arguments.
const PLACEHOLDER: &str = "***";

/// Starts the program anew without the connection string among its arguments, if there is a password in it.
/// Where that is not possible, the arguments stay as they are.
pub(super) fn conceal(invoked_as: &str, arguments: &[OsString], connection_string: &str) {
    if !has_secret(connection_string) {
        return;
    }
    let mut command = Command::new("/proc/self/exe");
    let command = command.arg0(invoked_as).env(VARIABLE, connection_string);
    // It returns only with an error.
    let _ = command.args(without(connection_string, arguments)).exec();
}

/// Returns the connection string that was meant.
pub(super) fn reveal(connection_string: &str) -> String {
    let concealed = if connection_string == PLACEHOLDER { env::var(VARIABLE).ok() } else { None };
    concealed.unwrap_or_else(|| connection_string.to_owned())
}

/// Gives the program its name back, where users look for it among the processes: the new start took it from
/// the path that it was started by.
pub(super) fn restore_name(name: &str) {
    if env::var_os(VARIABLE).is_some()
        && let Ok(name) = CString::new(name)
    {
        // Without its name the program works as well.
        let _ = rustix::thread::set_name(&name);
    }
}

fn has_secret(connection_string: &str) -> bool {
    // With one that is wrong the program ends at once.
    Parameters::parse(connection_string).is_ok_and(|parameters| parameters.has_secret())
}

/// Puts the placeholder in the place of the text wherever it stands alone, or behind the name of the option.
fn without(text: &str, arguments: &[OsString]) -> Vec<OsString> {
    let replace = |argument: &OsString| match argument.as_bytes().strip_suffix(text.as_bytes()) {
        Some(option) if option.is_empty() || is_dbname(option) => {
            OsString::from_vec([option, PLACEHOLDER.as_bytes()].concat())
        }
        Some(_) | None => argument.clone(),
    };
    arguments.iter().map(replace).collect()
}

/// Recognises `--dbname=`, which may be abbreviated, and `-d`, which other options may stand before.
fn is_dbname(option: &[u8]) -> bool {
    match option {
        [b'-', b'-', name @ .., b'='] => !name.is_empty() && b"dbname".starts_with(name),
        [b'-', .., b'd'] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connection_strings_with_a_secret_are_concealed() {
        let table = [
            ("password=secret", true),
            ("host=h sslpassword='x y'", true),
            ("postgresql://user:secret@host/db", true),
            ("postgresql://host/db?password=secret", true),
            ("postgresql://user@host:5432/db", false),
            ("host=h password=''", false),
            ("passfile=/f", false),
            ("password", false),
            ("", false),
            (PLACEHOLDER, false),
        ];
        for (connection_string, expected) in table {
            assert_eq!(has_secret(connection_string), expected, "{connection_string}");
        }
    }

    #[test]
    fn only_the_connection_string_is_replaced() {
        let secret = "password=secret";
        let table = [
            ("-d|password=secret|-D|x", "-d|***|-D|x"),
            ("-vdpassword=secret", "-vd***"),
            ("--dbname=password=secret|-P", "--dbname=***|-P"),
            ("--d=password=secret", "--d=***"),
            ("-lpassword=secrets", "-lpassword=secrets"),
            (
                "-l|label password=secret|-lpassword=secret",
                "-l|label password=secret|-lpassword=secret",
            ),
        ];
        for (typed, expected) in table {
            let arguments: Vec<OsString> = typed.split('|').map(OsString::from).collect();
            let expected: Vec<OsString> = expected.split('|').map(OsString::from).collect();
            assert_eq!(without(secret, &arguments), expected, "{typed}");
        }
    }
}
