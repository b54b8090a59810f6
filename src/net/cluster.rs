//! What a server says of itself and its cluster.

use super::{CommandError, Connection};
use crate::pg::{Lsn, ServerVersion, TimelineId, WalSegmentSize};
use crate::protocol::command::{self, IDENTIFY_SYSTEM};

/// Permission bits of what is created here, as `data_directory_mode` of the server has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modes {
    /// Of directories.
    pub directory: u32,
    /// Of files.
    pub file: u32,
}

/// What a server says of itself and its cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its release.
    pub version: ServerVersion,
    /// Who may read its files.
    pub modes: Modes,
    /// The size of its WAL segments.
    pub segment_size: WalSegmentSize,
    /// The cluster's identifier, as the server prints it.
    pub system_identifier: String,
    /// The timeline that the server is on.
    pub timeline: TimelineId,
    /// The end of the WAL that it has flushed, or received if it is a standby.
    pub position: Lsn,
}

/// A server does not say what it is.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A command was refused.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// An answer cannot be used.
    #[error("could not use the server's setting \"{setting}\": {reason}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Cluster {
    /// Asks the server.
    ///
    /// # Errors
    /// If it refuses, or its answers mean nothing.
    pub async fn ask(connection: &mut Connection) -> Result<Self, ClusterError> {
        let version = connection.session().server_version;
        let mode = show(connection, "data_directory_mode").await?;
        let size = show(connection, "wal_segment_size").await?;
        let rows = connection.query("IDENTIFY_SYSTEM", IDENTIFY_SYSTEM).await?;
        let field = |index| rows.first().and_then(|row| row.text(index));
        let unexpected = |setting| {
            let reason = "unexpected answer to IDENTIFY_SYSTEM".to_owned();
            ClusterError::Setting { setting, reason }
        };
        let system_identifier = field(0).ok_or_else(|| unexpected("system identifier"))?;
        let timeline = field(1).and_then(|text| text.parse().ok());
        let position = field(2).and_then(|text| text.parse().ok());
        Ok(Cluster {
            version,
            modes: modes(&mode)?,
            segment_size: size.parse().map_err(|error| ClusterError::Setting {
                setting: "wal_segment_size",
                reason: format!("{error}"),
            })?,
            system_identifier: system_identifier.to_owned(),
            timeline: timeline.ok_or_else(|| unexpected("timeline"))?,
            position: position.ok_or_else(|| unexpected("xlogpos"))?,
        })
    }
}

/// Asks a server for the size of its WAL pages, in bytes, which is fixed when a server is built.
///
/// # Errors
/// If it refuses, or its answer means nothing.
pub async fn wal_block_size(connection: &mut Connection) -> Result<u32, ClusterError> {
    let setting = "wal_block_size";
    let size = show(connection, setting).await?.parse();
    size.map_err(|error| ClusterError::Setting { setting, reason: format!("{error}") })
}

async fn show(connection: &mut Connection, setting: &'static str) -> Result<String, ClusterError> {
    let rows = connection.query("SHOW", &command::show(setting)).await?;
    let value = rows.first().and_then(|row| row.text(0)).map(str::to_owned);
    let reason = "unexpected answer to SHOW".to_owned();
    value.ok_or(ClusterError::Setting { setting, reason })
}

/// Reads `data_directory_mode`: if the group may read the data directory, it may read what comes from it.
fn modes(octal: &str) -> Result<Modes, ClusterError> {
    const GROUP_ACCESS: u32 = 0o050;
    let mode = u32::from_str_radix(octal, 8).map_err(|_| ClusterError::Setting {
        setting: "data_directory_mode",
        reason: format!("group access flag could not be parsed: {octal}"),
    })?;
    Ok(match mode & GROUP_ACCESS {
        GROUP_ACCESS => Modes { directory: 0o750, file: 0o640 },
        _ => Modes { directory: 0o700, file: 0o600 },
    })
}
