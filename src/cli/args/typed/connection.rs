//! The options of the connection, which the originals share.

use clap::{Args, ValueHint};

use super::value::checked;
use crate::cli::args::values::{self, ConnectionString};

const CONNECTION: &str = "Connection";

/// How to reach the server. They stand together in the table of `pg_basebackup`; in that of `pg_receivewal`
/// others stand between them, but none whose name one could take for theirs.
#[derive(Clone, Debug, Args)]
pub struct ConnectionOptions {
    /// Connection string or URI
    #[arg(short = 'd', long, value_name = "CONNINFO", help_heading = CONNECTION,
        value_parser = checked(values::connection_string))]
    pub dbname: Option<ConnectionString>,
    /// Host name, address, or directory of the Unix socket
    #[arg(short = 'h', long, value_name = "HOST", help_heading = CONNECTION,
        value_hint = ValueHint::Hostname,
        value_parser = checked(values::text))]
    pub host: Option<String>,
    /// Port
    #[arg(short = 'p', long, value_name = "PORT", help_heading = CONNECTION,
        value_parser = checked(values::text))]
    pub port: Option<String>,
    /// Role with the REPLICATION attribute
    #[arg(short = 'U', long, value_name = "NAME", help_heading = CONNECTION,
        value_parser = checked(values::text))]
    pub username: Option<String>,
    /// Never ask for a password
    #[arg(short = 'w', long, help_heading = CONNECTION, overrides_with = "password")]
    pub no_password: bool,
    /// Ask for a password before connecting
    #[arg(short = 'W', long, help_heading = CONNECTION, overrides_with = "no_password")]
    pub password: bool,
}
