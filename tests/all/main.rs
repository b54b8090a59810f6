//! Tests of the library and the program from outside.

mod fake_server;
mod hostile;
mod layers;
#[path = "../../protocol-fixtures/recording/mod.rs"]
mod recording;
mod replay;
