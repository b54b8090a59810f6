//! What the user wants of a base backup, with all cross-checks already made.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::pg::{Compression, TablespaceMappings};
use crate::storage::DirectIo;

/// Everything that decides how a base backup is taken, but for the server's address.
#[derive(Clone, Debug)]
pub struct BackupConfig {
    /// Where the backup goes, and in which format.
    pub target: Target,
    /// Who compresses it, and how.
    pub compression: BackupCompression,
    /// The most kilobytes (1024 bytes) a second that the server sends; `None` for no limit.
    pub max_rate_kb: Option<u32>,
    /// Whether a server started from the backup becomes a standby of this one.
    pub standby: StandbySetup,
    /// How the WAL that makes the backup consistent is got.
    pub wal: WalMethod,
    /// How often the server hears of the WAL stream without need; `None` for never.
    pub status_interval: Option<Duration>,
    /// How the server makes the checkpoint with which the backup starts.
    pub checkpoint: Checkpoint,
    /// The backup's label, kept in `backup_label`.
    pub label: String,
    /// Whether the server adds up the sizes of all files first, which progress needs.
    pub size_estimate: SizeEstimate,
    /// Whether the server checks the checksums of the pages that it sends.
    pub page_checksums: PageChecksums,
    /// Which manifest is asked for; without one, nothing can be compared.
    pub manifest: ManifestRequest,
    /// Whether everything is brought to stable storage before success is reported.
    pub durability: Durability,
    /// What happens to an unfinished backup.
    pub on_failure: OnFailure,
    /// Whether large files may be written round the page cache.
    pub direct_io: DirectIo,
}

/// Where the backup goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A data directory that a server can start from.
    Plain {
        /// The data directory; created, or empty.
        directory: PathBuf,
        /// Where the tablespaces go.
        tablespaces: TablespaceMappings,
        /// Where `pg_wal` goes, if not into the data directory: an absolute path.
        wal_directory: Option<PathBuf>,
    },
    /// A directory with one tar file a tablespace.
    Tar {
        /// The directory; created, or empty.
        directory: PathBuf,
    },
    /// `base.tar` on standard output.
    Stdout,
    /// What the server makes of it; nothing is sent here but how far it is.
    Server(ServerTarget),
}

/// A target that the server knows: `server`, `blackhole`, or one that an extension brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTarget {
    /// The target's name.
    pub name: String,
    /// What the target wants to know, such as a directory.
    pub detail: Option<String>,
}

/// Who compresses the archives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BackupCompression {
    /// Nobody.
    #[default]
    None,
    /// This side; only for tar.
    Client(Compression),
    /// The server. What it is asked for is for it to check.
    Server {
        /// The algorithm's name as the user typed it.
        algorithm: String,
        /// Level and options as the user typed them.
        detail: Option<String>,
    },
}

/// Whether the backup is prepared to become a standby (`-R`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandbySetup {
    /// It is.
    Write,
    /// It stays as the server sent it.
    Skip,
}

impl Target {
    /// Returns the directory that is filled, if there is one.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Target::Plain { directory, .. } | Target::Tar { directory } => Some(directory),
            Target::Stdout | Target::Server(_) => None,
        }
    }

    /// Returns the directory of WAL segments, in plain format.
    pub fn wal_directory(&self) -> Option<PathBuf> {
        match self {
            Target::Plain { wal_directory: Some(path), .. } => Some(path.clone()),
            Target::Plain { directory, .. } => Some(directory.join("pg_wal")),
            Target::Tar { .. } | Target::Stdout | Target::Server(_) => None,
        }
    }
}

/// How the needed WAL is got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalMethod {
    /// Not at all: the user has an archive. The server waits until it archived the last segment.
    None,
    /// By the server, at the end of `base.tar`.
    Fetch,
    /// Over a second connection while the backup runs.
    Stream(SlotChoice),
}

/// The replication slot that holds the WAL while it is streamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotChoice {
    /// A temporary slot that vanishes with the connection.
    Temporary,
    /// A slot that exists.
    Existing(String),
    /// A slot that is created, and left behind also when the backup fails.
    Create(String),
    /// None: the server may recycle WAL that was not sent yet.
    None,
}

/// How the starting checkpoint is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// As fast as the server can.
    Fast,
    /// Spread over the time of an ordinary checkpoint.
    Spread,
}

/// Whether the server is asked for an estimate of the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeEstimate {
    /// The server looks at all files before it sends the first.
    Ask,
    /// The server starts at once; there is no total for the progress.
    Skip,
}

/// Whether the server verifies page checksums while it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageChecksums {
    /// It does, and reports what it found in notices and an error at the end.
    Verify,
    /// It sends the pages unseen.
    Ignore,
}

/// Which manifest the server is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestRequest {
    /// None.
    None,
    /// One with checksums of the named algorithm, `None` for the server's default. The name is
    /// the server's to check.
    Checksums {
        /// The algorithm's name as the user typed it.
        algorithm: Option<String>,
        /// Whether all names are written in hexadecimal.
        force_encode: bool,
    },
}

/// Whether the backup is synced to stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Every file and directory is synced before the backup counts as complete.
    Sync(SyncMethod),
    /// The operating system writes it when it likes.
    NoSync,
}

impl Durability {
    /// Says whether anything is synced.
    pub fn syncs(self) -> bool {
        matches!(self, Durability::Sync(_))
    }
}

/// How files are brought to stable storage (`--sync-method`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMethod {
    /// One by one, each as soon as it is complete.
    #[default]
    Fsync,
    /// With their whole file systems, at the end.
    Syncfs,
}

/// What becomes of the files of a backup that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Everything that was created is removed.
    CleanUp,
    /// Everything stays for inspection.
    Keep,
}
