//! A password that does not show itself.

use std::fmt;

/// A password as the bytes to be sent; they need not be UTF-8. Its `Debug` form says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Box<[u8]>);

impl Password {
    /// Takes a password.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Password(bytes.into())
    }

    /// Returns the password in the clear.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Says whether there is nothing to send; libpq takes an empty password for none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_form_shows_no_byte() {
        assert_eq!(format!("{:?}", Password::new(*b"hush")), "Password(***)");
    }
}
