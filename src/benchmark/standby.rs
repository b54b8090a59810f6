//! Commits that wait for the receiver, the only synchronous standby.

use super::comparison::Side;
use super::config::Part;
use super::error::BenchError;
use super::load::{self, Load, Rate};
use super::run::{Row, Stage};
use super::sample::Sample;
use super::server::{Server, Transport};
use super::workspace::remove;

/// How many clients commit at once.
const CLIENTS: [(&str, u32); 3] = [("1-client", 1), ("8-clients", 8), ("32-clients", 32)];

/// The name under which a receiver is the standby.
const STANDBY: &str = "pgsiphon_bench";

/// Compares both, and a server that waits for nobody, under each number of clients.
///
/// # Errors
/// A program failed.
pub(super) fn measure(stage: &mut Stage<'_>, server: &mut Server<'_>) -> Result<(), BenchError> {
    if !server.sql("show synchronous_standby_names")?.is_empty() {
        return Err(BenchError::HasStandbys);
    }
    stage.step("preparing a load of commits");
    load::prepare(server)?;
    server.change("select", "alter system reset synchronous_standby_names")?;
    for (row, clients) in CLIENTS {
        if !stage.config.measures(row) {
            continue;
        }
        let row = Row { part: Part::Standby, name: row, bytes: None };
        let sides = [Side::Baseline, Side::Original, Side::Ours];
        stage.compare(row, Some(server), &sides, |stage, side, _| {
            run(stage, server, side, clients)
        })?;
    }
    Ok(())
}

fn run(
    stage: &Stage<'_>,
    server: &Server<'_>,
    side: Side,
    clients: u32,
) -> Result<Sample, BenchError> {
    server.sql("truncate pgbench_history")?;
    let records = stage.workspace.fresh("records")?;
    let load = Load { clients, seconds: stage.config.sizes.load_seconds, records: &records };
    let sample = match side {
        Side::Baseline => committed(load.start(stage, server)?.finish()?, Sample::default()),
        Side::Original | Side::Ours => run_with_standby(stage, server, side, &load)?,
    };
    remove(&records)?;
    Ok(Sample { seconds: f64::from(load.seconds), ..sample })
}

fn run_with_standby(
    stage: &Stage<'_>,
    server: &Server<'_>,
    side: Side,
    load: &Load<'_>,
) -> Result<Sample, BenchError> {
    let directory = stage.workspace.fresh("received")?;
    let mut command = stage.program(side, "pg_receivewal");
    server.target(Transport::Socket).named(STANDBY).give(&mut command);
    command.args(["-w", "--no-loop", "--synchronous", "-D"]).arg(&directory);
    let mut receiver = stage.start(command)?;
    wait_for(server, STANDBY)?;
    let is_standby = "select count(*) from pg_stat_replication where sync_state = 'sync'";
    let loaded = receiver
        .wait_until(|| Ok(server.number(is_standby)? > 0.0))
        .and_then(|()| load.start(stage, server))
        .and_then(|running| {
            // Without the receiver, it would wait for ever.
            receiver.wait_until(|| running.has_ended())?;
            running.finish()
        });
    wait_for(server, "")?;
    let sample = committed(loaded?, receiver.interrupt()?);
    remove(&directory)?;
    Ok(sample)
}

fn committed(rate: Rate, sample: Sample) -> Sample {
    Sample {
        commits_per_second: Some(rate.commits_per_second),
        commit_p99_seconds: Some(rate.p99_seconds),
        ..sample
    }
}

/// Lets commits wait for a standby of that name, or for none.
fn wait_for(server: &Server<'_>, standby: &str) -> Result<(), BenchError> {
    server.sql(&format!("alter system set synchronous_standby_names = '{standby}'"))?;
    server.sql("select pg_reload_conf()").map(drop)
}
