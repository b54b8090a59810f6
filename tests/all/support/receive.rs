//! Programs that receive WAL while a test goes on, and servers that write it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use pgsiphon::pg::Lsn;
use rustix::process::Signal;

use super::client::{Client, Finished, Running};
use super::installation::Installation;
use super::scratch::Scratch;
use super::server::{Server, ServerBuilder};
use super::wal_files::{assert_log, holds};
use super::{tree, wait_until};

/// With this variable set, the original takes the place of ours: what the tests say is then proved
/// of it. Those fail that are about what only ours does.
const SWAP: &str = "PGSIPHON_TEST_ORIGINAL";

/// How long a server is left alone between two questions.
const QUESTION_INTERVAL: Duration = Duration::from_millis(25);

/// A program that receives WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The original.
    Original,
    /// Ours under the name of the original.
    DropIn,
    /// Ours under its own name.
    Native,
}

impl Program {
    /// Returns ours under the name of the original.
    pub fn ours() -> Self {
        if std::env::var_os(SWAP).is_some() { Program::Original } else { Program::DropIn }
    }

    /// Says whether it is the original.
    pub fn is_original(self) -> bool {
        self == Program::Original
    }

    /// Prepares a run.
    pub fn client(self) -> Client {
        match self {
            Program::Original => Client::receivewal_original(),
            Program::DropIn => Client::receivewal_drop_in(),
            Program::Native => Client::receivewal(),
        }
    }
}

/// Settings of servers whose WAL is received: they keep it, so that what was received can be
/// compared with it, write next to nothing by themselves, and as standbys do not wait for long when
/// their primary is gone.
const SETTINGS: [&str; 3] =
    ["wal_keep_size=2GB", "bgwriter_delay=10s", "wal_retrieve_retry_interval=100ms"];

/// Prepares a server whose WAL is received.
pub fn source(installation: Installation) -> ServerBuilder {
    SETTINGS.into_iter().fold(Server::builder(installation), ServerBuilder::setting)
}

/// A program that receives WAL into a directory. It is killed with the value.
#[derive(Debug)]
pub struct Receiver {
    directory: PathBuf,
    running: Running,
}

impl Receiver {
    /// Starts one, which the server knows by the name of the directory.
    pub fn start(program: Program, server: &Server, directory: &Path, arguments: &[&str]) -> Self {
        Receiver::from(program.client().to(server), directory, arguments)
    }

    /// Starts one that knows its way to a server.
    pub fn from(client: Client, directory: &Path, arguments: &[&str]) -> Self {
        let client = client.args(arguments).env("PGAPPNAME", directory.file_name().unwrap());
        let running = client.into_directory(directory).start();
        Receiver { directory: directory.to_owned(), running }
    }

    /// Starts one, and waits until the server streams to it.
    pub fn streaming(
        program: Program,
        server: &Server,
        directory: &Path,
        arguments: &[&str],
    ) -> Self {
        let mut receiver = Receiver::start(program, server, directory, arguments);
        receiver.wait_until_streaming(server);
        receiver
    }

    /// Returns the directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns an expression over `pg_stat_replication`; nothing while it is not connected.
    pub fn status(&self, server: &Server, expression: &str) -> String {
        let name = self.directory.file_name().unwrap().to_str().unwrap();
        server.sql(format!(
            "SELECT {expression} FROM pg_stat_replication WHERE application_name = '{name}'"
        ))
    }

    /// Waits until an expression over `pg_stat_replication` is true.
    #[track_caller]
    pub fn wait_until(&mut self, server: &Server, expression: &str) {
        wait_until(expression, || {
            self.assert_runs();
            let is_true = self.status(server, expression) == "t";
            if !is_true {
                // Each question takes a process on both sides.
                thread::sleep(QUESTION_INTERVAL);
            }
            is_true
        });
    }

    /// Waits until the server streams to it.
    pub fn wait_until_streaming(&mut self, server: &Server) {
        self.wait_until(server, "state IN ('streaming', 'catchup')");
    }

    /// Waits until the server has sent the WAL before a position and the files hold it.
    pub fn wait_for(&mut self, server: &Server, end: Lsn) {
        self.wait_until(server, &format!("sent_lsn >= '{end}'"));
        wait_until("the files to hold what was sent", || {
            self.assert_runs();
            holds(&self.directory, server, end)
        });
    }

    /// Waits until it has said something so many times.
    pub fn wait_until_says(&mut self, words: &str, count: usize) {
        wait_until(words, || {
            self.assert_runs();
            self.running.said().matches(words).count() >= count
        });
    }

