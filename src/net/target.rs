//! Whether a session is of the kind that the user wants (`target_session_attrs`). Follows
//! `PQconnectPoll` of libpq's `fe-connect.c`.
//!
//! Servers tell from 14 on. Older ones are asked; as physical replication knows no SQL, libpq cannot
//! find out there whether they are standbys, but two settings tell it mostly.

use super::conninfo::TargetSessionAttrs;
use super::{CommandError, Connection};

/// Why a session is not taken.
#[derive(Debug, thiserror::Error)]
pub enum WrongSession {
    /// It cannot write.
    #[error("session is read-only")]
    ReadOnly,
    /// It can write.
    #[error("session is not read-only")]
    NotReadOnly,
    /// Its server is a standby.
    #[error("server is in hot standby mode")]
    HotStandby,
    /// Its server is none.
    #[error("server is not in hot standby mode")]
    NotHotStandby,
    /// It is read-only, as it would be on a standby, but also by default.
    #[error("could not determine whether server is in hot standby mode")]
    Undetermined,
    /// It could not be asked.
    #[error("{0}")]
    Command(#[from] CommandError),
}

/// Returns what is asked for in turn: when no server is a standby, whoever prefers one takes any.
pub(super) fn passes(wanted: TargetSessionAttrs) -> &'static [TargetSessionAttrs] {
    match wanted {
        TargetSessionAttrs::Any => &[TargetSessionAttrs::Any],
        TargetSessionAttrs::ReadWrite => &[TargetSessionAttrs::ReadWrite],
        TargetSessionAttrs::ReadOnly => &[TargetSessionAttrs::ReadOnly],
        TargetSessionAttrs::Primary => &[TargetSessionAttrs::Primary],
        TargetSessionAttrs::Standby => &[TargetSessionAttrs::Standby],
        TargetSessionAttrs::PreferStandby => {
            &[TargetSessionAttrs::Standby, TargetSessionAttrs::Any]
        }
    }
}

/// Makes sure that a session is as wanted; one that need not be a standby may be anything.
///
/// # Errors
/// If it is not, or cannot be asked.
pub(super) async fn check(
    connection: &mut Connection,
    wanted: TargetSessionAttrs,
) -> Result<(), WrongSession> {
    let wrong = match wanted {
        TargetSessionAttrs::Any | TargetSessionAttrs::PreferStandby => None,
        TargetSessionAttrs::ReadWrite => {
            is_read_only(connection).await?.then_some(WrongSession::ReadOnly)
        }
        TargetSessionAttrs::ReadOnly => {
            (!is_read_only(connection).await?).then_some(WrongSession::NotReadOnly)
        }
        TargetSessionAttrs::Primary => {
            is_hot_standby(connection).await?.then_some(WrongSession::HotStandby)
        }
        TargetSessionAttrs::Standby => {
            (!is_hot_standby(connection).await?).then_some(WrongSession::NotHotStandby)
        }
    };
    wrong.map_or(Ok(()), Err)
}

async fn is_read_only(connection: &mut Connection) -> Result<bool, WrongSession> {
    let session = connection.session();
    match (session.in_hot_standby, session.default_transaction_read_only) {
        (Some(in_hot_standby), Some(by_default)) => Ok(in_hot_standby || by_default),
        _ => is_on(connection, "SHOW transaction_read_only").await,
    }
}

async fn is_hot_standby(connection: &mut Connection) -> Result<bool, WrongSession> {
    if let Some(in_hot_standby) = connection.session().in_hot_standby {
        return Ok(in_hot_standby);
    }
    if !is_on(connection, "SHOW transaction_read_only").await? {
        return Ok(false);
    }
    if is_on(connection, "SHOW default_transaction_read_only").await? {
        return Err(WrongSession::Undetermined);
    }
    Ok(true)
}

async fn is_on(connection: &mut Connection, command: &str) -> Result<bool, WrongSession> {
    let rows = connection.query("SHOW", command).await?;
    Ok(rows.first().and_then(|row| row.text(0)) == Some("on"))
}
