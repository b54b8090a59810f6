//! The PostgreSQL programs that `tests/servers.sh` installs.

use std::env;
use std::path::{Path, PathBuf};

use super::skip;

/// The major whose client programs are used with all servers.
const CLIENT_MAJOR: u32 = 18;

/// The first major that has its own `pg_verifybackup`; below, that of [`OLD_TOOLS`] serves.
const OWN_TOOLS_SINCE: u32 = 17;

/// The tree with client programs of 16.
const OLD_TOOLS: &str = "16-tools";

/// The server programs of one major.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The major version.
    pub major: u32,
}

impl Installation {
    /// Returns the path of a server program.
    pub fn program(self, name: &str) -> PathBuf {
        program(&self.major.to_string(), name)
    }

    /// Returns the path of the `pg_verifybackup` that reads this server's backups, and whether it can
    /// read the server's WAL too.
    pub fn verifier(self) -> (PathBuf, bool) {
        let (tree, reads_wal) = match self.major {
            major if major >= OWN_TOOLS_SINCE => (major.to_string(), true),
            major => (OLD_TOOLS.to_owned(), major == 16),
        };
        (program(&tree, "pg_verifybackup"), reads_wal)
    }
}

/// Returns the path of a client program.
pub fn client_program(name: &str) -> PathBuf {
    program(&CLIENT_MAJOR.to_string(), name)
}

/// Runs a test on a server given as `pg15`. One that is not there is skipped, but not where `CI` is set:
/// there everything is meant to be tested.
pub fn on_server(name: &str, test: fn(Installation)) {
    let major = name.strip_prefix("pg").and_then(|digits| digits.parse().ok());
    let installation = Installation { major: major.expect("servers are named pg13 to pg18") };
    let needed =
        [installation.program("postgres"), installation.verifier().0, client_program("psql")];
    let Some(missing) = needed.iter().find(|program| !program.exists()) else {
        return test(installation);
    };
    let reason = format!("{} is missing: run tests/servers.sh", missing.display());
    assert!(env::var_os("CI").is_none(), "{reason}");
    skip(&reason);
}

fn program(tree: &str, name: &str) -> PathBuf {
    root().join(tree).join("bin").join(name)
}

/// Returns the directory that `tests/servers.sh` fills, or would fill.
fn root() -> PathBuf {
    if let Some(root) = env::var_os("PGSIPHON_SERVERS") {
        return root.into();
    }
    let cache = match (env::var_os("XDG_CACHE_HOME"), env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, home) => Path::new(&home.unwrap_or_default()).join(".cache"),
    };
    let system_wide = PathBuf::from("/opt/pgsiphon-servers");
    let own = cache.join("pgsiphon-servers");
    if own.exists() && !system_wide.exists() { own } else { system_wide }
}
