//! Trying the servers of a list, one by one, until one gives a session.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::attempt::{Address, attempt};
use super::conninfo::{
    ConnectOptions, Host, HostKind, LoadBalanceHosts, Password, TargetSessionAttrs,
};
use super::passfile::{self, PassfileWarning};
use super::{ConnectError, Connection, FailedAttempt, Problem, target};

/// Connects to the first server of the list that gives a session of the wanted kind.
///
/// Every address of every host is tried in turn, each for `connect_timeout` at most. A server that
/// decides against us ends the search, as in libpq. Warnings about the password file are added to
/// `warnings`.
///
/// # Errors
/// What each server said. [`ConnectError::needs_password`] tells if asking the user may help.
pub async fn connect(
    options: &ConnectOptions,
    warnings: &mut Vec<PassfileWarning>,
) -> Result<Connection, ConnectError> {
    let mut candidates: Vec<_> =
        options.hosts.iter().map(|host| Candidate::new(options, host, warnings)).collect();
    order(&mut candidates, options.load_balance_hosts);
    let mut search = Search { options, attempts: Vec::new() };
    for &wanted in target::passes(options.target_session_attrs) {
        for candidate in &candidates {
            match search.try_host(candidate, wanted).await {
                Outcome::Connected(connection) => return Ok(*connection),
                Outcome::NextHost => {}
                Outcome::GiveUp => return Err(ConnectError { attempts: search.attempts }),
            }
        }
    }
    Err(ConnectError { attempts: search.attempts })
}

/// A host of the list, and the password for it.
struct Candidate<'a> {
    host: &'a Host,
    password: Option<Password>,
    /// The file that the password came from, if it came from one.
    passfile: Option<PathBuf>,
}

impl<'a> Candidate<'a> {
    fn new(options: &ConnectOptions, host: &'a Host, warnings: &mut Vec<PassfileWarning>) -> Self {
        let (password, passfile) = password(options, host, warnings);
        Candidate { host, password, passfile }
    }
}

/// What comes after a host was tried.
enum Outcome {
    Connected(Box<Connection>),
    NextHost,
    GiveUp,
}

/// A search for a server that gives a session.
struct Search<'a> {
    options: &'a ConnectOptions,
    attempts: Vec<FailedAttempt>,
}

impl Search<'_> {
    /// Tries the addresses of a host.
    async fn try_host(&mut self, candidate: &Candidate<'_>, wanted: TargetSessionAttrs) -> Outcome {
        let mut addresses = match addresses(candidate.host).await {
            Ok(addresses) => addresses,
            Err(source) => {
                let server = lookup_name(candidate.host).to_owned();
                let problem = Problem::Lookup(source);
                self.attempts.push(FailedAttempt { server, problem, passfile: None });
                return Outcome::NextHost;
            }
        };
        order(&mut addresses, self.options.load_balance_hosts);
        for address in addresses {
            let problems = match self.try_address(&address, candidate, wanted).await {
                Ok(connection) => return Outcome::Connected(Box::new(connection)),
                Err(problems) => problems,
            };
            let last = problems.last();
            let is_final = last.is_some_and(|problem| !problem.is_worth_another_host());
            let speaks_for_the_host = last.is_some_and(Problem::speaks_for_the_host);
            self.attempts.extend(problems.into_iter().map(|problem| {
                let (server, passfile) = (address.to_string(), candidate.passfile.clone());
                FailedAttempt { server, problem, passfile }
            }));
            match (is_final, speaks_for_the_host) {
                (true, _) => return Outcome::GiveUp,
                (false, true) => return Outcome::NextHost,
                (false, false) => {}
            }
        }
        Outcome::NextHost
    }

    /// Tries one address, in all ways for `connect_timeout` at most.
    async fn try_address(
        &self,
        address: &Address,
        candidate: &Candidate<'_>,
        wanted: TargetSessionAttrs,
    ) -> Result<Connection, Vec<Problem>> {
        let mut problems = Vec::new();
        let session = self.find_session(address, candidate, wanted, &mut problems);
        let session = match self.options.connect_timeout {
            Some(limit) => timeout(limit, session).await.unwrap_or(Err(Problem::TimedOut)),
            None => session.await,
        };
        session.map_err(|problem| {
            problems.push(problem);
            problems
        })
    }

    /// Gets a session and makes sure that it is as wanted.
    async fn find_session(
        &self,
        address: &Address,
        candidate: &Candidate<'_>,
        wanted: TargetSessionAttrs,
        problems: &mut Vec<Problem>,
    ) -> Result<Connection, Problem> {
        let password = candidate.password.as_ref();
        let mut connection = attempt(self.options, address, password, problems).await?;
        match target::check(&mut connection, wanted).await {
            Ok(()) => {
                let host = reached(candidate.host, address);
                Ok(connection.with_origin(host, candidate.passfile.clone()))
            }
            Err(wrong) => {
                connection.terminate().await;
                Err(Problem::WrongSession(wrong))
            }
        }
    }
}

