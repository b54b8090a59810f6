//! Our side of SCRAM-SHA-256 (protocol chapter, section SASL). Follows `pg_SASL_init` of libpq 18
//! (`fe-auth.c`).

use bytes::BytesMut;
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::authentication::sasl::{
    ChannelBinding as ScramBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::backend::AuthenticationSaslBody;
use postgres_protocol::message::frontend;

use super::{Startup, StartupError};
use crate::protocol::auth::Binding;

impl Startup {
    /// Chooses the mechanism and whether it is bound, and writes the first message.
    pub(super) fn begin_scram(
        &mut self,
        body: &AuthenticationSaslBody,
        out: &mut BytesMut,
    ) -> Result<ScramSha256, StartupError> {
        let (mut offers_plain, mut offers_plus) = (false, false);
        let mut mechanisms = body.mechanisms();
        while let Some(mechanism) = mechanisms.next().map_err(StartupError::Scram)? {
            offers_plain |= mechanism == SCRAM_SHA_256;
            offers_plus |= mechanism == SCRAM_SHA_256_PLUS;
        }
        let binding = self.policy.choose_binding(offers_plus)?;
        let is_offered = offers_plain || matches!(binding, Binding::EndPoint(_));
        if !is_offered {
            let text = "none of the server's SASL authentication mechanisms are supported";
            return Err(StartupError::UnsupportedMethod(text.to_owned()));
        }
        self.policy.check_scram(matches!(binding, Binding::EndPoint(_)))?;
        let password = self.password()?;
        let (mechanism, binding) = match binding {
            Binding::Unsupported => (SCRAM_SHA_256, ScramBinding::unsupported()),
            Binding::Unrequested => (SCRAM_SHA_256, ScramBinding::unrequested()),
            Binding::EndPoint(hash) => {
                let hash = hash.map_err(StartupError::UnsupportedMethod)?;
                (SCRAM_SHA_256_PLUS, ScramBinding::tls_server_end_point(hash))
            }
        };
        let scram = ScramSha256::new(password, binding);
        self.is_bound = mechanism == SCRAM_SHA_256_PLUS;
        frontend::sasl_initial_response(mechanism, scram.message(), out)
            .map_err(StartupError::Scram)?;
        Ok(scram)
    }
}

/// Answers the server's challenge with the proof that we know the password.
pub(super) fn answer(
    scram: &mut ScramSha256,
    challenge: &[u8],
    out: &mut BytesMut,
) -> Result<(), StartupError> {
    check_iterations(challenge)?;
    scram.update(challenge).map_err(StartupError::Scram)?;
    frontend::sasl_response(scram.message(), out).map_err(StartupError::Scram)
}

/// Refuses a SCRAM challenge (`r=nonce,s=salt,i=count`) whose count is none. One above 100,000 is refused
/// by `postgres-protocol`, as a hostile server could keep a core busy with it.
fn check_iterations(challenge: &[u8]) -> Result<(), StartupError> {
    let count = challenge
        .split(|&byte| byte == b',')
        .find_map(|attribute| attribute.strip_prefix(b"i="))
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u32>().ok());
    match count {
        Some(1..) => Ok(()),
        _ => {
            let text = "malformed SCRAM message (invalid iteration count)";
            Err(StartupError::UnsupportedMethod(text.to_owned()))
        }
    }
}
