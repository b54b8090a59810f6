//! A recorded session on disk: what was said in each direction of each connection, and what the
//! original client made of it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};

/// The bytes of one connection.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// What the client sent.
    pub client: Vec<u8>,
    /// What the server sent.
    pub server: Vec<u8>,
}

/// A recorded session.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// The server's major version and the scenario: `15/fetch`.
    pub name: String,
    /// How it came about.
    pub meta: Meta,
    /// The connection of the base backup, then that of the WAL stream if there was one.
    pub connections: Vec<Recording>,
}

/// `meta.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Meta {
    /// What the scenario is there for.
    pub about: String,
    /// The program that was the client.
    pub client: String,
    /// Its arguments, but for where the server and the target are.
    pub arguments: Vec<String>,
    /// The user that it signed in as.
    pub user: String,
    /// That user's password; made up for the recording.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// What the client made of the session.
    pub original: Original,
}

/// What the original client printed, wrote and returned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    /// Its exit code.
    pub exit_code: i32,
    /// The start position, which it prints if it takes WAL too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_lsn: Option<String>,
    /// The end position, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_lsn: Option<String>,
    /// The server's notices that it printed, first lines only.
    pub notices: Vec<String>,
    /// Regular files that it wrote, but for the manifest and what lies in `pg_wal`.
    pub files: u64,
    /// The SHA-256 of the manifest that it wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<String>,
}

/// File names of the two directions of each connection, in order.
pub const CONNECTIONS: [(&str, &str); 2] =
    [("client.bin", "server.bin.gz"), ("wal-client.bin", "wal-server.bin.gz")];

/// File name of [`Meta`].
pub const META: &str = "meta.toml";
/// File name of what the protocol code must make of the session.
pub const EXPECT: &str = "expect.txt";

/// Returns the directory of all fixtures.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("protocol-fixtures")
}

/// Reads every fixture, sorted by name.
///
/// # Errors
/// If one cannot be read.
pub fn load_all() -> io::Result<Vec<Fixture>> {
    let mut names = Vec::new();
    let majors = directories(&root())?;
    for major in majors.iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        let scenarios = directories(&root().join(major))?;
        names.extend(scenarios.into_iter().map(|scenario| format!("{major}/{scenario}")));
    }
    names.sort();
    names.into_iter().map(Fixture::load).collect()
}

fn directories(parent: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

impl Fixture {
    /// Returns the fixture's directory.
    pub fn directory(&self) -> PathBuf {
        root().join(&self.name)
    }

    /// Reads a fixture by its name.
    ///
    /// # Errors
    /// If it is not there or not as the capture program writes it.
    pub fn load(name: impl Into<String>) -> io::Result<Self> {
        let name = name.into();
        let directory = root().join(&name);
        let meta = toml::from_str(&fs::read_to_string(directory.join(META))?)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let mut connections = Vec::new();
        for (client, server) in CONNECTIONS {
            if directory.join(client).exists() {
                let client = fs::read(directory.join(client))?;
                let mut bytes = Vec::new();
                GzDecoder::new(File::open(directory.join(server))?).read_to_end(&mut bytes)?;
                connections.push(Recording { client, server: bytes });
            }
        }
        Ok(Fixture { name, meta, connections })
    }
}
