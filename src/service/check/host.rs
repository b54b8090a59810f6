//! What a host says of itself: over a replication connection, and over an ordinary one, which knows more.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use tokio::time::timeout;

use crate::net::conninfo::{ConnectOptions, Host};
use crate::net::passfile::PassfileWarning;
use crate::net::{self, Cluster, ClusterError, ConnectError, Connection, ConnectionError, Problem};
use crate::pg::Timestamp;
use crate::protocol::Row;
use crate::wal::wall_clock;

/// How long one of the two connections may take with all that is asked over it. A host that takes longer is no host to
/// receive from.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// Nothing of what is asked may be answered by somebody's functions and tables.
const TRUST_NOBODY: &str = "SELECT pg_catalog.set_config('search_path', '', false)";

/// Whoever is asked without special rights may answer this.
const SERVER: &str = "\
SELECT pg_is_in_recovery(), current_user,
 coalesce((SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user), false),
 (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
 (SELECT count(*) FROM pg_stat_replication), (SELECT count(*) FROM pg_replication_slots),
 EXISTS (SELECT FROM pg_db_role_setting WHERE 'synchronous_commit=remote_apply' = ANY (setconfig))";

const SETTINGS: &str = "\
SELECT name, setting FROM pg_settings WHERE name IN ('idle_replication_slot_timeout',
 'max_replication_slots', 'max_slot_wal_keep_size', 'max_wal_senders', 'synchronous_commit', 'synchronous_standby_names',
 'wal_level', 'wal_sender_timeout')";

/// What is known of a host.
#[derive(Debug)]
pub(super) struct HostFacts {
    pub(super) host: Host,
    pub(super) replication: Result<Replication, LookError>,
    /// Nothing if there is no use in trying.
    pub(super) database: Option<Result<Database, LookError>>,
    /// What is wrong with the password file.
    pub(super) warnings: Vec<PassfileWarning>,
}

/// What a replication connection tells.
#[derive(Clone, Debug)]
pub(super) struct Replication {
    pub(super) major_version: u32,
    pub(super) version_text: String,
    pub(super) in_hot_standby: Option<bool>,
    pub(super) cluster: Cluster,
}

/// What SQL tells.
#[derive(Clone, Debug)]
pub(super) struct Database {
    pub(super) is_standby: bool,
    pub(super) user: String,
    pub(super) can_replicate: bool,
    /// How far the server's clock is ahead of ours, which is more than the question took.
    pub(super) clock_ahead_micros: i64,
    /// With the connection of this check.
    pub(super) senders_used: i64,
    pub(super) slots_used: i64,
    /// Whether a role or a database has `synchronous_commit` set so.
    pub(super) some_wait_for_apply: bool,
    pub(super) settings: BTreeMap<String, String>,
    pub(super) slot: Option<Slot>,
}

/// Our slot.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) is_physical: bool,
    pub(super) wal_status: Option<String>,
    /// The process that uses it, and the name of its application if we may see that.
    pub(super) user: Option<(i32, Option<String>)>,
    pub(super) keeps_wal: bool,
}

