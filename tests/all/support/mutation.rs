//! Random damage of bytes, the same in each run.

use super::random::Random;

/// Values that lengths and numbers are made of when they lie.
const EXTREMES: [u8; 6] = [0, 1, 0x7F, 0x80, 0xFF, b'7'];

/// Damages bytes in one to four places.
pub fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        let end = (at + 1 + random.below(64) as usize).min(bytes.len());
        match random.below(6) {
            0 => bytes[at.min(end)..end]
                .iter_mut()
                .take(1)
                .for_each(|byte| *byte ^= 1 << random.below(8)),
            1 => overwrite(bytes, at, random),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end.max(at))),
            4 => {
                let piece = bytes[at..end.max(at)].to_vec();
                let to = random.below(bytes.len() as u64 + 1) as usize;
                bytes.splice(to..to, piece);
            }
            _ => {
                // Fields of headers are at the same places in all blocks.
                let block = at / 512 * 512;
                overwrite(
                    bytes,
                    block + [0, 4, 16, 124, 135, 156, 257][random.below(7) as usize],
                    random,
                );
            }
        }
    }
}

/// Puts up to eight equal bytes somewhere.
fn overwrite(bytes: &mut [u8], at: usize, random: &mut Random) {
    let value = EXTREMES[random.below(EXTREMES.len() as u64) as usize];
    let size = 1 + random.below(8) as usize;
    bytes.iter_mut().skip(at).take(size).for_each(|byte| *byte = value);
}
