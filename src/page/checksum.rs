//! The checksum of a page (`checksum_impl.h`): 32 FNV-1a hashes side by side, folded to 16 bits.

use super::PAGE_SIZE;

/// How many hashes run side by side; each takes every 32nd word of the page.
const LANES: usize = 32;

/// The bytes that all hashes take in one step.
const ROW_SIZE: usize = LANES * 4;

/// Rows of zeros behind the page, so that its last words are mixed as well as its first.
const ZERO_ROWS: usize = 2;

const FNV_PRIME: u32 = 16_777_619;

/// What each hash begins with (`checksumBaseOffsets`).
const BASE_OFFSETS: [u32; LANES] = [
    0x5B1F_36E9,
    0xB852_5960,
    0x02AB_50AA,
    0x1DE6_6D2A,
    0x79FF_467A,
    0x9BB9_F8A3,
    0x217E_7CD2,
    0x83E1_3D2C,
    0xF8D4_474F,
    0xE39E_B970,
    0x42C6_AE16,
    0x9932_16FA,
    0x7B09_3B5D,
    0x98DA_FF3C,
    0xF718_902A,
    0x0B1C_9CDB,
    0xE58F_764B,
    0x1876_36BC,
    0x5D7B_3BB1,
    0xE73D_E7DE,
    0x92BE_C979,
    0xCCA6_C0B2,
    0x304A_0979,
    0x85AA_43D4,
    0x7831_25BB,
    0x6CA8_EAA2,
    0xE407_EAC6,
    0x4B5C_FC3E,
    0x9FBF_8C76,
    0x15CA_20BE,
    0xF2CA_9FD3,
    0x959B_D756,
];

/// Computes the checksum that a page should have as a block of its relation's fork; never 0.
///
/// `stored` is the checksum in the page, which counts as 0 in the sum.
pub(super) fn page_checksum(page: &[u8; PAGE_SIZE], stored: u16, block: u32) -> u16 {
    let mut sums = BASE_OFFSETS;
    // The lower half of the third word is the stored checksum: against itself, it gives 0.
    sums[2] ^= u32::from(stored);
    for row in page.as_chunks::<ROW_SIZE>().0 {
        add(&mut sums, row);
    }
    for _ in 0..ZERO_ROWS {
        add(&mut sums, &[0; ROW_SIZE]);
    }
    let folded = sums.iter().fold(block, |folded, sum| folded ^ sum);
    u16::try_from(folded % 65_535 + 1).expect("a remainder of 65,535 is less than that")
}

/// Adds a word to each hash. The loop has the form that compilers turn into vector instructions.
fn add(sums: &mut [u32; LANES], row: &[u8; ROW_SIZE]) {
    for (sum, word) in sums.iter_mut().zip(row.as_chunks().0) {
        let mixed = *sum ^ u32::from_le_bytes(*word);
        *sum = mixed.wrapping_mul(FNV_PRIME) ^ (mixed >> 17);
    }
}
