//! Reading contents in pieces; ahead of who checks them, where a processor would have nothing to do.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

/// Bytes that one read ahead asks for. A thread is woken for each, which costs as much as a small read.
const AHEAD_SIZE: usize = 2 << 20;

/// Buffers that are filled, checked or between both: enough that neither side waits for the other.
const BUFFERS_AHEAD: usize = 4;

/// With less than this left, a thread and its buffers are not worth it.
const AHEAD_MIN: u64 = 16 << 20;

/// What memory is aligned to: copying from the page cache to odd addresses takes nearly half as long again.
const ALIGNMENT: usize = 4096;

/// Memory that is read into.
#[derive(Debug)]
pub(super) struct Buffer {
    storage: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// Allocates so many bytes, and a few more, among which an aligned address is found.
    pub(super) fn new(size: usize) -> Self {
        let storage = vec![0; size + ALIGNMENT];
        let start = storage.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Buffer { storage, start }
    }

    fn space(&mut self) -> &mut [u8] {
        let end = self.storage.len() - ALIGNMENT + self.start;
        self.storage.get_mut(self.start..end).unwrap_or_default()
    }

    fn bytes(&self, size: usize) -> &[u8] {
        self.storage.get(self.start..self.start + size).unwrap_or_default()
    }
}

/// Threads that have nothing more to do, counted.
#[derive(Debug)]
pub(super) struct IdleThreads(AtomicUsize);

impl IdleThreads {
    /// Begins to count.
    pub(super) fn new(count: usize) -> Self {
        IdleThreads(AtomicUsize::new(count))
    }

    /// Counts one more.
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one less, if there is one: another one may run in its place.
    fn take(&self) -> bool {
        let less = |count: usize| count.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// A part of a file that is read from its beginning to its end.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) file: &'a File,
    /// Where the next bytes are.
    pub(super) offset: u64,
    /// How many bytes are wanted at most.
    pub(super) left: u64,
}

impl Reading<'_> {
    /// Gives everything to a taker, last an empty piece, for as long as it wants more.
    pub(super) fn read(
        mut self,
        buffer: &mut Buffer,
        mut taker: impl FnMut(&[u8]) -> bool,
    ) -> io::Result<()> {
        while self.give_next(buffer, &mut taker)? {}
        Ok(())
    }

    /// Does the same for a taker that takes long. As soon as a thread is idle, another one in its place reads the next
    /// bytes meanwhile.
    pub(super) fn read_for_slow_taker(
        mut self,
        buffer: &mut Buffer,
        idle: &IdleThreads,
        mut taker: impl FnMut(&[u8]) -> bool,
    ) -> io::Result<()> {
        while self.left >= AHEAD_MIN {
            if idle.take() {
                let outcome = self.read_ahead(taker);
                idle.add();
                return outcome;
            }
            if !self.give_next(buffer, &mut taker)? {
                return Ok(());
            }
        }
        self.read(buffer, taker)
    }

    fn read_ahead(self, mut taker: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        thread::scope(|scope| {
            let (filled, pieces) = bounded(BUFFERS_AHEAD);
            let (give_back, spare) = bounded(BUFFERS_AHEAD);
            let reader = thread::Builder::new().name("verify-read".to_owned());
            reader.spawn_scoped(scope, || self.fill(spare, filled))?;
            // Whoever reads is gone after the last piece, and wants no buffer then.
            for _ in 0..BUFFERS_AHEAD {
                let _ = give_back.send(Buffer::new(AHEAD_SIZE));
            }
            for piece in pieces {
                let (buffer, size) = piece?;
                if !taker(buffer.bytes(size)) {
                    break;
                }
                let _ = give_back.send(buffer);
            }
            Ok(())
        })
    }

    /// Fills buffers until the end, an error, or nobody takes them.
    fn fill(mut self, spare: Receiver<Buffer>, filled: Sender<io::Result<(Buffer, usize)>>) {
        for mut buffer in spare {
            let read = self.read_next(&mut buffer);
            let is_last = !matches!(read, Ok(1..));
            if filled.send(read.map(|size| (buffer, size))).is_err() || is_last {
                return;
            }
        }
    }

    /// Gives the next bytes; says whether there may be more and they are wanted.
    fn give_next(
        &mut self,
        buffer: &mut Buffer,
        taker: &mut impl FnMut(&[u8]) -> bool,
    ) -> io::Result<bool> {
        let size = self.read_next(buffer)?;
        Ok(taker(buffer.bytes(size)) && size > 0)
    }

    /// Reads the next bytes and returns how many there are; none at the end.
    fn read_next(&mut self, buffer: &mut Buffer) -> io::Result<usize> {
        let space = buffer.space();
        let wanted = usize::try_from(self.left).map_or(space.len(), |left| left.min(space.len()));
        let space = space.get_mut(..wanted).unwrap_or_default();
        loop {
            match self.file.read_at(space, self.offset) {
                Ok(size) => {
                    self.offset += size as u64;
                    self.left -= size as u64;
                    return Ok(size);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = AHEAD_MIN + (AHEAD_SIZE as u64) * 3 / 2;

    /// Reads a part of a file for a slow taker that wants so many pieces, and says what it was given.
    fn read(file: &File, left: u64, idle: &IdleThreads, pieces_max: usize) -> (Vec<u8>, usize) {
        let (mut contents, mut pieces) = (Vec::new(), 0);
        let reading = Reading { file, offset: 5, left };
        let taker = |bytes: &[u8]| {
            contents.extend_from_slice(bytes);
            pieces += 1;
            pieces < pieces_max
        };
        reading.read_for_slow_taker(&mut Buffer::new(256 << 10), idle, taker).unwrap();
        (contents, pieces)
    }

    #[test]
    fn contents_are_the_same_read_ahead_or_not() {
        let file = tempfile::tempfile().unwrap();
        let contents: Vec<u8> = (0..SIZE as u32 / 4).flat_map(u32::to_le_bytes).collect();
        file.write_all_at(&contents, 0).unwrap();
        // To the end of the file, up to it, and to somewhere before.
        for left in [SIZE + 1, SIZE - 5, SIZE - 1000] {
            let expected = &contents[5..contents.len().min(5 + left as usize)];
            for count in [0, 1] {
                let idle = IdleThreads::new(count);
                let (given, pieces) = read(&file, left, &idle, usize::MAX);
                assert!(given == expected, "{left} bytes beside {count} idle threads");
                let least = if count == 0 { 256 << 10 } else { AHEAD_SIZE };
                assert_eq!(pieces, expected.len().div_ceil(least) + 1);
                assert_eq!(idle.0.into_inner(), count);
            }
        }
        for count in [0, 1] {
            let (_, pieces) = read(&file, SIZE, &IdleThreads::new(count), 2);
            assert_eq!(pieces, 2, "a taker that wants no more beside {count} idle threads");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_also_ahead() {
        let directory = File::open("/").unwrap();
        for count in [0, 1] {
            let reading = Reading { file: &directory, offset: 0, left: SIZE };
            let idle = IdleThreads::new(count);
            let read = reading.read_for_slow_taker(&mut Buffer::new(10), &idle, |_| true);
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::IsADirectory);
        }
    }
}
