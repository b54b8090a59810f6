//! This program beside the originals, in one run and on one machine.
//!
//! ```text
//! BenchConfig ──▶ run ──▶ a cluster for each group of parts (its own, or one that the user names)
//!                           │
//!                           ▼
//!                         parts: rows ──▶ Contest: baseline, original, ours take turns, round by round
//!                                           │ Sample: time, CPU of both ends, memory, size
//!                                           ▼
//!                                         Comparison: medians, spread, ratios of the same round
//! ```
//!
//! Programs are run as a user runs them, as processes, ours like the originals. The baseline does the least that can be
//! done with what the server sends: no client can be faster. Machines are noisy, so only what ran in the same
//! round is compared.

mod base_backup;
mod baseline;
mod catch_up;
mod child;
mod comparison;
mod config;
mod contest;
mod data;
mod error;
mod load;
mod machine;
mod originals;
mod private;
mod process;
mod run;
mod sample;
mod server;
mod standby;
mod verification;
mod workspace;

pub use comparison::{Comparison, Side, Spread};
pub use config::{BenchConfig, Part, ServerChoice, Sizes};
pub use error::BenchError;
pub use machine::Machine;
pub use originals::{find_originals, needed_programs};
pub use run::{BenchObserver, run};
pub use sample::Sample;
