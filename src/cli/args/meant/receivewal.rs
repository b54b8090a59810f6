//! What the options of receiving WAL mean together.

use super::{
    ConnectionArgs, ShowProgress, Verbosity, first_conflict, no_operands, status_interval,
};
use crate::cli::args::error::Conflict;
use crate::cli::args::typed::{OwnReceivewalOptions, ReceivewalOptions, Typed};
use crate::pg::{Compression, Lsn};
use crate::receive::{
    HolePolicy, IfSlotExists, OnDeadDisk, OnDisconnect, OnOtherBranch, ReceiveConfig, TimeIndex,
};
use crate::storage::DirectIo;
use crate::wal::SyncPolicy;

/// What is wanted of a server's WAL.
#[derive(Clone, Debug)]
pub struct ReceivewalRequest {
    /// What is done.
    pub action: ReceivewalAction,
    /// Whose WAL it is.
    pub connection: ConnectionArgs,
    /// How much is told.
    pub verbosity: Verbosity,
    /// Whether it is shown how far receiving is.
    pub progress: ShowProgress,
}

/// What is done with a server's WAL.
#[derive(Clone, Debug)]
pub enum ReceivewalAction {
    /// It is received.
    Receive(Box<ReceiveConfig>),
    /// A slot is created that will hold it.
    CreateSlot {
        /// The slot.
        name: String,
        /// What it means that the slot is there already.
        if_exists: IfSlotExists,
    },
    /// A slot is dropped.
    DropSlot(String),
}

impl ReceivewalRequest {
    /// Works out what is meant.
    ///
    /// # Errors
    ///
    /// The first [`Conflict`] in the original's order.
    pub fn from_typed(typed: Typed<ReceivewalOptions>) -> Result<Self, Conflict> {
        let Typed { common, own } = typed;
        check_combination(&common)?;
        let compression = compression(&common)?;
        let verbosity = Verbosity::wanted(common.verbose);
        let connection = common.connection.clone().into();
        let progress = match &own {
            Some(own) if own.progress => ShowProgress::Yes,
            Some(_) | None => ShowProgress::No,
        };
        let action = action(common, own.as_ref(), compression);
        Ok(ReceivewalRequest { action, connection, verbosity, progress })
    }
}

/// Looks for options that do not go together, in the order of `main` in `pg_receivewal.c` (18).
fn check_combination(options: &ReceivewalOptions) -> Result<(), Conflict> {
    no_operands(&options.rest)?;
    let has_slot = options.slot.is_some();
    let is_receiving = !(options.create_slot || options.drop_slot);
    first_conflict([
        (options.create_slot && options.drop_slot, Conflict::CreateAndDropSlot),
        (options.drop_slot && !has_slot, Conflict::DropSlotWithoutName),
        (options.create_slot && !has_slot, Conflict::CreateSlotWithoutName),
        (options.synchronous && options.no_sync, Conflict::SynchronousWithoutSync),
        (is_receiving && options.directory.is_none(), Conflict::NoTargetDirectory),
    ])
}

fn compression(options: &ReceivewalOptions) -> Result<Option<Compression>, Conflict> {
    match &options.compress {
        Some(wish) => Ok(Compression::parse(&wish.algorithm, wish.detail.as_deref())?),
        None => Ok(None),
    }
}

fn action(
    options: ReceivewalOptions,
    own: Option<&OwnReceivewalOptions>,
    compression: Option<Compression>,
) -> ReceivewalAction {
    let if_exists = if options.if_not_exists { IfSlotExists::Accept } else { IfSlotExists::Refuse };
    match options.slot {
        Some(name) if options.create_slot => ReceivewalAction::CreateSlot { name, if_exists },
        Some(name) if options.drop_slot => ReceivewalAction::DropSlot(name),
        slot => ReceivewalAction::Receive(Box::new(ReceiveConfig {
            directory: options.directory.expect("receiving was refused without a directory"),
            slot,
            // The original's variable holds this position if no end was given.
            end: options.endpos.filter(|end| *end != Lsn::INVALID),
            on_disconnect: if options.no_loop {
                OnDisconnect::Stop
            } else {
                OnDisconnect::Reconnect
            },
            sync: match (options.no_sync, options.synchronous) {
                (true, _) => SyncPolicy::Never,
                (false, true) => SyncPolicy::AtOnce,
                (false, false) => SyncPolicy::Segments,
            },
            compression,
            status_interval: status_interval(options.status_interval),
            direct_io: own.and_then(|own| own.direct_io).unwrap_or(DirectIo::Auto),
            on_hole: own.and_then(|own| own.on_hole).unwrap_or(HolePolicy::Refuse),
            time_index: time_index(own),
            on_dead_disk: OnDeadDisk::GiveUp,
            on_other_branch: OnOtherBranch::Refuse,
            silence_max: None,
            sync_times: None,
        })),
    }
}

/// The original leaves nothing but WAL in the directory, so its place is taken without an index.
fn time_index(own: Option<&OwnReceivewalOptions>) -> TimeIndex {
    match own {
        Some(own) if !own.no_time_index => TimeIndex::Keep,
        Some(_) | None => TimeIndex::None,
    }
}
