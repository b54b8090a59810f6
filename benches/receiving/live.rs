//! A load that is received, and compressed, while it runs.

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::Options;
use crate::contest::{Column, Contest, Side, Table};
use crate::pgbench::Load;
use crate::receiver::{Receiver, Usage};
use crate::server::Server;
use crate::support::AnyError;

/// How it is compressed, and who can.
const COMPRESSIONS: [(&str, &[Side]); 5] = [
    ("none", Side::ALL),
    ("lz4", Side::BOTH),
    ("gzip:1", Side::BOTH),
    ("gzip", Side::BOTH),
    ("zstd", &[Side::Ours]),
];

/// Large enough that the WAL, not the number of commits, is the load.
const SCRIPT: &str = "\\set first random(1, 100000000)
insert into live select n, md5(n::text), repeat('x', n % 60)
    from generate_series(:first, :first + 499) n;
";

/// Enough to keep two processors busy.
const CLIENTS: u32 = 4;

const TABLE: Table<Followed> = Table {
    baseline: "no receiver",
    columns: &[
        Column { title: "load MB/s", value: |run| run.load.megabytes_per_second, decimals: 1 },
        Column { title: "MB behind at end", value: |run| run.megabytes_behind, decimals: 1 },
        Column { title: "s until caught up", value: |run| run.seconds_behind, decimals: 2 },
        Column { title: "CPU s", value: |run| run.usage.cpu_seconds, decimals: 2 },
        Column { title: "peak MiB", value: |run| run.usage.peak_mib, decimals: 1 },
    ],
};

/// A run.
struct Followed {
    load: Written,
    /// What the server could not get rid of while the load ran.
    megabytes_behind: f64,
    /// How long that took then.
    seconds_behind: f64,
    usage: Usage,
}

/// What a load wrote.
struct Written {
    megabytes_per_second: f64,
    ended: Instant,
    end_lsn: String,
}

/// Prints the table.
///
/// # Errors
/// A program failed.
pub fn measure(options: &Options) -> Result<(), AnyError> {
    let server = options.start_server()?;
    server.sql("create table live (n bigint, hash text, filling text)")?;
    let script = options.target.join("live.sql");
    fs::write(&script, SCRIPT)?;
    let script = ["-f", &script.to_string_lossy()];
    let (seconds, records) = (options.seconds, &options.target);
    let load = Load { clients: CLIENTS, seconds, script: &script, records };
    println!("\nlive load, {seconds} s each, medians of {} rounds", options.rounds);
    TABLE.print_heads();
    for (compression, sides) in COMPRESSIONS {
        if !options.measures(compression) {
            continue;
        }
        let contest = Contest::hold(sides, options.rounds, |side| {
            // The WAL of the run before is reused: every run finds its segments prepared.
            server.sql("truncate live")?;
            server.checkpoint()?;
            let directory = options.fresh_directory()?;
            match options.receiver(side) {
                Some(program) => follow(&server, &load, &program, &directory, compression),
                None => Ok(Followed::alone(write(&server, &load)?)),
            }
        })?;
        TABLE.print(compression, &contest);
    }
    Ok(())
}

impl Followed {
    fn alone(load: Written) -> Self {
        let usage = Usage::UNKNOWN;
        Followed { load, megabytes_behind: f64::NAN, seconds_behind: f64::NAN, usage }
    }
}

fn follow(
    server: &Server,
    load: &Load<'_>,
    program: &Path,
    directory: &Path,
    compression: &str,
) -> Result<Followed, AnyError> {
    server.sql("select pg_create_physical_replication_slot('bench', true)")?;
    let arguments = ["-S", "bench", "-Z", compression];
    let mut receiver = Receiver::start(program, &server.over_socket(), directory, &arguments)?;
    receiver.wait_until(|| Ok(server.number("select count(*) from pg_stat_replication")? > 0.0))?;
    let load = write(server, load)?;
    let end = &load.end_lsn;
    let behind = format!("select pg_wal_lsn_diff('{end}', sent_lsn) from pg_stat_replication");
    let megabytes_behind = server.number(&behind)?.max(0.0) / 1e6;
    receiver.wait_until(|| Ok(server.number(&behind)? <= 0.0))?;
    let seconds_behind = load.ended.elapsed().as_secs_f64();
    let usage = receiver.stop()?;
    server.sql("select pg_drop_replication_slot('bench')")?;
    Ok(Followed { load, megabytes_behind, seconds_behind, usage })
}

fn write(server: &Server, load: &Load<'_>) -> Result<Written, AnyError> {
    let start_lsn = server.sql("select pg_current_wal_flush_lsn()")?;
    let started = Instant::now();
    load.run(server)?;
    let ended = Instant::now();
    let end_lsn = server.sql("select pg_current_wal_flush_lsn()")?;
    let bytes = server.number(&format!("select pg_wal_lsn_diff('{end_lsn}', '{start_lsn}')"))?;
    let megabytes_per_second = bytes / 1e6 / (ended - started).as_secs_f64();
    Ok(Written { megabytes_per_second, ended, end_lsn })
}
