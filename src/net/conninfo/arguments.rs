//! What was typed, and the order in which the sources of parameters win.

use std::fmt;

use super::keyword::MASK;
use super::{ConninfoError, Environment, Keyword, Parameters, Password};

/// What the command line says about the connection. Empty values count as not given. `Debug` masks
/// the connection string, which may hold a password.
#[derive(Clone, Default)]
pub struct ConnectionArguments {
    /// `-d`: a connection string, a URI or the name of a database.
    pub connection_string: Option<String>,
    /// `-h`
    pub host: Option<String>,
    /// `-p`
    pub port: Option<String>,
    /// `-U`
    pub user: Option<String>,
    /// A password that was asked for.
    pub password: Option<Password>,
}

impl ConnectionArguments {
    /// Returns what was typed; values are not empty.
    pub(super) fn typed(&self) -> Result<Parameters, ConninfoError> {
        let connection_string = self.connection_string.as_deref().unwrap_or_default();
        let mut parameters = Parameters::parse(connection_string)?;
        let options =
            [(Keyword::Host, &self.host), (Keyword::User, &self.user), (Keyword::Port, &self.port)];
        for (keyword, value) in options {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                parameters.set(keyword, value);
            }
        }
        parameters.remove_empty();
        Ok(parameters)
    }
}

/// Lays the other sources under what was typed: the service, then the environment, where also an
/// empty value sets.
pub(super) fn complete(
    typed: &Parameters,
    environment: &Environment,
) -> Result<Parameters, ConninfoError> {
    let mut parameters = typed.clone();
    if let Some(service) = environment.service() {
        parameters.add(service);
    }
    for &keyword in Keyword::ALL {
        if let (None, Some(variable)) = (parameters.value(keyword), keyword.variable())
            && let Some(value) = environment.variable(variable)?
        {
            parameters.set(keyword, value);
        }
    }
    let requires_ssl = environment.variable("PGREQUIRESSL")?.is_some_and(|v| v.starts_with('1'));
    if requires_ssl {
        parameters.set_if_unset(Keyword::SslMode, "require");
    }
    match parameters.value(Keyword::Service) {
        Some(name) if environment.service().is_none() => {
            Err(ConninfoError::ServiceNotFound(name.to_owned()))
        }
        Some(_) | None => Ok(parameters),
    }
}

impl fmt::Debug for ConnectionArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionArguments")
            .field("connection_string", &self.connection_string.as_ref().map(|_| MASK))
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("password", &self.password)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_form_shows_no_password() {
        let arguments = ConnectionArguments {
            connection_string: Some("postgres://u:hush@h".to_owned()),
            password: Some(Password::new(*b"hush")),
            ..Default::default()
        };
        assert!(!format!("{arguments:?}").contains("hush"));
    }
}
