//! What a new configuration leaves behind on the servers: nothing is dropped that it does not name any more.

use std::collections::BTreeSet;
use std::fmt;

use super::config::{Config, ServerConfig};
use super::server::{self, Server};

/// A slot that is not ours any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeftSlot {
    name: String,
    hosts: BTreeSet<String>,
}

impl LeftSlot {
    /// Returns the slot of a server, with the hosts on which it is left alone; nothing if it is on none.
    pub(super) fn of(before: &Server, config: &Config) -> Option<Self> {
        let name = before.config.slot.as_ref()?.name.clone();
        let there: Vec<(String, Use)> = before.state.change(|status| {
            let source = status.host.iter().map(|host| (host.clone(), Use::Stream));
            let mirrors = status.mirrors.iter().filter(|mirror| mirror.restart_lsn.is_some());
            source.chain(mirrors.map(|mirror| (mirror.host.clone(), Use::Mirror))).collect()
        });
        let is_left = |(host, use_of_slot): &(String, Use)| {
            !config.servers.iter().any(|server| uses(server, &name, host, *use_of_slot))
        };
        let hosts: BTreeSet<String> =
            there.into_iter().filter(is_left).map(|(host, _)| host).collect();
        (!hosts.is_empty()).then_some(LeftSlot { name, hosts })
    }
}

impl fmt::Display for LeftSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<&str> = self.hosts.iter().map(String::as_str).collect();
        let (name, hosts) = (&self.name, hosts.join(", "));
        write!(f, "slot \"{name}\" stays on {hosts} and keeps WAL; drop it if nobody needs it")
    }
}

/// What a slot is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Stream,
    Mirror,
}

/// Says whether a server goes on to use a slot on a host.
fn uses(server: &ServerConfig, name: &str, host: &str, use_of_slot: Use) -> bool {
    let is_wanted = server
        .slot
        .as_ref()
        .is_some_and(|slot| slot.name == name && (slot.is_mirrored || use_of_slot == Use::Stream));
    // Of one that does not say where it is, the supervisor tells; its slot is not to be dropped.
    is_wanted
        && server::connect_options(server)
            .map_or(true, |options| options.hosts.iter().any(|known| known.to_string() == host))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::*;
    use crate::pg::Lsn;
    use crate::service::{MirrorStatus, ServerState};

    /// Reads a configuration of one server.
    fn config(name: &str, hosts: &str, more: &str) -> Config {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("pgsiphon.toml");
        let server = format!(
            "[servers.{name}]\nconninfo = \"host={hosts}\"\ndirectory = \"/wal\"\n{more}\n"
        );
        fs::write(&file, server).unwrap();
        Config::read(&file).unwrap()
    }

    #[test]
    fn a_slot_is_left_where_no_server_uses_it_any_more() {
        const SLOT: &str = "slot = \"s\"";
        let state = Arc::new(ServerState::new("x"));
        let mirror = |host: &str, restart_lsn| MirrorStatus {
            host: host.to_owned(),
            restart_lsn,
            problem: None,
        };
        state.change(|status| {
            status.host = Some("a:5432".to_owned());
            status.mirrors = vec![mirror("b:5432", Some(Lsn::new(1))), mirror("c:5432", None)];
        });
        let before = Server::new(config("x", "a,b,c", SLOT).servers[0].clone(), state);
        let unmirrored = format!("{SLOT}\nslot_mirror = false");
        // Name, hosts, and slot of what comes next, and where the slot of before is left.
        let table = [
            ("y", "d", SLOT, Some("a:5432, b:5432")),
            ("x", "a,b,c", "", Some("a:5432, b:5432")),
            ("x", "a,b,c", "slot = \"t\"", Some("a:5432, b:5432")),
            ("x", "a,b,c", &unmirrored, Some("b:5432")),
            ("x", "a,c", SLOT, Some("b:5432")),
            ("x", "a,b", SLOT, None),
            ("y", "b,a", SLOT, None),
        ];
        for (name, hosts, slot, left_on) in table {
            let left = LeftSlot::of(&before, &config(name, hosts, slot));
            let expected = left_on.map(|hosts| {
                format!("slot \"s\" stays on {hosts} and keeps WAL; drop it if nobody needs it")
            });
            assert_eq!(left.map(|left| left.to_string()), expected, "{name} {hosts} {slot}");
        }
    }
}
