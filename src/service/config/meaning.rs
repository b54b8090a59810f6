//! What the tables of the configuration file mean together.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::file::{ConfigFile, Fsync, OnHole, ServerTable};
use super::position::Fault;
use super::{
    Config, Conninfo, HttpConfig, Limits, LogConfig, OnSlotAtRisk, ServerConfig, SlotConfig,
    SlotPolicy,
};
use crate::net::conninfo::Host;

/// How often a server hears of us where the user says nothing, as with `pg_receivewal`.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// Room that is left when somebody is told: time to act, and some dozens of segments.
const DISK_FREE_MIN: u64 = 1 << 30;

/// The longest name of a server. It is part of every metric.
const NAME_BYTES_MAX: usize = 63;

/// Works out what is meant.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn of(file: ConfigFile) -> Result<Config, Fault> {
    refuse_defaults_of_one(&file.defaults)?;
    let mut tables: Vec<_> = file.servers.into_iter().collect();
    if tables.is_empty() {
        return Err(Fault::at(0..0, "no server is configured"));
    }
    tables.sort_by_key(|(name, _)| name.span().start);
    let mut servers: Vec<Server> = Vec::with_capacity(tables.len());
    for (name, table) in tables {
        let server = Server::new(name, table, &file.defaults)?;
        servers.iter().try_for_each(|other| server.refuse_to_share(other))?;
        servers.push(server);
    }
    Ok(Config {
        http: file.http.enabled.then_some(HttpConfig { listen: file.http.listen.0 }),
        log: LogConfig { format: file.log.format, level: file.log.level },
        servers: servers.into_iter().map(|server| server.config).collect(),
    })
}

/// Refuses defaults for what no two servers have in common.
fn refuse_defaults_of_one(defaults: &ServerTable) -> Result<(), Fault> {
    let conninfo = defaults.conninfo.as_ref().map(|value| ("conninfo", value.span()));
    let directory = defaults.directory.as_ref().map(|value| ("directory", value.span()));
    let backups = defaults.backups.as_ref().map(|value| ("backups", value.span()));
    match conninfo.or(directory).or(backups) {
        Some((key, span)) => Err(Fault::at(span, format!("\"{key}\" cannot have a default"))),
        None => Ok(()),
    }
}

/// A server, and where in the file it says what must be its own.
struct Server {
    config: ServerConfig,
    hosts: Vec<Host>,
    directory: Range<usize>,
    backups: Range<usize>,
    /// The slot, or the connection string if the slot is a default.
    slot: Range<usize>,
}

impl Server {
    fn new(name: Spanned<String>, own: ServerTable, defaults: &ServerTable) -> Result<Self, Fault> {
        check_name(&name)?;
        let missing = |key| {
            let message = format!("server \"{}\" has no \"{key}\"", name.get_ref());
            Fault::at(name.span(), message)
        };
        let slot = slot(&own, defaults)?;
        let limits = limits(&own, defaults)?;
        let conninfo = own.conninfo.ok_or_else(|| missing("conninfo"))?;
        let directory = own.directory.ok_or_else(|| missing("directory"))?;
        let hosts = known_hosts(&conninfo)?;
        Ok(Server {
            hosts,
            directory: directory.span(),
            backups: own.backups.as_ref().map(Spanned::span).unwrap_or_default(),
            slot: own.slot.as_ref().map_or_else(|| conninfo.span(), Spanned::span),
            config: ServerConfig {
                conninfo: conninfo.into_inner(),
                directory: directory.into_inner().0,
                slot,
                compression: own.compression.or(defaults.compression).and_then(|value| value.0),
                sync: own.fsync.or(defaults.fsync).unwrap_or(Fsync::Segments).into(),
                status_interval: own
                    .status_interval
                    .or(defaults.status_interval)
                    .map_or(STATUS_INTERVAL, |interval| interval.0),
                on_hole: own.on_hole.or(defaults.on_hole).unwrap_or(OnHole::Skip).into(),
                time_index: own.time_index.or(defaults.time_index).unwrap_or(true),
                limits,
                backups: own.backups.map(|directory| directory.into_inner().0),
                name: name.into_inner(),
            },
        })
    }

