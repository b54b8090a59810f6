//! Backups of a small cluster, copies of them that tests damage, and what both programs say of those.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pgsiphon::pg::{CompressionFormat, Lsn};

use super::account::is_root;
use super::client::{Client, Finished};
use super::installation::Installation;
use super::scratch::{Scratch, names, run};
use super::server::Server;
use super::tamper::{identifier, relink};
use crate::hostile_compression::compress;

/// The tablespaces: the first two identifiers that a cluster gives.
const TABLESPACES: [(&str, &str); 2] = [("16384", "one"), ("16385", "two")];

/// The size of segments.
const SEGMENT_SIZE: u64 = 1 << 20;

/// What is said on standard output of a backup in which nothing is wrong.
const SUCCESS: &str = "backup successfully verified\n";

/// What takes root's right to read everything from a program.
const WITHOUT_PRIVILEGES: [&str; 2] =
    ["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"];

/// Backups of one cluster with two tablespaces, in both formats. It has one database, whose
/// identifier is 1, so that a backup is small, and files have the same names whatever the version.
#[derive(Debug)]
pub struct Sample {
    scratch: Scratch,
    installation: Installation,
}

impl Sample {
    /// Makes the cluster and takes the backups.
    pub fn take(installation: Installation) -> Self {
        let server = Server::builder(installation).initdb(&["--wal-segsize=1"]).start();
        for database in ["template0", "postgres"] {
            let template = format!("ALTER DATABASE {database} IS_TEMPLATE false");
            server.sql_in("template1", template);
            server.sql_in("template1", format!("DROP DATABASE {database}"));
        }
        let scratch = Scratch::new();
        let plain = scratch.directory("plain");
        let locations = TABLESPACES.map(|(_, name)| server.directory(name).display().to_string());
        for ((_, name), location) in TABLESPACES.iter().zip(&locations) {
            let statement = format!("CREATE TABLESPACE {name} LOCATION '{location}'");
            server.sql_in("template1", statement);
        }
        let mut client = Client::original().to(&server).arg("-N");
        for ((_, name), location) in TABLESPACES.iter().zip(&locations) {
            let statement = format!("CREATE TABLE {name} TABLESPACE {name} AS SELECT 1 AS number");
            server.sql_in("template1", statement);
            client = client.args(["-T", &format!("{location}={}", plain.join(name).display())]);
        }
        client.into_directory(&plain.join("backup")).run().succeeded();
        let client = Client::original().to(&server).args(["-N", "-Ft"]);
        client.into_directory(&scratch.directory("tar").join("backup")).run().succeeded();
        // Copies have the tablespaces beside them.
        for (oid, name) in TABLESPACES {
            relink(&plain.join("backup/pg_tblspc").join(oid), &format!("../../{name}"));
        }
        Sample { scratch, installation }
    }

    /// Returns a copy of the backup in a format, tar archives not compressed yet.
    pub fn copy(&self, format: BackupFormat) -> Specimen {
        let scratch = Scratch::new();
        let directory = match format {
            BackupFormat::Plain => "plain",
            BackupFormat::Tar(_) => "tar",
        };
        let from = self.scratch.join(directory).join(".");
        run(Command::new("cp").arg("-a").arg(from).arg(scratch.path()));
        Specimen { scratch, installation: self.installation, format }
    }
}

/// How a backup is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupFormat {
    /// As files.
    Plain,
    /// As tar archives, with a compression.
    Tar(Option<CompressionFormat>),
}

/// A copy of a backup, and of its tablespaces beside it. It vanishes with the value.
#[derive(Debug)]
pub struct Specimen {
    scratch: Scratch,
    installation: Installation,
    format: BackupFormat,
}

impl Specimen {
    /// Returns the backup's directory.
    pub fn backup(&self) -> PathBuf {
        self.scratch.join("backup")
    }

    /// Compresses the archives as its format says.
    pub fn compress(&self) {
        if let BackupFormat::Tar(Some(format)) = self.format {
            Press { format: Some(format), base: Vec::new(), compressed_base: Vec::new() }
                .compress_all(&self.backup());
        }
    }

