//! What the process and the machine contribute to the parameters of a connection.
//!
//! A service's definition is in a file; whoever reads it adds what it says.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};

use super::{ConninfoError, Parameters};

/// Where servers put their sockets: Debian's and Red Hat's packages, then PostgreSQL itself.
/// libpq has one of them compiled in.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// The `PG*` variables, the user and the directories that stand in for what was not given.
///
/// A value, so that tests do not depend on the process they run in. `Debug` shows no values: the
/// password is among them.
#[derive(Clone)]
pub struct Environment {
    variables: HashMap<String, OsString>,
    home_directory: Option<PathBuf>,
    local_user: Result<String, LocalUserError>,
    socket_directory: PathBuf,
    service: Option<Parameters>,
}

/// The operating system cannot name the user who runs this process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalUserError {
    /// There is no such user.
    #[error("local user with ID {0} does not exist")]
    Missing(u32),
    /// The user database could not be read.
    #[error("could not look up local user ID {user_id}: {reason}")]
    Lookup {
        /// The effective user id.
        user_id: u32,
        /// The operating system's message.
        reason: &'static str,
    },
}

impl Environment {
    /// Makes an environment without variables and home directory.
    pub fn new(local_user: &str, socket_directory: &str) -> Self {
        Environment {
            variables: HashMap::new(),
            home_directory: None,
            local_user: Ok(local_user.to_owned()),
            socket_directory: PathBuf::from(socket_directory),
            service: None,
        }
    }

    /// Reads the environment of this process; the only place that does.
    pub fn from_process() -> Self {
        let account = local_account();
        let home_variable = std::env::var_os("HOME").filter(|home| !home.is_empty());
        Environment {
            variables: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
                .filter(|(name, _)| name.starts_with("PG"))
                .collect(),
            home_directory: home_variable
                .map(PathBuf::from)
                .or_else(|| account.as_ref().ok().map(|user| user.dir.clone())),
            local_user: account.map(|user| user.name),
            socket_directory: default_socket_directory(Path::is_dir),
            service: None,
        }
    }

    /// Sets a variable.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Sets the home directory.
    #[must_use]
    pub fn with_home_directory(mut self, directory: &str) -> Self {
        self.home_directory = Some(PathBuf::from(directory));
        self
    }

    /// Adds the parameters of the service that was named.
    #[must_use]
    pub fn with_service(mut self, parameters: Parameters) -> Self {
        self.service = Some(parameters);
        self
    }

    pub(super) fn service(&self) -> Option<&Parameters> {
        self.service.as_ref()
    }

    /// Returns the value of a variable, which may be empty.
    pub(super) fn variable(&self, name: &str) -> Result<Option<&str>, ConninfoError> {
        let not_utf8 = || ConninfoError::VariableNotUtf8(name.to_owned());
        self.variables.get(name).map(|value| value.to_str().ok_or_else(not_utf8)).transpose()
    }

    pub(super) fn home_directory(&self) -> Option<&Path> {
        self.home_directory.as_deref()
    }

    pub(super) fn local_user(&self) -> Result<&str, LocalUserError> {
        self.local_user.as_deref().map_err(Clone::clone)
    }

    pub(super) fn socket_directory(&self) -> &Path {
        &self.socket_directory
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.variables.keys())
            .field("home_directory", &self.home_directory)
            .field("local_user", &self.local_user)
            .field("socket_directory", &self.socket_directory)
            .field("service", &self.service)
            .finish()
    }
}

fn local_account() -> Result<User, LocalUserError> {
    let uid = Uid::effective();
    let user_id = uid.as_raw();
    User::from_uid(uid)
        .map_err(|errno| LocalUserError::Lookup { user_id, reason: errno.desc() })?
        .ok_or(LocalUserError::Missing(user_id))
}

/// Chooses the first known directory that exists, or else PostgreSQL's own default.
fn default_socket_directory(exists: impl Fn(&Path) -> bool) -> PathBuf {
    let known = SOCKET_DIRECTORIES.map(Path::new);
    known.into_iter().find(|directory| exists(directory)).unwrap_or(Path::new("/tmp")).into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn packagers_socket_directory_is_preferred() {
        assert_eq!(default_socket_directory(|_| true), Path::new("/var/run/postgresql"));
        let only_tmp = |directory: &Path| directory == Path::new("/tmp");
        assert_eq!(default_socket_directory(only_tmp), Path::new("/tmp"));
        assert_eq!(default_socket_directory(|_| false), Path::new("/tmp"));
    }

    #[test]
    fn debug_form_shows_no_values() {
        let environment = Environment::new("u", "/tmp").with_variable("PGPASSWORD", "hush");
        assert!(!format!("{environment:?}").contains("hush"));
    }

    #[test]
    fn variable_that_is_not_utf8_is_refused() {
        let value = OsString::from_vec(vec![0xff]);
        let environment = Environment::new("u", "/tmp").with_variable("PGUSER", value);
        let refusal = environment.variable("PGUSER").expect_err("not UTF-8");
        assert_eq!(refusal.to_string(), "environment variable \"PGUSER\" is not valid UTF-8");
    }

    #[test]
    fn missing_local_user_has_libpqs_words() {
        let table = [
            (LocalUserError::Missing(7), "local user with ID 7 does not exist"),
            (
                LocalUserError::Lookup { user_id: 7, reason: "I/O error" },
                "could not look up local user ID 7: I/O error",
            ),
        ];
        for (error, message) in table {
            assert_eq!(error.to_string(), message);
        }
    }
}
