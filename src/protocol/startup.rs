//! Start-up and authentication (protocol chapter "Message Flow", sections Start-up and SASL).

mod scram;

use std::fmt;

use bytes::{Bytes, BytesMut};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::ScramSha256;
use postgres_protocol::message::backend::Message as Parsed;
use postgres_protocol::message::frontend;

use super::message::parse;
use super::{AuthMethod, AuthPolicy, Frame, PolicyError, ProtocolError, ServerMessage};
use crate::pg::ServerVersion;

/// NegotiateProtocolVersion, which postgres-protocol's parser does not know.
const NEGOTIATE_PROTOCOL_VERSION_TAG: u8 = b'v';

/// Why no session came about.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// The server refused.
    #[error("{0}")]
    Server(Box<ServerMessage>),
    /// The server wants a password and there is none.
    #[error("fe_sendauth: no password supplied")]
    PasswordRequired,
    /// The server wants a method of authentication that is not supported.
    #[error("{0}")]
    UnsupportedMethod(String),
    /// The server's wish, or its admission, is against what the user demands.
    #[error("{0}")]
    Policy(#[from] PolicyError),
    /// The SCRAM exchange went wrong; the server may not be the one that knows the password.
    #[error("could not complete SCRAM authentication: {0}")]
    Scram(std::io::Error),
    /// A start-up parameter cannot be sent, because it contains a zero byte.
    #[error("could not send startup packet: {0}")]
    Parameter(std::io::Error),
    /// The server does not speak the protocol.
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    /// What the server said of itself is missing or not usable.
    #[error("{0}")]
    Unusable(String),
}

/// An established session, as far as the server described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The server's version.
    pub server_version: ServerVersion,
    /// The version as the server spells it, for messages.
    pub server_version_text: String,
    /// The process that serves the session; poolers give any number, also negative ones.
    pub backend_pid: i32,
    /// Whether the server is in hot standby mode; servers say so from 14 on.
    pub in_hot_standby: Option<bool>,
    /// Whether sessions are read-only unless they say otherwise; servers say so from 14 on.
    pub default_transaction_read_only: Option<bool>,
}

/// Gets a session going: feed it the server's frames and send what it writes.
pub struct Startup {
    user: String,
    password: Option<Vec<u8>>,
    policy: AuthPolicy,
    is_bound: bool,
    state: State,
    server_version: Option<String>,
    integer_datetimes: Option<String>,
    backend_pid: i32,
    in_hot_standby: Option<bool>,
    default_transaction_read_only: Option<bool>,
}

enum State {
    WaitingForAuthentication,
    /// A password was sent.
    WaitingForVerdict,
    WaitingForScramChallenge(Box<ScramSha256>),
    WaitingForScramOutcome(Box<ScramSha256>),
    ScramFinished,
    /// GSSAPI has to say something to this, or is about to.
    WaitingForGssAnswer(Option<GssRequest>),
    WaitingForGssToken,
    GssFinished,
    WaitingForReady,
}

/// What the server says to GSSAPI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GssRequest {
    /// The server's token; none at first, for GSSAPI begins with ours.
    pub token: Option<Bytes>,
}

/// What GSSAPI says to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GssAnswer {
    /// Our token; empty if there is nothing to say.
    pub token: Vec<u8>,
    /// Whether both sides are proven, so that no more tokens are expected.
    pub is_complete: bool,
}

