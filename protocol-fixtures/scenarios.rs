//! What is recorded: how the cluster is prepared and what the client is asked to do.

use std::ffi::OsStr;
use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Result;
use super::server::{Server, entries};

/// The password of user `scram`.
pub const PASSWORD: &str = "made up for this recording";

/// One recording of a major version.
pub struct Scenario {
    /// The directory's name.
    pub name: &'static str,
    /// What it is there for.
    pub about: &'static str,
    /// The first major version that has it.
    pub since: u32,
    /// What is special about the cluster.
    pub cluster: Cluster,
    /// The user that takes the backup.
    pub user: &'static str,
    /// The client's arguments; `{root}` is replaced by the working directory.
    pub arguments: &'static [&'static str],
}

/// What is special about a cluster.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cluster {
    /// Nothing.
    Plain,
    /// A file whose name is not UTF-8.
    OddName,
    /// Two tablespaces with a table each.
    Tablespaces,
    /// A tablespace inside the data directory.
    InPlaceTablespace,
    /// A page that does not fit its checksum.
    DamagedPage,
    /// A file that the server may not read.
    UnreadableFile,
    /// A user with a password.
    Password,
}

/// All scenarios.
pub const SCENARIOS: [Scenario; 12] = [
    Scenario {
        name: "wal-none",
        about: "No WAL; the server says that it does not archive.",
        since: 13,
        cluster: Cluster::Plain,
        user: "postgres",
        arguments: &["-X", "none"],
    },
    Scenario {
        name: "wal-fetch",
        about: "WAL at the end of base.tar; a name that is not UTF-8; SHA-256 in the manifest.",
        since: 13,
        cluster: Cluster::OddName,
        user: "postgres",
        arguments: &["-X", "fetch", "--manifest-checksums=SHA256"],
    },
    Scenario {
        name: "wal-stream",
        about: "WAL over a second connection, with a temporary slot.",
        since: 13,
        cluster: Cluster::Plain,
        user: "postgres",
        arguments: &["-X", "stream"],
    },
    Scenario {
        name: "tablespaces",
        about: "Two mapped tablespaces, sizes estimated.",
        since: 13,
        cluster: Cluster::Tablespaces,
        user: "postgres",
        arguments: &[
            "-X",
            "none",
            "-P",
            "-T",
            "{root}/first={root}/mapped-first",
            "-T",
            "{root}/second={root}/mapped-second",
        ],
    },
    Scenario {
        name: "in-place-tablespace",
        about: "A tablespace inside the data directory: an archive of its own from 16 on.",
        since: 15,
        cluster: Cluster::InPlaceTablespace,
        user: "postgres",
        arguments: &["-X", "none"],
    },
    Scenario {
        name: "tar",
        about: "Tar format: a tablespace_map instead of links.",
        since: 13,
        cluster: Cluster::Tablespaces,
        user: "postgres",
        arguments: &["-X", "none", "-F", "tar"],
    },
    Scenario {
        name: "checksum-failure",
        about: "Damaged pages: warnings inside the COPY, an error after the end position.",
        since: 13,
        cluster: Cluster::DamagedPage,
        user: "postgres",
        arguments: &["-X", "none"],
    },
    Scenario {
        name: "unreadable-file",
        about: "An error in the middle of the COPY.",
        since: 13,
        cluster: Cluster::UnreadableFile,
        user: "postgres",
        arguments: &["-X", "none"],
    },
    Scenario {
        name: "server-gzip",
        about: "An archive that the server compresses with gzip.",
        since: 15,
        cluster: Cluster::Plain,
        user: "postgres",
        arguments: &["-X", "none", "-Z", "server-gzip"],
    },
    Scenario {
        name: "server-lz4",
        about: "An archive that the server compresses with LZ4, in a frame without checksums.",
        since: 17,
        cluster: Cluster::Plain,
        user: "postgres",
        arguments: &["-X", "none", "-Z", "server-lz4"],
    },
    Scenario {
        name: "server-zstd",
        about: "An archive that the server compresses with Zstandard, in a frame without a checksum.",
        since: 17,
        cluster: Cluster::Plain,
        user: "postgres",
        arguments: &["-X", "none", "-Z", "server-zstd"],
    },
    Scenario {
        name: "scram",
        about: "SCRAM-SHA-256, and no manifest.",
        since: 13,
        cluster: Cluster::Password,
        user: "scram",
        arguments: &["-X", "none", "--no-manifest"],
    },
];

impl Cluster {
    /// Returns the statements that prepare the cluster while it is whole.
    pub fn statements(self, root: &Path) -> Vec<String> {
        let tablespace = |name: &str, location: String| {
            [
                format!("CREATE TABLESPACE {name} LOCATION '{location}'"),
                format!("CREATE TABLE in_{name} TABLESPACE {name} AS SELECT 1 AS a"),
            ]
        };
        match self {
            Cluster::Tablespaces => ["first", "second"]
                .into_iter()
                .flat_map(|name| tablespace(name, root.join(name).display().to_string()))
                .collect(),
            Cluster::InPlaceTablespace => {
                let allowed = "SET allow_in_place_tablespaces = on".to_owned();
                std::iter::once(allowed).chain(tablespace("inside", String::new())).collect()
            }
            Cluster::Password => vec![
                // The default of 13 is md5.
                "SET password_encryption = 'scram-sha-256'".to_owned(),
                format!("CREATE ROLE scram LOGIN REPLICATION PASSWORD '{PASSWORD}'"),
            ],
            Cluster::Plain | Cluster::OddName | Cluster::DamagedPage | Cluster::UnreadableFile => {
                Vec::new()
            }
        }
    }

    /// Prepares the files of the stopped, shrunken cluster.
    pub fn prepare_files(self, server: &Server) -> Result<()> {
        match self {
            Cluster::OddName => {
                Ok(fs::write(server.data().join(OsStr::from_bytes(b"caf\xe9")), b"au lait\n")?)
            }
            Cluster::DamagedPage => damage_pages(&server.data().join("base")),
            Cluster::UnreadableFile => {
                let file = server.data().join("unreadable");
                fs::write(&file, b"")?;
                Ok(fs::set_permissions(&file, PermissionsExt::from_mode(0o000))?)
            }
            Cluster::Plain
            | Cluster::Tablespaces
            | Cluster::InPlaceTablespace
            | Cluster::Password => Ok(()),
        }
    }
}

/// Damages more pages of one file than the server reports one by one.
fn damage_pages(base: &Path) -> Result<()> {
    const PAGE_SIZE: u64 = 8192;
    for database in entries(base)? {
        let mut file = fs::OpenOptions::new().write(true).open(database.join("1259"))?;
        for page in 1..8 {
            file.seek(SeekFrom::Start(page * PAGE_SIZE + PAGE_SIZE / 2))?;
            file.write_all(b"damaged by the capture program")?;
        }
    }
    Ok(())
}
