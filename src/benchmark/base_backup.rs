//! Base backups, in the ways in which they are taken.

use std::path::{Path, PathBuf};

use super::baseline;
use super::comparison::Side;
use super::config::Part;
use super::data::cluster_bytes;
use super::error::BenchError;
use super::run::{Releases, Row, Stage};
use super::sample::Sample;
use super::server::{Server, Transport};
use super::workspace::{remove, stored_bytes};

/// A way to take a base backup.
struct Variant {
    row: &'static str,
    transport: Transport,
    arguments: &'static [&'static str],
    /// What the server compresses with.
    server_compression: Option<&'static str>,
    followed_by: Followed,
    /// The first release whose programs and servers can do it.
    since: u32,
}

/// What the original still has to do to show that the backup is sound. Ours compares while it receives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Followed {
    ByNothing,
    ByVerification,
}

const PLAIN: Variant = Variant {
    row: "plain",
    transport: Transport::Socket,
    arguments: &[],
    server_compression: None,
    followed_by: Followed::ByNothing,
    since: 13,
};

const VARIANTS: [Variant; 13] = [
    PLAIN,
    Variant { row: "plain-tcp", transport: Transport::Tcp, ..PLAIN },
    Variant { row: "plain-tls", transport: Transport::Tls, ..PLAIN },
    Variant { row: "plain-verified", followed_by: Followed::ByVerification, ..PLAIN },
    Variant { row: "tar", arguments: &["-Ft"], ..PLAIN },
    Variant { row: "tar-gzip", arguments: &["-Ft", "-z"], ..PLAIN },
    Variant { row: "tar-gzip:1", arguments: &["-Ft", "-Z1"], ..PLAIN },
    Variant { row: "tar-lz4", arguments: &["-Ft", "-Zlz4"], since: 15, ..PLAIN },
    Variant { row: "tar-zstd", arguments: &["-Ft", "-Zzstd"], since: 15, ..PLAIN },
    compressed_by_server("tar-server-gzip", &["-Ft", "-Zserver-gzip"], "gzip"),
    compressed_by_server("tar-server-lz4", &["-Ft", "-Zserver-lz4"], "lz4"),
    compressed_by_server("tar-server-zstd", &["-Ft", "-Zserver-zstd"], "zstd"),
    compressed_by_server("plain-server-zstd", &["-Zserver-zstd"], "zstd"),
];

const fn compressed_by_server(
    row: &'static str,
    arguments: &'static [&'static str],
    algorithm: &'static str,
) -> Variant {
    Variant { row, arguments, server_compression: Some(algorithm), since: 15, ..PLAIN }
}

/// Compares all ways.
///
/// # Errors
/// A program failed, or there is no room.
pub(super) fn measure(stage: &mut Stage<'_>, server: &Server<'_>) -> Result<(), BenchError> {
    let releases = stage.releases(server)?;
    for variant in VARIANTS {
        if !stage.config.measures(variant.row) || !server.offers(variant.transport) {
            continue;
        }
        if variant.is_possible(releases) {
            variant.compare(stage, Part::BaseBackup, server)?;
        } else {
            stage.step(&format!("leaving out {}: these releases cannot do it", variant.row));
        }
    }
    Ok(())
}

/// Compares the plainest way.
///
/// # Errors
/// As of [`measure`].
pub(super) fn measure_plain(
    stage: &mut Stage<'_>,
    part: Part,
    server: &Server<'_>,
) -> Result<(), BenchError> {
    PLAIN.compare(stage, part, server)
}

/// Takes a backup with this program, to be looked at by others.
///
/// # Errors
/// It failed.
pub(super) fn take(
    stage: &Stage<'_>,
    server: &Server<'_>,
    arguments: &[&str],
    directory: &Path,
) -> Result<(), BenchError> {
    back_up(stage, server, Side::Ours, (Transport::Socket, arguments), directory).map(drop)
}

impl Variant {
    fn is_possible(&self, releases: Releases) -> bool {
        let Releases { originals, server } = releases;
        // The original's verification reads only what a server of its own release wrote.
        let is_verifiable = self.followed_by == Followed::ByNothing || originals == server;
        let server_can = self.server_compression.is_none() || server >= self.since;
        originals >= self.since && server_can && is_verifiable
    }

    fn compare(
        &self,
        stage: &mut Stage<'_>,
        part: Part,
        server: &Server<'_>,
    ) -> Result<(), BenchError> {
        let bytes = cluster_bytes(server)?;
        let rounds = stage.config.rounds as u64;
        stage.workspace.require_room(bytes.saturating_mul(2 * rounds))?;
        let row = Row { part, name: self.row, bytes: Some(bytes) };
        let sides = [Side::Baseline, Side::Original, Side::Ours];
        stage.compare(row, Some(server), &sides, |stage, side, round| {
            stage.workspace.settle();
            match side {
                Side::Baseline => self.throw_away(stage, server),
                Side::Original | Side::Ours => self.run(stage, server, side, round),
            }
        })?;
        // Only now: ext4 is slow to create files where some were deleted a moment ago.
        for (side, round) in [Side::Original, Side::Ours]
            .into_iter()
            .flat_map(|side| (0..stage.config.rounds).map(move |round| (side, round)))
        {
            remove(&destination(stage, side, round))?;
        }
        Ok(())
    }

    fn throw_away(&self, stage: &Stage<'_>, server: &Server<'_>) -> Result<Sample, BenchError> {
        let target = server.target(self.transport);
        let received = baseline::receive_backup(&target, self.server_compression, stage.stop);
        received.map(|(sample, _)| sample)
    }

    fn run(
        &self,
        stage: &Stage<'_>,
        server: &Server<'_>,
        side: Side,
        round: usize,
    ) -> Result<Sample, BenchError> {
        let directory = destination(stage, side, round);
        let way = (self.transport, self.arguments);
        let taken = back_up(stage, server, side, way, &directory)?;
        let taken = Sample { stored_bytes: Some(stored_bytes(&directory)?), ..taken };
        if side == Side::Ours || self.followed_by == Followed::ByNothing {
            return Ok(taken);
        }
        let mut verify = stage.program(side, "pg_verifybackup");
        verify.arg(&directory);
        Ok(taken.followed_by(stage.start(verify)?.wait()?))
    }
}

fn back_up(
    stage: &Stage<'_>,
    server: &Server<'_>,
    side: Side,
    (transport, arguments): (Transport, &[&str]),
    directory: &Path,
) -> Result<Sample, BenchError> {
    let mut command = stage.program(side, "pg_basebackup");
    server.target(transport).give(&mut command);
    command.args(["-w", "-c", "fast"]).args(arguments).arg("-D").arg(directory);
    stage.start(command)?.wait()
}

/// Returns where a side puts the backup of a round.
fn destination(stage: &Stage<'_>, side: Side, round: usize) -> PathBuf {
    stage.workspace.path(&format!("{side:?}-{round}"))
}
