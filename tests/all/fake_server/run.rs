//! Runs the program against a fake server.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::session::Session;
use super::{FakeServer, Fault};

/// A run that takes longer hangs.
const RUN_LIMIT: Duration = Duration::from_secs(20);

/// What a run of the program left behind.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code.
    pub code: Option<i32>,
    /// What it printed.
    pub stderr: String,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// Every path in the directory that the run was given; files with the CRC of their contents.
    pub paths: BTreeMap<PathBuf, Option<u32>>,
}

impl Outcome {
    /// Returns the errors, without the program's name.
    pub fn errors(&self) -> Vec<&str> {
        let prefix = "pgsiphon: error: ";
        self.stderr.lines().filter_map(|line| line.strip_prefix(prefix)).collect()
    }

    /// Makes sure that the run failed with one error and removed everything.
    pub fn assert_failed_without_a_trace(&self, what: &str) {
        assert_eq!(self.code, Some(1), "{what}: {self:?}");
        assert_eq!(self.errors().len(), 1, "{what}: {self:?}");
        assert!(self.paths.is_empty(), "{what}: {self:?}");
        assert!(!self.stderr.contains("panicked"), "{what}: {self:?}");
    }

    /// Says whether a path exists.
    pub fn has(&self, path: &str) -> bool {
        self.paths.contains_key(Path::new(path))
    }
}

/// Runs `pgsiphon basebackup` against a fake server; `{world}` in an argument is replaced by a
/// directory that is empty before the run.
pub fn run(session: Session, fault: Fault, arguments: &[&str]) -> Outcome {
    let server = FakeServer::start(session, fault);
    let world = TempDir::new().expect("a directory");
    let world_text = world.path().display().to_string();
    let mut stdout = tempfile::tempfile().expect("a file");
    let mut child = Command::new(env!("CARGO_BIN_EXE_pgsiphon"))
        .args(["basebackup", "-U", "postgres", "-w", "-c", "fast", "--no-sync"])
        .arg("-D")
        .arg(world.path().join("target"))
        .arg("-h")
        .arg(server.host())
        .args(arguments.iter().map(|argument| argument.replace("{world}", &world_text)))
        .env_clear()
        .env("LC_ALL", "C")
        .env("PGPASSWORD", "made up for this recording")
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().expect("a second handle"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let deadline = Instant::now() + RUN_LIMIT;
    while child.try_wait().expect("our own child").is_none() {
        if Instant::now() > deadline {
            child.kill().expect("our own child");
            let output = child.wait_with_output().expect("our own child");
            panic!("the program hangs: {}", String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().expect("our own child");
    let mut written = Vec::new();
    stdout.rewind().and_then(|()| stdout.read_to_end(&mut written)).expect("our own file");
    Outcome {
        code: output.status.code(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        stdout: written,
        paths: paths_below(world.path(), world.path()),
    }
}

fn paths_below(root: &Path, directory: &Path) -> BTreeMap<PathBuf, Option<u32>> {
    let mut paths = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("a readable directory").path();
        let crc = path.is_file().then(|| crc32c::crc32c(&fs::read(&path).expect("a file")));
        if path.is_dir() && !path.is_symlink() {
            paths.append(&mut paths_below(root, &path));
        }
        paths.insert(path.strip_prefix(root).expect("it is below").to_owned(), crc);
    }
    paths
}

/// Runs a test on many inputs at once: a run mostly waits.
pub fn for_each<T: Sync>(inputs: &[T], test: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some(input) = inputs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    test(input);
                }
            });
        }
    });
}
