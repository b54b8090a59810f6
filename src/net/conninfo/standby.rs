//! What a standby needs to follow the server that its data came from: `primary_conninfo`. Follows
//! `GenerateRecoveryConfig` of PostgreSQL's `recovery_gen.c`, but for defaults: those are not written,
//! because the standby's own libpq has them too.

use std::fmt;
use std::path::Path;
use std::str::Utf8Error;

use super::{ConnectOptions, Keyword, Parameters, SslMode, hosts, string};
use crate::pg::ServerVersion;

/// The port where none was given; the standby's environment may have another idea.
const DEFAULT_PORT: &str = "5432";

/// The first major version whose standbys use a database's name, to synchronise slots.
const DBNAME_SINCE: u32 = 17;

/// What a standby sets itself, or what only was a way to say the rest.
const NOT_FOR_STANDBYS: [Keyword; 5] = [
    Keyword::Service,
    Keyword::ServiceFile,
    Keyword::Dbname,
    Keyword::FallbackApplicationName,
    Keyword::Replication,
];

/// A connection string for a standby. `Debug` masks it, as a password may be in it.
#[derive(Clone, PartialEq, Eq)]
pub struct StandbyConninfo {
    /// The connection string, not yet quoted for a configuration file.
    pub text: String,
    /// What was given but is not in it: the standby's libpq is too old to know it, or it is no text.
    pub left_out: Vec<Keyword>,
}

impl ConnectOptions {
    /// Writes a connection string for a standby of a server: with the parameters that were given, and
    /// those that have other defaults under another account. `passfile` is the password file that the
    /// password came from, if it came from one; such a password is not written.
    pub fn for_standby(
        &self,
        server_version: ServerVersion,
        passfile: Option<&Path>,
    ) -> StandbyConninfo {
        let parameters = self.standby_parameters(passfile);
        let meant = parameters
            .iter()
            .filter(|(keyword, value)| !value.is_empty() && !NOT_FOR_STANDBYS.contains(keyword));
        let (known, unknown): (Vec<_>, Vec<_>) =
            meant.partition(|(keyword, value)| since(*keyword, value) <= server_version.major());
        let mut items: Vec<_> =
            known.into_iter().map(|(keyword, value)| string::item(keyword, value)).collect();
        if server_version.major() >= DBNAME_SINCE {
            let dbname = self.given.non_empty(Keyword::Dbname);
            items.extend(dbname.map(|name| string::item(Keyword::Dbname, name)));
        }
        let mut left_out: Vec<_> = unknown.into_iter().map(|(keyword, _)| keyword).collect();
        if self.password_text().is_some_and(|text| text.is_err()) {
            left_out.push(Keyword::Password);
        }
        StandbyConninfo { text: items.join(" "), left_out }
    }

    fn standby_parameters(&self, passfile: Option<&Path>) -> Parameters {
        let mut parameters = self.given.clone();
        parameters.set(Keyword::User, &self.user);
        if let Some(Ok(password)) = self.password_text() {
            parameters.set(Keyword::Password, password);
        }
        if let Some(path) = passfile.and_then(Path::to_str) {
            parameters.set(Keyword::Passfile, path);
        }
        parameters.set(Keyword::Host, self.host_names());
        if parameters.non_empty(Keyword::Port).is_none() {
            parameters.set(Keyword::Port, DEFAULT_PORT);
        }
        // What asked for it, like sslrootcert=system, may not be known to the standby's libpq.
        if self.tls.mode != SslMode::default() {
            parameters.set(Keyword::SslMode, self.tls.mode.to_string());
        }
        parameters
    }

    /// Returns the password; one that was typed may not be text.
    fn password_text(&self) -> Option<Result<&str, Utf8Error>> {
        self.password.as_ref().map(|password| str::from_utf8(password.as_bytes()))
    }

