//! Creating and dropping replication slots.

use crate::net::{CommandError, Connection};
use crate::protocol::command;

/// What it means that a slot of the name is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfSlotExists {
    /// An error.
    Refuse,
    /// Nothing is left to do.
    Accept,
}

/// The SQLSTATE of a slot that is there already (`ERRCODE_DUPLICATE_OBJECT`).
const DUPLICATE_OBJECT: &str = "42710";

/// Creates a permanent physical slot. Like the original's, it holds no WAL before it is first used.
///
/// # Errors
/// If the server refuses.
pub async fn create_slot(
    connection: &mut Connection,
    name: &str,
    if_exists: IfSlotExists,
) -> Result<(), CommandError> {
    match connection
        .query("CREATE_REPLICATION_SLOT", &command::create_unreserved_physical_slot(name))
        .await
    {
        Err(error)
            if if_exists == IfSlotExists::Accept
                && error.source.server_message().is_some_and(|m| m.code == DUPLICATE_OBJECT) =>
        {
            Ok(())
        }
        outcome => outcome.map(|_| ()),
    }
}

/// Drops a slot.
///
/// # Errors
/// If the server refuses.
pub async fn drop_slot(connection: &mut Connection, name: &str) -> Result<(), CommandError> {
    connection.query("DROP_REPLICATION_SLOT", &command::drop_slot(name)).await.map(|_| ())
}
