//! One replication session: signed in, checked, its slot ready.

use super::WalError;
use crate::net::conninfo::ConnectOptions;
use crate::net::passfile::PassfileWarning;
use crate::net::{Connection, ConnectionError, connect};
use crate::pg::{Lsn, TimelineId};
use crate::protocol::ProtocolError;
use crate::protocol::command::{self, IDENTIFY_SYSTEM, SlotLifetime};

/// The replication slot that holds the WAL until it is received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// One of this session's own, named after its process; made anew for each session.
    Temporary,
    /// One with this name.
    Named(String, SlotUse),
    /// None.
    None,
}

/// Whether a named slot is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotUse {
    /// It is.
    Existing,
    /// It is created first.
    Create,
}

/// A slot that a session created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CreatedSlot {
    pub(super) name: String,
    pub(super) lifetime: SlotLifetime,
}

/// A session that is ready for START_REPLICATION.
#[derive(Debug)]
pub(super) struct WalSession {
    pub(super) connection: Connection,
    /// The slot to stream with.
    pub(super) slot: Option<String>,
}

impl WalSession {
    /// Connects and creates the slot if it has to be; tells which one it created.
    pub(super) async fn open(
        options: &ConnectOptions,
        slot: &Slot,
    ) -> Result<(Self, Option<CreatedSlot>), WalError> {
        // Whoever made the first connection has shown these already.
        let mut warnings: Vec<PassfileWarning> = Vec::new();
        let mut connection = connect(options, &mut warnings).await?;
        let created = match slot {
            Slot::Temporary => {
                // Poolers give numbers that look negative; the original prints them unsigned.
                let process = connection.session().backend_pid.cast_unsigned();
                let name = format!("pg_basebackup_{process}");
                Some(CreatedSlot { name, lifetime: SlotLifetime::Temporary })
            }
            Slot::Named(name, SlotUse::Create) => {
                Some(CreatedSlot { name: name.clone(), lifetime: SlotLifetime::Permanent })
            }
            Slot::Named(_, SlotUse::Existing) | Slot::None => None,
        };
        if let Some(CreatedSlot { name, lifetime }) = &created {
            let version = connection.session().server_version;
            let text = command::create_physical_slot(name, *lifetime, version);
            connection.query("CREATE_REPLICATION_SLOT", &text).await?;
        }
        let name = match slot {
            Slot::Named(name, _) => Some(name.clone()),
            Slot::Temporary | Slot::None => created.as_ref().map(|slot| slot.name.clone()),
        };
        Ok((WalSession { connection, slot: name }, created))
    }

    /// Makes sure that this is the cluster of the backup and that it has the timeline.
    pub(super) async fn check_system(
        &mut self,
        system_identifier: &str,
        timeline: TimelineId,
    ) -> Result<(), WalError> {
        let rows = self.connection.query("IDENTIFY_SYSTEM", IDENTIFY_SYSTEM).await?;
        let row = rows.first();
        if row.and_then(|row| row.text(0)) != Some(system_identifier) {
            return Err(WalError::OtherSystem);
        }
        let present = row.and_then(|row| row.text(1)?.parse::<TimelineId>().ok());
        match present {
            Some(present) if present >= timeline => Ok(()),
            _ => Err(WalError::TimelineMissing(timeline)),
        }
    }

    /// Fetches the contents of a timeline's history file.
    pub(super) async fn timeline_history(
        &mut self,
        timeline: TimelineId,
    ) -> Result<Vec<u8>, WalError> {
        let text = command::timeline_history(timeline);
        let rows = self.connection.query("TIMELINE_HISTORY", &text).await?;
        let contents = rows.first().and_then(|row| row.bytes(1)).map(<[u8]>::to_vec);
        contents.ok_or_else(|| {
            let error = ProtocolError::answer("TIMELINE_HISTORY", "the file is missing");
            ConnectionError::from(error).into()
        })
    }

    /// Asks for the stream.
    pub(super) async fn start_replication(
        &mut self,
        start: Lsn,
        timeline: TimelineId,
    ) -> Result<(), WalError> {
        let text = command::start_replication(self.slot.as_deref(), start, timeline);
        Ok(self.connection.send_command(&text).await?)
    }
}
