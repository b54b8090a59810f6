//! The `pgsiphon` program; also `pg_basebackup` when it is called by that name.

use std::process::ExitCode;

fn main() -> ExitCode {
    pgsiphon::cli::run(std::env::args_os())
}
