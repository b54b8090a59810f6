//! What the hosts of a server say together: whether they are one cluster, and which of them WAL comes from.

use super::host::{Database, HostFacts, LookError, Replication};
use super::slot::Place;
use super::{Finding, Severity, settings, slot, synchronous};
use crate::net::Cluster;
use crate::net::conninfo::TargetSessionAttrs;
use crate::receive::MAJOR_MIN;
use crate::service::ServerConfig;

/// How the hosts of a server are connected to.
#[derive(Clone, Debug)]
pub(super) struct Sought {
    pub(super) target: TargetSessionAttrs,
    pub(super) application_name: String,
}

/// Returns what the first host that answers says of the cluster.
pub(super) fn known(hosts: &[HostFacts]) -> Option<&Cluster> {
    let mut answers = hosts.iter().filter_map(|facts| facts.replication.as_ref().ok());
    answers.next().map(|host| &host.cluster)
}

/// Judges the hosts of a server.
pub(super) fn judge(config: &ServerConfig, hosts: &[HostFacts], sought: &Sought) -> Vec<Finding> {
    let of_hosts = hosts.iter().flat_map(|facts| {
        let findings = judge_host(config, facts, hosts, sought);
        findings.into_iter().map(|finding| finding.on(&facts.host))
    });
    of_hosts.chain(primaries(hosts, sought)).collect()
}

fn judge_host(
    config: &ServerConfig,
    facts: &HostFacts,
    all: &[HostFacts],
    sought: &Sought,
) -> Vec<Finding> {
    let mut findings: Vec<_> =
        facts.warnings.iter().map(|warning| Finding::warning(warning.to_string())).collect();
    match &facts.replication {
        Ok(replication) => {
            findings.extend(version(replication));
            findings.extend(other_cluster(replication, known(all)));
        }
        Err(error) => findings.push(no_replication(error, all)),
    }
    match &facts.database {
        None => {}
        Some(Err(error)) => findings.push(no_database(error)),
        Some(Ok(server)) => {
            findings.extend(settings::judge(config, server));
            let place = place(server, all);
            findings.extend(slot::judge(config, server, place, &sought.application_name));
            findings.extend(synchronous::judge(config, server, &sought.application_name));
        }
    }
    findings
}

/// Says what a host is for us: of several, WAL comes from the primary.
fn place(server: &Database, all: &[HostFacts]) -> Place {
    match all {
        [_] => Place::Source,
        _ if server.is_standby => Place::Successor,
        _ => Place::Source,
    }
}

/// Tells of a host that is not received from. One that is away is no error while another is there.
fn no_replication(error: &LookError, all: &[HostFacts]) -> Finding {
    let is_spare = error.is_absence() && all.iter().any(|host| host.replication.is_ok());
    let severity = if is_spare { Severity::Warning } else { Severity::Error };
    let finding = Finding::new(severity, &error.to_string());
    match error {
        LookError::Connect(error) if error.needs_password() => {
            finding.hint("Put the password into a password file.")
        }
        // The words differ with the server's language, the file's name does not.
        LookError::Connect(_) if finding.problem.contains("pg_hba.conf") => {
            finding.hint("Add a line for database \"replication\" to pg_hba.conf of the server.")
        }
        LookError::Connect(_)
        | LookError::Cluster(_)
        | LookError::Query(..)
        | LookError::Answer(_)
        | LookError::TimedOut => finding,
    }
}

fn no_database(error: &LookError) -> Finding {
    Finding::warning(format!("slot and settings could not be looked at: {error}")).hint(
        "Let the role connect to database \"postgres\" too, or name another one with \"dbname\".",
    )
}

fn version(replication: &Replication) -> Option<Finding> {
    (replication.major_version < MAJOR_MIN).then(|| {
        Finding::error(format!("server version {} is not supported", replication.version_text))
            .hint(format!("WAL of version {MAJOR_MIN} and later is received."))
    })
}

fn other_cluster(replication: &Replication, first: Option<&Cluster>) -> Option<Finding> {
    let found = &replication.cluster.system_identifier;
    let expected = first.map(|first| &first.system_identifier).filter(|first| *first != found)?;
    Some(
        Finding::error(format!(
            "system identifier is {found}, that of the first host is {expected}"
        ))
        .hint("List only hosts of one cluster."),
    )
}

/// Judges how many hosts are primaries, where one is to be found among several.
fn primaries(hosts: &[HostFacts], sought: &Sought) -> Option<Finding> {
    if sought.target != TargetSessionAttrs::Primary {
        return None;
    }
    let roles: Vec<_> =
        hosts.iter().filter_map(|facts| Some((facts, is_primary(facts)?))).collect();
    let primaries: Vec<_> =
        roles.iter().filter(|(_, is_primary)| *is_primary).map(|(facts, _)| &facts.host).collect();
    match primaries.as_slice() {
        [] if roles.is_empty() => None,
        [] => Some(
            Finding::error("none of the hosts that answer is a primary")
                .hint("Promote one, or set target_session_attrs in the connection string."),
        ),
        [_] => None,
        [first, second, ..] => Some(
            Finding::error(format!("both {first} and {second} are primaries"))
                .hint("Only one of them may take writes; stop the other one."),
        ),
    }
}

fn is_primary(facts: &HostFacts) -> Option<bool> {
    let by_session = facts.replication.as_ref().ok().and_then(|host| host.in_hot_standby);
    let by_database = facts.database.as_ref().and_then(|server| server.as_ref().ok());
    by_session.or(by_database.map(|server| server.is_standby)).map(|is_standby| !is_standby)
}
