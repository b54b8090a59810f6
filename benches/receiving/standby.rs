//! Commits that wait for the receiver, the only synchronous standby.

use std::thread;

use crate::Options;
use crate::contest::{Column, Contest, Side, Table};
use crate::pgbench::{Load, Rate};
use crate::receiver::{Receiver, Usage};
use crate::server::{Server, output};
use crate::support::AnyError;

/// How many clients commit at once.
const CLIENTS: [u32; 3] = [1, 8, 32];

/// One small update and one insertion a transaction: nobody waits for another's row.
const SCRIPT: &[&str] = &["-b", "simple-update"];

const TABLE: Table<Committed> = Table {
    baseline: "no standby",
    columns: &[
        Column { title: "commits/s", value: |run| run.rate.commits, decimals: 0 },
        Column { title: "mean ms", value: |run| run.rate.mean_ms, decimals: 3 },
        Column { title: "99th percentile", value: |run| run.rate.p99_ms, decimals: 3 },
        Column { title: "CPU s", value: |run| run.usage.cpu_seconds, decimals: 2 },
        Column { title: "peak MiB", value: |run| run.usage.peak_mib, decimals: 1 },
    ],
};

/// A run.
struct Committed {
    rate: Rate,
    usage: Usage,
}

/// Prints the table.
///
/// # Errors
/// A program failed.
pub fn measure(options: &Options) -> Result<(), AnyError> {
    let server = options.start_server()?;
    // With room in each page, and each written whole to the WAL before anything is measured.
    output(server.client("pgbench").args(["-i", "-q", "-s", "10", "-F", "50", "postgres"]))?;
    server.checkpoint()?;
    server.sql("update pgbench_accounts set abalance = 0")?;
    server.sql("vacuum pgbench_accounts")?;
    println!(
        "\nsynchronous standby, {} s each, medians of {} rounds",
        options.seconds, options.rounds
    );
    TABLE.print_heads();
    for clients in CLIENTS {
        if !options.measures(&clients.to_string()) {
            continue;
        }
        let (seconds, records) = (options.seconds, &options.target);
        let load = Load { clients, seconds, script: SCRIPT, records };
        let run = |side| run(&server, &load, side, options);
        let contest = Contest::hold(Side::ALL, options.rounds, run)?;
        TABLE.print(&format!("clients: {clients}"), &contest);
    }
    Ok(())
}

fn run(
    server: &Server,
    load: &Load<'_>,
    side: Side,
    options: &Options,
) -> Result<Committed, AnyError> {
    server.sql("truncate pgbench_history")?;
    let directory = options.fresh_directory()?;
    let Some(program) = options.receiver(side) else {
        return Ok(Committed { rate: load.run(server)?, usage: Usage::UNKNOWN });
    };
    let named = format!("{} application_name=bench", server.over_socket());
    let mut receiver = Receiver::start(&program, &named, &directory, &["--synchronous"])?;
    wait_for(server, "bench")?;
    let is_standby = "select count(*) from pg_stat_replication where sync_state = 'sync'";
    receiver.wait_until(|| Ok(server.number(is_standby)? > 0.0))?;
    let rate = thread::scope(|scope| {
        let loading = scope.spawn(|| load.run(server));
        let outcome = receiver.wait_until(|| Ok(loading.is_finished()));
        // Without the receiver, the load would wait for ever.
        wait_for(server, "")?;
        outcome?;
        loading.join().unwrap_or_else(|_| Err("the load panicked".into()))
    })?;
    Ok(Committed { rate, usage: receiver.stop()? })
}

/// Lets commits wait for a standby of that name, or for none.
fn wait_for(server: &Server, standby: &str) -> Result<(), AnyError> {
    server.sql(&format!("alter system set synchronous_standby_names = '{standby}'"))?;
    server.sql("select pg_reload_conf()").map(drop)
}
