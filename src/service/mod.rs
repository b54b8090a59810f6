//! WAL receiving as a service: many servers at once, for months.
//!
//! ```text
//! Config ──▶ Servers ──▶ for each server: supervisor ──▶ receive::attempt ──▶ directory
//!                │                            │ Observer
//!                │                            ▼
//!                │                       ServerState ◀── attendant: slot, mirror slots
//!                │                            ▲ └──────▶ housekeeper: disk, holes, state file
//!                ▼                            │
//!              Board ─────────────────────────┴──▶ metrics, HTTP, systemd
//! ```
//!
//! Everything that belongs to one server is its own: threads, connections, state. A failure in one never touches
//! another.

mod attendant;
mod backup_starts;
mod check;
mod config;
mod connections;
mod disk_room;
mod failure;
mod housekeeper;
mod http;
mod left_slot;
mod liveness;
mod log;
mod metrics;
mod mirror;
mod notify;
mod observer;
mod open_holes;
mod pulse;
mod server;
mod servers;
mod slot_watch;
mod slots;
mod sql;
mod state;
mod state_file;
mod status;
mod supervisor;

pub use check::{CheckedServer, Finding, Severity, check};
pub use config::{
    Config, ConfigError, Conninfo, HttpConfig, Limits, LogConfig, LogFormat, LogLevel,
    OnSlotAtRisk, ReadConfigError, ServerConfig, SlotConfig, SlotPolicy,
};
pub use http::{Http, HttpError};
pub use liveness::Liveness;
pub use metrics::text as metrics_text;
pub use notify::{Notifier, status_line};
pub use servers::{Changes, Servers, StartError};
pub use state::{Board, ServerState};
pub use status::{
    EventKind, MirrorStatus, OpenHole, Phase, ReconnectReason, ServerRole, ServerStatus,
    ServiceEvent, SlotStatus, StatusReport, WalStatus,
};
