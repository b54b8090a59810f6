//! Trying the servers of a list, one by one, until one gives a session.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use tokio::net::lookup_host;

use super::attempt::{Address, attempt};
use super::conninfo::{ConnectOptions, Host, HostKind, Password};
use super::passfile::{self, PassfileWarning};
use super::{ConnectError, Connection, FailedAttempt, Problem};

/// Connects to the first server of the list that gives a session.
///
/// Every address of every host is tried in order, each for `connect_timeout` at most. A server that
/// decides against us ends the search, as in libpq. Warnings about the password file are added to
/// `warnings`.
///
/// # Errors
/// What each server said. [`ConnectError::needs_password`] tells if asking the user may help.
pub async fn connect(
    options: &ConnectOptions,
    warnings: &mut Vec<PassfileWarning>,
) -> Result<Connection, ConnectError> {
    let mut attempts = Vec::new();
    for host in &options.hosts {
        let addresses = match addresses(host).await {
            Ok(addresses) => addresses,
            Err(source) => {
                let server = lookup_name(host).to_owned();
                attempts.push(FailedAttempt {
                    server,
                    problem: Problem::Lookup(source),
                    passfile: None,
                });
                continue;
            }
        };
        let (password, passfile) = password(options, host, warnings);
        for address in addresses {
            match attempt(options, &address, password.as_ref()).await {
                Ok(connection) => return Ok(connection),
                Err(problems) => {
                    let last = problems.last();
                    let is_final = last.is_some_and(|problem| !problem.is_worth_another_host());
                    attempts.extend(problems.into_iter().map(|problem| {
                        let server = address.to_string();
                        FailedAttempt { server, problem, passfile: passfile.clone() }
                    }));
                    if is_final {
                        return Err(ConnectError { attempts });
                    }
                }
            }
        }
    }
    Err(ConnectError { attempts })
}

fn lookup_name(host: &Host) -> &str {
    match &host.kind {
        HostKind::Tcp { name, .. } => name,
        HostKind::UnixDirectory(_) => "",
    }
}

/// Lists the addresses of a host; it has at least one.
async fn addresses(host: &Host) -> io::Result<Vec<Address>> {
    let HostKind::Tcp { name, address } = &host.kind else {
        return Ok(host.socket_path().into_iter().map(Address::Socket).collect());
    };
    // Like libpq, call a server by the address if one was given.
    if let Some(address) = address.or_else(|| name.parse::<IpAddr>().ok()) {
        let shown = address.to_string();
        let address = SocketAddr::new(address, host.port);
        return Ok(vec![Address::Tcp { shown, name: name.clone(), address }]);
    }
    let tcp = |address| Address::Tcp { shown: name.clone(), name: name.clone(), address };
    let found: Vec<_> = lookup_host((name.as_str(), host.port)).await?.map(tcp).collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "Name or service not known"));
    }
    Ok(found)
}

/// Returns the password for a host, and the file that it came from if it came from one.
fn password(
    options: &ConnectOptions,
    host: &Host,
    warnings: &mut Vec<PassfileWarning>,
) -> (Option<Password>, Option<PathBuf>) {
    if options.password.is_some() {
        return (options.password.clone(), None);
    }
    let Some(path) = &options.passfile else { return (None, None) };
    let Some(entry) = passfile::Entry::new(options, host) else { return (None, None) };
    match passfile::read(path) {
        Ok(contents) => {
            let password = passfile::lookup(&contents, &entry);
            let source = password.is_some().then(|| path.clone());
            (password, source)
        }
        Err(warning) => {
            warnings.push(warning);
            (None, None)
        }
    }
}
