//! What the user demands of the way in which we sign in. Follows `check_expected_areq` of libpq 18
//! (`fe-auth.c`), with its words.

use std::fmt;

/// Whether SCRAM is bound to the TLS session (`channel_binding`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// If the server can.
    #[default]
    Prefer,
    /// The server must.
    Require,
}

impl ChannelBinding {
    /// The names in connection strings.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("disable", ChannelBinding::Disable),
        ("prefer", ChannelBinding::Prefer),
        ("require", ChannelBinding::Require),
    ];
}

/// The methods by which we sign in (`require_auth`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RequireAuth {
    /// Any.
    #[default]
    Any,
    /// One of these.
    OneOf(Vec<AuthMethod>),
    /// None of these.
    NoneOf(Vec<AuthMethod>),
}

/// A method of `require_auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// The password in clear.
    Password,
    /// MD5 of the password.
    Md5,
    /// GSSAPI.
    Gss,
    /// SSPI, which only Windows has.
    Sspi,
    /// SCRAM, with or without channel binding.
    ScramSha256,
    /// A bearer token.
    Oauth,
    /// The server does not ask.
    None,
}

/// What lies below the session while we sign in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Nothing that protects it.
    #[default]
    Plain,
    /// GSSAPI, in which both sides have proven who they are.
    Gss,
    /// TLS.
    Tls {
        /// The hash of the server's certificate that `tls-server-end-point` stands for, or why there
        /// is none.
        end_point: Result<Vec<u8>, String>,
    },
}

/// What must hold when we sign in, and over what we do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthPolicy {
    /// Whether SCRAM is bound to the TLS session.
    pub channel_binding: ChannelBinding,
    /// The methods that the server may ask for.
    pub require_auth: RequireAuth,
    /// What lies below.
    pub transport: Transport,
    /// Why the server must not let us in whatever it asks for: it has not seen the certificate that
    /// the user wanted it to see.
    pub missing_certificate: Option<PolicyError>,
}

/// The server asks for something, or lets us in, against what the user demands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The method is not one of those that the user allows.
    #[error("authentication method requirement \"{requirement}\" failed: {reason}")]
    Method {
        /// What the user allows.
        requirement: RequireAuth,
        /// What the server did.
        reason: &'static str,
    },
    /// There is no TLS session to bind to.
    #[error("channel binding required, but SSL not in use")]
    BindingWithoutTls,
    /// The method knows no channel binding.
    #[error("channel binding required but not supported by server's authentication request")]
    BindingNotSupported,
    /// SCRAM is offered, but without channel binding.
    #[error(
        "channel binding is required, but server did not offer an authentication method that \
         supports channel binding"
    )]
    BindingNotOffered,
    /// The server let us in without having shown that it ends the TLS session.
    #[error("channel binding required, but server authenticated client without channel binding")]
    LetInUnbound,
    /// Somebody between the server and us takes the TLS away.
    #[error("server offered SCRAM-SHA-256-PLUS authentication over a non-SSL connection")]
    BindingOfferedWithoutTls,
    /// The server let us in without having asked for our certificate.
    #[error("server did not request an SSL certificate")]
    CertificateNotRequested,
    /// The server let us in though we had no certificate to show.
    #[error("server accepted connection without a valid SSL certificate")]
    CertificateNotSent,
}

impl AuthPolicy {
    /// Checks a request for a method before anything secret is sent in answer.
    pub(super) fn check_request(&self, method: AuthMethod) -> Result<(), PolicyError> {
        // Of the methods by SASL, the mechanism decides.
        let is_allowed = match method {
            AuthMethod::ScramSha256 | AuthMethod::Oauth => {
                let methods = [AuthMethod::ScramSha256, AuthMethod::Oauth];
                methods.into_iter().any(|method| self.require_auth.allows(method))
            }
            method => self.require_auth.allows(method),
        };
        if !is_allowed {
            return Err(self.method_error(method.request()));
        }
        match (self.channel_binding, method) {
            (ChannelBinding::Disable | ChannelBinding::Prefer, _)
            | (ChannelBinding::Require, AuthMethod::ScramSha256) => Ok(()),
            (ChannelBinding::Require, _) => Err(PolicyError::BindingNotSupported),
        }
    }

    /// Checks that the server may let us in, after an exchange that is finished or not, bound or not.
    pub(super) fn check_admission(&self, finished: bool, bound: bool) -> Result<(), PolicyError> {
        if let Some(error) = &self.missing_certificate {
            return Err(error.clone());
        }
        let by_gss = self.transport == Transport::Gss && self.require_auth.allows(AuthMethod::Gss);
        if !finished && !by_gss && !self.require_auth.allows(AuthMethod::None) {
            return Err(self.method_error(AuthMethod::None.request()));
        }
        if self.channel_binding == ChannelBinding::Require && !bound {
            return Err(PolicyError::LetInUnbound);
        }
        Ok(())
    }

