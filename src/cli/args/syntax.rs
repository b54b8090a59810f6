//! Command lines that `getopt_long` would refuse, in its words (glibc 2.36).

use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::error::UsageError;
use super::values::{ValueError, shown};

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
    #[error("option '{0}' requires an argument")]
    LongNeedsValue(String),
    /// A long option with a value that it does not take.
    #[error("option '{0}' doesn't allow an argument")]
    UnexpectedValue(String),
}

/// `--help` or `--version` after other arguments: the original knows them in its table of options,
/// does nothing about them and only points to the help.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("option is recognized only as the first argument")]
pub struct Misplaced;

/// Reads the value of a flag that must not be set.
pub(super) fn misplaced(set: &str) -> Result<bool, Misplaced> {
    if set == "true" { Err(Misplaced) } else { Ok(false) }
}

/// Finds what is wrong with a command line that clap refused, as a scan that stops at the first fault
/// would: the shortest beginning of the line that is refused ends with the argument at fault.
///
/// clap alone would not do. It checks the value in `-F x` only when it meets the next option, and
/// forgets it if there is no such option; and its errors do not carry the argument as it was typed.
pub(super) fn first_fault(command: &mut Command, arguments: &[OsString]) -> UsageError {
    for end in 1..=arguments.len() {
        let beginning = arguments.get(..end).unwrap_or(arguments);
        let Err(error) = command.try_get_matches_from_mut(beginning) else { continue };
        // An option at the end of a beginning lacks a value that may be the next argument.
        if error.kind() == ErrorKind::InvalidValue && end < arguments.len() {
            continue;
        }
        let culprit = beginning.last().map(OsString::as_os_str).unwrap_or_default();
        return in_words_of_getopt(command, &error, culprit);
    }
    unreachable!("the whole line is its own longest beginning, and clap refused it")
}

fn in_words_of_getopt(command: &Command, error: &clap::Error, culprit: &OsStr) -> UsageError {
    if let Some(value) = error.source().and_then(|cause| cause.downcast_ref::<ValueError>()) {
        return UsageError::Value(value.clone());
    }
    let is_long = culprit.as_bytes().starts_with(b"--");
    UsageError::Syntax(match error.kind() {
        ErrorKind::ValueValidation => return UsageError::Misplaced,
        ErrorKind::InvalidValue if is_long => SyntaxError::LongNeedsValue(option_name(error)),
        ErrorKind::InvalidValue => SyntaxError::ShortNeedsValue(last_character(culprit)),
        ErrorKind::TooManyValues => SyntaxError::UnexpectedValue(option_name(error)),
        _ if is_long => unknown_long(command, culprit),
        _ => SyntaxError::InvalidShort(subject(error).replacen('-', "", 1)),
    })
}

/// Returns what clap's error is about: an option as clap knows it, or what it does not know.
fn subject(error: &clap::Error) -> &str {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(subject)) => subject,
        _ => "",
    }
}

/// Returns the long name of the option that clap's error is about; clap adds what the value is called.
fn option_name(error: &clap::Error) -> String {
    subject(error).split(' ').next().unwrap_or_default().to_owned()
}

/// Returns the last of a bundle of short options.
fn last_character(bundle: &OsStr) -> String {
    shown(bundle).chars().last().map(String::from).unwrap_or_default()
}

fn unknown_long(command: &Command, culprit: &OsStr) -> SyntaxError {
    let typed = shown(culprit);
    let name = typed.strip_prefix("--").unwrap_or(&typed).split('=').next().unwrap_or_default();
    let candidates: Vec<String> = command
        .get_arguments()
        .filter_map(|arg| arg.get_long())
        .filter(|long| long.starts_with(name))
        .map(|long| format!("'--{long}'"))
        .collect();
    match candidates.is_empty() {
        true => SyntaxError::Unrecognized(typed),
        false => SyntaxError::Ambiguous { typed, candidates },
    }
}
