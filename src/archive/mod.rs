//! Tar archives as push streams: what the server's archives consist of, and writing members of our own.
//!
//! Follows `src/port/tar.c` and the POSIX ustar format. Headers are read and written with the `tar`
//! crate's header type; the stream is cut here, because bytes arrive when the server sends them and
//! contents must pass without a copy.

pub mod codec;
mod member;
mod parser;

pub use member::{BLOCK_SIZE, Member, MemberError, MemberKind, NewMember, padding};
pub use parser::{MemberSink, TarError, TarParser};

/// The two zero blocks that end an archive, in bytes.
pub const TRAILER_SIZE: usize = 2 * BLOCK_SIZE;