    /// Checks that SCRAM may be used, in the one form or the other.
    pub(super) fn check_scram(&self, is_bound: bool) -> Result<(), PolicyError> {
        match (self.require_auth.allows(AuthMethod::ScramSha256), is_bound) {
            (true, _) => Ok(()),
            (false, true) => {
                Err(self.method_error("server requested SCRAM-SHA-256-PLUS authentication"))
            }
            (false, false) => {
                Err(self.method_error("server requested SCRAM-SHA-256 authentication"))
            }
        }
    }

    /// Chooses whether SCRAM is bound, given what the server offers.
    pub(super) fn choose_binding(&self, offers_plus: bool) -> Result<Binding, PolicyError> {
        let end_point = match &self.transport {
            Transport::Tls { end_point } => end_point,
            Transport::Plain | Transport::Gss => return self.without_tls(offers_plus),
        };
        match self.channel_binding {
            ChannelBinding::Disable => Ok(Binding::Unsupported),
            ChannelBinding::Prefer | ChannelBinding::Require if offers_plus => {
                Ok(Binding::EndPoint(end_point.clone()))
            }
            ChannelBinding::Prefer => Ok(Binding::Unrequested),
            ChannelBinding::Require => Err(PolicyError::BindingNotOffered),
        }
    }

    fn without_tls(&self, offers_plus: bool) -> Result<Binding, PolicyError> {
        if self.channel_binding == ChannelBinding::Require {
            Err(PolicyError::BindingWithoutTls)
        } else if offers_plus {
            Err(PolicyError::BindingOfferedWithoutTls)
        } else {
            Ok(Binding::Unsupported)
        }
    }

    fn method_error(&self, reason: &'static str) -> PolicyError {
        PolicyError::Method { requirement: self.require_auth.clone(), reason }
    }
}

/// What SCRAM tells the server of channel binding.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Binding {
    /// We cannot.
    Unsupported,
    /// We could, but the server does not offer it; it will notice if somebody hid its offer.
    Unrequested,
    /// We do, with this hash, or would if we had it.
    EndPoint(Result<Vec<u8>, String>),
}

impl RequireAuth {
    fn allows(&self, method: AuthMethod) -> bool {
        match self {
            RequireAuth::Any => true,
            RequireAuth::OneOf(methods) => methods.contains(&method),
            RequireAuth::NoneOf(methods) => !methods.contains(&method),
        }
    }
}

impl fmt::Display for RequireAuth {
    /// Writes it as it is written in a connection string.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (methods, sign) = match self {
            RequireAuth::Any => return Ok(()),
            RequireAuth::OneOf(methods) => (methods, ""),
            RequireAuth::NoneOf(methods) => (methods, "!"),
        };
        let names: Vec<_> = methods.iter().map(|m| format!("{sign}{}", m.name())).collect();
        f.write_str(&names.join(","))
    }
}

