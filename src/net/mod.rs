//! Everything about the connection to a server.

pub mod conninfo;
pub mod passfile;
