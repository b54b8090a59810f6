//! What is about to be done, in sentences.

use crate::benchmark::{BenchConfig, Part, ServerChoice};

/// Says what a run will do, and, of a server that is not its own, everything that it will do there.
pub(super) fn lines(config: &BenchConfig) -> Vec<String> {
    let names: Vec<&str> = config.parts.iter().map(|part| part.name()).collect();
    let (directory, originals) = (config.directory.display(), config.originals.display());
    let mut lines = vec![format!(
        "comparing with the programs in \"{originals}\", in {} rounds: {}",
        config.rounds,
        names.join(", ")
    )];
    match &config.server {
        ServerChoice::Private => lines.push(format!(
            "private servers and all files go into directory \"{directory}\", which is removed in the end"
        )),
        ServerChoice::Given(_) => {
            lines.push(format!(
                "all files go into directory \"{directory}\", which is removed in the end"
            ));
            lines.extend(config.parts.iter().map(|part| on_given_server(*part).to_owned()));
        }
    }
    lines
}

fn on_given_server(part: Part) -> &'static str {
    match part {
        Part::BaseBackup => {
            "on the server: base backups one after the other, as fast as it sends them, each with an immediate checkpoint"
        }
        Part::Verify => "on the server: some base backups, each with an immediate checkpoint",
        Part::CatchUp => {
            "on the server: table pgsiphon_bench_bulk and slots pgsiphon_bench_held and pgsiphon_bench_used \
             are created, WAL is written and held until the end; then they are dropped"
        }
        Part::Standby => {
            "on the server: pgbench's tables are created and written to, synchronous_standby_names is set; \
             then they are dropped, and it is reset"
        }
        // Not without a private server.
        Part::SmallFiles | Part::EmptyCluster => "on the server: nothing",
    }
}
