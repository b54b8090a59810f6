//! Cutting a tar stream into members.

use bytes::Bytes;

use super::member::{BLOCK_SIZE, Member, MemberError, padding};

/// The most zeros at the end of an archive. PostgreSQL sends [`TRAILER_SIZE`](super::TRAILER_SIZE), tar
/// programs fill up a record, mostly of 10 KiB. There must be a bound, for zeros that are compressed cost a
/// hostile server next to nothing.
const TRAILER_SIZE_MAX: usize = 64 << 10;

/// Takes the members of an archive, in order: [`Self::begin`], then [`Self::contents`] any number of
/// times until the member's size is reached, then [`Self::end`]; for each member, also an empty one.
pub trait MemberSink {
    /// What can go wrong on the way.
    type Error;

    /// A member begins.
    ///
    /// # Errors
    /// As the sink defines; the archive is of no use after it. So for the other methods.
    fn begin(&mut self, member: &Member) -> Result<(), Self::Error>;

    /// The next bytes of the member's contents, never empty.
    ///
    /// # Errors
    /// See [`Self::begin`].
    fn contents(&mut self, bytes: Bytes) -> Result<(), Self::Error>;

    /// The member is complete.
    ///
    /// # Errors
    /// See [`Self::begin`].
    fn end(&mut self) -> Result<(), Self::Error>;
}

/// What went wrong between archive and sink.
#[derive(Debug, thiserror::Error)]
pub enum TarError<E> {
    /// A header cannot be used.
    #[error("{0}")]
    Member(MemberError),
    /// The stream ended inside a member.
    #[error("COPY stream ended before last file was finished")]
    Truncated,
    /// Something follows the end of the archive.
    #[error("unexpected data after the end of the tar archive")]
    AfterEnd,
    /// The sink failed.
    #[error("{0}")]
    Sink(E),
}

/// Cuts a tar stream into members and hands them to a sink; contents are slices of what came in.
///
/// Archives of servers up to 14 lack the closing zero blocks, so an archive may end at any header.
#[derive(Debug)]
pub struct TarParser {
    state: State,
}

#[derive(Debug)]
enum State {
    /// Collecting a header: `filled < BLOCK_SIZE` bytes are there.
    Header { block: Box<[u8; BLOCK_SIZE]>, filled: usize },
    /// `remaining > 0` bytes of contents are to come, then `padding` zeros.
    Contents { remaining: u64, padding: usize },
    /// `remaining > 0` bytes that fill the last block.
    Padding { remaining: usize },
    /// A zero block was seen; at most `room` zeros may follow.
    Trailer { room: usize },
}

impl Default for TarParser {
    fn default() -> Self {
        TarParser { state: State::next_header() }
    }
}

impl State {
    fn next_header() -> Self {
        State::Header { block: Box::new([0; BLOCK_SIZE]), filled: 0 }
    }

    fn after_contents(padding: usize) -> Self {
        match padding {
            0 => State::next_header(),
            remaining => State::Padding { remaining },
        }
    }
}

impl TarParser {
    /// Returns how many bytes of the present member's contents are to come.
    pub fn remaining_contents(&self) -> u64 {
        match self.state {
            State::Contents { remaining, .. } => remaining,
            State::Header { .. } | State::Padding { .. } | State::Trailer { .. } => 0,
        }
    }

    /// Takes the next bytes of the archive.
    ///
    /// # Errors
    /// If a header cannot be used, something follows the end, or the sink fails.
    pub fn handle<S: MemberSink>(
        &mut self,
        mut bytes: Bytes,
        sink: &mut S,
    ) -> Result<(), TarError<S::Error>> {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Header { block, filled } => {
                    let space = block.get_mut(*filled..).unwrap_or_default();
                    let taken = bytes.split_to(space.len().min(bytes.len()));
                    if let Some(space) = space.get_mut(..taken.len()) {
                        space.copy_from_slice(&taken);
                    }
                    *filled += taken.len();
                    if *filled == BLOCK_SIZE {
                        self.state = begin_member(block, sink)?;
                    }
                }
                State::Contents { remaining, padding } => {
                    let size = usize::try_from(*remaining)
                        .map_or(bytes.len(), |remaining| remaining.min(bytes.len()));
                    sink.contents(bytes.split_to(size)).map_err(TarError::Sink)?;
                    *remaining -= size as u64;
                    if *remaining == 0 {
                        sink.end().map_err(TarError::Sink)?;
                        self.state = State::after_contents(*padding);
                    }
                }
                State::Padding { remaining } => {
                    let taken = bytes.split_to((*remaining).min(bytes.len()));
                    *remaining -= taken.len();
                    if *remaining == 0 {
                        self.state = State::next_header();
                    }
                }
                State::Trailer { room } => {
                    if bytes.len() > *room || bytes.iter().any(|&byte| byte != 0) {
                        return Err(TarError::AfterEnd);
                    }
                    *room -= bytes.len();
                    bytes.clear();
                }
            }
        }
        Ok(())
    }

    /// Passes over contents that nobody wants, and what fills their last block: `available` bytes at most. Returns how
    /// many bytes of the archive are not to be handed over therefore.
    ///
    /// # Errors
    /// If the sink fails at the end of the member.
    pub fn skip<S: MemberSink>(
        &mut self,
        available: u64,
        sink: &mut S,
    ) -> Result<u64, TarError<S::Error>> {
        let mut skipped = 0;
        if let State::Contents { remaining, padding } = &mut self.state {
            skipped = available.min(*remaining);
            *remaining -= skipped;
            if *remaining == 0 {
                sink.end().map_err(TarError::Sink)?;
                self.state = State::after_contents(*padding);
            }
        }
        if let State::Padding { remaining } = &mut self.state {
            let filling = (available - skipped).min(*remaining as u64);
            skipped += filling;
            *remaining -= usize::try_from(filling).unwrap_or(*remaining);
            if *remaining == 0 {
                self.state = State::next_header();
            }
        }
        Ok(skipped)
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// [`TarError::Truncated`] if it ends inside a member or a header.
    pub fn finish<E>(self) -> Result<(), TarError<E>> {
        match self.state {
            State::Header { filled: 0, .. } | State::Trailer { .. } => Ok(()),
            State::Header { .. } | State::Contents { .. } | State::Padding { .. } => {
                Err(TarError::Truncated)
            }
        }
    }
}

