//! Command lines as glibc's `getopt_long` (2.36) reads them: options and other arguments in any order,
//! long options abbreviated, short ones bundled, values attached or not.
//!
//! clap alone would not do: it takes `-F=t` for `-F t`, forgets a wrong value that precedes an unknown
//! option, and its errors do not hold the argument as it was typed. So it gets every option spelled out, and
//! only reads values.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::slice;

use clap::{Arg, Command};

/// What `getopt` itself says, before the program says anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// No long option begins so.
    #[error("unrecognized option '{0}'")]
    Unrecognized(String),
    /// Several long options begin so.
    #[error("option '{typed}' is ambiguous; possibilities: {}", .candidates.join(" "))]
    Ambiguous {
        /// The argument as it stands.
        typed: String,
        /// The options it could mean, in quotes.
        candidates: Vec<String>,
    },
    /// There is no such short option.
    #[error("invalid option -- '{0}'")]
    InvalidShort(String),
    /// A short option without its value.
    #[error("option requires an argument -- '{0}'")]
    ShortNeedsValue(String),
    /// A long option without its value.
    #[error("option '--{0}' requires an argument")]
    LongNeedsValue(String),
    /// A long option with a value that it does not take.
    #[error("option '--{0}' doesn't allow an argument")]
    UnexpectedValue(String),
}

/// A command line up to its first fault.
#[derive(Debug)]
pub(super) struct Scanned {
    /// The options as `--name` or `--name=value`, then `--`, then what belongs to no option.
    pub(super) spelled_out: Vec<OsString>,
    /// Where the scan ended early, and why.
    pub(super) fault: Option<SyntaxError>,
}

/// Reads `arguments` by the long and short names of `command`'s options, in the order of their table.
pub(super) fn scan(command: &Command, arguments: &[OsString]) -> Scanned {
    let mut scanner =
        Scanner { command, rest: arguments.iter(), options: Vec::new(), operands: Vec::new() };
    let fault = scanner.run().err();
    let Scanner { mut options, operands, .. } = scanner;
    options.push("--".into());
    options.extend(operands);
    Scanned { spelled_out: options, fault }
}

struct Scanner<'a> {
    command: &'a Command,
    rest: slice::Iter<'a, OsString>,
    options: Vec<OsString>,
    operands: Vec<OsString>,
}

impl<'a> Scanner<'a> {
    fn run(&mut self) -> Result<(), SyntaxError> {
        while let Some(argument) = self.rest.next() {
            match argument.as_bytes() {
                b"--" => self.operands.extend(self.rest.by_ref().cloned()),
                [b'-', b'-', typed @ ..] => self.long(typed)?,
                [b'-', bundle @ ..] if !bundle.is_empty() => self.bundle(bundle)?,
                _ => self.operands.push(argument.clone()),
            }
        }
        Ok(())
    }

    /// Takes a long option; `typed` is what stands behind the hyphens.
    fn long(&mut self, typed: &[u8]) -> Result<(), SyntaxError> {
        let (name, attached) = split_at_equal_sign(typed);
        let option = self.option_named(name, typed)?;
        let value = match (takes_value(option), attached) {
            (true, Some(value)) => Some(value),
            (true, None) => {
                let needs_value = || SyntaxError::LongNeedsValue(long_name(option).to_owned());
                Some(self.next_argument().ok_or_else(needs_value)?)
            }
            (false, Some(_)) => {
                return Err(SyntaxError::UnexpectedValue(long_name(option).to_owned()));
            }
            (false, None) => None,
        };
        self.push(option, value);
        Ok(())
    }

    /// Takes short options that stand together, the last one perhaps with its value.
    fn bundle(&mut self, mut bundle: &[u8]) -> Result<(), SyntaxError> {
        while let Some((letter, rest)) = bundle.split_first() {
            let shown = || String::from_utf8_lossy(slice::from_ref(letter)).into_owned();
            let mut options = self.command.get_arguments();
            let option = options
                .find(|option| option.get_short() == Some(char::from(*letter)))
                .ok_or_else(|| SyntaxError::InvalidShort(shown()))?;
            if takes_value(option) {
                let value = if rest.is_empty() { self.next_argument() } else { Some(rest) };
                let value = value.ok_or_else(|| SyntaxError::ShortNeedsValue(shown()))?;
                self.push(option, Some(value));
                return Ok(());
            }
            self.push(option, None);
            bundle = rest;
        }
        Ok(())
    }

