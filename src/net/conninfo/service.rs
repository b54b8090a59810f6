//! Services: named sets of parameters in files of `[name]` sections. Follows `parseServiceInfo` and
//! `parseServiceFile` of libpq's `fe-connect.c`; LDAP lines are not supported.

use std::path::{Path, PathBuf};

use super::string::is_space;
use super::{ConnectionArguments, ConninfoError, Environment, Keyword, Parameters};

/// The user's own file, in the home directory.
const USER_FILE: &str = ".pg_service.conf";

/// The file for all users, in [`SYSTEM_DIRECTORIES`] or `PGSYSCONFDIR`.
const SYSTEM_FILE: &str = "pg_service.conf";

/// Where that file is: in Debian's and Red Hat's packages, then in PostgreSQL itself. libpq has one of
/// them compiled in.
const SYSTEM_DIRECTORIES: [&str; 3] =
    ["/etc/postgresql-common", "/etc/sysconfig/pgsql", "/usr/local/pgsql/etc"];

/// The longest line, with the newline, that libpq's buffer takes.
const LINE_BYTES_MAX: usize = 1022;

/// A service that somebody named, and where its definition is sought, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// A file that was named and must be there.
    pub named_file: Option<PathBuf>,
    /// Files that are used if they are there.
    pub default_files: Vec<PathBuf>,
}

impl Service {
    /// Returns the service that the connection string or else the environment names, if one does.
    ///
    /// # Errors
    /// If the connection string or a variable cannot be read.
    pub fn named(
        arguments: &ConnectionArguments,
        environment: &Environment,
    ) -> Result<Option<Self>, ConninfoError> {
        let typed = arguments.typed()?;
        let given = |keyword: Keyword| {
            let variable =
                || keyword.variable().map_or(Ok(None), |name| environment.variable(name));
            typed.value(keyword).map_or_else(variable, |value| Ok(Some(value)))
        };
        let Some(name) = given(Keyword::Service)? else { return Ok(None) };
        let named_file = given(Keyword::ServiceFile)?.map(PathBuf::from);
        let user_file = environment.home_directory().map(|home| home.join(USER_FILE));
        let system_files = match environment.variable("PGSYSCONFDIR")? {
            Some(directory) => vec![Path::new(directory).join(SYSTEM_FILE)],
            None => SYSTEM_DIRECTORIES.map(|path| Path::new(path).join(SYSTEM_FILE)).to_vec(),
        };
        // A file that was named takes the place of the user's own.
        let user_file = user_file.filter(|_| named_file.is_none());
        let default_files = user_file.into_iter().chain(system_files).collect();
        Ok(Some(Service { name: name.to_owned(), named_file, default_files }))
    }

    /// Finds the service's parameters in a file's contents; `None` if it is not defined there. The
    /// first of several definitions counts, and in it the first of several values.
    ///
    /// # Errors
    /// If a line up to the end of the definition cannot be read. `path` is for messages.
    pub fn find(&self, contents: &[u8], path: &Path) -> Result<Option<Parameters>, ConninfoError> {
        let mut found: Option<Parameters> = None;
        for (index, line) in contents.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let place = || (path.to_owned(), index + 1);
            if line.len() > LINE_BYTES_MAX {
                let (path, line) = place();
                return Err(ConninfoError::ServiceLineTooLong { path, line });
            }
            match (trim(line), &mut found) {
                ([] | [b'#', ..], _) => {}
                ([b'[', ..], Some(_)) => break,
                ([b'[', title @ ..], None) if self.is_titled(title) => {
                    found = Some(Parameters::default());
                }
                (_, None) => {}
                (item, Some(parameters)) => add_item(item, parameters).map_err(|problem| {
                    let (path, line) = place();
                    ConninfoError::ServiceFile { path, line, problem }
                })?,
            }
        }
        Ok(found)
    }

    /// Says whether a section is ours by what follows its `[`; libpq does not care for the rest.
    fn is_titled(&self, title: &[u8]) -> bool {
        let rest = title.strip_prefix(self.name.as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b"]"))
    }
}

/// What can be wrong with a line of a service's definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceFileProblem {
    /// It is not `keyword=value` with a keyword that exists.
    #[error("syntax error")]
    Syntax,
    /// It names another service, or another file.
    #[error("nested service specifications not supported")]
    Nested,
    /// It is not UTF-8.
    #[error("invalid UTF-8")]
    NotUtf8,
}

/// Takes a parameter from a line, where spaces around the `=` belong to the parts.
fn add_item(item: &[u8], parameters: &mut Parameters) -> Result<(), ServiceFileProblem> {
    let text = str::from_utf8(item).map_err(|_| ServiceFileProblem::NotUtf8)?;
    let (name, value) = text.split_once('=').ok_or(ServiceFileProblem::Syntax)?;
    match Keyword::from_name(name).ok_or(ServiceFileProblem::Syntax)? {
        Keyword::Service | Keyword::ServiceFile => Err(ServiceFileProblem::Nested),
        keyword => {
            parameters.set_if_unset(keyword, value);
            Ok(())
        }
    }
}

