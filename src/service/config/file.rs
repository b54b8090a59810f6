//! The tables and keys of the configuration file.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::values::{Directory, ListenAddress, SegmentCompression, Size, SlotName, StatusInterval};
use super::{Conninfo, HttpConfig, LogFormat, LogLevel, OnSlotAtRisk, SlotPolicy};
use crate::receive::HolePolicy;
use crate::wal::SyncPolicy;

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigFile {
    #[serde(default)]
    pub(super) http: HttpTable,
    #[serde(default)]
    pub(super) log: LogTable,
    #[serde(default)]
    pub(super) defaults: ServerTable,
    #[serde(default)]
    pub(super) servers: BTreeMap<Spanned<String>, ServerTable>,
}

/// `[http]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table of settings")]
pub(super) struct HttpTable {
    pub(super) enabled: bool,
    pub(super) listen: ListenAddress,
}

impl Default for HttpTable {
    fn default() -> Self {
        HttpTable { enabled: true, listen: ListenAddress(HttpConfig::DEFAULT_LISTEN) }
    }
}

/// `[log]`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table of settings")]
pub(super) struct LogTable {
    pub(super) format: LogFormat,
    pub(super) level: LogLevel,
}

/// `[servers.NAME]`, or `[defaults]` for all of them.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table of settings")]
pub(super) struct ServerTable {
    pub(super) conninfo: Option<Spanned<Conninfo>>,
    pub(super) directory: Option<Spanned<Directory>>,
    pub(super) backups: Option<Spanned<Directory>>,
    pub(super) slot: Option<Spanned<SlotName>>,
    pub(super) slot_policy: Option<Spanned<SlotPolicy>>,
    pub(super) slot_mirror: Option<Spanned<bool>>,
    pub(super) slot_retained_max: Option<Spanned<Size>>,
    pub(super) on_slot_at_risk: Option<Spanned<OnSlotAtRisk>>,
    pub(super) compression: Option<SegmentCompression>,
    pub(super) fsync: Option<Fsync>,
    pub(super) status_interval: Option<StatusInterval>,
    pub(super) on_hole: Option<OnHole>,
    pub(super) time_index: Option<bool>,
    pub(super) disk_free_min: Option<Size>,
}

/// `fsync`
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fsync {
    Segments,
    AtOnce,
    Never,
}

impl From<Fsync> for SyncPolicy {
    fn from(written: Fsync) -> Self {
        match written {
            Fsync::Segments => SyncPolicy::Segments,
            Fsync::AtOnce => SyncPolicy::AtOnce,
            Fsync::Never => SyncPolicy::Never,
        }
    }
}

/// `on_hole`
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OnHole {
    Skip,
    Refuse,
}

impl From<OnHole> for HolePolicy {
    fn from(written: OnHole) -> Self {
        match written {
            OnHole::Skip => HolePolicy::Skip,
            OnHole::Refuse => HolePolicy::Refuse,
        }
    }
}
