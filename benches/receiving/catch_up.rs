//! A backlog of WAL, received from the same position into an empty directory.

use std::fs;
use std::path::Path;
use std::time::Instant;

use pgsiphon::pg::{Lsn, TimelineId};
use pgsiphon::protocol::command::start_replication;
use pgsiphon::protocol::{FlushReports, WalEvent, WalStream, WalStreamConfig};

use crate::Options;
use crate::contest::{Column, Contest, Side, Table};
use crate::pgbench::Load;
use crate::receiver::{Receiver, Usage};
use crate::server::Server;
use crate::support::{self, AnyError};

/// A way to receive it.
struct Variant {
    name: &'static str,
    arguments: &'static [&'static str],
    sides: &'static [Side],
}

/// The original cannot write zstd.
const VARIANTS: [Variant; 8] = [
    Variant { name: "plain", arguments: &[], sides: Side::ALL },
    Variant { name: TCP, arguments: &[], sides: Side::ALL },
    Variant { name: "synchronous", arguments: &["--synchronous"], sides: Side::BOTH },
    Variant { name: "no-sync", arguments: &["--no-sync"], sides: Side::BOTH },
    Variant { name: "lz4", arguments: &["-Z", "lz4"], sides: Side::BOTH },
    Variant { name: "gzip:1", arguments: &["-Z", "gzip:1"], sides: Side::BOTH },
    Variant { name: "gzip", arguments: &["-Z", "gzip"], sides: Side::BOTH },
    Variant { name: "zstd", arguments: &["-Z", "zstd"], sides: &[Side::Ours] },
];

/// The variant that does not use the server's socket.
const TCP: &str = "tcp";

const TABLE: Table<Received> = Table {
    baseline: "thrown away",
    columns: &[
        Column { title: "seconds", value: |run| run.usage.seconds, decimals: 2 },
        Column { title: "MB/s", value: |run| run.megabytes / run.usage.seconds, decimals: 0 },
        Column { title: "file size", value: |run| run.file_megabytes / run.megabytes, decimals: 3 },
        Column { title: "CPU s", value: |run| run.usage.cpu_seconds, decimals: 2 },
        Column { title: "peak MiB", value: |run| run.usage.peak_mib, decimals: 1 },
    ],
};

/// A run.
struct Received {
    megabytes: f64,
    /// What its files have; shows that both compressed alike.
    file_megabytes: f64,
    usage: Usage,
}

/// WAL that a slot holds.
struct Backlog {
    server: Server,
    /// The first position of a segment.
    start: Lsn,
    end: Lsn,
    segment_size: u64,
}

/// Makes the backlog, and prints the table.
///
/// # Errors
/// A program failed, or received something else than the backlog.
pub fn measure(options: &Options) -> Result<(), AnyError> {
    let backlog = Backlog::make(options)?;
    let megabytes = (backlog.end.offset() - backlog.start.offset()) as f64 / 1e6;
    println!("\ncatch-up with {megabytes:.0} MB, medians of {} rounds", options.rounds);
    TABLE.print_heads();
    for variant in VARIANTS.iter().filter(|variant| options.measures(variant.name)) {
        let contest = Contest::hold(variant.sides, options.rounds, |side| {
            let (usage, file_megabytes) = match options.receiver(side) {
                Some(program) => backlog.receive(&program, variant, options)?,
                None => (backlog.throw_away(variant)?, f64::NAN),
            };
            Ok(Received { megabytes, file_megabytes, usage })
        })?;
        TABLE.print(variant.name, &contest);
    }
    Ok(())
}

