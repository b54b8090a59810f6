//! Values that any bytes may stand for, until their parser looks at them.

use std::ffi::{OsStr, OsString};

use clap::builder::{OsStringValueParser, PossibleValue, TypedValueParser};
use clap::{Arg, Command};

use crate::cli::args::values::ValueError;

/// Returns a parser that takes any bytes and lets `check` decide.
pub(super) fn checked<T: Clone + Send + Sync + 'static>(
    check: fn(OsString) -> Result<T, ValueError>,
) -> impl TypedValueParser<Value = T> {
    OsStringValueParser::new().try_map(check)
}

/// The same for values of which some are worth offering to who types.
pub(super) fn one_of<T: Clone + Send + Sync + 'static>(
    offered: &'static [&'static str],
    check: fn(OsString) -> Result<T, ValueError>,
) -> OneOf<T> {
    OneOf { offered, check }
}

#[derive(Clone)]
pub(super) struct OneOf<T> {
    offered: &'static [&'static str],
    check: fn(OsString) -> Result<T, ValueError>,
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for OneOf<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &Command,
        option: Option<&Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        checked(self.check).parse_ref(command, option, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.offered.iter().map(PossibleValue::new)))
    }
}
