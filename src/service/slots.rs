//! The slot on the host that WAL comes from, before each stream.

use super::config::{SlotConfig, SlotPolicy};
use super::state::ServerState;
use super::status::EventKind;
use crate::net::{CommandError, Connection};
use crate::protocol::command::{self, SlotLifetime};
use crate::receive::READ_SLOT_MAJOR_MIN;

/// SQLSTATEs of a slot that is there already, and of one that is not (`ERRCODE_DUPLICATE_OBJECT`,
/// `ERRCODE_UNDEFINED_OBJECT`).
const DUPLICATE_OBJECT: &str = "42710";
const UNDEFINED_OBJECT: &str = "42704";

/// Creates the slot if it is missing and the policy says so. It keeps WAL from its creation on, so that nothing is
/// lost before the first stream.
///
/// # Errors
/// If the server refuses.
pub(super) async fn make_sure_of(
    slot: &SlotConfig,
    connection: &mut Connection,
    state: &ServerState,
) -> Result<(), CommandError> {
    match slot.policy {
        SlotPolicy::Require => return Ok(()),
        SlotPolicy::Create | SlotPolicy::Recreate => {}
    }
    let version = connection.session().server_version;
    if version.major() >= READ_SLOT_MAJOR_MIN && exists(&slot.name, connection).await? {
        return Ok(());
    }
    let text = command::create_physical_slot(&slot.name, SlotLifetime::Permanent, version);
    match connection.query("CREATE_REPLICATION_SLOT", &text).await {
        Err(error) if has_code(&error, DUPLICATE_OBJECT) => Ok(()),
        Err(error) => Err(error.named("CREATE_REPLICATION_SLOT")),
        Ok(_) => {
            state.tell(EventKind::SlotCreated, format_args!("slot \"{}\" was missing", slot.name));
            Ok(())
        }
    }
}

/// Drops a slot that serves nobody any more.
///
/// # Errors
/// If the server refuses.
pub(super) async fn drop_invalidated(
    slot: &SlotConfig,
    connection: &mut Connection,
    state: &ServerState,
) -> Result<(), CommandError> {
    match connection.query("DROP_REPLICATION_SLOT", &command::drop_slot(&slot.name)).await {
        Err(error) if has_code(&error, UNDEFINED_OBJECT) => Ok(()),
        Err(error) => Err(error.named("DROP_REPLICATION_SLOT")),
        Ok(_) => {
            let cause = format_args!("slot \"{}\" was invalidated by the server", slot.name);
            state.tell(EventKind::SlotDropped, cause);
            Ok(())
        }
    }
}

async fn exists(name: &str, connection: &mut Connection) -> Result<bool, CommandError> {
    let rows = connection.query("READ_REPLICATION_SLOT", &command::read_slot(name)).await;
    let rows = rows.map_err(|error| error.named("READ_REPLICATION_SLOT"))?;
    // Of a slot that is not there, all columns are null.
    Ok(rows.first().is_some_and(|row| row.text(0).is_some()))
}

fn has_code(error: &CommandError, code: &str) -> bool {
    error.source.server_message().is_some_and(|message| message.code == code)
}