impl Backlog {
    fn make(options: &Options) -> Result<Self, AnyError> {
        let server = options.start_server()?;
        server.sql("select pg_create_physical_replication_slot('held', true)")?;
        write_until(&server, options.backlog * 1e9, &options.target)?;
        server.checkpoint()?;
        let end = server.sql("select pg_current_wal_flush_lsn()")?.parse()?;
        // A receiver stops when it has got past the end.
        server.sql("select pg_switch_wal()")?;
        let segment_size =
            server.number("select setting from pg_settings where name = 'wal_segment_size'")?;
        let segment_size = segment_size as u64;
        let start: Lsn = server.sql("select restart_lsn from pg_replication_slots")?.parse()?;
        let start = Lsn::new(start.offset() / segment_size * segment_size);
        Ok(Backlog { server, start, end, segment_size })
    }

    /// Receives it with a program, by a fresh copy of the slot.
    fn receive(
        &self,
        program: &Path,
        variant: &Variant,
        options: &Options,
    ) -> Result<(Usage, f64), AnyError> {
        self.server.sql("select pg_copy_physical_replication_slot('held', 'bench')")?;
        let directory = options.fresh_directory()?;
        let end = self.end.to_string();
        let arguments = [&["-S", "bench", "-E", &end], variant.arguments].concat();
        let usage = Receiver::start(program, &self.server_of(variant), &directory, &arguments)?;
        let usage = usage.wait()?;
        self.server.sql("select pg_drop_replication_slot('bench')")?;
        Ok((usage, self.file_megabytes(&directory)?))
    }

    fn server_of(&self, variant: &Variant) -> String {
        if variant.name == TCP { self.server.over_tcp() } else { self.server.over_socket() }
    }

    /// Returns the size of the files, once it is sure that no segment before the last is missing.
    fn file_megabytes(&self, directory: &Path) -> Result<f64, AnyError> {
        let expected = (self.end.offset() - self.start.offset()) / self.segment_size;
        let (mut complete, mut bytes) = (0, 0);
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            bytes += entry.metadata()?.len();
            complete += u64::from(!entry.file_name().to_string_lossy().ends_with(".partial"));
        }
        if complete < expected {
            return Err(format!("only {complete} of {expected} segments were received").into());
        }
        Ok(bytes as f64 / 1e6)
    }

    fn throw_away(&self, variant: &Variant) -> Result<Usage, AnyError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let started = Instant::now();
        runtime.block_on(self.stream_to_nowhere(&self.server_of(variant)))?;
        Ok(Usage { seconds: started.elapsed().as_secs_f64(), ..Usage::UNKNOWN })
    }

    async fn stream_to_nowhere(&self, server: &str) -> Result<(), AnyError> {
        let mut connection = support::open(server).await?;
        let command = start_replication(None, self.start, TimelineId::FIRST);
        connection.send_command(&command).await?;
        let mut stream = WalStream::new(WalStreamConfig {
            start: self.start,
            status_interval: None,
            flush_reports: FlushReports::Withhold,
        });
        while stream.received() <= self.end {
            while let Some(message) = connection.buffered_message()? {
                if let Some(WalEvent::ServerShutDown) = stream.handle_message(message)? {
                    return Err("the server shut down".into());
                }
            }
            if stream.received() <= self.end {
                connection.receive().await?;
            }
        }
        Ok(())
    }
}

/// Lets the server write WAL of every kind: a bulk load with an index, small transactions, large
/// records.
fn write_until(server: &Server, bytes: f64, records: &Path) -> Result<(), AnyError> {
    crate::server::output(server.client("pgbench").args(["-i", "-q", "-s", "20", "postgres"]))?;
    let load = Load { clients: 8, seconds: 2, script: &[], records };
    let written =
        "select pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) from pg_replication_slots";
    while server.number(written)? < bytes {
        server.sql(
            "drop table if exists bulk; \
             create table bulk as select n, md5(n::text) as hash, repeat('x', n % 100) as filling \
             from generate_series(1, 500000) n; \
             create index on bulk (hash)",
        )?;
        load.run(server)?;
        server.sql(
            "select count(pg_logical_emit_message(false, 'bench', repeat(md5(n::text), 250))) \
             from generate_series(1, 4000) n",
        )?;
    }
    Ok(())
}