impl fmt::Debug for Startup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Startup").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Startup {
    /// Writes the start-up packet and waits for the server's answer. `parameters` must hold `user`.
    /// Nothing is sent in answer to a request that the policy forbids.
    ///
    /// # Errors
    /// If a parameter contains a zero byte.
    pub fn begin(
        parameters: &[(String, String)],
        password: Option<&[u8]>,
        policy: AuthPolicy,
        out: &mut BytesMut,
    ) -> Result<Self, StartupError> {
        let pairs = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        frontend::startup_message(pairs, out).map_err(StartupError::Parameter)?;
        let user = parameters.iter().find(|(name, _)| name == "user");
        Ok(Startup {
            user: user.map(|(_, value)| value.clone()).unwrap_or_default(),
            password: password.map(<[u8]>::to_vec),
            policy,
            is_bound: false,
            state: State::WaitingForAuthentication,
            server_version: None,
            integer_datetimes: None,
            backend_pid: 0,
            in_hot_standby: None,
            default_transaction_read_only: None,
        })
    }

    /// Says whether the server has let us in. An error before that may be due to the way in which we
    /// came: with TLS, or without.
    pub fn is_authenticated(&self) -> bool {
        matches!(self.state, State::WaitingForReady)
    }

    /// Takes the server's next frame, writes the answer it asks for, and returns the session when the
    /// server is ready for commands. Notices are passed over.
    ///
    /// # Errors
    /// Any [`StartupError`]; the connection is of no use after it.
    pub fn handle_frame(
        &mut self,
        frame: Frame,
        out: &mut BytesMut,
    ) -> Result<Option<Session>, StartupError> {
        let tag = frame.tag();
        if tag == NEGOTIATE_PROTOCOL_VERSION_TAG {
            // We ask for 3.0, which every server speaks; what it could not use is of no interest.
            return Ok(None);
        }
        match (parse(&frame)?, &self.state) {
            (Parsed::ErrorResponse(body), _) => {
                let message = ServerMessage::from_fields(body.fields())
                    .map_err(|source| ProtocolError::Malformed { tag, source })?;
                Err(StartupError::Server(Box::new(message)))
            }
            (Parsed::NoticeResponse(_), _) => Ok(None),
            (Parsed::ParameterStatus(body), State::WaitingForReady) => {
                let read = body.name().and_then(|name| Ok((name, body.value()?)));
                let (name, value) =
                    read.map_err(|source| ProtocolError::Malformed { tag, source })?;
                self.handle_parameter(name, value);
                Ok(None)
            }
            (Parsed::BackendKeyData(body), State::WaitingForReady) => {
                self.backend_pid = body.process_id();
                Ok(None)
            }
            (Parsed::ReadyForQuery(_), State::WaitingForReady) => self.session().map(Some),
            (_, State::WaitingForReady) => {
                Err(ProtocolError::Unexpected { tag, expected: "the end of start-up" }.into())
            }
            (message, _) => self.handle_authentication(tag, message, out).map(|()| None),
        }
    }

    /// Returns what is to be given to GSSAPI, once. [`Self::handle_gss_answer`] takes its answer before
    /// the next frame is handled.
    pub fn poll_gss_request(&mut self) -> Option<GssRequest> {
        match &mut self.state {
            State::WaitingForGssAnswer(request) => request.take(),
            _ => None,
        }
    }

    /// Takes GSSAPI's answer to the last request and writes it.
    ///
    /// # Errors
    /// If the answer is too long for a message.
    ///
    /// # Panics
    /// If there was no request.
    pub fn handle_gss_answer(
        &mut self,
        answer: &GssAnswer,
        out: &mut BytesMut,
    ) -> Result<(), StartupError> {
        let is_asked = matches!(self.state, State::WaitingForGssAnswer(None));
        assert!(is_asked, "a GSSAPI answer follows a request");
        if !answer.token.is_empty() {
            frontend::sasl_response(&answer.token, out).map_err(StartupError::Parameter)?;
        }
        self.state =
            if answer.is_complete { State::GssFinished } else { State::WaitingForGssToken };
        Ok(())
    }

    fn handle_authentication(
        &mut self,
        tag: u8,
        message: Parsed,
        out: &mut BytesMut,
    ) -> Result<(), StartupError> {
        if let Some(method) = requested_method(&message) {
            self.policy.check_request(method)?;
        }
        let state = std::mem::replace(&mut self.state, State::WaitingForVerdict);
        self.state = match (message, state) {
            (
                Parsed::AuthenticationOk,
                state @ (State::WaitingForAuthentication
                | State::WaitingForVerdict
                | State::ScramFinished
                | State::GssFinished),
            ) => {
                let finished = !matches!(state, State::WaitingForAuthentication);
                self.policy.check_admission(finished, self.is_bound)?;
                State::WaitingForReady
            }
            (Parsed::AuthenticationCleartextPassword, State::WaitingForAuthentication) => {
                send_password(self.password()?, out)?;
                State::WaitingForVerdict
            }
            (Parsed::AuthenticationMd5Password(body), State::WaitingForAuthentication) => {
                let hash = md5_hash(self.user.as_bytes(), self.password()?, body.salt());
                send_password(hash.as_bytes(), out)?;
                State::WaitingForVerdict
            }
            (Parsed::AuthenticationSasl(body), State::WaitingForAuthentication) => {
                State::WaitingForScramChallenge(Box::new(self.begin_scram(&body, out)?))
            }
            (
                Parsed::AuthenticationSaslContinue(body),
                State::WaitingForScramChallenge(mut scram),
            ) => {
                scram::answer(&mut scram, body.data(), out)?;
                State::WaitingForScramOutcome(scram)
            }
            (Parsed::AuthenticationSaslFinal(body), State::WaitingForScramOutcome(mut scram)) => {
                scram.finish(body.data()).map_err(StartupError::Scram)?;
                State::ScramFinished
            }
            (Parsed::AuthenticationGss, State::WaitingForAuthentication) => {
                State::WaitingForGssAnswer(Some(GssRequest { token: None }))
            }
            (Parsed::AuthenticationGssContinue(body), State::WaitingForGssToken) => {
                let token = Some(Bytes::copy_from_slice(body.data()));
                State::WaitingForGssAnswer(Some(GssRequest { token }))
            }
            (message, _) => return Err(refusal(tag, &message)),
        };
        Ok(())
    }

    fn password(&self) -> Result<&[u8], StartupError> {
        self.password.as_deref().filter(|p| !p.is_empty()).ok_or(StartupError::PasswordRequired)
    }

    fn handle_parameter(&mut self, name: &str, value: &str) {
        match name {
            "server_version" => self.server_version = Some(value.to_owned()),
            "integer_datetimes" => self.integer_datetimes = Some(value.to_owned()),
            "in_hot_standby" => self.in_hot_standby = Some(value == "on"),
            "default_transaction_read_only" => {
                self.default_transaction_read_only = Some(value == "on");
            }
            _ => {}
        }
    }

    fn session(&mut self) -> Result<Session, StartupError> {
        match self.integer_datetimes.as_deref() {
            Some("on") => {}
            Some(_) => {
                let text = "\"integer_datetimes\" compile flag does not match server";
                return Err(StartupError::Unusable(text.to_owned()));
            }
            None => {
                let text = "could not determine server setting for \"integer_datetimes\"";
                return Err(StartupError::Unusable(text.to_owned()));
            }
        }
        let text = self.server_version.take().unwrap_or_default();
        let server_version =
            text.parse().map_err(|error| StartupError::Unusable(format!("{error}")))?;
        Ok(Session {
            server_version,
            server_version_text: text,
            backend_pid: self.backend_pid,
            in_hot_standby: self.in_hot_standby,
            default_transaction_read_only: self.default_transaction_read_only,
        })
    }
}

