//! Compression in blocks, on threads of ours.

use std::io;
use std::mem;

use super::pool::Pool;
use super::{CompressError, Output};
use crate::archive::codec::{Block, BlockEncoder, BlockFormat, BlockFraming, EncodeError};

/// Blocks on their way beyond one for each thread: work for the threads that are ready first, while the
/// owner waits for the oldest block or for the disk.
const BLOCKS_AHEAD: usize = 2;

/// Compresses blocks of a stream on several threads and gives them up in order.
#[derive(Debug)]
pub(super) struct BlockCompressor {
    pool: Pool<Block, Result<Block, EncodeError>>,
    framing: BlockFraming,
    in_flight_max: usize,
    current: Block,
    /// Blocks to use again: at most as many as were on their way.
    spare: Vec<Block>,
    has_begun: bool,
}

impl BlockCompressor {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    pub(super) fn new(format: BlockFormat, threads: usize) -> io::Result<Self> {
        let pool = Pool::start("compress", threads, || {
            let mut encoder = BlockEncoder::new(format);
            move |mut block: Block| encoder.encode(&mut block).map(|()| block)
        })?;
        Ok(BlockCompressor {
            pool,
            framing: BlockFraming::new(format),
            in_flight_max: threads + BLOCKS_AHEAD,
            current: Block::default(),
            spare: Vec::new(),
            has_begun: false,
        })
    }

    /// Takes the next bytes of the stream; gives up blocks that are ready.
    pub(super) fn write(
        &mut self,
        mut bytes: &[u8],
        output: Output<'_>,
    ) -> Result<(), CompressError> {
        while !bytes.is_empty() {
            let taken = self.current.fill(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            if self.current.is_full() {
                self.submit_current();
                self.give_ready(output)?;
            }
        }
        Ok(())
    }

    /// Gives up everything that was taken so far; the stream can be read up to there.
    pub(super) fn flush(&mut self, output: Output<'_>) -> Result<(), CompressError> {
        if !self.current.is_empty() {
            self.submit_current();
        }
        while let Some(outcome) = self.pool.next() {
            self.give(outcome, output)?;
        }
        Ok(())
    }

    fn submit_current(&mut self) {
        let mut next = self.spare.pop().unwrap_or_default();
        next.follow(&self.current);
        self.pool.submit(mem::replace(&mut self.current, next));
    }

    /// Ends the stream.
    pub(super) fn finish(mut self, output: Output<'_>) -> Result<(), CompressError> {
        let mut last = mem::take(&mut self.current);
        last.set_last();
        self.pool.submit(last);
        while let Some(outcome) = self.pool.next() {
            // The next file may be compressed already; it needs the memory more.
            self.spare.clear();
            self.give(outcome, output)?;
        }
        Ok(output(&self.framing.trailer())?)
    }

    /// Gives up all blocks that are ready, and waits for some if too many are on their way.
    fn give_ready(&mut self, output: Output<'_>) -> Result<(), CompressError> {
        while self.pool.in_flight() >= self.in_flight_max {
            if let Some(outcome) = self.pool.next() {
                self.give(outcome, output)?;
            }
        }
        while let Some(outcome) = self.pool.try_next() {
            self.give(outcome, output)?;
        }
        Ok(())
    }

    fn give(
        &mut self,
        outcome: Result<Block, EncodeError>,
        output: Output<'_>,
    ) -> Result<(), CompressError> {
        let block = outcome.map_err(|error| CompressError::Codec(io::Error::other(error)))?;
        if !mem::replace(&mut self.has_begun, true) {
            output(self.framing.header())?;
        }
        output(block.compressed())?;
        self.framing.add(&block);
        self.spare.push(block);
        Ok(())
    }
}
