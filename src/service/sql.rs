//! Sessions for SQL: what only that tells of a server and its slots, and what only that does to them.

use std::time::{Duration, Instant};

use postgres_protocol::escape::escape_literal;
use tokio::time::{sleep, timeout};

use super::server::Server;
use super::status::{SlotStatus, WalStatus};
use crate::net::conninfo::{ConninfoError, Host, TargetSessionAttrs};
use crate::net::{self, CommandError, ConnectError, Connection, ConnectionError};
use crate::pg::{Lsn, OsError};
use crate::protocol::Row;

/// How long an answer may take. Nothing that is asked takes nearly as long on a server that works.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How long a stream that was told to end may keep its slot, and how often that is looked at: the slot must be gone
/// before whoever streamed comes again.
const RELEASE_MAX: Duration = Duration::from_secs(5);
const RELEASE_LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// SQLSTATE of a slot that somebody uses, `ERRCODE_OBJECT_IN_USE`.
const OBJECT_IN_USE: &str = "55006";

/// Why something could not be asked or done.
#[derive(Debug, thiserror::Error)]
pub(super) enum SqlError {
    /// It is not known how to connect.
    #[error(transparent)]
    Conninfo(#[from] ConninfoError),
    /// No session.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server refused, or the session is lost.
    #[error("could not execute query: {0}")]
    Command(ConnectionError),
    /// No answer.
    #[error("could not execute query: {}", OsError(&std::io::ErrorKind::TimedOut.into()))]
    NoAnswer,
    /// An answer means nothing.
    #[error("could not understand the answer to a query: {0}")]
    Answer(&'static str),
}

impl From<CommandError> for SqlError {
    fn from(error: CommandError) -> Self {
        SqlError::Command(error.source)
    }
}

impl SqlError {
    fn is_in_use(&self) -> bool {
        let SqlError::Command(source) = self else { return false };
        source.server_message().is_some_and(|message| message.code == OBJECT_IN_USE)
    }
}

/// What a host shows of itself and of our slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostView {
    /// Whether it replays another's WAL.
    pub(super) is_in_recovery: bool,
    /// Up to where it has flushed WAL, its own or another's.
    pub(super) flushed: Option<Lsn>,
    /// Up to where it has replayed another's WAL, or flushed its own: no slot may be ahead.
    pub(super) replayed: Option<Lsn>,
    /// Our slot, if it is there.
    pub(super) slot: Option<SlotStatus>,
    /// Whether somebody streams with the slot.
    pub(super) slot_is_active: bool,
}

/// A session with one host.
#[derive(Debug)]
pub(super) struct SqlSession {
    connection: Connection,
    /// The cluster.
    pub(super) system_identifier: String,
}

impl SqlSession {
    /// Connects to one host of the list.
    ///
    /// # Errors
    /// If the host gives no session, or does not say which cluster it is of.
    pub(super) async fn open(server: &Server, host: &Host) -> Result<Self, SqlError> {
        let mut options = server.connect_options()?.into_database();
        options.hosts = vec![host.clone()];
        options.target_session_attrs = TargetSessionAttrs::Any;
        // The supervisor shows the warnings already.
        let mut connection = net::connect(&options, &mut Vec::new()).await?;
        // So that nobody but the system defines what is called below.
        ask(&mut connection, "SELECT pg_catalog.set_config('search_path', '', false)").await?;
        let rows =
            ask(&mut connection, "SELECT system_identifier FROM pg_control_system()").await?;
        let identifier = rows.first().and_then(|row| row.text(0)).map(str::to_owned);
        let system_identifier = identifier.ok_or(SqlError::Answer("no system identifier"))?;
        Ok(SqlSession { connection, system_identifier })
    }