impl AuthMethod {
    /// The names in connection strings.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("password", AuthMethod::Password),
        ("md5", AuthMethod::Md5),
        ("gss", AuthMethod::Gss),
        ("sspi", AuthMethod::Sspi),
        ("scram-sha-256", AuthMethod::ScramSha256),
        ("oauth", AuthMethod::Oauth),
        ("none", AuthMethod::None),
    ];

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, method)| *method == self).map_or("", |(name, _)| name)
    }

    /// Says what a server did that asked for it, or that did not ask.
    fn request(self) -> &'static str {
        match self {
            AuthMethod::Password => "server requested a cleartext password",
            AuthMethod::Md5 => "server requested a hashed password",
            AuthMethod::Gss => "server requested GSSAPI authentication",
            AuthMethod::Sspi => "server requested SSPI authentication",
            AuthMethod::ScramSha256 | AuthMethod::Oauth => "server requested SASL authentication",
            AuthMethod::None => "server did not complete authentication",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(channel_binding: ChannelBinding, transport: Transport) -> AuthPolicy {
        AuthPolicy { channel_binding, transport, ..AuthPolicy::default() }
    }

    fn tls() -> Transport {
        Transport::Tls { end_point: Ok(vec![1]) }
    }

    #[test]
    fn methods_outside_the_requirement_are_refused_in_libpqs_words() {
        use AuthMethod as M;
        let one_of = |methods: &[M]| RequireAuth::OneOf(methods.to_vec());
        let none_of = |methods: &[M]| RequireAuth::NoneOf(methods.to_vec());
        let table = [
            (RequireAuth::Any, M::Md5, None),
            (one_of(&[M::Md5]), M::Md5, None),
            (none_of(&[M::Md5]), M::Password, None),
            (
                one_of(&[M::ScramSha256, M::None]),
                M::Password,
                Some("\"scram-sha-256,none\" failed: server requested a cleartext password"),
            ),
            (
                none_of(&[M::Md5, M::Password]),
                M::Md5,
                Some("\"!md5,!password\" failed: server requested a hashed password"),
            ),
            (
                one_of(&[M::Md5]),
                M::ScramSha256,
                Some("\"md5\" failed: server requested SASL authentication"),
            ),
            (
                one_of(&[M::Oauth]),
                M::Gss,
                Some("\"oauth\" failed: server requested GSSAPI authentication"),
            ),
            (
                one_of(&[M::Gss]),
                M::Sspi,
                Some("\"gss\" failed: server requested SSPI authentication"),
            ),
        ];
        for (require_auth, method, failure) in table {
            let policy = AuthPolicy { require_auth, ..AuthPolicy::default() };
            let seen = policy.check_request(method).map_err(|error| error.to_string());
            let words = |failure| format!("authentication method requirement {failure}");
            assert_eq!(seen.err(), failure.map(words), "{policy:?}");
        }
    }

    #[test]
    fn where_sasl_is_not_forbidden_as_a_whole_the_mechanism_decides() {
        use AuthMethod as M;
        let forbidding =
            [RequireAuth::NoneOf(vec![M::ScramSha256]), RequireAuth::OneOf(vec![M::Oauth])];
        for require_auth in forbidding {
            let policy = AuthPolicy { require_auth, ..AuthPolicy::default() };
            assert_eq!(policy.check_request(M::ScramSha256), Ok(()));
            for (is_bound, mechanism) in [(true, "SCRAM-SHA-256-PLUS"), (false, "SCRAM-SHA-256")] {
                let error = policy.check_scram(is_bound).expect_err("a forbidden mechanism");
                let words = format!("server requested {mechanism} authentication");
                assert!(error.to_string().ends_with(&words), "{error}");
            }
        }
        assert_eq!(AuthPolicy::default().check_scram(true), Ok(()));
    }

    #[test]
    fn only_who_allows_none_is_let_in_without_a_finished_exchange() {
        use AuthMethod as M;
        let table = [
            (RequireAuth::Any, true),
            (RequireAuth::OneOf(vec![M::Md5, M::None]), true),
            (RequireAuth::NoneOf(vec![M::Md5]), true),
            (RequireAuth::OneOf(vec![M::Md5]), false),
            (RequireAuth::NoneOf(vec![M::None]), false),
        ];
        for (require_auth, is_let_in) in table {
            let policy = AuthPolicy { require_auth, ..AuthPolicy::default() };
            assert_eq!(policy.check_admission(false, false).is_ok(), is_let_in, "{policy:?}");
            assert_eq!(policy.check_admission(true, false), Ok(()));
        }
    }

    #[test]
    fn encryption_by_gssapi_counts_as_signing_in_with_it() {
        use AuthMethod as M;
        let table = [
            (RequireAuth::OneOf(vec![M::Gss]), true),
            (RequireAuth::OneOf(vec![M::Md5]), false),
            (RequireAuth::NoneOf(vec![M::None]), true),
            (RequireAuth::NoneOf(vec![M::None, M::Gss]), false),
        ];
        for (require_auth, is_let_in) in table {
            let policy =
                AuthPolicy { require_auth, transport: Transport::Gss, ..AuthPolicy::default() };
            assert_eq!(policy.check_admission(false, false).is_ok(), is_let_in, "{policy:?}");
        }
    }

    #[test]
    fn required_binding_accepts_nothing_less() {
        let required = policy(ChannelBinding::Require, tls());
        for method in [AuthMethod::Password, AuthMethod::Md5, AuthMethod::Gss, AuthMethod::Sspi] {
            assert_eq!(required.check_request(method), Err(PolicyError::BindingNotSupported));
        }
        assert_eq!(required.check_request(AuthMethod::ScramSha256), Ok(()));
        for finished in [false, true] {
            let admission = required.check_admission(finished, false);
            assert_eq!(admission, Err(PolicyError::LetInUnbound));
        }
        assert_eq!(required.check_admission(true, true), Ok(()));
    }

    #[test]
    fn binding_follows_the_wish_the_transport_and_the_offer() {
        use ChannelBinding::{Disable, Prefer, Require};
        let bound = || Ok(Binding::EndPoint(Ok(vec![1])));
        let table = [
            (Disable, tls(), true, Ok(Binding::Unsupported)),
            (Disable, tls(), false, Ok(Binding::Unsupported)),
            (Prefer, tls(), true, bound()),
            (Prefer, tls(), false, Ok(Binding::Unrequested)),
            (Require, tls(), true, bound()),
            (Require, tls(), false, Err(PolicyError::BindingNotOffered)),
            (Prefer, Transport::Plain, false, Ok(Binding::Unsupported)),
            (Prefer, Transport::Plain, true, Err(PolicyError::BindingOfferedWithoutTls)),
            (Disable, Transport::Plain, true, Err(PolicyError::BindingOfferedWithoutTls)),
            (Require, Transport::Plain, true, Err(PolicyError::BindingWithoutTls)),
            (Require, Transport::Plain, false, Err(PolicyError::BindingWithoutTls)),
            (Require, Transport::Gss, true, Err(PolicyError::BindingWithoutTls)),
            (Prefer, Transport::Gss, false, Ok(Binding::Unsupported)),
        ];
        for (wish, transport, offers_plus, expected) in table {
            let policy = policy(wish, transport);
            assert_eq!(policy.choose_binding(offers_plus), expected, "{policy:?}");
        }
    }
}
