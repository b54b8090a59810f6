//! The text of replication commands (protocol chapter "Streaming Replication Protocol").

use postgres_protocol::escape::escape_identifier;

use crate::pg::{Lsn, ServerVersion, TimelineId};

/// Asks for the system identifier, timeline and position.
pub const IDENTIFY_SYSTEM: &str = "IDENTIFY_SYSTEM";

/// What a base backup asks of the server; text form in [`BaseBackup::to_command`].
#[derive(Clone, Debug)]
pub struct BaseBackup<'a> {
    /// The label.
    pub label: &'a str,
    /// Estimate all sizes first, and send progress messages.
    pub progress: bool,
    /// Checkpoint at once.
    pub fast_checkpoint: bool,
    /// Append the needed WAL to `base.tar`.
    pub include_wal: bool,
    /// Wait until the last segment is archived.
    pub wait_for_archive: bool,
    /// Send a `tablespace_map` file instead of symbolic links.
    pub tablespace_map: bool,
    /// Check page checksums.
    pub verify_checksums: bool,
    /// Send a manifest.
    pub manifest: Option<Manifest<'a>>,
    /// The most kilobytes (1024 bytes) a second that are sent; `None` for no limit.
    pub max_rate_kb: Option<u32>,
    /// Where the server puts the backup, if not into the answer; from 15 on.
    pub target: Option<Target<'a>>,
    /// How the server compresses; from 15 on.
    pub compression: Option<Compression<'a>>,
}

/// A place for a backup that the server knows.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its name: `server`, `blackhole`, or what an extension brings.
    pub name: &'a str,
    /// What it wants to know.
    pub detail: Option<&'a str>,
}

/// What the server is asked to compress with; it checks this itself.
#[derive(Clone, Copy, Debug)]
pub struct Compression<'a> {
    /// The algorithm's name.
    pub algorithm: &'a str,
    /// Level and options.
    pub detail: Option<&'a str>,
}

/// What the manifest of a base backup is to hold.
#[derive(Clone, Debug)]
pub struct Manifest<'a> {
    /// Write all names in hexadecimal.
    pub force_encode: bool,
    /// The algorithm's name, unchecked; `None` for the server's default.
    pub checksums: Option<&'a str>,
}

impl BaseBackup<'_> {
    /// Writes the command in the grammar of the server's version: keywords and values up to 14, a
    /// list in parentheses from 15 on.
    pub fn to_command(&self, version: ServerVersion) -> String {
        if version.has_multiplexed_base_backup() {
            format!("BASE_BACKUP ( {} )", self.options().join(", "))
        } else {
            std::iter::once("BASE_BACKUP".to_owned())
                .chain(self.keywords())
                .collect::<Vec<_>>()
                .join(" ")
        }
    }

    /// The options in the order in which the original sends them.
    fn options(&self) -> Vec<String> {
        let checkpoint = if self.fast_checkpoint { "fast" } else { "spread" };
        let mut options = vec![format!("LABEL {}", quote(self.label))];
        options.extend(self.progress.then(|| "PROGRESS".to_owned()));
        options.extend(self.include_wal.then(|| "WAL".to_owned()));
        options.push(format!("CHECKPOINT '{checkpoint}'"));
        options.extend((!self.wait_for_archive).then(|| "WAIT 0".to_owned()));
        options.extend(self.max_rate_kb.map(|rate| format!("MAX_RATE {rate}")));
        options.extend(self.tablespace_map.then(|| "TABLESPACE_MAP".to_owned()));
        options.extend((!self.verify_checksums).then(|| "VERIFY_CHECKSUMS 0".to_owned()));
        options.extend(self.manifest_words());
        let target = self.target.unwrap_or(Target { name: "client", detail: None });
        options.push(format!("TARGET {}", quote(target.name)));
        options.extend(target.detail.map(|detail| format!("TARGET_DETAIL {}", quote(detail))));
        if let Some(Compression { algorithm, detail }) = self.compression {
            options.push(format!("COMPRESSION {}", quote(algorithm)));
            options.extend(detail.map(|detail| format!("COMPRESSION_DETAIL {}", quote(detail))));
        }
        options
    }

    fn keywords(&self) -> Vec<String> {
        let mut keywords = vec![format!("LABEL {}", quote(self.label))];
        let flags = [
            (self.progress, "PROGRESS"),
            (self.include_wal, "WAL"),
            (self.fast_checkpoint, "FAST"),
            (!self.wait_for_archive, "NOWAIT"),
            (self.tablespace_map, "TABLESPACE_MAP"),
            (!self.verify_checksums, "NOVERIFY_CHECKSUMS"),
        ];
        keywords.extend(flags.iter().filter(|(set, _)| *set).map(|(_, word)| (*word).to_owned()));
        keywords.extend(self.max_rate_kb.map(|rate| format!("MAX_RATE {rate}")));
        keywords.extend(self.manifest_words());
        keywords
    }

    /// The manifest options, spelled alike in both grammars.
    fn manifest_words(&self) -> Vec<String> {
        let Some(manifest) = &self.manifest else { return Vec::new() };
        let wanted = if manifest.force_encode { "force-encode" } else { "yes" };
        let checksums =
            manifest.checksums.map(|name| format!("MANIFEST_CHECKSUMS {}", quote(name)));
        std::iter::once(format!("MANIFEST '{wanted}'")).chain(checksums).collect()
    }
}

