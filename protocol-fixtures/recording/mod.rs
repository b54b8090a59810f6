//! Recorded sessions: reading them, and writing down what the protocol code makes of them. Shared by
//! the capture program and the tests.

mod archive;
mod backup_transcript;
pub mod fixture;
pub mod scram;
mod tally;
pub mod transcript;
pub mod wire;
