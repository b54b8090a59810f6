//! A base backup against the original, and against a receiver that throws the bytes away, in one run.
//!
//! ```text
//! cargo bench --bench end_to_end -- --server 'host=/tmp port=5432 user=postgres' \
//!     --target DIR [--original PATH] [--rounds N] [--direct-io auto|off]
//! ```
//!
//! The server should have a few gigabytes, in its page cache. Each round runs the three one after the
//! other; the table has the medians of all rounds and their ratios. Plain format, WAL streamed,
//! everything synced, ours verified.
//!
//! All backups are kept until the end, so there must be room for two a round: ext4 is slow to create files
//! where some were deleted a minute ago, and that would be measured too.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use pgsiphon::protocol::command::BaseBackup;
use pgsiphon::protocol::{BackupEvent, BaseBackupStream, ManifestExpected};

use support::{AnyError, median};

mod support;

/// What to compare.
#[derive(Parser)]
struct Options {
    /// The server, as a connection string.
    #[arg(long)]
    server: String,
    /// A directory for the backups, on the file system to measure; it must not exist, and is removed.
    #[arg(long)]
    target: PathBuf,
    /// The original.
    #[arg(long, default_value = "pg_basebackup")]
    original: PathBuf,
    /// How often each is run.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Passed on to ours.
    #[arg(long, default_value = "auto")]
    direct_io: String,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("end_to_end: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), AnyError> {
    fs::create_dir(&options.target)?;
    let outcome = measure(options);
    fs::remove_dir_all(&options.target)?;
    outcome
}

fn measure(options: &Options) -> Result<(), AnyError> {
    let mut seconds: [Vec<f64>; 3] = Default::default();
    let mut size = 0;
    for round in 1..=options.rounds {
        let floor = throw_away(&options.server)?;
        size = floor.bytes;
        let direct_io = format!("--direct-io={}", options.direct_io);
        let mut ours = Command::new(env!("CARGO_BIN_EXE_pgsiphon"));
        ours.arg("basebackup").arg(direct_io);
        let ours = back_up(&mut ours, "pgsiphon", round, options)?;
        let mut original = Command::new(&options.original);
        let original = back_up(&mut original, "original", round, options)?;
        for (list, time) in seconds.iter_mut().zip([floor.time, ours, original]) {
            list.push(time.as_secs_f64());
        }
        let [floor, ours, original] =
            seconds.each_ref().map(|list| list.last().copied().unwrap_or_default());
        println!(
            "round {round}: thrown away {floor:.2} s, pgsiphon {ours:.2} s, original {original:.2} s"
        );
    }
    let [floor, ours, original] = seconds.map(median);
    println!("{:.2} GB in plain format, medians of {} rounds", size as f64 / 1e9, options.rounds);
    for (name, time) in [("thrown away", floor), ("pgsiphon", ours), ("original", original)] {
        println!("  {name:<12} {time:6.2} s  {:5.0} MB/s", size as f64 / 1e6 / time);
    }
    println!(
        "  pgsiphon: {:.2} x the original, {:.2} of thrown away",
        original / ours,
        floor / ours
    );
    Ok(())
}

/// Runs a program into a directory of its own.
fn back_up(
    program: &mut Command,
    name: &str,
    round: usize,
    options: &Options,
) -> Result<Duration, AnyError> {
    // What the run before left to be written is not to be waited for by this one.
    rustix::fs::sync();
    let started = Instant::now();
    let status = program
        .args(["-c", "fast", "-d", &options.server, "-D"])
        .arg(options.target.join(format!("{name}-{round}")))
        .stdin(Stdio::null())
        .status()?;
    let time = started.elapsed();
    if status.success() { Ok(time) } else { Err(format!("{program:?}: {status}").into()) }
}

/// What a receiver that throws the bytes away reached.
struct Floor {
    bytes: u64,
    time: Duration,
}

fn throw_away(server: &str) -> Result<Floor, AnyError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let started = Instant::now();
        let mut connection = support::open(server).await?;
        let version = connection.session().server_version;
        // The same work for the server as in the real backups, manifest included.
        let command = BaseBackup {
            label: "thrown away",
            progress: false,
            fast_checkpoint: true,
            include_wal: false,
            wait_for_archive: false,
            tablespace_map: false,
            verify_checksums: true,
            manifest: Some(pgsiphon::protocol::command::Manifest {
                force_encode: false,
                checksums: None,
            }),
            max_rate_kb: None,
            target: None,
            compression: None,
        };
        connection.send_command(&command.to_command(version)).await?;
        let mut stream = BaseBackupStream::new(version, ManifestExpected::Yes);
        let mut bytes = 0;
        while !stream.is_completed() {
            while let Some(message) = connection.buffered_message()? {
                if let Some(BackupEvent::ArchiveData(data)) = stream.handle_message(message)? {
                    bytes += data.len() as u64;
                }
            }
            if !stream.is_completed() {
                connection.receive().await?;
            }
        }
        Ok(Floor { bytes, time: started.elapsed() })
    })
}