    /// Returns the option with this name, or else the only one whose name begins so.
    fn option_named(&self, name: &[u8], typed: &[u8]) -> Result<&'a Arg, SyntaxError> {
        let begins_so =
            |option: &&Arg| option.get_long().is_some_and(|long| long.as_bytes().starts_with(name));
        let candidates: Vec<&Arg> = self.command.get_arguments().filter(begins_so).collect();
        let exact = candidates.iter().find(|option| long_name(option).as_bytes() == name);
        let typed = || format!("--{}", String::from_utf8_lossy(typed));
        match (exact, candidates.as_slice()) {
            (Some(option), _) => Ok(option),
            (None, [option]) => Ok(option),
            (None, []) => Err(SyntaxError::Unrecognized(typed())),
            (None, several) => Err(SyntaxError::Ambiguous {
                typed: typed(),
                candidates: several.iter().map(|one| format!("'--{}'", long_name(one))).collect(),
            }),
        }
    }

    /// Returns the next argument whatever it looks like: a value may begin with a hyphen.
    fn next_argument(&mut self) -> Option<&'a [u8]> {
        self.rest.next().map(|argument| argument.as_bytes())
    }

    fn push(&mut self, option: &Arg, value: Option<&[u8]>) {
        let name = format!("--{}", long_name(option)).into_bytes();
        let spelled_out = match value {
            Some(value) => [&name, b"=".as_slice(), value].concat(),
            None => name,
        };
        self.options.push(OsString::from_vec(spelled_out));
    }
}

fn split_at_equal_sign(typed: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut parts = typed.splitn(2, |byte| *byte == b'=');
    (parts.next().unwrap_or_default(), parts.next())
}

fn takes_value(option: &Arg) -> bool {
    option.get_action().takes_values()
}

/// Returns the name that every option has; only operands have none.
fn long_name(option: &Arg) -> &str {
    option.get_long().unwrap_or_default()
}

/// Returns an argument as a message shows it.
pub(super) fn shown(argument: &OsStr) -> String {
    argument.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    fn table() -> Command {
        let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
        let option = |name: &'static str| Arg::new(name).long(name);
        Command::new("prog")
            .arg(flag("verbose").short('v'))
            .arg(flag("no-sync").short('N'))
            .arg(option("format").short('F'))
            .arg(option("force"))
            .arg(option("forceful"))
            .arg(Arg::new("rest"))
    }

    fn spelled_out(line: &[&str]) -> String {
        let arguments: Vec<OsString> = line.iter().map(OsString::from).collect();
        let scanned = scan(&table(), &arguments);
        let shown: Vec<String> = scanned.spelled_out.iter().map(|one| self::shown(one)).collect();
        match scanned.fault {
            Some(fault) => format!("{} ! {fault}", shown.join(" ")),
            None => shown.join(" "),
        }
    }

    #[test]
    fn every_way_to_write_an_option_is_spelled_out() {
        let table: [(&[&str], &str); 13] = [
            (&[], "--"),
            (&["-vN"], "--verbose --no-sync --"),
            (&["-vFtar", "x"], "--verbose --format=tar -- x"),
            (&["x", "-F", "-v", "y"], "--format=-v -- x y"),
            (&["-F=t"], "--format==t --"),
            (&["--format=t", "--format", "--"], "--format=t --format=-- --"),
            (&["--form=a=b", "--v"], "--format=a=b --verbose --"),
            (&["--force="], "--force= --"),
            (&["-", "--", "-v", "--"], "-- - -v --"),
            (&["-F"], "-- ! option requires an argument -- 'F'"),
            (&["-vF"], "--verbose -- ! option requires an argument -- 'F'"),
            (&["-N", "--bogus=1", "-v"], "--no-sync -- ! unrecognized option '--bogus=1'"),
            (
                &["--for=1"],
                "-- ! option '--for=1' is ambiguous; possibilities: '--format' '--force' '--forceful'",
            ),
        ];
        for (line, expected) in table {
            assert_eq!(spelled_out(line), expected, "{line:?}");
        }
    }

    #[test]
    fn values_may_be_any_bytes() {
        let scanned = scan(&table(), &[OsString::from_vec(b"-F\xff".to_vec())]);
        assert_eq!(scanned.spelled_out[0].as_bytes(), b"--format=\xff");
        let scanned = scan(&table(), &[OsString::from_vec(b"-\xff".to_vec())]);
        assert_eq!(scanned.fault, Some(SyntaxError::InvalidShort("\u{fffd}".into())));
    }
}
