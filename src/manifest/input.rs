//! What happens to the manifest's bytes before they are parsed: the running checksum, and the
//! bound on a line.

use std::io::{self, Read};
use std::mem;

use super::Malformed;
use crate::pg::{ChecksumAlgorithm, Digest, Digester};

/// The longest line that is read, in bytes.
///
/// The server writes one file a line, with a path of less than 1024 bytes (`MAXPGPATH`) that
/// takes at most six times that when it is escaped. No JSON token contains a newline, so this also
/// bounds what the parser holds of a manifest that was made to fill the memory.
const LINE_SIZE_MAX: usize = 64 << 10;

/// The bytes of a manifest on their way to the parser; checksums what passes and refuses to pass
/// a line without end.
///
/// Best put below a [`io::BufReader`], so that it sees large chunks.
pub struct ManifestInput<R> {
    inner: R,
    checksum: ManifestChecksum,
    /// Bytes of the unfinished line, at most [`LINE_SIZE_MAX`].
    line_size: usize,
}

impl<R: Read> ManifestInput<R> {
    /// Wraps a reader that is at the manifest's first byte.
    pub fn new(inner: R) -> Self {
        ManifestInput { inner, checksum: ManifestChecksum::default(), line_size: 0 }
    }

    /// Returns the checksum of what was read.
    pub fn into_checksum(self) -> ManifestChecksum {
        self.checksum
    }

    fn bound_lines(&mut self, chunk: &[u8]) -> io::Result<()> {
        for line in lines(chunk) {
            self.line_size += line.len();
            if self.line_size > LINE_SIZE_MAX {
                let text = format!("line is longer than {LINE_SIZE_MAX} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            if line.ends_with(b"\n") {
                self.line_size = 0;
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for ManifestInput<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let size = self.inner.read(buf)?;
        let chunk = buf.get(..size).unwrap_or_default();
        self.bound_lines(chunk)?;
        self.checksum.update(chunk);
        Ok(size)
    }
}

/// The manifest's checksum of itself: a SHA-256 over everything but the last line, which holds it.
///
/// Which line is the last shows only at the end. Instead of holding bytes back, the state of the
/// checksum is kept as it was after each of the last two newlines.
pub struct ManifestChecksum {
    running: Digester,
    after_last_newline: Digester,
    after_second_to_last_newline: Digester,
    line_count: u64,
    is_at_line_start: bool,
}

impl Default for ManifestChecksum {
    /// Starts over no bytes.
    fn default() -> Self {
        let running = Digester::new(ChecksumAlgorithm::Sha256);
        ManifestChecksum {
            after_last_newline: running.clone(),
            after_second_to_last_newline: running.clone(),
            running,
            line_count: 0,
            is_at_line_start: true,
        }
    }
}

impl ManifestChecksum {
    /// Adds the next bytes of the manifest.
    pub fn update(&mut self, chunk: &[u8]) {
        for line in lines(chunk) {
            self.running.update(line);
            self.is_at_line_start = line.ends_with(b"\n");
            if self.is_at_line_start {
                self.line_count += 1;
                self.after_second_to_last_newline =
                    mem::replace(&mut self.after_last_newline, self.running.clone());
            }
        }
    }

    /// Returns the checksum that the last line must name.
    ///
    /// # Errors
    /// If there are less than two lines or the last one does not end.
    pub fn finish(self) -> Result<Digest, Malformed> {
        if self.line_count < 2 {
            return Err(Malformed::TooFewLines);
        }
        if !self.is_at_line_start {
            return Err(Malformed::UnterminatedLine);
        }
        Ok(self.after_second_to_last_newline.finish())
    }
}

/// Cuts a chunk after each newline; the last piece may lack one.
fn lines(chunk: &[u8]) -> impl Iterator<Item = &[u8]> {
    chunk.split_inclusive(|&byte| byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksum_of(chunks: &[&[u8]]) -> Result<Digest, Malformed> {
        let mut checksum = ManifestChecksum::default();
        chunks.iter().for_each(|chunk| checksum.update(chunk));
        checksum.finish()
    }

    fn sha256(bytes: &[u8]) -> Digest {
        let mut digester = Digester::new(ChecksumAlgorithm::Sha256);
        digester.update(bytes);
        digester.finish()
    }

    #[test]
    fn everything_but_the_last_line_is_covered() {
        let table: [(&[u8], &[u8]); 4] =
            [(b"a\nb\n", b"a\n"), (b"a\n\n", b"a\n"), (b"\n\n", b"\n"), (b"a\nb\nc\n", b"a\nb\n")];
        for (text, covered) in table {
            assert_eq!(checksum_of(&[text]), Ok(sha256(covered)), "{text:?}");
        }
    }

    #[test]
    fn a_text_without_two_whole_lines_has_no_checksum() {
        let table: [(&[u8], Malformed); 5] = [
            (b"", Malformed::TooFewLines),
            (b"a", Malformed::TooFewLines),
            (b"a\n", Malformed::TooFewLines),
            (b"a\nb", Malformed::TooFewLines),
            (b"a\nb\nc", Malformed::UnterminatedLine),
        ];
        for (text, fault) in table {
            assert_eq!(checksum_of(&[text]), Err(fault), "{text:?}");
        }
    }

    #[test]
    fn any_split_gives_the_same_checksum() {
        let text = b"first\n\nthird line\nlast\n";
        let whole = checksum_of(&[text]);
        for size in 1..text.len() {
            assert_eq!(checksum_of(&text.chunks(size).collect::<Vec<_>>()), whole, "{size}");
        }
        for at in 0..text.len() {
            let (start, end) = text.split_at(at);
            assert_eq!(checksum_of(&[start, b"", end]), whole, "split at {at}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let read = |size| {
            let mut input = ManifestInput::new(io::repeat(b'x').take(size).chain(&b"\nx\n"[..]));
            io::copy(&mut input, &mut io::sink()).map_err(|error| error.to_string())
        };
        let longest = LINE_SIZE_MAX as u64 - 1;
        assert_eq!(read(longest), Ok(longest + 3));
        assert_eq!(read(longest + 1), Err("line is longer than 65536 bytes".to_owned()));
    }
}