    /// Lets our program verify it, under the name of the original.
    pub fn ours(&self, arguments: &[&str]) -> Said {
        self.verify(Client::verifybackup_drop_in(), arguments)
    }

    /// Lets the original verify it, but for WAL that it cannot read.
    pub fn original(&self, arguments: &[&str]) -> Said {
        let is_readable =
            self.installation.major == 18 && self.backup().join("PG_VERSION").exists();
        let client = Client::verifybackup_original();
        self.verify(if is_readable { client } else { client.arg("-n") }, arguments)
    }

    fn verify(&self, client: Client, arguments: &[&str]) -> Said {
        // Messages have the path as it was given.
        let client = client.args(arguments).arg("backup");
        let client = match is_root() {
            true => client.controlled_by("setpriv", &WITHOUT_PRIVILEGES),
            false => client,
        };
        Said::by(&client.within(self.scratch.path()).run())
    }
}

/// What a program said of a backup, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The lines on standard error; those of its own errors without their prefix.
    pub lines: Vec<String>,
    /// Standard output.
    pub stdout: String,
    /// The exit code.
    pub code: Option<i32>,
}

impl Said {
    fn by(finished: &Finished) -> Self {
        let line = |line: &str| {
            let text = line.strip_prefix("pg_verifybackup: error: ");
            text.unwrap_or(line).to_owned()
        };
        let stdout = String::from_utf8_lossy(&finished.stdout).into_owned();
        let lines = finished.stderr.lines().map(line).collect();
        Said { lines, stdout, code: finished.status.code() }
    }

    /// Returns what is to be said of a backup with these findings.
    pub fn expected(findings: &[impl ToString]) -> Self {
        let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
        let is_sound = lines.is_empty();
        let stdout = if is_sound { SUCCESS } else { "" }.to_owned();
        Said { lines, stdout, code: Some(i32::from(!is_sound)) }
    }

    /// Returns the same with its lines in order; the original has them in that of its hash tables.
    pub fn in_order(mut self) -> Self {
        self.lines.sort();
        self
    }
}

/// A way to damage a backup, and what is said of it.
#[derive(Clone, Copy, Debug)]
pub struct Damage {
    name: &'static str,
    inflict: fn(&Path),
    found: &'static [&'static str],
    original: Original,
}

/// What the original finds in a damaged backup.
#[derive(Clone, Copy, Debug)]
enum Original {
    /// What ours finds.
    Same,
    /// Something else.
    Finds(&'static [&'static str]),
}

impl Damage {
    /// Names what `inflict` does to the backup in a directory. Both programs find `found`; ours says it in
    /// this order.
    pub const fn of(
        name: &'static str,
        inflict: fn(&Path),
        found: &'static [&'static str],
    ) -> Self {
        Damage { name, inflict, found, original: Original::Same }
    }

    /// Ours finds something else.
    pub const fn finds(self, found: &'static [&'static str]) -> Self {
        Damage { found, ..self }
    }

    /// The original finds something else: it stops at the first finding of some kinds, and does not look
    /// everywhere.
    pub const fn original(self, found: &'static [&'static str]) -> Self {
        Damage { original: Original::Finds(found), ..self }
    }
}

/// Inflicts each damage of a table on a copy of its own, and makes sure that both programs find what
/// they are said to find. Archives are compressed after it; the original is not asked about those, for it
/// names them by memory that it has given back.
#[track_caller]
pub fn assert_found(sample: &Sample, format: BackupFormat, damages: &[Damage]) {
    let press = Press::new(sample, format);
    let mut wrong = Vec::new();
    for damage in damages {
        let specimen = sample.copy(format);
        let words = Words::of(&specimen);
        (damage.inflict)(&specimen.backup());
        press.compress_all(&specimen.backup());
        let mut compare = |who, said: Said, expected: Said| {
            if said != expected {
                wrong.push(format!("{}: {who}: {said:#?}, not {expected:#?}", damage.name));
            }
        };
        let expected = |found: &[&str]| {
            Said::expected(&found.iter().map(|text| words.fill_in(text)).collect::<Vec<_>>())
        };
        compare("ours", specimen.ours(&[]), expected(damage.found));
        if press.format.is_none() {
            let found = match damage.original {
                Original::Same => damage.found,
                Original::Finds(found) => found,
            };
            let original = specimen.original(&[]).in_order();
            compare("the original", original, expected(found).in_order());
        }
    }
    assert!(wrong.is_empty(), "{format:?}: {}", wrong.join("\n"));
}

