//! The control file: what the cluster is, and where recovery of it would begin.

use crate::pg::{InvalidSegmentSize, Lsn, TimelineId, WalSegmentSize};

/// What a control file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlFile {
    /// The cluster's identifier.
    pub system_identifier: u64,
    /// The version of the file's form (`pg_control_version`).
    pub control_version: u32,
    /// The version of the catalogs.
    pub catalog_version: u32,
    /// Where the last checkpoint's record begins.
    pub checkpoint: Lsn,
    /// Where replay from the last checkpoint begins.
    pub redo: Lsn,
    /// The timeline of the last checkpoint.
    pub timeline: TimelineId,
    /// How far a standby must replay to be consistent; [`Lsn::INVALID`] in a primary.
    pub min_recovery_point: Lsn,
    /// The size of a page in bytes.
    pub block_size: u32,
    /// How many blocks a segment of a relation has.
    pub segment_blocks: u32,
    /// The size of a WAL page in bytes.
    pub wal_block_size: u32,
    /// The size of a WAL segment.
    pub wal_segment_size: WalSegmentSize,
    /// The version of the pages' checksums; 0 if they have none.
    pub data_checksum_version: u32,
}

/// What is wrong with a control file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum ControlFileFault {
    /// The file has another size, in bytes.
    #[error("unexpected control file size {0}, expected {size}", size = ControlFile::SIZE)]
    Size(u64),
    /// The checksum does not fit the contents.
    #[error("CRC is incorrect")]
    Crc,
    /// The file is sound, but of a form that is not known: a newer server's, or one before 13.
    #[error("unexpected control file version {0}, whose form is not known")]
    Version(u32),
    /// There is no timeline 0.
    #[error("invalid timeline in control file: 0")]
    Timeline,
    /// No cluster has such WAL segments; their size in bytes.
    #[error("invalid WAL segment size in control file ({0} bytes)")]
    WalSegmentSize(u32),
}

/// Where the fields are that do not move from version to version (`ControlFileData`, with the last checkpoint
/// in it from byte 40 on).
mod offset {
    pub(super) const SYSTEM_IDENTIFIER: usize = 0;
    pub(super) const CONTROL_VERSION: usize = 8;
    pub(super) const CATALOG_VERSION: usize = 12;
    pub(super) const CHECKPOINT: usize = 32;
    pub(super) const REDO: usize = 40;
    pub(super) const TIMELINE: usize = 48;
    pub(super) const MIN_RECOVERY_POINT: usize = 136;
    pub(super) const BLOCK_SIZE: usize = 216;
    pub(super) const SEGMENT_BLOCKS: usize = 220;
    pub(super) const WAL_BLOCK_SIZE: usize = 224;
    pub(super) const WAL_SEGMENT_SIZE: usize = 228;
    pub(super) const DATA_CHECKSUM_VERSION: usize = 252;
}

/// The versions that are known, and where the checksum is that ends each: of servers 13 to 16, of 17, and of 18,
/// which put the signedness of `char` before the nonce.
const FORMS: [(u32, usize); 3] = [(1300, 288), (1700, 288), (1800, 292)];

/// Where the checksum of an unknown form may be: the contents fit into a sector of a disk
/// (`PG_CONTROL_MAX_SAFE_SIZE`).
const CRC_OFFSET_MAX: usize = 508;

impl ControlFile {
    /// The size of the file in bytes; most of it is zeros (`PG_CONTROL_FILE_SIZE`).
    pub const SIZE: usize = 8192;

    /// Reads a control file.
    ///
    /// # Errors
    /// If it is damaged, or of an unknown version. The checksum of an unknown version is looked for wherever it
    /// may be: if no number fits the bytes before it, the file counts as damaged.
    pub fn parse(bytes: &[u8]) -> Result<Self, ControlFileFault> {
        let file = Fields(bytes);
        if bytes.len() != Self::SIZE {
            return Err(ControlFileFault::Size(bytes.len() as u64));
        }
        let version = file.word(offset::CONTROL_VERSION);
        match FORMS.iter().find(|(known, _)| *known == version) {
            Some((_, crc)) if file.has_crc_at(*crc) => file.read(),
            None if file.has_crc_anywhere() => Err(ControlFileFault::Version(version)),
            Some(_) | None => Err(ControlFileFault::Crc),
        }
    }
}

