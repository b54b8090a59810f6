//! WAL receiving as a service: many servers at once, for months.
//!
//! ```text
//! Config ──▶ Servers ──▶ one thread a server: Supervisor ──▶ receive::run_once ──▶ directory
//!                │                    │ Observer
//!                │                    ▼
//!                │               ServerState ◀── Attendant: slot and disk, mirror slots, holes
//!                ▼                    │
//!              Board ─────────────────┴──▶ metrics, HTTP, state file, systemd
//! ```
//!
//! Everything that belongs to one server is its own: threads, connections, state. A failure in one never touches
//! another.

mod check;
mod config;
mod servers;
mod state;
mod status;

pub use check::{CheckedServer, Finding, Severity, check};
pub use config::{
    Config, ConfigError, Conninfo, HttpConfig, Limits, LogConfig, LogFormat, LogLevel,
    OnSlotAtRisk, ReadConfigError, ServerConfig, SlotConfig, SlotPolicy,
};
pub use servers::{Changes, Servers, StartError};
pub use state::{Board, ServerState};
pub use status::{
    EventKind, MirrorStatus, OpenHole, Phase, ReconnectReason, ServerRole, ServerStatus,
    ServiceEvent, SlotStatus, WalStatus,
};
