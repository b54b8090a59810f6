//! All that is needed to connect, typed and checked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    AuthOptions, ClientCertificate, ConnectionArguments, ConninfoError, Environment, Host, Keyword,
    Parameters, Password, RootCertificates, SslNegotiation, TlsOptions, hosts, restrictions,
};

/// The database of a physical replication connection that names none. The server ignores it;
/// poolers and password files may not.
const REPLICATION_DATABASE: &str = "replication";

/// Variables that set session defaults on the server without being connection parameters.
const SETTINGS: [(&str, &str); 3] =
    [("PGDATESTYLE", "datestyle"), ("PGTZ", "timezone"), ("PGGEQO", "geqo")];

/// The shortest limit on connecting; libpq's clock once counted in whole seconds.
const CONNECT_TIMEOUT_MIN: Duration = Duration::from_secs(2);

/// How to connect for physical replication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The servers to try in turn; never empty.
    pub hosts: Vec<Host>,
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
    /// The directory of sockets where no host is given.
    pub default_socket_directory: PathBuf,
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
    /// Works out how to connect: `-h`, `-p` and `-U` win over `-d`, that over the environment, and
    /// that over the defaults. The program's name is the default for the application name.
    ///
    /// # Errors
    /// If something cannot be read, contradicts itself or is not supported yet.
    pub fn resolve(
        arguments: &ConnectionArguments,
        program_name: &str,
        environment: &Environment,
    ) -> Result<Self, ConninfoError> {
        let parameters = arguments.merge(environment)?;
        let text = |keyword| parameters.non_empty(keyword).map(str::to_owned);
        let given_password =
            || text(Keyword::Password).map(|text| Password::new(text.into_bytes()));
        let name = parameters.value(Keyword::ApplicationName).unwrap_or(program_name);
        Ok(ConnectOptions {
            tls: tls_options(&parameters, environment.home_directory())?,
            auth: AuthOptions::default(),
            hosts: hosts::resolve(&parameters, environment.socket_directory())?,
            user: user(&parameters, environment)?,
            password: arguments.password.clone().or_else(given_password).filter(|p| !p.is_empty()),
            passfile: passfile(&parameters, environment.home_directory()),
            database: text(Keyword::Dbname).unwrap_or_else(|| REPLICATION_DATABASE.to_owned()),
            application_name: name.to_owned(),
            options: text(Keyword::Options),
            // The terminal's encoding, which "auto" asks for, is of no use to a backup.
            client_encoding: text(Keyword::ClientEncoding).filter(|encoding| encoding != "auto"),
            settings: settings(environment)?,
            connect_timeout: seconds(&parameters, Keyword::ConnectTimeout)?
                .map(|timeout| timeout.max(CONNECT_TIMEOUT_MIN)),
            keepalives: keepalives(&parameters)?,
            tcp_user_timeout: positive(&parameters, Keyword::TcpUserTimeout)?
                .map(|milliseconds| Duration::from_millis(milliseconds.into())),
            default_socket_directory: environment.socket_directory().to_owned(),
        })
    }

    /// Returns the parameters of the startup message, in libpq's order.
    pub fn startup_parameters(&self) -> Vec<(String, String)> {
        let mut parameters = vec![
            ("user", self.user.as_str()),
            ("database", &self.database),
            ("replication", "true"),
        ];
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

fn passfile(parameters: &Parameters, home_directory: Option<&Path>) -> Option<PathBuf> {
    let given = parameters.non_empty(Keyword::Passfile).map(PathBuf::from);
    given.or_else(|| Some(home_directory?.join(".pgpass")))
}

fn tls_options(
    parameters: &Parameters,
    home_directory: Option<&Path>,
) -> Result<TlsOptions, ConninfoError> {
    let default = |name| home_directory.map(|home| home.join(".postgresql").join(name));
    Ok(TlsOptions {
        mode: restrictions::check(parameters)?,
        negotiation: SslNegotiation::default(),
        roots: default("root.crt").map_or(RootCertificates::Missing, RootCertificates::File),
        crl_file: None,
        crl_directory: None,
        client_certificate: ClientCertificate::default(),
        certificate_file: default("postgresql.crt"),
        key_file: default("postgresql.key"),
        key_password: None,
        sends_server_name: true,
        version_min: None,
        version_max: None,
        key_log_file: None,
    })
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
mod tests {
    use super::*;
    use crate::net::conninfo::{HostKind, SslMode};

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let empty = Environment::new("local", "/run/default").with_home_directory("/home/local");
        variables.iter().fold(empty, |all, (name, value)| all.with_variable(name, *value))
    }

    fn resolve(text: &str, variables: &[(&str, &str)]) -> Result<ConnectOptions, String> {
        let arguments =
            ConnectionArguments { connection_string: Some(text.to_owned()), ..Default::default() };
        ConnectOptions::resolve(&arguments, "pg_basebackup", &environment(variables))
            .map_err(|error| error.to_string())
    }

    fn valid(text: &str, variables: &[(&str, &str)]) -> ConnectOptions {
        resolve(text, variables).expect(text)
    }

    fn tcp(name: &str, port: u16) -> Vec<Host> {
        vec![Host { kind: HostKind::Tcp { name: name.to_owned(), address: None }, port }]
    }

    #[test]
    fn nothing_given_means_the_local_server_and_user() {
        let arguments = ConnectionArguments::default();
        let options = ConnectOptions::resolve(&arguments, "prog", &environment(&[]));
        let hosts = vec![Host { kind: HostKind::UnixDirectory("/run/default".into()), port: 5432 }];
        let expected = ConnectOptions {
            hosts,
            user: "local".to_owned(),
            password: None,
            passfile: Some("/home/local/.pgpass".into()),
            database: "replication".to_owned(),
            application_name: "prog".to_owned(),
            options: None,
            client_encoding: None,
            settings: Vec::new(),
            connect_timeout: None,
            keepalives: Some(Keepalives::default()),
            tcp_user_timeout: None,
            tls: valid("", &[]).tls,
            auth: AuthOptions::default(),
            default_socket_directory: "/run/default".into(),
        };
        assert_eq!(options, Ok(expected));
    }

    #[test]
    fn options_win_over_the_string_and_that_over_the_environment() {
        let environment = environment(&[("PGHOST", "e"), ("PGPORT", "1"), ("PGUSER", "e")]);
        let given = |text: &str| Some(text.to_owned());
        let mut arguments = ConnectionArguments::default();
        let seen = |arguments: &ConnectionArguments| {
            let options = ConnectOptions::resolve(arguments, "p", &environment).expect("valid");
            (options.hosts, options.user)
        };
        assert_eq!(seen(&arguments), (tcp("e", 1), "e".to_owned()));
        arguments.connection_string = given("host=d port=2 user=d");
        assert_eq!(seen(&arguments), (tcp("d", 2), "d".to_owned()));
        arguments.host = given("o");
        arguments.port = given("3");
        arguments.user = given("o");
        assert_eq!(seen(&arguments), (tcp("o", 3), "o".to_owned()));
        // Empty options count as not given, empty items of the string as absent.
        arguments.host = given("");
        arguments.port = given("");
        arguments.user = given("");
        assert_eq!(seen(&arguments), (tcp("d", 2), "d".to_owned()));
        arguments.connection_string = given("host='' port='' user=''");
        assert_eq!(seen(&arguments), (tcp("e", 1), "e".to_owned()));
    }

    #[test]
    fn database_comes_from_the_string_only() {
        let table = [
            ("", "replication"),
            ("dbname=''", "replication"),
            ("postgres:///db", "db"),
            ("dbname=db", "db"),
        ];
        for (text, database) in table {
            assert_eq!(valid(text, &[("PGDATABASE", "env")]).database, database, "{text}");
        }
    }

    #[test]
    fn application_name_falls_back_to_the_program() {
        let table = [
            ("", None, "pg_basebackup"),
            ("fallback_application_name=f", None, "pg_basebackup"),
            ("", Some(("PGAPPNAME", "env")), "env"),
            ("application_name=a", Some(("PGAPPNAME", "env")), "a"),
            ("", Some(("PGAPPNAME", "")), ""),
        ];
        for (text, variable, name) in table {
            assert_eq!(valid(text, variable.as_slice()).application_name, name, "{variable:?}");
        }
    }

    #[test]
    fn passwords_and_passfiles_come_in_order() {
        let password = |text: &str| Some(Password::new(text.as_bytes()));
        let variables = [("PGPASSWORD", "env"), ("PGPASSFILE", "/env")];
        assert_eq!(valid("password=d", &variables).password, password("d"));
        assert_eq!(valid("", &variables).password, password("env"));
        assert_eq!(valid("", &[("PGPASSWORD", "")]).password, None);
        assert_eq!(valid("passfile=/d", &variables).passfile, Some("/d".into()));
        assert_eq!(valid("", &variables).passfile, Some("/env".into()));
        let arguments = ConnectionArguments {
            connection_string: Some("password=d".to_owned()),
            password: password("asked"),
            ..Default::default()
        };
        let options = ConnectOptions::resolve(&arguments, "p", &environment(&variables));
        assert_eq!(options.map(|options| options.password), Ok(password("asked")));
    }

    #[test]
    fn debug_form_shows_no_password() {
        let options = valid("password=hush", &[]);
        assert!(!format!("{options:?}").contains("hush"));
    }

    #[test]
    fn connect_timeout_is_at_least_two_seconds() {
        let table = [("0", None), ("-5", None), ("1", Some(2)), ("2", Some(2)), (" 30 ", Some(30))];
        for (value, seconds) in table {
            let options = valid(&format!("connect_timeout='{value}'"), &[]);
            assert_eq!(options.connect_timeout, seconds.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn keepalives_are_read() {
        assert_eq!(valid("keepalives=0 keepalives_idle=5", &[]).keepalives, None);
        let options = valid(
            "keepalives_idle=5 keepalives_interval=-1 keepalives_count=3 tcp_user_timeout=1500",
            &[],
        );
        let idle = Some(Duration::from_secs(5));
        let expected = Keepalives { idle, interval: None, count: Some(3) };
        assert_eq!(options.keepalives, Some(expected));
        assert_eq!(options.tcp_user_timeout, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn numbers_that_are_none_have_libpqs_words() {
        let names = [
            "connect_timeout",
            "keepalives",
            "keepalives_idle",
            "keepalives_interval",
            "keepalives_count",
            "tcp_user_timeout",
        ];
        for name in names {
            for value in ["x", "1x", "2147483648", " "] {
                let message =
                    format!("invalid integer value \"{value}\" for connection option \"{name}\"");
                assert_eq!(resolve(&format!("{name}='{value}'"), &[]), Err(message));
            }
        }
    }

    #[test]
    fn restrictions_from_the_environment_count() {
        let table = [
            (
                ("PGREQUIRESSL", "1"),
                "sslmode value \"require\" invalid when SSL support is not compiled in",
            ),
            (
                ("PGSSLMODE", "verify-full"),
                "sslmode value \"verify-full\" invalid when SSL support is not compiled in",
            ),
            (("PGSSLMODE", ""), "invalid sslmode value: \"\""),
            (("PGSERVICE", "prod"), "connection option \"service\" is not supported yet: \"prod\""),
        ];
        for (variable, message) in table {
            assert_eq!(resolve("", &[variable]), Err(message.to_owned()));
        }
        let weaker = valid("sslmode=disable", &[("PGREQUIRESSL", "1")]);
        assert_eq!(weaker.tls.mode, SslMode::Disable);
    }

    #[test]
    fn startup_parameters_are_in_libpqs_order() {
        let plain = valid("", &[("PGAPPNAME", ""), ("PGTZ", "DEFAULT")]).startup_parameters();
        let names = |parameters: &[(String, String)]| {
            parameters.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(names(&plain), ["user=local", "database=replication", "replication=true"]);
        let full = valid(
            "dbname=db replication=database options='-c a=b'",
            &[
                ("PGGEQO", "off"),
                ("PGTZ", "UTC"),
                ("PGDATESTYLE", "ISO"),
                ("PGCLIENTENCODING", "UTF8"),
            ],
        );
        assert_eq!(
            names(&full.startup_parameters()),
            [
                "user=local",
                "database=db",
                "replication=true",
                "options=-c a=b",
                "application_name=pg_basebackup",
                "client_encoding=UTF8",
                "datestyle=ISO",
                "timezone=UTC",
                "geqo=off",
            ]
        );
        assert_eq!(valid("client_encoding=auto", &[]).client_encoding, None);
    }
}
