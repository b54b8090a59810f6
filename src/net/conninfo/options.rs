//! All that is needed to connect, typed and checked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    AuthOptions, ConnectionArguments, ConninfoError, Environment, GssOptions, Host, Keyword,
    LoadBalanceHosts, Parameters, Password, TargetSessionAttrs, TlsOptions, arguments, auth, hosts,
    restrictions, tls,
};

/// The database of a physical replication connection that names none. The server ignores it;
/// poolers and password files may not.
const REPLICATION_DATABASE: &str = "replication";

/// The database of an ordinary session that names none: every cluster is made with it.
const ORDINARY_DATABASE: &str = "postgres";

/// Variables that set session defaults on the server without being connection parameters.
const SETTINGS: [(&str, &str); 3] =
    [("PGDATESTYLE", "datestyle"), ("PGTZ", "timezone"), ("PGGEQO", "geqo")];

/// What a connection is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionKind {
    /// Physical replication: the commands of a walsender, and no SQL.
    #[default]
    Replication,
    /// SQL in a database.
    Database,
}

/// How to connect: for physical replication, until [`Self::into_database`] says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// What the connection is for.
    pub session: SessionKind,
    /// The servers to try in turn; never empty.
    pub hosts: Vec<Host>,
    /// The order in which they are tried.
    pub load_balance_hosts: LoadBalanceHosts,
    /// What a session must be like to be kept.
    pub target_session_attrs: TargetSessionAttrs,
    /// The user to connect as.
    pub user: String,
    /// The password, if one was given; it is not empty. If there is none, see [`Self::passfile`].
    pub password: Option<Password>,
    /// The password file; it need not exist. `None` without a home directory.
    pub passfile: Option<PathBuf>,
    /// The database's name, for password files and poolers.
    pub database: String,
    /// The name under which the server lists the connection; may be empty.
    pub application_name: String,
    /// Command-line options for the server process.
    pub options: Option<String>,
    /// The client encoding to ask for.
    pub client_encoding: Option<String>,
    /// Session defaults from the environment: the server's names and the values.
    pub settings: Vec<(&'static str, String)>,
    /// How long a server may take to accept the connection; `None` for as long as it likes.
    pub connect_timeout: Option<Duration>,
    /// How TCP finds out that the server is gone; `None` for not at all.
    pub keepalives: Option<Keepalives>,
    /// How long sent data may stay unacknowledged; `None` for the system's default.
    pub tcp_user_timeout: Option<Duration>,
    /// What the user wants of TLS.
    pub tls: TlsOptions,
    /// What must hold when we sign in.
    pub auth: AuthOptions,
    /// What the user wants of GSSAPI.
    pub gss: GssOptions,
    /// The directory of sockets where no host is given.
    pub default_socket_directory: PathBuf,
    /// All that was given, by whatever way.
    pub(super) given: Parameters,
}

/// TCP keepalives; `None` for the system's defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalives {
    /// Silence before the first probe.
    pub idle: Option<Duration>,
    /// Silence between probes.
    pub interval: Option<Duration>,
    /// Probes that may be lost.
    pub count: Option<u32>,
}

impl ConnectOptions {
    /// Works out how to connect: `-h`, `-p` and `-U` win over `-d`, that over the service, that over
    /// the environment, and that over the defaults. The program's name is the default for the
    /// application name.
    ///
    /// # Errors
    /// If something cannot be read, contradicts itself or is not supported.
    pub fn resolve(
        arguments: &ConnectionArguments,
        program_name: &str,
        environment: &Environment,
    ) -> Result<Self, ConninfoError> {
        let typed = arguments.typed()?;
        let parameters = arguments::complete(&typed, environment)?;
        let text = |keyword| parameters.non_empty(keyword).map(str::to_owned);
        let name = parameters.value(Keyword::ApplicationName).unwrap_or(program_name);
        // The first error is the one shown: in libpq's order.
        let options = ConnectOptions {
            session: SessionKind::Replication,
            hosts: hosts::resolve(&parameters, environment.socket_directory())?,
            auth: auth::resolve(&parameters)?,
            tls: tls::resolve(&parameters, environment.home_directory())?,
            gss: auth::resolve_gss(&parameters)?,
            target_session_attrs: TargetSessionAttrs::resolve(&parameters)?,
            load_balance_hosts: LoadBalanceHosts::resolve(&parameters)?,
            user: user(&parameters, environment)?,
            password: password(arguments, &parameters),
            passfile: passfile(&parameters, environment.home_directory()),
            // Like pg_basebackup, do not take the database of ordinary sessions from elsewhere.
            database: typed.value(Keyword::Dbname).unwrap_or(REPLICATION_DATABASE).to_owned(),
            application_name: name.to_owned(),
            options: text(Keyword::Options),
            // The terminal's encoding, which "auto" asks for, is of no use to a backup.
            client_encoding: text(Keyword::ClientEncoding).filter(|encoding| encoding != "auto"),
            settings: settings(environment)?,
            connect_timeout: seconds(&parameters, Keyword::ConnectTimeout)?,
            keepalives: keepalives(&parameters)?,
            tcp_user_timeout: positive(&parameters, Keyword::TcpUserTimeout)?
                .map(|milliseconds| Duration::from_millis(milliseconds.into())),
            default_socket_directory: environment.socket_directory().to_owned(),
            given: parameters,
        };
        restrictions::check(&options.given)?;
        Ok(options)
    }