/// Compresses archives. The large one is mostly the same.
struct Press {
    format: Option<CompressionFormat>,
    base: Vec<u8>,
    compressed_base: Vec<u8>,
}

impl Press {
    fn new(sample: &Sample, format: BackupFormat) -> Self {
        let BackupFormat::Tar(Some(format)) = format else {
            return Press { format: None, base: Vec::new(), compressed_base: Vec::new() };
        };
        let base = fs::read(sample.scratch.join("tar/backup/base.tar")).unwrap();
        Press { format: Some(format), compressed_base: compress(format, &base), base }
    }

    fn compress_all(&self, backup: &Path) {
        let Some(format) = self.format else { return };
        for name in names(backup).iter().filter(|name| name.ends_with(".tar")) {
            let path = backup.join(name);
            if !path.is_file() {
                continue;
            }
            let permissions = fs::metadata(&path).unwrap().permissions();
            let contents = fs::read(&path).unwrap();
            let compressed = match contents == self.base {
                true => self.compressed_base.clone(),
                false => compress(format, &contents),
            };
            fs::remove_file(&path).unwrap();
            let compressed_path = backup.join(format!("{name}{}", format.suffix()));
            fs::write(&compressed_path, compressed).unwrap();
            fs::set_permissions(compressed_path, permissions).unwrap();
        }
    }
}

/// What differs from backup to backup, and stands in braces in findings.
struct Words(Vec<(&'static str, String)>);

impl Words {
    fn of(specimen: &Specimen) -> Self {
        let backup = specimen.backup();
        let manifest = fs::read_to_string(backup.join("backup_manifest")).unwrap();
        let quoted = |start: &str| {
            let found = manifest.split('"').find(|text| text.starts_with(start));
            found.expect("the manifest has it").to_owned()
        };
        let position = |key| {
            let (_, rest) = manifest.split_once(key).expect("the manifest has it");
            rest.split('"').nth(2).unwrap().parse::<Lsn>().unwrap().offset()
        };
        let (start, end) = (position("Start-LSN"), position("End-LSN"));
        let (one, two) = (quoted("pg_tblspc/16384/"), quoted("pg_tblspc/16385/"));
        let suffix = match specimen.format {
            BackupFormat::Tar(Some(format)) => format.suffix(),
            BackupFormat::Tar(None) | BackupFormat::Plain => "",
        };
        let third = one.replace("16384", "16386");
        let name = |path: &str| path.splitn(3, '/').last().unwrap_or_default().to_owned();
        Words(vec![
            ("{z}", suffix.to_owned()),
            // The only files of the tablespaces, and where they are when these are swapped.
            ("{one in two}", one.replace("16384", "16385")),
            ("{two in one}", two.replace("16385", "16384")),
            ("{one in third}", third),
            // Their names in the archives.
            ("{one's name}", name(&one)),
            ("{two's name}", name(&two)),
            ("{one}", one),
            ("{two}", two),
            // Where WAL begins that the backup needs, without the last two digits; the segment there,
            // without its timeline.
            ("{wal}", format!("0/{:X}", start >> 8)),
            // The second record: since 17, a mark of the checkpoint's start is the first one.
            (
                "{second}",
                Lsn::new(start + if specimen.installation.major >= 17 { 32 } else { 56 })
                    .to_string(),
            ),
            ("{segment}", format!("{:016X}", start / SEGMENT_SIZE)),
            // What is needed of the segment, all and but for 100 bytes.
            ("{all}", (end % SEGMENT_SIZE).to_string()),
            ("{rest}", (end % SEGMENT_SIZE - 100).to_string()),
            ("{identifier}", identifier(&backup)),
        ])
    }

    fn fill_in(&self, text: &str) -> String {
        let replace = |text: String, (word, meaning): &(&str, String)| text.replace(word, meaning);
        self.0.iter().fold(text.to_owned(), replace)
    }
}