    /// Returns the hosts as they were given, with the default directory where there is neither a name
    /// nor an address; empty if there are only addresses.
    fn host_names(&self) -> String {
        let names = hosts::list(&self.given, Keyword::Host);
        let addresses = hosts::list(&self.given, Keyword::Hostaddr);
        let directory = self.default_socket_directory.to_string_lossy();
        let name = |index| match (hosts::entry(&names, index), hosts::entry(&addresses, index)) {
            ("", "") => &*directory,
            (name, _) => name,
        };
        let count = names.len().max(addresses.len()).max(1);
        let names: Vec<_> = (0..count).map(name).collect();
        if names.iter().all(|name| name.is_empty()) { String::new() } else { names.join(",") }
    }
}

/// Returns the major version whose libpq is the first to take a value.
fn since(keyword: Keyword, value: &str) -> u32 {
    let is = |wanted| keyword == wanted;
    let is_oauth = |method: &str| method.trim_start_matches('!') == "oauth";
    let value_since = if is(Keyword::TargetSessionAttrs) && !["any", "read-write"].contains(&value)
    {
        14
    } else if is(Keyword::SslRootCert) && value == "system" {
        16
    } else if is(Keyword::RequireAuth) && value.split(',').any(is_oauth) {
        18
    } else {
        0
    };
    keyword.since().max(value_since)
}