    /// Makes it an ordinary session, in the database that was given by whatever way, or else in "postgres".
    #[must_use]
    pub fn into_database(mut self) -> Self {
        self.session = SessionKind::Database;
        let given = self.given.non_empty(Keyword::Dbname);
        self.database = given.unwrap_or(ORDINARY_DATABASE).to_owned();
        self
    }

    /// Wants the primary of several hosts, unless it was said what a session must be like.
    #[must_use]
    pub fn preferring_primary(mut self) -> Self {
        let is_said = self.given.non_empty(Keyword::TargetSessionAttrs).is_some();
        if self.hosts.len() > 1 && !is_said {
            self.target_session_attrs = TargetSessionAttrs::Primary;
        }
        self
    }

    /// Returns the parameters of the startup message, in libpq's order.
    pub fn startup_parameters(&self) -> Vec<(String, String)> {
        let mut parameters = vec![("user", self.user.as_str()), ("database", &self.database)];
        match self.session {
            SessionKind::Replication => parameters.push(("replication", "true")),
            SessionKind::Database => {}
        }
        parameters.extend(self.options.as_deref().map(|options| ("options", options)));
        if !self.application_name.is_empty() {
            parameters.push(("application_name", &self.application_name));
        }
        parameters.extend(self.client_encoding.as_deref().map(|name| ("client_encoding", name)));
        parameters.extend(self.settings.iter().map(|(name, value)| (*name, value.as_str())));
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        parameters.into_iter().map(owned).collect()
    }
}

fn user(parameters: &Parameters, environment: &Environment) -> Result<String, ConninfoError> {
    Ok(match parameters.non_empty(Keyword::User) {
        Some(user) => user.to_owned(),
        None => environment.local_user()?.to_owned(),
    })
}

fn password(arguments: &ConnectionArguments, parameters: &Parameters) -> Option<Password> {
    let given = || Some(Password::new(parameters.value(Keyword::Password)?.as_bytes()));
    arguments.password.clone().or_else(given).filter(|password| !password.is_empty())
}

fn passfile(parameters: &Parameters, home_directory: Option<&Path>) -> Option<PathBuf> {
    let given = parameters.non_empty(Keyword::Passfile).map(PathBuf::from);
    given.or_else(|| Some(home_directory?.join(".pgpass")))
}

fn settings(environment: &Environment) -> Result<Vec<(&'static str, String)>, ConninfoError> {
    let mut settings = Vec::new();
    for (variable, name) in SETTINGS {
        let value = environment.variable(variable)?;
        if let Some(value) = value.filter(|value| !value.eq_ignore_ascii_case("default")) {
            settings.push((name, value.to_owned()));
        }
    }
    Ok(settings)
}

fn keepalives(parameters: &Parameters) -> Result<Option<Keepalives>, ConninfoError> {
    if parameters.integer(Keyword::Keepalives)? == Some(0) {
        return Ok(None);
    }
    Ok(Some(Keepalives {
        idle: seconds(parameters, Keyword::KeepalivesIdle)?,
        interval: seconds(parameters, Keyword::KeepalivesInterval)?,
        count: positive(parameters, Keyword::KeepalivesCount)?,
    }))
}

fn seconds(parameters: &Parameters, keyword: Keyword) -> Result<Option<Duration>, ConninfoError> {
    let seconds = positive(parameters, keyword)?;
    Ok(seconds.map(|seconds| Duration::from_secs(seconds.into())))
}

/// Returns a number where 0 and less mean the default.
fn positive(parameters: &Parameters, keyword: Keyword) -> Result<Option<u32>, ConninfoError> {
    let value = parameters.integer(keyword)?;
    Ok(value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0))
}

#[cfg(test)]
mod tests;