/// Asks for a setting.
pub fn show(name: &str) -> String {
    format!("SHOW {name}")
}

/// Asks for a timeline's history file.
pub fn timeline_history(timeline: TimelineId) -> String {
    format!("TIMELINE_HISTORY {timeline}")
}

/// How long a replication slot lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotLifetime {
    /// Until the connection ends.
    Temporary,
    /// Until it is dropped.
    Permanent,
}

/// Creates a physical slot that holds WAL from now on.
pub fn create_physical_slot(name: &str, lifetime: SlotLifetime, version: ServerVersion) -> String {
    let temporary = match lifetime {
        SlotLifetime::Temporary => " TEMPORARY",
        SlotLifetime::Permanent => "",
    };
    let reserve =
        if version.has_multiplexed_base_backup() { "(RESERVE_WAL)" } else { "RESERVE_WAL" };
    let name = escape_identifier(name);
    format!("CREATE_REPLICATION_SLOT {name}{temporary} PHYSICAL {reserve}")
}

/// Creates a permanent physical slot that holds no WAL before it is first used.
pub fn create_unreserved_physical_slot(name: &str) -> String {
    format!("CREATE_REPLICATION_SLOT {} PHYSICAL", escape_identifier(name))
}

/// Asks where a slot stands; from 15 on.
pub fn read_slot(name: &str) -> String {
    format!("READ_REPLICATION_SLOT {}", escape_identifier(name))
}

/// Drops a slot.
pub fn drop_slot(name: &str) -> String {
    format!("DROP_REPLICATION_SLOT {}", escape_identifier(name))
}

/// Starts the physical WAL stream of a timeline at a position.
pub fn start_replication(slot: Option<&str>, start: Lsn, timeline: TimelineId) -> String {
    let slot = slot.map(|name| format!("SLOT {} ", escape_identifier(name))).unwrap_or_default();
    format!("START_REPLICATION {slot}{start} TIMELINE {timeline}")
}

/// Quotes a string for the replication grammar, which knows no escapes but doubled quotes.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODERN: ServerVersion = ServerVersion::major_release(15);
    const OLD: ServerVersion = ServerVersion::major_release(14);

    #[test]
    fn base_backup_is_written_in_both_grammars() {
        let backup = BaseBackup {
            label: "it's",
            progress: true,
            fast_checkpoint: true,
            include_wal: true,
            wait_for_archive: false,
            tablespace_map: true,
            verify_checksums: false,
            manifest: Some(Manifest { force_encode: true, checksums: Some("sha256") }),
            max_rate_kb: Some(32),
            target: Some(Target { name: "server", detail: Some("/it's") }),
            compression: Some(Compression { algorithm: "gzip", detail: Some("level=1") }),
        };
        assert_eq!(
            backup.to_command(MODERN),
            "BASE_BACKUP ( LABEL 'it''s', PROGRESS, WAL, CHECKPOINT 'fast', WAIT 0, \
             MAX_RATE 32, TABLESPACE_MAP, VERIFY_CHECKSUMS 0, MANIFEST 'force-encode', \
             MANIFEST_CHECKSUMS 'sha256', TARGET 'server', TARGET_DETAIL '/it''s', \
             COMPRESSION 'gzip', COMPRESSION_DETAIL 'level=1' )"
        );
        assert_eq!(
            backup.to_command(OLD),
            "BASE_BACKUP LABEL 'it''s' PROGRESS WAL FAST NOWAIT TABLESPACE_MAP \
             NOVERIFY_CHECKSUMS MAX_RATE 32 MANIFEST 'force-encode' MANIFEST_CHECKSUMS 'sha256'"
        );
    }

    #[test]
    fn the_least_base_backup_says_only_what_differs_from_the_defaults() {
        let backup = BaseBackup {
            label: "x",
            progress: false,
            fast_checkpoint: false,
            include_wal: false,
            wait_for_archive: true,
            tablespace_map: false,
            verify_checksums: true,
            manifest: None,
            max_rate_kb: None,
            target: None,
            compression: None,
        };
        assert_eq!(
            backup.to_command(MODERN),
            "BASE_BACKUP ( LABEL 'x', CHECKPOINT 'spread', TARGET 'client' )"
        );
        assert_eq!(backup.to_command(OLD), "BASE_BACKUP LABEL 'x'");
    }

    #[test]
    fn slot_names_are_quoted() {
        assert_eq!(
            create_physical_slot("a\"b", SlotLifetime::Temporary, MODERN),
            "CREATE_REPLICATION_SLOT \"a\"\"b\" TEMPORARY PHYSICAL (RESERVE_WAL)"
        );
        assert_eq!(
            create_physical_slot("s", SlotLifetime::Permanent, OLD),
            "CREATE_REPLICATION_SLOT \"s\" PHYSICAL RESERVE_WAL"
        );
        assert_eq!(
            start_replication(Some("s"), Lsn::new(0x200_0000), TimelineId::FIRST),
            "START_REPLICATION SLOT \"s\" 0/2000000 TIMELINE 1"
        );
        assert_eq!(
            start_replication(None, Lsn::new(0x200_0000), TimelineId::FIRST),
            "START_REPLICATION 0/2000000 TIMELINE 1"
        );
    }
}
