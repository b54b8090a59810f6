//! Answering a server that asks for GSSAPI (protocol chapter, AuthenticationGSS).

use super::blocking::{credentials, step};
use super::{Context, GssError, Purpose, Target};
use crate::protocol::{GssAnswer, GssRequest};

/// Our part of the exchange, from the server's first request on.
#[derive(Debug)]
pub(in crate::net) struct SignIn<'a> {
    target: Target<'a>,
    context: Option<Context>,
}

impl<'a> SignIn<'a> {
    /// Waits for the server's first request.
    pub(in crate::net) fn new(target: Target<'a>) -> Self {
        SignIn { target, context: None }
    }

    /// Answers the server's next request.
    ///
    /// # Errors
    /// If GSSAPI refuses. There is nothing more to say then.
    pub(in crate::net) async fn answer(
        &mut self,
        request: GssRequest,
    ) -> Result<GssAnswer, GssError> {
        let context = match self.context.take() {
            Some(context) => context,
            None => Context::new(Purpose::Authentication, self.target, credentials().await)?,
        };
        let token = request.token.map(|token| token.to_vec());
        let (context, token) = step(context, token).await?;
        let is_complete = context.is_complete();
        self.context = Some(context);
        Ok(GssAnswer { token, is_complete })
    }
}
