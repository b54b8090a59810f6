//! A backlog of WAL, received from the same position into an empty directory.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use super::baseline::{self, WalSpan};
use super::comparison::Side;
use super::config::Part;
use super::error::BenchError;
use super::run::{Row, Stage};
use super::sample::Sample;
use super::server::{Server, Transport};
use super::workspace::{failed, remove, stored_bytes};
use crate::pg::Lsn;

/// A way to receive it.
struct Variant {
    row: &'static str,
    transport: Transport,
    arguments: &'static [&'static str],
    /// The first release whose original can do it; none can write zstd.
    since: Option<u32>,
}

const PLAIN: Variant =
    Variant { row: "plain", transport: Transport::Socket, arguments: &[], since: Some(13) };

const VARIANTS: [Variant; 8] = [
    PLAIN,
    Variant { row: "tcp", transport: Transport::Tcp, ..PLAIN },
    Variant { row: "tls", transport: Transport::Tls, ..PLAIN },
    Variant { row: "synchronous", arguments: &["--synchronous"], ..PLAIN },
    Variant { row: "gzip", arguments: &["-Zgzip"], since: Some(15), ..PLAIN },
    Variant { row: "gzip:1", arguments: &["-Zgzip:1"], since: Some(15), ..PLAIN },
    Variant { row: "lz4", arguments: &["-Zlz4"], since: Some(15), ..PLAIN },
    Variant { row: "zstd", arguments: &["-Zzstd"], since: None, ..PLAIN },
];

/// The slot that holds the backlog, and its copy that a receiver uses up.
const HELD: &str = "pgsiphon_bench_held";
const USED: &str = "pgsiphon_bench_used";

/// WAL of every kind: a bulk load with an index, and large records. Where it is done again, the table is replaced.
const WRITE: &str = "\
drop table if exists pgsiphon_bench_bulk;
create table pgsiphon_bench_bulk as
select n, md5(n::text) as hash, repeat('x', n % 100) as filling from generate_series(1, 500000) n;
create index on pgsiphon_bench_bulk (hash);
update pgsiphon_bench_bulk set filling = filling || 'y' where n % 10 = 0;
select count(pg_logical_emit_message(false, 'bench', repeat(md5(n::text), 250))) from generate_series(1, 4000) n;
";

/// How much WAL the slot holds.
const HELD_BYTES: &str = "select pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) \
    from pg_replication_slots where slot_name = 'pgsiphon_bench_held'";

/// WAL that a slot holds.
struct Backlog {
    span: WalSpan,
    segments: u64,
}

/// Makes the backlog, and compares all ways to receive it.
///
/// # Errors
/// A program failed, or received something else than the backlog.
pub(super) fn measure(stage: &mut Stage<'_>, server: &mut Server<'_>) -> Result<(), BenchError> {
    let bytes = stage.config.sizes.backlog_bytes;
    stage.workspace.require_room(bytes.saturating_mul(3))?;
    stage.step(&format!("writing {} MB of WAL", bytes / 1_000_000));
    let backlog = Backlog::make(bytes, server)?;
    let releases = stage.releases(server)?;
    for variant in VARIANTS {
        if !stage.config.measures(variant.row) || !server.offers(variant.transport) {
            continue;
        }
        let has_original = variant.since.is_some_and(|since| releases.originals >= since);
        backlog.compare(&variant, has_original, stage, server)?;
    }
    server.sql(&format!("select pg_drop_replication_slot('{HELD}')"))?;
    Ok(())
}

impl Backlog {
    fn make(bytes: u64, server: &mut Server<'_>) -> Result<Self, BenchError> {
        server.change(
            &format!("select pg_create_physical_replication_slot('{HELD}', true)"),
            &format!(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots \
                 where slot_name in ('{HELD}', '{USED}')"
            ),
        )?;
        server.change(WRITE, "drop table pgsiphon_bench_bulk")?;
        while server.number(HELD_BYTES)? < bytes as f64 {
            server.sql(WRITE)?;
        }
        server.sql("checkpoint")?;
        let end: Lsn = answer(server, "select pg_current_wal_flush_lsn()")?;
        // A receiver stops when it has got past the end.
        server.sql("select pg_switch_wal()")?;
        let held = "select restart_lsn from pg_replication_slots where slot_name = '";
        let held: Lsn = answer(server, &format!("{held}{HELD}'"))?;
        let size =
            server.number("select setting from pg_settings where name = 'wal_segment_size'")?;
        let size = (size as u64).max(1);
        let start = Lsn::new(held.offset() / size * size);
        let timeline = answer(server, "select timeline_id from pg_control_checkpoint()")?;
        let segments = (end.offset() - start.offset()) / size;
        Ok(Backlog { span: WalSpan { timeline, start, end }, segments })
    }

    fn compare(
        &self,
        variant: &Variant,
        has_original: bool,
        stage: &mut Stage<'_>,
        server: &Server<'_>,
    ) -> Result<(), BenchError> {
        let bytes = self.span.end.offset() - self.span.start.offset();
        let row = Row { part: Part::CatchUp, name: variant.row, bytes: Some(bytes) };
        let sides: &[Side] = match has_original {
            true => &[Side::Baseline, Side::Original, Side::Ours],
            false => &[Side::Baseline, Side::Ours],
        };
        stage.compare(row, Some(server), sides, |stage, side, _| match side {
            Side::Baseline => {
                baseline::receive_wal(&server.target(variant.transport), self.span, stage.stop)
            }
            Side::Original | Side::Ours => self.receive(variant, side, stage, server),
        })
    }

    /// Receives it with a program, by a fresh copy of the slot.
    fn receive(
        &self,
        variant: &Variant,
        side: Side,
        stage: &Stage<'_>,
        server: &Server<'_>,
    ) -> Result<Sample, BenchError> {
        server.sql(&format!("select pg_copy_physical_replication_slot('{HELD}', '{USED}')"))?;
        let directory = stage.workspace.fresh("received")?;
        let mut command = stage.program(side, "pg_receivewal");
        server.target(variant.transport).give(&mut command);
        command.args(["-w", "--no-loop", "-S", USED, "-E", &self.span.end.to_string()]);
        command.args(variant.arguments).arg("-D").arg(&directory);
        let sample = stage.start(command)?.wait()?;
        server.sql(&format!("select pg_drop_replication_slot('{USED}')"))?;
        self.require_all(&directory)?;
        let sample = Sample { stored_bytes: Some(stored_bytes(&directory)?), ..sample };
        remove(&directory)?;
        Ok(sample)
    }

    /// Makes sure that no segment before the last is missing.
    fn require_all(&self, directory: &Path) -> Result<(), BenchError> {
        let entries = fs::read_dir(directory).map_err(failed("read directory", directory))?;
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let received = names.filter(|name| !name.contains(".partial")).count() as u64;
        let expected = self.segments;
        if received < expected {
            return Err(BenchError::Incomplete { received, expected });
        }
        Ok(())
    }
}

fn answer<T: FromStr>(server: &Server<'_>, query: &str) -> Result<T, BenchError> {
    let answer = server.sql(query)?;
    answer.parse().map_err(|_| BenchError::Answer { program: "psql", answer })
}