impl fmt::Debug for StandbyConninfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StandbyConninfo").field("left_out", &self.left_out).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::conninfo::{ConnectionArguments, Environment, Password};

    fn options(text: &str, variables: &[(&str, &str)], service: Option<&str>) -> ConnectOptions {
        let arguments =
            ConnectionArguments { connection_string: Some(text.to_owned()), ..Default::default() };
        let mut environment = Environment::new("local", "/run/pg").with_home_directory("/home/u");
        for (name, value) in variables {
            environment = environment.with_variable(name, *value);
        }
        if let Some(service) = service {
            environment = environment.with_service(Parameters::parse(service).expect(service));
        }
        ConnectOptions::resolve(&arguments, "p", &environment).expect(text)
    }

    fn standby(options: &ConnectOptions, major: u32) -> StandbyConninfo {
        options.for_standby(ServerVersion::major_release(major), None)
    }

    #[test]
    fn only_what_was_given_or_is_needed_is_written() {
        let table = [
            ("", "user=local host='/run/pg' port=5432"),
            ("host=h,i port=6,", "user=local host='h,i' port='6,'"),
            ("host=h,,/s", "user=local host='h,/run/pg,/s' port=5432"),
            ("hostaddr=::1", "user=local hostaddr='::1' port=5432"),
            ("host=h hostaddr=::1", "user=local host=h hostaddr='::1' port=5432"),
            ("hostaddr=,::1", "user=local host='/run/pg,' hostaddr=',::1' port=5432"),
            (
                r"password='it\'s' passfile='' replication=1 fallback_application_name=f",
                r"user=local password='it\'s' host='/run/pg' port=5432",
            ),
            (
                "sslmode=require application_name='a b' connect_timeout=5 service=s servicefile=/f",
                "user=local connect_timeout=5 host='/run/pg' port=5432 application_name='a b' \
                 sslmode=require",
            ),
        ];
        for (text, expected) in table {
            let written = standby(&options(text, &[], Some("")), 18);
            assert_eq!((&*written.text, &*written.left_out), (expected, &[][..]), "{text}");
        }
    }

    #[test]
    fn environment_and_service_count_as_given() {
        let variables = [
            ("PGUSER", "e"),
            ("PGSERVICE", "s"),
            ("PGPASSWORD", "secret"),
            ("PGPASSFILE", "/e"),
            ("PGAPPNAME", ""),
            ("PGREQUIRESSL", "1"),
        ];
        let options = options("", &variables, Some("host=h port=6 user=s"));
        let expected = "user=s password=secret passfile='/e' host=h port=6 sslmode=require";
        assert_eq!(standby(&options, 18).text, expected);
    }

    #[test]
    fn typed_password_is_written_and_one_of_the_password_file_is_not() {
        let arguments =
            ConnectionArguments { password: Some(Password::new(*b"typed")), ..Default::default() };
        let environment = Environment::new("u", "/s").with_variable("PGPASSWORD", "other");
        let options = ConnectOptions::resolve(&arguments, "p", &environment).expect("valid");
        assert_eq!(standby(&options, 18).text, "user=u password=typed host='/s' port=5432");
        let arguments =
            ConnectionArguments { password: Some(Password::new(*b"\xff")), ..Default::default() };
        let options = ConnectOptions::resolve(&arguments, "p", &environment).expect("valid");
        assert_eq!(standby(&options, 18).left_out, [Keyword::Password]);
        let options = self::options("", &[], None);
        let passfile = Path::new("/home/u/.pgpass");
        let written = options.for_standby(ServerVersion::major_release(18), Some(passfile));
        let expected = "user=local passfile='/home/u/.pgpass' host='/run/pg' port=5432";
        assert_eq!(written.text, expected);
    }

    #[test]
    fn database_is_named_for_servers_that_synchronise_slots() {
        let environment = [("PGDATABASE", "e")];
        let base = "user=local host='/run/pg' port=5432";
        let table = [
            ("", None, &[][..], 18, ""),
            ("dbname='a b'", Some("dbname=s"), &environment, 17, " dbname='a b'"),
            ("dbname=d", None, &environment, 16, ""),
            ("", Some("dbname=s"), &environment, 18, " dbname=s"),
            ("", None, &environment, 18, " dbname=e"),
        ];
        for (text, service, variables, major, appended) in table {
            let written = standby(&options(text, variables, service), major);
            assert_eq!(written.text, format!("{base}{appended}"), "{text} {service:?} {major}");
            assert_eq!(written.left_out, []);
        }
    }

    #[test]
    fn what_an_older_libpq_does_not_know_is_left_out() {
        let table = [
            ("sslsni=0", 13, Keyword::SslSni),
            ("sslcrldir=/c", 13, Keyword::SslCrlDir),
            ("target_session_attrs=primary", 13, Keyword::TargetSessionAttrs),
            ("load_balance_hosts=random", 15, Keyword::LoadBalanceHosts),
            ("sslnegotiation=postgres", 16, Keyword::SslNegotiation),
            ("require_auth=!oauth", 17, Keyword::RequireAuth),
            ("sslkeylogfile=/k", 17, Keyword::SslKeyLogFile),
        ];
        for (text, major, keyword) in table {
            let options = options(text, &[], None);
            let older = standby(&options, major);
            assert_eq!(older.text, "user=local host='/run/pg' port=5432", "{text}");
            assert_eq!(older.left_out, [keyword]);
            let newer = standby(&options, major + 1);
            assert!(newer.text.contains(keyword.name()) && newer.left_out.is_empty(), "{newer:?}");
        }
        let options = options("target_session_attrs=read-write", &[], None);
        assert!(standby(&options, 13).left_out.is_empty());
    }

    #[test]
    fn verification_stays_where_what_asked_for_it_is_left_out() {
        let base = "user=local host='/run/pg' port=5432";
        let options = options("sslrootcert=system", &[], None);
        let older = standby(&options, 15);
        assert_eq!(older.text, format!("{base} sslmode='verify-full'"));
        assert_eq!(older.left_out, [Keyword::SslRootCert]);
        let newer = standby(&options, 16);
        assert_eq!(newer.text, format!("{base} sslmode='verify-full' sslrootcert=system"));
        assert_eq!(newer.left_out, []);
    }

    #[test]
    fn debug_form_shows_no_password() {
        let written = standby(&options("password=hush", &[], None), 18);
        assert!(!format!("{written:?}").contains("hush"));
    }
}