    fn assert_runs(&mut self) {
        assert!(!self.running.has_ended(), "it ended: {}", self.running.said());
    }

    /// Ends it as a user does; it has to obey and to be content.
    pub fn stop(self) -> Finished {
        self.stop_by(Signal::INT)
    }

    /// Ends it by a signal; it has to obey and to be content.
    #[track_caller]
    pub fn stop_by(mut self, signal: Signal) -> Finished {
        self.assert_runs();
        self.running.signal(signal);
        self.wait().succeeded()
    }

    /// Waits until it ends by itself.
    pub fn wait(self) -> Finished {
        self.running.wait()
    }
}

/// Starts the original and ours beside each other, each with a slot and a directory of its own
/// name, which may be there from an earlier run.
pub fn start_both(server: &Server, scratch: &Scratch) -> [Receiver; 2] {
    [("original", Program::Original), ("ours", Program::ours())].map(|(name, program)| {
        let directory = scratch.join(name);
        if fs::create_dir(&directory).is_ok() {
            server.sql(format!("SELECT pg_create_physical_replication_slot('{name}')"));
        }
        Receiver::streaming(program, server, &directory, &["-v", "-S", name])
    })
}

/// Makes sure that both said the same, but for what only ours says, of WAL that is missing, and for
/// what only the original says, a second time that it ends.
#[track_caller]
pub fn assert_same_words(original: &str, ours: &str) {
    let is_own = |line: &&str| line.contains(": warning: WAL ") || line.contains(": detail: ");
    let mut ours: Vec<_> = ours.lines().filter(|line| !is_own(line)).collect();
    if Program::ours().is_original() {
        drop_repeated_end(&mut ours);
    }
    let mut original: Vec<_> = original.lines().collect();
    drop_repeated_end(&mut original);
    assert_eq!(ours, original);
}

fn drop_repeated_end(lines: &mut Vec<&str>) {
    if lines.split_last().is_some_and(|(last, before)| before.contains(last)) {
        lines.pop();
    }
}

/// Lists how two directories of WAL differ, but for the files that only ours keeps beside the WAL.
pub fn differences(
    [original, ours]: [&Path; 2],
    contents_may_differ: impl Fn(&Path) -> bool,
) -> Vec<String> {
    let mut differences = tree::differences(original, ours, contents_may_differ);
    differences.retain(|difference| !difference.starts_with(".pgsiphon-"));
    differences
}

/// Waits until both hold the log up to a position, ends them, and makes sure that they said the
/// same and left equal files, with all of the log. Returns what ours said.
#[track_caller]
pub fn stop_both(both: [Receiver; 2], server: &Server, end: Lsn) -> String {
    let directories = both.each_ref().map(|receiver| receiver.directory.clone());
    let [original, ours] = both.map(|mut receiver| {
        receiver.wait_for(server, end);
        receiver.stop().stderr
    });
    assert_same_words(&original, &ours);
    // One may have heard a little more when it was ended than the other.
    let is_partial = |path: &Path| path.extension().is_some_and(|name| name == "partial");
    let differences = differences(directories.each_ref().map(PathBuf::as_path), is_partial);
    assert!(differences.is_empty(), "{differences:#?}");
    for directory in &directories {
        assert_log(directory, server, end);
    }
    ours
}

/// Runs a client that receives WAL to its end, of which it must not be far away.
pub fn run(program: Program, server: &Server, directory: &Path, arguments: &[&str]) -> Finished {
    Receiver::start(program, server, directory, arguments).wait()
}

/// Returns a position that a server names.
pub fn lsn(server: &Server, expression: &str) -> Lsn {
    server.sql(format!("SELECT {expression}")).parse().unwrap()
}

/// Returns up to where a primary's WAL is written.
pub fn end_of_wal(server: &Server) -> Lsn {
    lsn(server, "pg_current_wal_flush_lsn()")
}

/// Commits a transaction with at least so many bytes of WAL that look like no others; returns where
/// it ends.
pub fn write_wal(server: &Server, bytes: usize) -> Lsn {
    let digests = bytes / 32 + 1;
    server.sql(format!(
        "SELECT pg_logical_emit_message(true, 'test', string_agg(md5(random()::text), ''))
         FROM generate_series(1, {digests})"
    ));
    end_of_wal(server)
}

/// Writes a little WAL and ends the segment; returns where the next one begins.
pub fn end_segment(server: &Server) -> Lsn {
    write_wal(server, 1000);
    server.sql("SELECT pg_switch_wal()");
    end_of_wal(server)
}
