//! Tests of the library and the program from outside.

#[path = "../../protocol-fixtures/recording/mod.rs"]
mod recording;
mod replay;