/// Why nothing is known.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("could not read {0}: {1}")]
    Query(&'static str, ConnectionError),
    #[error("could not read {0}: unexpected answer")]
    Answer(&'static str),
    #[error("no answer within {} seconds", TIME_LIMIT.as_secs())]
    TimedOut,
}

impl LookError {
    /// Says whether nobody was there, rather than somebody who refused.
    pub(super) fn is_absence(&self) -> bool {
        let last = match self {
            LookError::Connect(error) => error.attempts.last().map(|attempt| &attempt.problem),
            LookError::TimedOut => return true,
            LookError::Cluster(_) | LookError::Query(..) | LookError::Answer(_) => None,
        };
        matches!(
            last,
            Some(
                Problem::Lookup(_) | Problem::Connect { .. } | Problem::TimedOut | Problem::Lost(_)
            )
        )
    }
}

impl Database {
    /// Returns a setting's number, in the server's base unit.
    pub(super) fn number(&self, setting: &str) -> Option<i64> {
        self.settings.get(setting)?.parse().ok()
    }

    /// Returns a setting's text; empty if the server does not have it.
    pub(super) fn text(&self, setting: &str) -> &str {
        self.settings.get(setting).map_or("", String::as_str)
    }
}

/// Asks a host all that the check wants to know.
pub(super) async fn look(options: ConnectOptions, host: Host, slot: Option<String>) -> HostFacts {
    let mut warnings = Vec::new();
    let replication = within_limit(async {
        let mut connection = net::connect(&options, &mut warnings).await?;
        let facts = Replication::ask(&mut connection).await?;
        Ok((facts, connection))
    });
    // This connection stays, so that it is counted among those of the server.
    let (replication, connection) = match replication.await {
        Ok((facts, connection)) => (Ok(facts), Some(connection)),
        Err(error) => (Err(error), None),
    };
    let database = match &replication {
        Err(error) if error.is_absence() => None,
        Ok(_) | Err(_) => Some(within_limit(database(options.into_database(), slot)).await),
    };
    if let Some(connection) = connection {
        connection.terminate().await;
    }
    HostFacts { host, replication, database, warnings }
}

async fn database(options: ConnectOptions, slot: Option<String>) -> Result<Database, LookError> {
    // The warnings are those of the other connection.
    let mut connection = net::connect(&options, &mut Vec::new()).await?;
    let facts = Database::ask(&mut connection, slot.as_deref()).await?;
    connection.terminate().await;
    Ok(facts)
}

async fn within_limit<T>(
    looking: impl Future<Output = Result<T, LookError>>,
) -> Result<T, LookError> {
    timeout(TIME_LIMIT, looking).await.unwrap_or(Err(LookError::TimedOut))
}

impl Replication {
    async fn ask(connection: &mut Connection) -> Result<Self, LookError> {
        let cluster = Cluster::ask(connection).await?;
        let session = connection.session();
        Ok(Replication {
            major_version: session.server_version.major(),
            version_text: session.server_version_text.clone(),
            in_hot_standby: session.in_hot_standby,
            cluster,
        })
    }
}

impl Database {
    async fn ask(connection: &mut Connection, slot: Option<&str>) -> Result<Self, LookError> {
        rows(connection, "the session", TRUST_NOBODY).await?;
        let asked = wall_clock();
        let answer = rows(connection, "the server's state", SERVER).await?;
        let answered = wall_clock();
        let row = answer.first().ok_or(LookError::Answer("the server's state"))?;
        Ok(Database {
            is_standby: flag(row, 0),
            user: field(row, 1, "the role")?,
            can_replicate: flag(row, 2),
            clock_ahead_micros: clock_difference(field(row, 3, "the clock")?, asked, answered),
            senders_used: field(row, 4, "pg_stat_replication")?,
            slots_used: field(row, 5, "pg_replication_slots")?,
            some_wait_for_apply: flag(row, 6),
            settings: settings(&rows(connection, "pg_settings", SETTINGS).await?),
            slot: match slot {
                Some(name) => Slot::ask(connection, name).await?,
                None => None,
            },
        })
    }
}

impl Slot {
    /// Asks for a slot, whose name is known to contain nothing that would have to be quoted.
    async fn ask(connection: &mut Connection, name: &str) -> Result<Option<Self>, LookError> {
        let query = format!(
            "SELECT slot_type, wal_status, active_pid, \
             (SELECT application_name FROM pg_stat_replication WHERE pid = active_pid), \
             restart_lsn FROM pg_replication_slots WHERE slot_name = '{name}'"
        );
        let answer = rows(connection, "pg_replication_slots", &query).await?;
        let text = |row: &Row, index| row.text(index).map(str::to_owned);
        Ok(answer.first().map(|row| Slot {
            is_physical: row.text(0) == Some("physical"),
            wal_status: text(row, 1),
            user: field(row, 2, "the slot").ok().map(|pid| (pid, text(row, 3))),
            keeps_wal: row.text(4).is_some(),
        }))
    }
}

async fn rows(
    connection: &mut Connection,
    what: &'static str,
    query: &str,
) -> Result<Vec<Row>, LookError> {
    connection.query(what, query).await.map_err(|error| LookError::Query(what, error.source))
}

fn settings(rows: &[Row]) -> BTreeMap<String, String> {
    let pair = |row: &Row| Some((row.text(0)?.to_owned(), row.text(1)?.to_owned()));
    rows.iter().filter_map(pair).collect()
}

fn flag(row: &Row, index: usize) -> bool {
    row.text(index) == Some("t")
}

fn field<T: FromStr>(row: &Row, index: usize, what: &'static str) -> Result<T, LookError> {
    row.text(index).and_then(|text| text.parse().ok()).ok_or(LookError::Answer(what))
}

/// Returns how far a clock is ahead of ours at least, if it said a time between two moments; negative if it is
/// behind.
fn clock_difference(unix_micros: i64, asked: Timestamp, answered: Timestamp) -> i64 {
    let said = unix_micros.saturating_sub(Timestamp::UNIX_EPOCH_OFFSET_SECONDS * 1_000_000);
    let said = Timestamp::from_micros(said);
    match said {
        said if said > answered => said.micros_since(answered),
        said if said < asked => said.micros_since(asked),
        _ => 0,
    }
}
