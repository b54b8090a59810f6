//! Connections to servers: finding them, signing in, and reading frames.
//!
//! In reading order: [`conninfo`] is what the user typed and what it means, [`service`] and [`passfile`]
//! look services and passwords up, [`connect`] tries the servers one by one, [`tls`] and [`gss`] secure
//! what needs it, [`Connection`] is an established session over a [`Stream`].

mod attempt;
mod cluster;
mod connect;
mod connection;
pub mod conninfo;
mod error;
mod file;
pub mod gss;
mod low_water;
pub mod passfile;
mod request;
pub mod service;
mod stream;
mod target;
pub mod tls;

pub use cluster::{Cluster, ClusterError, Modes, wal_block_size};
pub use connect::connect;
pub use connection::Connection;
pub use error::{CommandError, ConnectError, ConnectionError, FailedAttempt, PeerError, Problem};
pub use stream::Stream;
pub use target::WrongSession;