/// Handles a complete header block.
fn begin_member<S: MemberSink>(
    block: &[u8; BLOCK_SIZE],
    sink: &mut S,
) -> Result<State, TarError<S::Error>> {
    if block.iter().all(|&byte| byte == 0) {
        return Ok(State::Trailer { room: TRAILER_SIZE_MAX - BLOCK_SIZE });
    }
    let member = Member::from_header(block).map_err(TarError::Member)?;
    sink.begin(&member).map_err(TarError::Sink)?;
    if member.size == 0 {
        sink.end().map_err(TarError::Sink)?;
        return Ok(State::next_header());
    }
    Ok(State::Contents { remaining: member.size, padding: padding(member.size) })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::super::NewMember;
    use super::*;

    /// Notes what it is given: a line per member, contents joined.
    #[derive(Default)]
    struct Notes {
        members: Vec<(String, Vec<u8>)>,
        ended: usize,
    }

    impl MemberSink for Notes {
        type Error = Infallible;

        fn begin(&mut self, member: &Member) -> Result<(), Infallible> {
            self.members.push((member.path.to_string(), Vec::new()));
            Ok(())
        }

        fn contents(&mut self, bytes: Bytes) -> Result<(), Infallible> {
            assert!(!bytes.is_empty());
            self.members.last_mut().unwrap().1.extend_from_slice(&bytes);
            Ok(())
        }

        fn end(&mut self) -> Result<(), Infallible> {
            self.ended += 1;
            Ok(())
        }
    }

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = Vec::new();
        for &(name, contents) in members {
            let size = contents.len() as u64;
            let member = NewMember { name, mode: 0o600, size, mtime: 1, injected: false };
            archive.extend(member.to_header());
            archive.extend(contents);
            archive.extend(vec![0; padding(size)]);
        }
        archive
    }

    fn parse(archive: &[u8], chunk_size: usize) -> Result<Notes, TarError<Infallible>> {
        let mut notes = Notes::default();
        let mut parser = TarParser::default();
        for chunk in archive.chunks(chunk_size) {
            parser.handle(Bytes::copy_from_slice(chunk), &mut notes)?;
        }
        parser.finish()?;
        Ok(notes)
    }

    const MEMBERS: [(&str, &[u8]); 4] =
        [("a", b"hello"), ("empty", b""), ("block", &[7; 512]), ("more", &[9; 1000])];

    #[test]
    fn members_are_the_same_at_every_chunk_size_with_and_without_trailer() {
        let mut archive = archive(&MEMBERS);
        for trailer in [0, 512, 1024, 10_240] {
            archive.extend(vec![0; trailer]);
            for chunk_size in [1, 2, 3, 7, 511, 512, 513, 8192, archive.len()] {
                let notes = parse(&archive, chunk_size).unwrap();
                assert_eq!(notes.ended, MEMBERS.len());
                let expected = MEMBERS.map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
                assert_eq!(notes.members, expected);
            }
        }
    }

    #[test]
    fn an_archive_cut_anywhere_but_between_members_is_truncated() {
        let archive = archive(&MEMBERS);
        let boundaries = [0, 1024, 1536, 2560];
        for size in 0..archive.len() {
            match parse(&archive[..size], 8192) {
                Ok(_) => assert!(boundaries.contains(&size), "cut at {size} was accepted"),
                Err(error) => assert!(matches!(error, TarError::Truncated), "{error}"),
            }
        }
    }

    #[test]
    fn data_after_the_trailer_are_refused() {
        let mut archive = archive(&MEMBERS);
        archive.extend([0; 1024]);
        archive.push(1);
        assert!(matches!(parse(&archive, 700), Err(TarError::AfterEnd)));
    }

    #[test]
    fn an_endless_trailer_is_refused() {
        let mut archive = archive(&MEMBERS);
        archive.extend([0; TRAILER_SIZE_MAX + 1]);
        for chunk_size in [1, 700, archive.len()] {
            assert!(matches!(parse(&archive, chunk_size), Err(TarError::AfterEnd)));
        }
    }

    #[test]
    fn the_tar_crate_reads_what_is_written_here() {
        let mut bytes = archive(&MEMBERS);
        bytes.extend([0; super::super::TRAILER_SIZE]);
        let mut oracle = tar::Archive::new(&bytes[..]);
        let names = oracle.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            (entry.path().unwrap().display().to_string(), entry.size())
        });
        assert!(names.eq(MEMBERS.map(|(name, bytes)| (name.to_owned(), bytes.len() as u64))));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, chunk_size in 1_usize..2000) {
            let _ = parse(&bytes, chunk_size);
        }
    }
}
