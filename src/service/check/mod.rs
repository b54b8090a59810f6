//! Whether all servers of a configuration can be received from as it says, before anything starts.
//!
//! First everybody is asked at the same time: the hosts (`host`) and the disks (`directory`). Then what is known is
//! judged, without asking anybody any more: `cluster`, `settings`, `slot`, `synchronous`, `directory`. Nothing is
//! changed anywhere.

mod cluster;
mod directory;
mod finding;
mod host;
mod settings;
mod slot;
mod synchronous;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use self::cluster::Sought;
use self::directory::DirectoryFacts;
use self::host::HostFacts;
use super::{Config, ServerConfig};
use crate::net::conninfo::{
    ConnectOptions, ConninfoError, Environment, Parameters, TargetSessionAttrs,
};
use crate::storage::StorageError;

pub use finding::{CheckedServer, Finding, Severity};

/// Hosts that are asked at the same time: each has two connections with their buffers.
const HOSTS_AT_ONCE: usize = 16;

/// The bit of a file's mode.
const OTHERS_MAY_READ: u32 = 0o004;

/// How long a disk may take to tell what is in a directory.
const DISK_TIME_LIMIT: Duration = Duration::from_secs(20);

/// Checks all servers of a configuration, in their order. The file that it is from may hold passwords.
pub async fn check(
    config: &Config,
    file: &Path,
    program_name: &str,
    environment: &Environment,
) -> Vec<CheckedServer> {
    let turns = Arc::new(Semaphore::new(HOSTS_AT_ONCE));
    let mut looking = JoinSet::new();
    for (index, server) in config.servers.iter().enumerate() {
        let options = server.connect_options(program_name, environment);
        let (server, turns) = (server.clone(), Arc::clone(&turns));
        looking.spawn(async move { (index, Facts::gather(&server, options, turns).await) });
    }
    let facts = in_order(looking).await;
    let checked = config.servers.iter().zip(&facts).map(|(server, own)| {
        let mut findings = own.judge(server);
        findings.extend(shared_directory(config, &facts, server, own));
        findings.extend(exposed_password(file, server));
        CheckedServer::new(&server.name, findings)
    });
    checked.collect()
}

/// What is known of a server.
struct Facts {
    directory: Result<DirectoryFacts, StorageError>,
    backups: Option<Result<(), StorageError>>,
    hosts: Result<(Sought, Vec<HostFacts>), ConninfoError>,
}

impl Facts {
    async fn gather(
        server: &ServerConfig,
        options: Result<ConnectOptions, ConninfoError>,
        turns: Arc<Semaphore>,
    ) -> Self {
        let directory = on_disk(server.directory.clone(), DirectoryFacts::look);
        let backups =
            async { Some(on_disk(server.backups.clone()?, directory::make_sure_it_opens).await) };
        let hosts = async {
            match options {
                Ok(options) => Ok(look_at_hosts(server, options, turns).await),
                Err(error) => Err(error),
            }
        };
        let (directory, backups, hosts) = tokio::join!(directory, backups, hosts);
        Facts { directory, backups, hosts }
    }

    fn judge(&self, server: &ServerConfig) -> Vec<Finding> {
        let (mut findings, cluster) = match &self.hosts {
            Ok((sought, hosts)) => (cluster::judge(server, hosts, sought), cluster::known(hosts)),
            Err(error) => (vec![Finding::error(error.to_string())], None),
        };
        findings.extend(directory::judge(server, &self.directory, cluster));
        if let Some(Err(error)) = &self.backups {
            let hint = "Holes are not closed by base backups before it is there.";
            findings.push(Finding::warning(error.to_string()).hint(hint));
        }
        findings
    }
}

/// Asks each host by itself, whatever it is.
async fn look_at_hosts(
    server: &ServerConfig,
    options: ConnectOptions,
    turns: Arc<Semaphore>,
) -> (Sought, Vec<HostFacts>) {
    let sought = Sought {
        target: options.target_session_attrs,
        application_name: options.application_name.clone(),
    };
    let mut looking = JoinSet::new();
    for (index, host) in options.hosts.iter().enumerate() {
        let mut options = options.clone();
        options.hosts = vec![host.clone()];
        options.target_session_attrs = TargetSessionAttrs::Any;
        let slot = server.slot.as_ref().map(|slot| slot.name.clone());
        let (host, turns) = (host.clone(), Arc::clone(&turns));
        looking.spawn(async move {
            // Nobody closes it.
            let _turn = turns.acquire().await;
            (index, host::look(options, host, slot).await)
        });
    }
    (sought, in_order(looking).await)
}

/// Waits for all, and puts what they found into the order in which they were started.
async fn in_order<T: 'static>(looking: JoinSet<(usize, T)>) -> Vec<T> {
    let mut found = looking.join_all().await;
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, facts)| facts).collect()
}

/// Looks at a directory, whose disk may be dead.
async fn on_disk<T: Send + 'static>(
    path: PathBuf,
    look: fn(&Path) -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    let late = StorageError::new("read directory", &path, io::ErrorKind::TimedOut);
    match timeout(DISK_TIME_LIMIT, spawn_blocking(move || look(&path))).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) | Err(_) => Err(late),
    }
}

/// Finds an earlier server whose directory is the same by another path.
fn shared_directory(
    config: &Config,
    facts: &[Facts],
    server: &ServerConfig,
    own: &Facts,
) -> Option<Finding> {
    let identity = |facts: &Facts| facts.directory.as_ref().ok().map(|found| found.identity);
    let ours = identity(own)?;
    let earlier =
        config.servers.iter().zip(facts).take_while(|(other, _)| other.name != server.name);
    let (other, _) = earlier.into_iter().find(|(_, facts)| identity(facts) == Some(ours))?;
    let directory = server.directory.display();
    Some(
        Finding::error(format!(
            "\"{directory}\" is the directory of server \"{}\", too",
            other.name
        ))
        .hint("Choose an empty directory for each cluster."),
    )
}

/// Finds a password in a file that everybody may read.
fn exposed_password(file: &Path, server: &ServerConfig) -> Option<Finding> {
    let parameters = Parameters::parse(server.conninfo.reveal()).ok()?;
    let mode = fs::metadata(file).ok()?.mode();
    (parameters.has_secret() && mode & OTHERS_MAY_READ != 0).then(|| {
        Finding::warning(format!(
            "\"{}\" has a password, and everybody may read it",
            file.display()
        ))
        .hint("Let only its owner read it, or put the password into a password file.")
    })
}

#[cfg(test)]
mod tests;
