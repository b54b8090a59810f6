//! Tar headers.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use tar::{EntryType, Header};

use crate::pg::{MemberPath, UnsafePath};

/// The unit of a tar file, in bytes.
pub const BLOCK_SIZE: usize = 512;

/// Owner and group that PostgreSQL's client writes into members of its own making
/// (`astreamer_inject.c`).
const INJECTED_UID: u64 = 0o4000;
const INJECTED_GID: u64 = 0o2000;

/// The header of one archive member.
#[derive(Clone, Debug)]
pub struct Member {
    /// Where it belongs.
    pub path: MemberPath,
    /// What it is.
    pub kind: MemberKind,
    /// Permission bits.
    pub mode: u32,
    /// Bytes of contents; 0 for anything but a file.
    pub size: u64,
    /// The header as it came.
    pub header: Box<[u8; BLOCK_SIZE]>,
}

/// The kinds of members that PostgreSQL sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link and where it points.
    Symlink(PathBuf),
}

/// A header that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// Magic or checksum are wrong.
    #[error("input file does not appear to be a valid tar archive")]
    NotTar,
    /// The name is not a path inside the backup.
    #[error(transparent)]
    Path(#[from] UnsafePath),
    /// Extended headers, which PostgreSQL never writes.
    #[error("pax extensions to tar format are not supported")]
    Pax,
    /// A kind of member that PostgreSQL never sends.
    #[error("tar member \"{path}\" has unsupported type \"{kind}\"")]
    Kind {
        /// The member's name.
        path: MemberPath,
        /// The type byte.
        kind: char,
    },
    /// A number that is not one.
    #[error("tar member \"{path}\" has invalid {field}")]
    Number {
        /// The member's name.
        path: MemberPath,
        /// The header's field.
        field: &'static str,
    },
}

impl Member {
    /// Reads a header.
    ///
    /// # Errors
    /// If it is no tar header, its name is unsafe, or its kind is none of [`MemberKind`].
    pub fn from_header(block: &[u8; BLOCK_SIZE]) -> Result<Self, MemberError> {
        let header = Header::from_byte_slice(block);
        if !has_valid_checksum(header) || !has_known_magic(header) {
            return Err(MemberError::NotTar);
        }
        if matches!(header.entry_type(), EntryType::XHeader | EntryType::XGlobalHeader) {
            return Err(MemberError::Pax);
        }
        let path = MemberPath::from_member_name(&header.path_bytes())?;
        let kind = kind(header, &path)?;
        let number = |field| MemberError::Number { path: path.clone(), field };
        let mode = header.mode().map_err(|_| number("mode"))? & 0o7777;
        let size = match kind {
            MemberKind::File => header.entry_size().map_err(|_| number("size"))?,
            MemberKind::Directory | MemberKind::Symlink(_) => 0,
        };
        // Padding to whole blocks must not overflow.
        if size > u64::MAX - BLOCK_SIZE as u64 {
            return Err(number("size"));
        }
        Ok(Member { path, kind, mode, size, header: Box::new(*block) })
    }

    /// Returns the header of the same member with another size.
    #[must_use]
    pub fn resized(&self, size: u64) -> Self {
        let mut header = Header::from_byte_slice(&self.header[..]).clone();
        header.set_size(size);
        header.set_cksum();
        Member { size, header: Box::new(*header.as_bytes()), ..self.clone() }
    }
}

fn kind(header: &Header, path: &MemberPath) -> Result<MemberKind, MemberError> {
    let entry_type = header.entry_type();
    match entry_type {
        EntryType::Regular => Ok(MemberKind::File),
        EntryType::Directory => Ok(MemberKind::Directory),
        EntryType::Symlink => {
            let target = header.link_name_bytes().unwrap_or_default();
            Ok(MemberKind::Symlink(PathBuf::from(OsStr::from_bytes(&target))))
        }
        _ => {
            let kind = char::from(entry_type.as_byte());
            Err(MemberError::Kind { path: path.clone(), kind })
        }
    }
}

/// Accepts `ustar\0` with version `00`, which PostgreSQL writes, and GNU tar's `ustar  \0`.
fn has_known_magic(header: &Header) -> bool {
    header.as_ustar().is_some() || header.as_gnu().is_some()
}

