//! GSSAPI: signing in with Kerberos, and encrypting a connection with it.
//!
//! Follows libpq 18 (`fe-auth.c`, `fe-gssapi-common.c`, `fe-secure-gssapi.c`) and the protocol chapter's
//! section "GSSAPI Session Encryption". [`Context`] is our side of a security context and the only place
//! that calls the GSSAPI library; without the feature `gssapi` its place is taken by one that cannot be
//! made. `SignIn` answers a server that asks for GSSAPI; `negotiate` leads to the encrypted
//! [`GssStream`], which is made of `packet`s.

mod blocking;
#[cfg(feature = "gssapi")]
mod context;
#[cfg(not(feature = "gssapi"))]
#[path = "absent.rs"]
mod context;
mod error;
mod negotiate;
mod packet;
mod sign_in;
mod stream;
#[cfg(feature = "gssapi")]
mod token;

use super::conninfo::GssOptions;
pub(super) use blocking::credentials_for;
pub use context::Context;
pub(super) use context::Credentials;
pub use error::GssError;
pub(super) use negotiate::{encrypt, request};
pub(super) use sign_in::SignIn;
pub use stream::GssStream;

/// What a security context is for. The flags asked for and the words of errors differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Only to prove who both sides are.
    Authentication,
    /// To encrypt the connection too.
    Encryption,
}

/// The service that a security context leads to.
#[cfg_attr(not(feature = "gssapi"), expect(dead_code, reason = "no context can be made of it"))]
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    /// The service's name, and whether our credentials are delegated to it.
    pub(super) options: &'a GssOptions,
    /// The host's name as the user gave it, or its address.
    pub(super) host: &'a str,
}