    /// Asks how the host and a slot are.
    ///
    /// # Errors
    /// If it does not answer.
    pub(super) async fn look(&mut self, slot: Option<&str>) -> Result<HostView, SqlError> {
        let name = slot.map_or_else(|| "NULL".to_owned(), escape_literal);
        let text = format!(
            "SELECT r.is_in_recovery, \
             CASE WHEN r.is_in_recovery THEN GREATEST(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) \
             ELSE pg_current_wal_flush_lsn() END, \
             CASE WHEN r.is_in_recovery THEN pg_last_wal_replay_lsn() \
             ELSE pg_current_wal_flush_lsn() END, \
             s.slot_name, s.restart_lsn, s.wal_status, s.safe_wal_size, s.active \
             FROM (SELECT pg_is_in_recovery() AS is_in_recovery) AS r \
             LEFT JOIN pg_replication_slots AS s ON s.slot_name = {name} AND s.slot_type = 'physical'"
        );
        let rows = ask(&mut self.connection, &text).await?;
        rows.first().map(view).ok_or(SqlError::Answer("no row"))
    }

    /// Creates a slot that keeps WAL from now on.
    ///
    /// # Errors
    /// If the server refuses.
    pub(super) async fn create_slot(&mut self, name: &str) -> Result<(), SqlError> {
        let name = escape_literal(name);
        self.run(&format!("SELECT pg_create_physical_replication_slot({name}, true)")).await
    }

    /// Lets a slot keep WAL only from a position on.
    ///
    /// # Errors
    /// If the server refuses.
    pub(super) async fn advance_slot(&mut self, name: &str, to: Lsn) -> Result<(), SqlError> {
        let name = escape_literal(name);
        self.run(&format!("SELECT pg_replication_slot_advance({name}, '{to}')")).await
    }

    /// Ends the stream that uses a slot, if one does, and drops it; unless it is not any more as it was seen. Says
    /// whether it was dropped.
    ///
    /// # Errors
    /// If the server refuses, or the stream does not end.
    pub(super) async fn drop_slot(&mut self, seen: &SlotStatus) -> Result<bool, SqlError> {
        let slot = format!(
            "FROM pg_replication_slots WHERE slot_name = {} AND {}",
            escape_literal(&seen.name),
            match (seen.wal_status, seen.restart_lsn) {
                (Some(WalStatus::Lost), _) => "wal_status = 'lost'".to_owned(),
                (_, Some(restart_lsn)) => format!("restart_lsn = '{restart_lsn}'"),
                (_, None) => "restart_lsn IS NULL".to_owned(),
            }
        );
        let end =
            format!("SELECT pg_terminate_backend(active_pid) {slot} AND active_pid IS NOT NULL");
        ask(&mut self.connection, &end).await?;
        let drop = format!("SELECT pg_drop_replication_slot(slot_name) {slot}");
        let deadline = Instant::now() + RELEASE_MAX;
        loop {
            match ask(&mut self.connection, &drop).await {
                Err(error) if error.is_in_use() && Instant::now() < deadline => {
                    sleep(RELEASE_LOOK_INTERVAL).await;
                }
                dropped => return dropped.map(|rows| !rows.is_empty()),
            }
        }
    }

    async fn run(&mut self, text: &str) -> Result<(), SqlError> {
        ask(&mut self.connection, text).await.map(drop)
    }
}

async fn ask(connection: &mut Connection, text: &str) -> Result<Vec<Row>, SqlError> {
    let answer = timeout(ANSWER_MAX, connection.query("query", text)).await;
    Ok(answer.map_err(|_| SqlError::NoAnswer)??)
}

fn view(row: &Row) -> HostView {
    let position = |index| row.text(index).and_then(|text| text.parse::<Lsn>().ok());
    let is_true = |index| row.text(index) == Some("t");
    let (flushed, restart_lsn) = (position(1), position(4));
    let retained = flushed.zip(restart_lsn);
    let slot = row.text(3).map(|name| SlotStatus {
        name: name.to_owned(),
        restart_lsn,
        wal_status: row.text(5).and_then(wal_status),
        safe_wal_size: row.text(6).and_then(|text| text.parse().ok()),
        retained: retained.map(|(end, start)| end.checked_sub(start).unwrap_or(0)),
    });
    HostView {
        is_in_recovery: is_true(0),
        flushed,
        replayed: position(2),
        slot,
        slot_is_active: is_true(7),
    }
}

fn wal_status(text: &str) -> Option<WalStatus> {
    match text {
        "reserved" => Some(WalStatus::Reserved),
        "extended" => Some(WalStatus::Extended),
        "unreserved" => Some(WalStatus::Unreserved),
        "lost" => Some(WalStatus::Lost),
        _ => None,
    }
}