/// Compares the header's checksum: the sum of its bytes, its own field counted as spaces.
fn has_valid_checksum(header: &Header) -> bool {
    const FIELD: std::ops::Range<usize> = 148..156;
    let bytes = header.as_bytes().iter().enumerate();
    let sum = bytes
        .map(|(offset, &byte)| u32::from(if FIELD.contains(&offset) { b' ' } else { byte }))
        .sum::<u32>();
    header.cksum().is_ok_and(|stated| stated == sum)
}

/// A member that is written by us.
#[derive(Clone, Debug)]
pub struct NewMember<'a> {
    /// Its name, at most 99 bytes.
    pub name: &'a str,
    /// Permission bits.
    pub mode: u32,
    /// Bytes of contents.
    pub size: u64,
    /// Modification time, in seconds since 1970.
    pub mtime: u64,
    /// Whether it carries the owner that PostgreSQL gives to injected members, or 0 as its WAL archives.
    pub injected: bool,
}

impl NewMember<'_> {
    /// Builds the header as `tarCreateHeader` does.
    pub fn to_header(&self) -> [u8; BLOCK_SIZE] {
        let mut header = Header::new_ustar();
        // `postgres` is shorter than the fields; names are constants and segment names.
        let named = header.set_path(self.name).is_ok()
            && header.set_username("postgres").is_ok()
            && header.set_groupname("postgres").is_ok()
            && header.set_device_major(0).is_ok()
            && header.set_device_minor(0).is_ok();
        debug_assert!(named, "names of own members fit a ustar header");
        header.set_entry_type(EntryType::Regular);
        header.set_mode(self.mode);
        header.set_uid(if self.injected { INJECTED_UID } else { 0 });
        header.set_gid(if self.injected { INJECTED_GID } else { 0 });
        header.set_size(self.size);
        header.set_mtime(self.mtime);
        header.set_cksum();
        *header.as_bytes()
    }
}

/// Returns how many zero bytes fill the last block of contents.
pub const fn padding(size: u64) -> usize {
    // Smaller than a block, so the cast cuts nothing.
    (size.wrapping_neg() % BLOCK_SIZE as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(change: impl Fn(&mut Header)) -> [u8; BLOCK_SIZE] {
        let own =
            NewMember { name: "base/1/1259", mode: 0o600, size: 7, mtime: 0, injected: false };
        let mut header = Header::from_byte_slice(&own.to_header()).clone();
        change(&mut header);
        header.set_cksum();
        *header.as_bytes()
    }

    #[test]
    fn own_headers_are_read_back() {
        let member = Member::from_header(&header(|_| {})).unwrap();
        assert_eq!(member.path.as_bytes(), b"base/1/1259");
        assert_eq!((member.kind, member.mode, member.size), (MemberKind::File, 0o600, 7));
    }

    #[test]
    fn a_resized_member_is_read_back_with_its_new_size() {
        let resized = Member::from_header(&header(|_| {})).unwrap().resized(1 << 40);
        let read = Member::from_header(&resized.header).unwrap();
        assert_eq!((read.path.as_bytes(), read.size), (&b"base/1/1259"[..], 1 << 40));
        assert_eq!(resized.size, read.size);
    }

    #[test]
    fn what_postgresql_never_sends_is_refused() {
        let text = |block: [u8; BLOCK_SIZE]| Member::from_header(&block).unwrap_err().to_string();
        let not_tar = "input file does not appear to be a valid tar archive";
        let mut flipped = header(|_| {});
        flipped[0] ^= 1;
        assert_eq!(text(flipped), not_tar);
        assert_eq!(text([b'x'; BLOCK_SIZE]), not_tar);
        let typed = |kind| header(move |header| header.set_entry_type(kind));
        assert_eq!(
            text(typed(EntryType::XHeader)),
            "pax extensions to tar format are not supported"
        );
        assert_eq!(
            text(typed(EntryType::Link)),
            "tar member \"base/1/1259\" has unsupported type \"1\""
        );
        let climbing = header(|header| header.as_mut_bytes()[..4].copy_from_slice(b"../x"));
        assert_eq!(text(climbing), "tar member has unsafe path name: \"../x/1/1259\"");
        let sized =
            header(|header| header.as_mut_bytes()[124..136].copy_from_slice(b"99999999999\0"));
        assert_eq!(text(sized), "tar member \"base/1/1259\" has invalid size");
    }

    #[test]
    fn contents_are_padded_to_whole_blocks() {
        assert_eq!([0, 1, 511, 512, 513].map(padding), [0, 511, 1, 0, 511]);
    }
}
