//! Our side of a security context, from the first token to encrypted bytes.

use std::fmt;

use bytes::BytesMut;
use libgssapi::context::{ClientCtx, CtxFlags, SecurityContext as _};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::Error;
use libgssapi::name::Name;
use libgssapi::oid::GSS_NT_HOSTBASED_SERVICE;

use super::packet::Cipher;
use super::token::is_sealed;
use super::{GssError, Purpose, Target};

/// What a context for encryption must have: both sides are proven, and nothing that is sent can be read,
/// changed, left out or repeated by others.
const ENCRYPTION_FLAGS: CtxFlags = CtxFlags::GSS_C_MUTUAL_FLAG
    .union(CtxFlags::GSS_C_REPLAY_FLAG)
    .union(CtxFlags::GSS_C_SEQUENCE_FLAG)
    .union(CtxFlags::GSS_C_CONF_FLAG)
    .union(CtxFlags::GSS_C_INTEG_FLAG);

/// What the user can prove who he is with, usually a ticket in a cache.
pub(in crate::net) struct Credentials(Cred);

impl Credentials {
    /// Returns the user's default credentials if he has any. May wait for the disk or the network.
    pub(in crate::net) fn acquire() -> Option<Self> {
        Cred::acquire(None, None, CredUsage::Initiate, None).ok().map(Credentials)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Our side of a security context.
pub struct Context {
    context: ClientCtx,
    purpose: Purpose,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

impl Context {
    /// Prepares a context; nothing is exchanged yet. Without credentials the library looks for some and
    /// says in the first step what it misses.
    ///
    /// # Errors
    /// If the target's name is not one.
    pub(in crate::net) fn new(
        purpose: Purpose,
        target: Target<'_>,
        credentials: Option<Credentials>,
    ) -> Result<Self, GssError> {
        if target.host.is_empty() {
            return Err(GssError::HostMissing);
        }
        let name = format!("{}@{}", target.options.service, target.host);
        let name = Name::new(name.as_bytes(), Some(GSS_NT_HOSTBASED_SERVICE))
            .map_err(|error| GssError::NameImport(text(error)))?;
        let mut flags = match purpose {
            Purpose::Authentication => CtxFlags::GSS_C_MUTUAL_FLAG,
            Purpose::Encryption => ENCRYPTION_FLAGS,
        };
        flags.set(CtxFlags::GSS_C_DELEG_FLAG, target.options.delegates);
        let credentials = credentials.map(|Credentials(credentials)| credentials);
        Ok(Context { context: ClientCtx::new(credentials, name, flags, None), purpose })
    }

    /// Takes the server's token, none at first, and returns ours, which is empty if there is nothing to
    /// say. May wait for the network.
    ///
    /// # Errors
    /// If the library refuses, or if the finished context cannot do what it is for.
    pub(super) fn step(&mut self, token: Option<&[u8]>) -> Result<Vec<u8>, GssError> {
        let failed = |error| match self.purpose {
            Purpose::Authentication => GssError::Continuation(text(error)),
            Purpose::Encryption => GssError::Initiation(text(error)),
        };
        let answer = self.context.step(token, None).map_err(failed)?;
        if self.is_complete() && self.purpose == Purpose::Encryption {
            let flags = self.context.flags().map_err(failed)?;
            if !flags.contains(CtxFlags::GSS_C_CONF_FLAG) {
                return Err(GssError::CannotEncrypt);
            }
        }
        Ok(answer.map(|answer| answer.to_vec()).unwrap_or_default())
    }

    /// Says whether both sides are proven.
    pub(in crate::net) fn is_complete(&self) -> bool {
        self.context.is_complete()
    }
}

impl Cipher for Context {
    fn seal(&mut self, plain: &[u8], sealed: &mut BytesMut) -> Result<(), GssError> {
        let packet = self.context.wrap(true, plain).map_err(|error| GssError::Wrap(text(error)))?;
        sealed.extend_from_slice(&packet);
        Ok(())
    }

    fn open(&mut self, sealed: &[u8], plain: &mut BytesMut) -> Result<(), GssError> {
        let contents =
            self.context.unwrap(sealed).map_err(|error| GssError::Unwrap(text(error)))?;
        // The crate does not tell whether there was anything to decrypt.
        if !is_sealed(sealed) {
            return Err(GssError::NotEncrypted);
        }
        plain.extend_from_slice(&contents);
        Ok(())
    }
}

/// Writes the library's two texts as libpq does; the crate has the second one in parentheses.
fn text(error: Error) -> String {
    let text = error.to_string();
    match text.split_once(" (") {
        Some((major, minor)) => {
            format!("{major}: {}", minor.strip_suffix(')').unwrap_or(minor).replace(") (", " "))
        }
        None => text,
    }
}
