//! Stands in for the security context where the feature `gssapi` is off: none can be made.

use bytes::BytesMut;

use super::packet::Cipher;
use super::{GssError, Purpose, Target};

/// Credentials that nobody has.
#[derive(Debug)]
pub(in crate::net) enum Credentials {}

impl Credentials {
    /// Returns none.
    pub(in crate::net) fn acquire() -> Option<Self> {
        None
    }
}

/// A security context that does not exist.
#[derive(Debug)]
pub enum Context {}

impl Context {
    /// Says that there is no such thing here.
    ///
    /// # Errors
    /// Always [`GssError::NotSupported`].
    pub(in crate::net) fn new(
        _purpose: Purpose,
        _target: Target<'_>,
        _credentials: Option<Credentials>,
    ) -> Result<Self, GssError> {
        Err(GssError::NotSupported)
    }

    pub(super) fn step(&mut self, _token: Option<&[u8]>) -> Result<Vec<u8>, GssError> {
        match *self {}
    }

    pub(in crate::net) fn is_complete(&self) -> bool {
        match *self {}
    }
}

impl Cipher for Context {
    fn seal(&mut self, _plain: &[u8], _sealed: &mut BytesMut) -> Result<(), GssError> {
        match *self {}
    }

    fn open(&mut self, _sealed: &[u8], _plain: &mut BytesMut) -> Result<(), GssError> {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::conninfo::{GssEncryption, GssOptions};

    #[test]
    fn a_context_is_refused_in_libpqs_words() {
        let options = GssOptions {
            encryption: GssEncryption::default(),
            service: "postgres".to_owned(),
            delegates: false,
        };
        let target = Target { options: &options, host: "localhost" };
        let refusal = Context::new(Purpose::Authentication, target, Credentials::acquire());
        let words = refusal.map_err(|error| error.to_string());
        assert_eq!(words.err().as_deref(), Some("GSSAPI authentication not supported"));
    }
}