/// Drops spaces around a line, and what follows a zero byte, which ends a string in C.
fn trim(line: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| is_space(char::from(*byte));
    let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let start = line.iter().position(|byte| !is_space(byte)).unwrap_or(line.len());
    let end = line.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    line.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn service(name: &str) -> Service {
        Service { name: name.to_owned(), named_file: None, default_files: Vec::new() }
    }

    fn find(contents: &[u8]) -> Result<Option<Parameters>, String> {
        service("s").find(contents, Path::new("/f")).map_err(|error| error.to_string())
    }

    fn named(text: &str, environment: &Environment) -> Option<Service> {
        let arguments =
            ConnectionArguments { connection_string: Some(text.to_owned()), ..Default::default() };
        Service::named(&arguments, environment).expect("valid")
    }

    #[test]
    fn definitions_are_read_as_libpq_reads_them() {
        let full = format!("[s]\nuser={}\n", "x".repeat(LINE_BYTES_MAX - 6));
        let full_value = format!("user={}", "x".repeat(LINE_BYTES_MAX - 6));
        let table = [
            ("", None),
            ("user=a\n[t]\nuser=b\nbroken\n", None),
            ("[S]\n[ s]\n[s x]\n[ss]\n[s", None),
            ("[s]", Some("")),
            ("[s]\nuser=a\n", Some("user=a")),
            ("[t]\nuser=b\n  [s] rest\r\n\t user=a \x0b\r\nport=6", Some("user=a port=6")),
            ("[s]\n# c\n\n  # c\nuser=a\n[s]\nuser=b\nbroken", Some("user=a")),
            ("[s]\nuser=a\nuser=b\n[t]\nport=6", Some("user=a")),
            ("[s]\nuser= a=b\\ 'c'\n", Some("user=' a=b\\\\ \\'c\\''")),
            ("[s]\nuser=\nport=6\n", Some("user='' port=6")),
            ("[s]\nuser=a\0b\nport=6", Some("user=a port=6")),
            (&full, Some(&full_value)),
        ];
        for (contents, same) in table {
            let expected = same.map(|text| Parameters::parse(text).expect(text));
            assert_eq!(find(contents.as_bytes()), Ok(expected), "{contents:?}");
        }
    }

    #[test]
    fn refusals_have_libpqs_words() {
        let long = [b"[t]\nuser=".to_vec(), vec![b'x'; LINE_BYTES_MAX], b"\n[s]".to_vec()].concat();
        let syntax = "syntax error in service file \"/f\", line 2";
        let nested = "nested service specifications not supported in service file \"/f\", line 2";
        let table: [(&[u8], &str); 8] = [
            (b"[s]\nuser\n", syntax),
            (b"[s]\nuser =a", syntax),
            (b"[s]\nrequiressl=1", syntax),
            (b"[s]\nldap://h/d?a?b?c", syntax),
            (b"[s]\nservice=t", nested),
            (b"[s]\nservicefile=/t", nested),
            (b"[s]\nuser=\xff", "invalid UTF-8 in service file \"/f\", line 2"),
            (&long, "line 2 too long in service file \"/f\""),
        ];
        for (contents, message) in table {
            assert_eq!(find(contents), Err(message.to_owned()), "{message}");
        }
    }

    #[test]
    fn services_and_files_are_named_by_the_string_or_the_environment() {
        let plain = Environment::new("u", "/tmp").with_home_directory("/home/u");
        assert_eq!(named("user=a", &plain), None);
        let system = SYSTEM_DIRECTORIES.map(|path| Path::new(path).join(SYSTEM_FILE));
        let defaults = [vec!["/home/u/.pg_service.conf".into()], system.to_vec()].concat();
        let expected = Service { default_files: defaults, ..service("s") };
        assert_eq!(named("service=s", &plain), Some(expected));
        let variables = plain.with_variable("PGSERVICE", "e").with_variable("PGSYSCONFDIR", "/etc");
        let system_file = PathBuf::from("/etc/pg_service.conf");
        let expected = Service {
            default_files: vec!["/home/u/.pg_service.conf".into(), system_file.clone()],
            ..service("e")
        };
        assert_eq!(named("service=''", &variables), Some(expected));
        let variables = variables.with_variable("PGSERVICEFILE", "/file");
        let expected = |name: &str, file: &str| Service {
            named_file: Some(file.into()),
            default_files: vec![system_file.clone()],
            ..service(name)
        };
        assert_eq!(named("", &variables), Some(expected("e", "/file")));
        assert_eq!(named("service=s servicefile=/g", &variables), Some(expected("s", "/g")));
    }

    proptest! {
        #[test]
        fn any_contents_are_read_or_refused(contents: Vec<u8>, text in "[\\[\\]s=#a \n\0]*") {
            let _ = find(&contents);
            let _ = find(text.as_bytes());
        }
    }
}
