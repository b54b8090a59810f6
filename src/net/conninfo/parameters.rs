//! A set of connection parameters, still as text.

use std::collections::BTreeMap;
use std::fmt;

use super::keyword::MASK;
use super::string::is_space;
use super::{ConninfoError, Keyword, string, uri};

/// Values of connection parameters, in the order of [`Keyword`]. `Debug` masks secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Parameters(BTreeMap<Keyword, String>);

impl Parameters {
    /// Reads a connection string or a connection URI.
    ///
    /// # Errors
    /// If the text is neither, or sets something that libpq does not know.
    pub fn parse(text: &str) -> Result<Self, ConninfoError> {
        if uri::is_uri(text) { uri::parse(text) } else { string::parse(text) }
    }

    /// Sets a parameter; a later value replaces an earlier one.
    pub fn set(&mut self, keyword: Keyword, value: impl Into<String>) {
        self.0.insert(keyword, value.into());
    }

    /// Takes a parameter out.
    pub fn take(&mut self, keyword: Keyword) -> Option<String> {
        self.0.remove(&keyword)
    }

    /// Sets a parameter that has no value yet, not even an empty one.
    pub(super) fn set_if_unset(&mut self, keyword: Keyword, value: &str) {
        self.0.entry(keyword).or_insert_with(|| value.to_owned());
    }

    /// Sets the parameters that have no value yet to those of another set.
    pub(super) fn add(&mut self, other: &Parameters) {
        for (keyword, value) in other.iter() {
            self.set_if_unset(keyword, value);
        }
    }

    /// Returns a parameter's value, which may be empty.
    pub fn value(&self, keyword: Keyword) -> Option<&str> {
        self.0.get(&keyword).map(String::as_str)
    }

    /// Returns a parameter's value where empty means unset.
    pub fn non_empty(&self, keyword: Keyword) -> Option<&str> {
        self.value(keyword).filter(|value| !value.is_empty())
    }

    /// Says whether there is something in it that must not appear in messages.
    pub fn has_secret(&self) -> bool {
        self.iter().any(|(keyword, value)| keyword.is_secret() && !value.is_empty())
    }

    /// Returns a number.
    ///
    /// # Errors
    /// If the value is set and not a number in the range of C's `int`.
    pub fn integer(&self, keyword: Keyword) -> Result<Option<i32>, ConninfoError> {
        self.value(keyword).map(|value| parse_integer(keyword, value)).transpose()
    }

    /// Returns which of the names that a parameter can have as its value it has.
    ///
    /// # Errors
    /// If the value is set and none of the names; they are case-sensitive.
    pub(super) fn choice<T: Copy>(
        &self,
        keyword: Keyword,
        names: &[(&str, T)],
    ) -> Result<Option<T>, ConninfoError> {
        let Some(value) = self.value(keyword) else { return Ok(None) };
        match names.iter().find(|(name, _)| *name == value) {
            Some((_, choice)) => Ok(Some(*choice)),
            None => Err(ConninfoError::InvalidValue { keyword, value: value.to_owned() }),
        }
    }

    /// Returns a switch, of which only the first character counts; any but `1` is off.
    pub(super) fn switch(&self, keyword: Keyword) -> Option<bool> {
        self.value(keyword).map(|value| value.starts_with('1'))
    }

    /// Drops parameters with empty values, as libpq does with what a program passes to it.
    pub(super) fn remove_empty(&mut self) {
        self.0.retain(|_, value| !value.is_empty());
    }

    /// Returns the parameters that are set, in libpq's order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Keyword, &str)> {
        self.0.iter().map(|(keyword, value)| (*keyword, value.as_str()))
    }

    /// Writes a connection string that [`Parameters::parse`] reads back. Secrets are in it.
    pub fn to_connection_string(&self) -> String {
        let items = self.iter().map(|(keyword, value)| string::item(keyword, value));
        items.collect::<Vec<_>>().join(" ")
    }
}

/// Reads a number as libpq does: decimal, with spaces around it, in the range of C's `int`.
pub(super) fn parse_integer(keyword: Keyword, value: &str) -> Result<i32, ConninfoError> {
    let invalid = |_| ConninfoError::InvalidInteger { keyword, value: value.to_owned() };
    value.trim_matches(is_space).parse().map_err(invalid)
}

/// Finds the keyword for a name in a connection string or URI, and the value it stands for:
/// `requiressl` is an old way to write `sslmode`.
pub(super) fn named(name: &str, value: String) -> Option<(Keyword, String)> {
    if name == "requiressl" {
        let mode = if value.starts_with('1') { "require" } else { "prefer" };
        return Some((Keyword::SslMode, mode.to_owned()));
    }
    Keyword::from_name(name).map(|keyword| (keyword, value))
}

/// Returns what a message may show of a name: after a password it may be the rest of that, if the
/// user did not quote a space or encode an ampersand.
pub(super) fn shown_name(name: &str, previous: Option<Keyword>) -> String {
    let after_secret = previous.is_some_and(Keyword::is_secret);
    if after_secret { MASK.to_owned() } else { name.to_owned() }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter().map(|(keyword, value)| {
            (keyword.name(), if keyword.is_secret() { MASK } else { value })
        });
        f.debug_map().entries(shown).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bare_word_is_not_a_connection_string() {
        let refusal = Parameters::parse("mydb").expect_err("not a connection string");
        assert_eq!(refusal.to_string(), "missing \"=\" after \"mydb\" in connection info string");
    }

    #[test]
    fn debug_form_masks_secrets() {
        let parameters = Parameters::parse("user=u password=hush sslpassword=hush").expect("valid");
        assert_eq!(
            format!("{parameters:?}"),
            r#"{"user": "u", "password": "***", "sslpassword": "***"}"#
        );
    }

    fn parameters() -> impl Strategy<Value = Parameters> {
        let keyword = proptest::sample::select(Keyword::ALL);
        proptest::collection::btree_map(keyword, "[^\0]*", 0..6).prop_map(Parameters)
    }

    proptest! {
        #[test]
        fn written_parameters_are_read_back(parameters in parameters()) {
            let text = parameters.to_connection_string();
            prop_assert_eq!(Parameters::parse(&text), Ok(parameters));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*", glue in "[a-z ='\\\\%@:/?&\\[\\],]*") {
            for text in [text.clone(), glue.clone(), format!("postgres://{glue}{text}")] {
                let _ = Parameters::parse(&text);
            }
        }
    }
}
