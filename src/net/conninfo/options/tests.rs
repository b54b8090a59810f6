use super::*;
use crate::net::conninfo::{AuthMethod, HostKind, RequireAuth, SslMode};

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
    let kind = HostKind::Tcp { name: name.to_owned(), address: None, is_named: true };
    vec![Host { kind, port, reached: None }]
}

#[test]
fn nothing_given_means_the_local_server_and_user() {
    let arguments = ConnectionArguments::default();
    let options = ConnectOptions::resolve(&arguments, "prog", &environment(&[]));
    let kind = HostKind::UnixDirectory("/run/default".into());
    let hosts = vec![Host { kind, port: 5432, reached: None }];
    let expected = ConnectOptions {
        session: SessionKind::Replication,
        hosts,
        load_balance_hosts: LoadBalanceHosts::Disable,
        target_session_attrs: TargetSessionAttrs::Any,
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
        gss: valid("", &[]).gss,
        default_socket_directory: "/run/default".into(),
        given: Parameters::default(),
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
fn connect_timeout_counts_in_seconds() {
    let table = [("0", None), ("-5", None), ("1", Some(1)), (" 30 ", Some(30))];
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
fn security_from_the_environment_counts() {
    let mode = |text: &str, variables: &[(&str, &str)]| valid(text, variables).tls.mode;
    let old_way = [("PGREQUIRESSL", "1")];
    assert_eq!(mode("", &old_way), SslMode::Require);
    assert_eq!(mode("", &[("PGREQUIRESSL", "0")]), SslMode::Prefer);
    assert_eq!(mode("sslmode=disable", &old_way), SslMode::Disable);
    assert_eq!(mode("", &[("PGREQUIRESSL", "1"), ("PGSSLMODE", "allow")]), SslMode::Allow);
    let methods = [("PGREQUIREAUTH", "!password")];
    let forbidden = RequireAuth::NoneOf(vec![AuthMethod::Password]);
    assert_eq!(valid("", &methods).auth.require_auth, forbidden);
    assert_eq!(valid("", &[("PGKRBSRVNAME", "pg")]).gss.service, "pg");
}

#[test]
fn refusals_of_the_environments_values_have_libpqs_words() {
    let system = "weak sslmode \"require\" may not be used with sslrootcert=system \
                  (use \"verify-full\")";
    let table = [
        (("PGSSLROOTCERT", "system"), system),
        (("PGSSLMODE", ""), "invalid sslmode value: \"\""),
        (("PGGSSENCMODE", ""), "invalid gssencmode value: \"\""),
        (("PGCHANNELBINDING", ""), "invalid channel_binding value: \"\""),
    ];
    for (variable, message) in table {
        let variables = [variable, ("PGREQUIRESSL", "1")];
        assert_eq!(resolve("", &variables), Err(message.to_owned()));
    }
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
        &[("PGGEQO", "off"), ("PGTZ", "UTC"), ("PGDATESTYLE", "ISO"), ("PGCLIENTENCODING", "UTF8")],
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

#[test]
fn an_ordinary_session_is_in_the_given_database_or_postgres() {
    let table: [(&str, &[_], _); 4] = [
        ("", &[], "postgres"),
        ("dbname=d", &[], "d"),
        ("", &[("PGDATABASE", "e")], "e"),
        ("dbname=''", &[], "postgres"),
    ];
    for (text, variables, database) in table {
        let options = valid(text, variables).into_database();
        let expected =
            [("user", "local"), ("database", database), ("application_name", "pg_basebackup")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(options.startup_parameters(), expected, "{text} {variables:?}");
        assert_eq!(options.database, database);
    }
}

#[test]
fn the_primary_of_several_hosts_is_wanted_unless_something_else_is_said() {
    let table: [(&str, &[_], _); 5] = [
        ("host=a", &[], TargetSessionAttrs::Any),
        ("host=a,b", &[], TargetSessionAttrs::Primary),
        ("host=a,b target_session_attrs=standby", &[], TargetSessionAttrs::Standby),
        ("host=a,b target_session_attrs=any", &[], TargetSessionAttrs::Any),
        ("host=a,b", &[("PGTARGETSESSIONATTRS", "any")], TargetSessionAttrs::Any),
    ];
    for (text, variables, expected) in table {
        let options = valid(text, variables).preferring_primary();
        assert_eq!(options.target_session_attrs, expected, "{text} {variables:?}");
    }
}
