//! What must hold when we sign in. Follows `pqConnectOptions2` of libpq's `fe-connect.c`.

use super::{
    AuthMethod, AuthOptions, ChannelBinding, ConninfoError, GssEncryption, GssOptions, Keyword,
    Parameters, RequireAuth,
};

/// The service part of servers' principals where none is named.
const SERVICE_DEFAULT: &str = "postgres";

/// Works out what must hold when we sign in.
pub(super) fn resolve(parameters: &Parameters) -> Result<AuthOptions, ConninfoError> {
    let require_auth = parameters.non_empty(Keyword::RequireAuth).map(require_auth).transpose()?;
    let channel_binding = parameters.choice(Keyword::ChannelBinding, &ChannelBinding::NAMES)?;
    Ok(AuthOptions {
        channel_binding: channel_binding.unwrap_or_default(),
        require_auth: require_auth.unwrap_or_default(),
        require_peer: parameters.non_empty(Keyword::RequirePeer).map(str::to_owned),
    })
}

/// Reads a list of methods, all of them allowed or all of them, with a `!`, forbidden.
fn require_auth(list: &str) -> Result<RequireAuth, ConninfoError> {
    let is_negative = list.starts_with('!');
    let mut methods = Vec::new();
    for item in list.split(',') {
        let name = match (item.strip_prefix('!'), is_negative) {
            (Some(name), true) => name,
            (None, false) => item,
            (Some(_), false) => return Err(ConninfoError::AuthMethodNegative(item.to_owned())),
            (None, true) => return Err(ConninfoError::AuthMethodNotNegative(item.to_owned())),
        };
        let method = method(name)?;
        if methods.contains(&method) {
            return Err(ConninfoError::AuthMethodRepeated(item.to_owned()));
        }
        methods.push(method);
    }
    Ok(if is_negative { RequireAuth::NoneOf(methods) } else { RequireAuth::OneOf(methods) })
}

fn method(name: &str) -> Result<AuthMethod, ConninfoError> {
    let found = AuthMethod::NAMES.iter().find(|(known, _)| *known == name);
    found.map(|(_, method)| *method).ok_or_else(|| ConninfoError::InvalidValue {
        keyword: Keyword::RequireAuth,
        value: name.to_owned(),
    })
}

/// Works out what GSSAPI is to do. `gsslib` chooses among libraries that only Windows has.
pub(super) fn resolve_gss(parameters: &Parameters) -> Result<GssOptions, ConninfoError> {
    let encryption = parameters.choice(Keyword::GssEncMode, &GssEncryption::NAMES)?;
    if encryption == Some(GssEncryption::Require) && !cfg!(feature = "gssapi") {
        return Err(ConninfoError::GssNotCompiledIn);
    }
    Ok(GssOptions {
        encryption: encryption.unwrap_or_default(),
        service: parameters.value(Keyword::KrbSrvName).unwrap_or(SERVICE_DEFAULT).to_owned(),
        delegates: parameters.switch(Keyword::GssDelegation).unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(text: &str) -> Parameters {
        Parameters::parse(text).expect("a valid connection string")
    }

    fn options(text: &str) -> Result<AuthOptions, String> {
        resolve(&parameters(text)).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_given_means_any_method() {
        assert_eq!(options(""), Ok(AuthOptions::default()));
        assert_eq!(options("requirepeer='' require_auth=''"), Ok(AuthOptions::default()));
    }

    #[test]
    fn methods_are_allowed_or_forbidden() {
        use AuthMethod::{Gss, Md5, None, Oauth, Password, ScramSha256, Sspi};
        let table = [
            ("scram-sha-256", RequireAuth::OneOf(vec![ScramSha256])),
            ("none,gss,sspi,oauth", RequireAuth::OneOf(vec![None, Gss, Sspi, Oauth])),
            ("!password,!md5", RequireAuth::NoneOf(vec![Password, Md5])),
            ("!none", RequireAuth::NoneOf(vec![None])),
        ];
        for (list, expected) in table {
            let options = options(&format!("require_auth={list}")).expect(list);
            assert_eq!(options.require_auth, expected, "{list}");
        }
    }

    #[test]
    fn binding_and_peer_are_read() {
        let options = options("channel_binding=require requirepeer=postgres").expect("valid");
        assert_eq!(options.channel_binding, ChannelBinding::Require);
        assert_eq!(options.require_peer.as_deref(), Some("postgres"));
    }

    #[test]
    fn refusals_have_libpqs_words() {
        let negative = "negative require_auth method \"!md5\" cannot be mixed with non-negative \
                        methods";
        let table = [
            ("require_auth=password,!md5", negative),
            (
                "require_auth=!password,md5",
                "require_auth method \"md5\" cannot be mixed with negative methods",
            ),
            ("require_auth=md5,md5", "require_auth method \"md5\" is specified more than once"),
            (
                "require_auth=!none,!none",
                "require_auth method \"!none\" is specified more than once",
            ),
            ("require_auth=bogus channel_binding=x", "invalid require_auth value: \"bogus\""),
            ("require_auth=!bogus", "invalid require_auth value: \"bogus\""),
            ("require_auth='md5, gss'", "invalid require_auth value: \" gss\""),
            ("require_auth=md5,", "invalid require_auth value: \"\""),
            ("channel_binding=x", "invalid channel_binding value: \"x\""),
            ("channel_binding=''", "invalid channel_binding value: \"\""),
        ];
        for (text, message) in table {
            assert_eq!(options(text), Err(message.to_owned()), "{text}");
        }
    }

    #[test]
    fn gssapi_is_chosen_as_in_libpq() {
        let gss = |text: &str| resolve_gss(&parameters(text)).map_err(|error| error.to_string());
        let defaults = GssOptions {
            encryption: GssEncryption::Prefer,
            service: "postgres".to_owned(),
            delegates: false,
        };
        assert_eq!(gss("gsslib=gssapi"), Ok(defaults));
        let given = GssOptions {
            encryption: GssEncryption::Disable,
            service: "pg".to_owned(),
            delegates: true,
        };
        assert_eq!(gss("gssencmode=disable krbsrvname=pg gssdelegation=1"), Ok(given));
        assert_eq!(gss("gssencmode=x"), Err("invalid gssencmode value: \"x\"".to_owned()));
        let message = "gssencmode value \"require\" invalid when GSSAPI support is not compiled in";
        let required = gss("gssencmode=require").map(|options| options.encryption);
        let expected = if cfg!(feature = "gssapi") {
            Ok(GssEncryption::Require)
        } else {
            Err(message.to_owned())
        };
        assert_eq!(required, expected);
    }
}
