//! Reading service files. What is in them is read by [`Service::find`].

use std::io::ErrorKind;
use std::path::Path;

use super::conninfo::{ConnectionArguments, ConninfoError, Environment, Parameters, Service};
use super::file;

/// The largest file that is read: tens of thousands of services.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Adds the parameters of the service to the environment, if one is named.
///
/// # Errors
/// If the service is not defined, or a file that was named or is there cannot be read.
pub fn load(
    arguments: &ConnectionArguments,
    environment: Environment,
) -> Result<Environment, ConninfoError> {
    match Service::named(arguments, &environment)? {
        Some(service) => Ok(environment.with_service(definition(&service)?)),
        None => Ok(environment),
    }
}

fn definition(service: &Service) -> Result<Parameters, ConninfoError> {
    let default_files = service.default_files.iter().filter(|path| path.exists());
    for path in service.named_file.iter().chain(default_files) {
        if let Some(parameters) = service.find(&read(path)?, path)? {
            return Ok(parameters);
        }
    }
    Err(ConninfoError::ServiceNotFound(service.name.clone()))
}

fn read(path: &Path) -> Result<Vec<u8>, ConninfoError> {
    match file::read(path, FILE_BYTES_MAX) {
        Ok(contents) => Ok(contents),
        Err(error) => match error.kind() {
            // Like libpq, find nothing in a directory, nor in /dev/null.
            ErrorKind::IsADirectory | ErrorKind::InvalidInput => Ok(Vec::new()),
            ErrorKind::FileTooLarge => {
                let path = path.to_owned();
                Err(ConninfoError::ServiceFileTooLarge { path, max_bytes: FILE_BYTES_MAX })
            }
            _ => Err(ConninfoError::ServiceFileNotFound(path.to_owned())),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::net::conninfo::{ConnectOptions, HostKind};

    fn load_from(file: &Path, text: &str) -> Result<ConnectOptions, String> {
        let arguments =
            ConnectionArguments { connection_string: Some(text.to_owned()), ..Default::default() };
        let environment = Environment::new("u", "/tmp")
            .with_variable("PGSERVICEFILE", file)
            .with_variable("PGSYSCONFDIR", file.with_file_name("system"))
            .with_variable("PGUSER", "variable")
            .with_variable("PGAPPNAME", "variable");
        load(&arguments, environment)
            .and_then(|environment| ConnectOptions::resolve(&arguments, "p", &environment))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn service_wins_over_the_environment_and_loses_to_the_string() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("services");
        fs::write(&file, "[s]\nhost=h\nport=6\nuser=service\ndbname=d\n").expect("a file");
        let options = load_from(&file, "service=s port=7").expect("a service");
        let host = options.hosts.first().expect("a host");
        assert_eq!(
            host.kind,
            HostKind::Tcp { name: "h".to_owned(), address: None, is_named: true }
        );
        assert_eq!((host.port, &*options.user), (7, "service"));
        assert_eq!(options.application_name, "variable");
        // Like pg_basebackup, which names a database itself.
        assert_eq!(options.database, "replication");
    }

    #[test]
    fn files_are_searched_in_order() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("services");
        let message = format!("service file \"{}\" not found", file.display());
        assert_eq!(load_from(&file, "service=s").map(|options| options.user), Err(message));
        fs::write(&file, "[s]\nuser=own\n").expect("a file");
        let system = directory.path().join("system");
        let user = |text: &str| load_from(&file, text).map(|options| options.user);
        let message = "definition of service \"t\" not found".to_owned();
        assert_eq!(user("service=t"), Err(message));
        fs::create_dir(&system).expect("a directory");
        fs::write(system.join("pg_service.conf"), "[s]\n[t]\nuser=system\n").expect("a file");
        assert_eq!(user("service=s"), Ok("own".to_owned()));
        assert_eq!(user("service=t"), Ok("system".to_owned()));
        let named_directory = format!("service=t servicefile={}", directory.path().display());
        assert_eq!(user(&named_directory), Ok("system".to_owned()));
    }

    #[test]
    fn too_large_file_is_not_read() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(FILE_BYTES_MAX + 1).expect("a length");
        let path = file.path();
        let message =
            format!("service file \"{}\" is too large (maximum 4194304 bytes)", path.display());
        assert_eq!(load_from(path, "service=s").map(|options| options.user), Err(message));
    }

    #[test]
    fn service_that_nobody_looked_up_is_refused() {
        let arguments = ConnectionArguments {
            connection_string: Some("service=s".to_owned()),
            ..Default::default()
        };
        let environment = Environment::new("u", "/tmp");
        let refusal = ConnectOptions::resolve(&arguments, "p", &environment);
        assert_eq!(refusal, Err(ConninfoError::ServiceNotFound("s".to_owned())));
    }
}
