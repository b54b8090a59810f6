//! The replication protocol as pure state machines: bytes and time in, events and bytes out.
//!
//! Follows the protocol chapter of the PostgreSQL manual ("Frontend/Backend Protocol", "Streaming
//! Replication Protocol") for servers 13 to 18. In reading order: [`Frame`] is an undecoded unit,
//! [`Message`] a decoded one, [`Startup`] gets a session going as far as
//! [`AuthPolicy`] lets it, [`SimpleQuery`] collects a small
//! command's rows, [`command`] writes the commands, [`BaseBackupStream`] and [`WalStream`] follow the
//! two long answers.

mod auth;
mod backup;
pub mod command;
mod error;
mod frame;
mod message;
mod query;
mod server_message;
mod startup;
mod timeline;
mod wal;

pub use auth::{AuthMethod, AuthPolicy, ChannelBinding, PolicyError, RequireAuth, Transport};
pub use backup::{BackupEvent, BaseBackupStream, ManifestExpected};
pub use error::ProtocolError;
pub use frame::{FRAME_SIZE_MAX, Frame, poll_frame};
pub use message::{Message, Row};
pub use query::SimpleQuery;
pub use server_message::ServerMessage;
pub use startup::{GssAnswer, GssRequest, Session, Startup, StartupError};
pub use timeline::{NextTimeline, TimelineError};
pub use wal::{FlushReports, ServerStatus, WalEvent, WalStream, WalStreamConfig};