/// Returns the method that a message asks for, or is a part of.
fn requested_method(message: &Parsed) -> Option<AuthMethod> {
    Some(match message {
        Parsed::AuthenticationCleartextPassword => AuthMethod::Password,
        Parsed::AuthenticationMd5Password(_) => AuthMethod::Md5,
        Parsed::AuthenticationGss | Parsed::AuthenticationGssContinue(_) => AuthMethod::Gss,
        Parsed::AuthenticationSspi => AuthMethod::Sspi,
        Parsed::AuthenticationSasl(_)
        | Parsed::AuthenticationSaslContinue(_)
        | Parsed::AuthenticationSaslFinal(_) => AuthMethod::ScramSha256,
        _ => return None,
    })
}

fn send_password(password: &[u8], out: &mut BytesMut) -> Result<(), StartupError> {
    frontend::password_message(password, out).map_err(StartupError::Parameter)
}

fn refusal(tag: u8, message: &Parsed) -> StartupError {
    let method = match message {
        Parsed::AuthenticationKerberosV5 => "Kerberos 5 authentication not supported",
        Parsed::AuthenticationGss => "duplicate GSS authentication request",
        Parsed::AuthenticationSspi => "SSPI authentication not supported",
        Parsed::AuthenticationScmCredential => "SCM credential authentication not supported",
        _ => {
            return ProtocolError::Unexpected { tag, expected: "authentication" }.into();
        }
    };
    StartupError::UnsupportedMethod(method.to_owned())
}

#[cfg(test)]
mod tests;