    /// Refuses what two servers cannot have in common: one would destroy what the other needs.
    fn refuse_to_share(&self, other: &Server) -> Result<(), Fault> {
        let (ours, theirs) = (&self.config, &other.config);
        let taken = |span: &Range<usize>, what: String| {
            let message = format!("{what} is already that of server \"{}\"", theirs.name);
            Err(Fault::at(span.clone(), message))
        };
        if ours.directory == theirs.directory {
            let what = format!("directory \"{}\"", ours.directory.display());
            return taken(&self.directory, what);
        }
        if let Some(backups) = ours.backups.as_ref().filter(|_| ours.backups == theirs.backups) {
            return taken(&self.backups, format!("directory \"{}\"", backups.display()));
        }
        let slot = |config: &ServerConfig| config.slot.as_ref().map(|slot| slot.name.clone());
        let shared = self.hosts.iter().find(|host| other.hosts.contains(host));
        match (slot(ours), shared) {
            (Some(name), Some(host)) if slot(theirs).as_ref() == Some(&name) => {
                taken(&self.slot, format!("slot \"{name}\" on {host}"))
            }
            _ => Ok(()),
        }
    }
}

/// Refuses names that would be no good labels.
fn check_name(name: &Spanned<String>) -> Result<(), Fault> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let text = name.get_ref();
    match (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_known) {
        true => Ok(()),
        false => Err(Fault::at(
            name.span(),
            format!(
                "invalid server name: \"{text}\" \
                 (1 to 63 letters, digits, \"-\" and \"_\" are needed)"
            ),
        )),
    }
}

fn known_hosts(conninfo: &Spanned<Conninfo>) -> Result<Vec<Host>, Fault> {
    let invalid = |error| Fault::at(conninfo.span(), format!("{error}"));
    conninfo.get_ref().known_hosts().map_err(invalid)
}

/// Works out the slot. What a server says of a slot that it does not have would do nothing.
fn slot(own: &ServerTable, defaults: &ServerTable) -> Result<Option<SlotConfig>, Fault> {
    let Some(name) = own.slot.as_ref().or(defaults.slot.as_ref()) else {
        let policy = own.slot_policy.as_ref().map(|value| ("slot_policy", value.span()));
        let mirror = own.slot_mirror.as_ref().map(|value| ("slot_mirror", value.span()));
        let max = own.slot_retained_max.as_ref().map(|value| ("slot_retained_max", value.span()));
        let risk = own.on_slot_at_risk.as_ref().map(|value| ("on_slot_at_risk", value.span()));
        return match policy.or(mirror).or(max).or(risk) {
            Some((key, span)) => Err(Fault::at(span, format!("\"{key}\" needs \"slot\""))),
            None => Ok(None),
        };
    };
    let policy = own.slot_policy.as_ref().or(defaults.slot_policy.as_ref());
    let mirror = own.slot_mirror.as_ref().or(defaults.slot_mirror.as_ref());
    Ok(Some(SlotConfig {
        name: name.get_ref().0.clone(),
        policy: policy.map_or(SlotPolicy::Create, |policy| *policy.get_ref()),
        is_mirrored: mirror.is_none_or(|mirror| *mirror.get_ref()),
    }))
}

fn limits(own: &ServerTable, defaults: &ServerTable) -> Result<Limits, Fault> {
    let max = own.slot_retained_max.as_ref().or(defaults.slot_retained_max.as_ref());
    let at_risk = own.on_slot_at_risk.as_ref().or(defaults.on_slot_at_risk.as_ref());
    if let (None, Some(at_risk)) = (max, at_risk) {
        return Err(Fault::at(at_risk.span(), "\"on_slot_at_risk\" needs \"slot_retained_max\""));
    }
    let free_min = own.disk_free_min.or(defaults.disk_free_min);
    Ok(Limits {
        disk_free_min: free_min.map_or(DISK_FREE_MIN, |size| size.0),
        slot_retained_max: max.map(|size| size.get_ref().0),
        on_slot_at_risk: at_risk.map_or(OnSlotAtRisk::Report, |risk| *risk.get_ref()),
    })
}