/// The fields of a file; all of them lie within its size.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn word(&self, offset: usize) -> u32 {
        self.bytes(offset).map_or(0, u32::from_le_bytes)
    }

    fn double_word(&self, offset: usize) -> u64 {
        self.bytes(offset).map_or(0, u64::from_le_bytes)
    }

    fn bytes<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.0.get(offset..)?.first_chunk().copied()
    }

    fn has_crc_at(&self, offset: usize) -> bool {
        self.0.get(..offset).is_some_and(|before| crc32c::crc32c(before) == self.word(offset))
    }

    fn has_crc_anywhere(&self) -> bool {
        (offset::CHECKPOINT..=CRC_OFFSET_MAX).step_by(4).any(|offset| self.has_crc_at(offset))
    }

    fn read(&self) -> Result<ControlFile, ControlFileFault> {
        let timeline = TimelineId::try_from(self.word(offset::TIMELINE));
        let segment_size = self.word(offset::WAL_SEGMENT_SIZE);
        let wal_segment_size = WalSegmentSize::from_bytes(segment_size.into());
        Ok(ControlFile {
            system_identifier: self.double_word(offset::SYSTEM_IDENTIFIER),
            control_version: self.word(offset::CONTROL_VERSION),
            catalog_version: self.word(offset::CATALOG_VERSION),
            checkpoint: Lsn::new(self.double_word(offset::CHECKPOINT)),
            redo: Lsn::new(self.double_word(offset::REDO)),
            timeline: timeline.map_err(|_| ControlFileFault::Timeline)?,
            min_recovery_point: Lsn::new(self.double_word(offset::MIN_RECOVERY_POINT)),
            block_size: self.word(offset::BLOCK_SIZE),
            segment_blocks: self.word(offset::SEGMENT_BLOCKS),
            wal_block_size: self.word(offset::WAL_BLOCK_SIZE),
            wal_segment_size: wal_segment_size
                .map_err(|InvalidSegmentSize(_)| ControlFileFault::WalSegmentSize(segment_size))?,
            data_checksum_version: self.word(offset::DATA_CHECKSUM_VERSION),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of a version, with its checksum at an offset and some words set.
    fn file(version: u32, crc: usize, words: &[(usize, u32)]) -> Vec<u8> {
        let mut file = vec![0; ControlFile::SIZE];
        let usual = [
            (offset::SYSTEM_IDENTIFIER, 0x958D_8BF4),
            (offset::SYSTEM_IDENTIFIER + 4, 0x6B02_B38F),
            (offset::CONTROL_VERSION, version),
            (offset::CATALOG_VERSION, 202_506_291),
            (offset::CHECKPOINT, 0x170_FFF8),
            (offset::REDO, 0x170_FFA0),
            (offset::TIMELINE, 2),
            (offset::MIN_RECOVERY_POINT + 4, 1),
            (offset::BLOCK_SIZE, 8192),
            (offset::SEGMENT_BLOCKS, 131_072),
            (offset::WAL_BLOCK_SIZE, 8192),
            (offset::WAL_SEGMENT_SIZE, 16 << 20),
            (offset::DATA_CHECKSUM_VERSION, 1),
        ];
        for (offset, word) in usual.iter().chain(words) {
            file[*offset..offset + 4].copy_from_slice(&word.to_le_bytes());
        }
        let checksum = crc32c::crc32c(&file[..crc]);
        file[crc..crc + 4].copy_from_slice(&checksum.to_le_bytes());
        file
    }

    fn fault(file: &[u8]) -> String {
        ControlFile::parse(file).unwrap_err().to_string()
    }

    #[test]
    fn all_known_versions_are_read() {
        for (control_version, crc) in FORMS {
            let expected = ControlFile {
                system_identifier: 7_710_922_941_282_487_284,
                control_version,
                catalog_version: 202_506_291,
                checkpoint: Lsn::new(0x170_FFF8),
                redo: Lsn::new(0x170_FFA0),
                timeline: TimelineId::try_from(2).unwrap(),
                min_recovery_point: Lsn::new(1 << 32),
                block_size: 8192,
                segment_blocks: 131_072,
                wal_block_size: 8192,
                wal_segment_size: WalSegmentSize::from_bytes(16 << 20).unwrap(),
                data_checksum_version: 1,
            };
            assert_eq!(ControlFile::parse(&file(control_version, crc, &[])), Ok(expected));
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_in_the_contents_is_found() {
        for (version, crc) in FORMS {
            let mut file = file(version, crc, &[]);
            for bit in 0..(crc + 4) * 8 {
                file[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(ControlFile::parse(&file), Err(ControlFileFault::Crc), "bit {bit}");
                file[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn faults_say_what_is_wrong() {
        let sound = file(1800, 292, &[]);
        let table = [
            (vec![], "unexpected control file size 0, expected 8192"),
            (sound[..8191].to_vec(), "unexpected control file size 8191, expected 8192"),
            ([&sound[..], &[0]].concat(), "unexpected control file size 8193, expected 8192"),
            (vec![0; 8192], "CRC is incorrect"),
            (file(1800, 288, &[]), "CRC is incorrect"),
            (file(1900, 300, &[]), "unexpected control file version 1900, whose form is not known"),
            (file(1201, 276, &[]), "unexpected control file version 1201, whose form is not known"),
            (file(1900, 512, &[]), "CRC is incorrect"),
            (file(1800, 292, &[(offset::TIMELINE, 0)]), "invalid timeline in control file: 0"),
            (
                file(1800, 292, &[(offset::WAL_SEGMENT_SIZE, 3 << 20)]),
                "invalid WAL segment size in control file (3145728 bytes)",
            ),
        ];
        for (file, text) in table {
            assert_eq!(fault(&file), text);
        }
    }
}