/// Names the server that was reached so that one more connection goes there, too: the name may have
/// several addresses, given in another order each time.
fn reached(host: &Host, address: &Address) -> Host {
    let reached = match address {
        Address::Socket(_) => None,
        Address::Tcp { address, .. } => Some(*address),
    };
    Host { reached, ..host.clone() }
}

/// Puts the servers, or the addresses of one, into the order in which they are tried.
fn order<T>(items: &mut [T], balance: LoadBalanceHosts) {
    match balance {
        LoadBalanceHosts::Disable => {}
        // Each state has keys of its own, which nobody can foretell.
        LoadBalanceHosts::Random => {
            items.sort_by_cached_key(|_| RandomState::new().build_hasher().finish());
        }
    }
}

fn lookup_name(host: &Host) -> &str {
    match &host.kind {
        HostKind::Tcp { name, .. } => name,
        HostKind::UnixDirectory(_) => "",
    }
}

/// Lists the addresses of a host; it has at least one.
async fn addresses(host: &Host) -> io::Result<Vec<Address>> {
    let HostKind::Tcp { name, address, is_named } = &host.kind else {
        return Ok(host.socket_path().into_iter().map(Address::Socket).collect());
    };
    // Like libpq, call a server by the address if one was given.
    if let Some(address) = address.or_else(|| name.parse::<IpAddr>().ok()) {
        let shown = address.to_string();
        let address = SocketAddr::new(address, host.port);
        let name = is_named.then(|| name.clone());
        return Ok(vec![Address::Tcp { shown, name, address }]);
    }
    let tcp = |address| Address::Tcp { shown: name.clone(), name: Some(name.clone()), address };
    if let Some(address) = host.reached {
        return Ok(vec![tcp(address)]);
    }
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

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::net::conninfo::{ConnectionArguments, Environment};

    fn options(text: &str) -> ConnectOptions {
        let arguments =
            ConnectionArguments { connection_string: Some(text.to_owned()), ..Default::default() };
        ConnectOptions::resolve(&arguments, "p", &Environment::new("u", "/s")).expect(text)
    }

    #[test]
    fn password_says_which_file_it_came_from() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pgpass");
        fs::write(&path, "h:*:*:*:filed\n").expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a mode");
        let table = [
            ("host=h", Some("filed"), Some(&path)),
            ("host=h password=given", Some("given"), None),
            ("host=other", None, None),
        ];
        for (text, expected, source) in table {
            let options = options(&format!("{text} passfile='{}'", path.display()));
            let host = options.hosts.first().expect("a host");
            let candidate = Candidate::new(&options, host, &mut Vec::new());
            let expected = expected.map(|text| Password::new(text.as_bytes()));
            assert_eq!((candidate.password, candidate.passfile.as_ref()), (expected, source));
        }
    }

    #[tokio::test]
    async fn one_more_connection_goes_to_the_address_that_was_reached() {
        let options = options("host=nonexistent.invalid port=6");
        let host = options.hosts.first().expect("a host");
        let name = || "nonexistent.invalid".to_owned();
        let address = SocketAddr::from(([10, 0, 0, 1], 6));
        let tcp = Address::Tcp { shown: name(), name: Some(name()), address };
        let again = addresses(&reached(host, &tcp)).await.expect("no lookup");
        let again: Vec<_> = again.iter().map(Address::to_string).collect();
        assert_eq!(again, ["at \"nonexistent.invalid\" (10.0.0.1), port 6"]);
        assert_eq!(&reached(host, &Address::Socket("/s".into())), host);
    }

    #[test]
    fn random_order_keeps_each_item_and_varies() {
        let listed: Vec<u32> = (0..20).collect();
        let mut shuffled = listed.clone();
        order(&mut shuffled, LoadBalanceHosts::Disable);
        assert_eq!(shuffled, listed);
        order(&mut shuffled, LoadBalanceHosts::Random);
        // One in 20! orders is that of the list.
        assert_ne!(shuffled, listed);
        shuffled.sort_unstable();
        assert_eq!(shuffled, listed);
    }
}
