//! Compressed streams: gzip, LZ4 frames, Zstandard frames.
//!
//! [`Decoder`] takes a compressed stream in pieces as they arrive and gives the contents in pieces of
//! bounded size. [`BlockEncoder`] compresses one [`Block`] of a stream at a time, so that several of them
//! can be compressed at once; [`BlockFraming`] makes one stream of the blocks that any tool reads. Zstandard
//! is not among its formats, because libzstd compresses on several threads by itself.

mod block;
mod decoder;
mod deflate_scan;
mod gzip;
mod lz4;
mod lz4_frame;
mod zstd;

pub use block::{BLOCK_SIZE, Block, BlockEncoder, BlockFormat, BlockFraming, EncodeError};
pub use decoder::{DecodeError, Decoder};
