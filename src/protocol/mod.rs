//! The replication protocol as pure state machines: bytes in, events and bytes out.

mod server_message;

pub use server_message::ServerMessage;
