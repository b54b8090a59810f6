//! What the benchmarks against the original have in common.

use pgsiphon::net::conninfo::{ConnectOptions, ConnectionArguments, Environment};
use pgsiphon::net::{Connection, connect};

/// Whatever went wrong; it is only shown.
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Returns the middle value, or the mean of the two in the middle; NaN if there is none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let above = values.len() / 2;
    let below = if values.len().is_multiple_of(2) { above.wrapping_sub(1) } else { above };
    f64::midpoint(middle(below), middle(above))
}

/// Opens a replication connection, for a receiver that throws the bytes away.
pub async fn open(server: &str) -> Result<Connection, AnyError> {
    let arguments = ConnectionArguments {
        connection_string: Some(server.to_owned()),
        ..ConnectionArguments::default()
    };
    let options = ConnectOptions::resolve(&arguments, "benchmark", &Environment::from_process())?;
    Ok(connect(&options, &mut Vec::new()).await?)
}
