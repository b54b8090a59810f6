//! What tests are made of: servers, clients, a network that fails, and PostgreSQL's own judgement.

pub mod account;
pub mod acknowledged;
pub mod agreement;
pub mod authority;
pub mod client;
pub mod damage;
pub mod installation;
#[cfg(feature = "gssapi")]
pub mod kdc;
pub mod link;
pub mod log;
pub mod mount;
pub mod mutation;
pub mod proxy;
pub mod random;
pub mod receive;
pub mod scratch;
pub mod server;
pub mod service;
pub mod session;
pub mod stored;
pub mod tamper;
pub mod timelines;
pub mod tree;
pub mod verify;
pub mod wal_files;
pub mod workload;

use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

/// Nothing that is waited for takes nearly as long, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How often a condition is looked at.
pub const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Waits for a condition; panics if it does not come true in time.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(POLL_INTERVAL);
    }
}

/// Says in one line what is not tested and why, past the test runner's capture; a failure when `CI` is set.
pub fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "not tested: {reason}");
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    // One call, so that parallel tests do not mix their lines.
    let _ = std::io::stderr().write_all(format!("{name} skipped: {reason}\n").as_bytes());
}

/// Makes a function that takes an installation into one test for each listed server.
macro_rules! on_servers {
    ($fact:ident: $($server:ident)+) => {
        mod $fact {
            $(
                #[test]
                fn $server() {
                    crate::support::installation::on_server(stringify!($server), super::$fact);
                }
            )+
        }
    };
}
