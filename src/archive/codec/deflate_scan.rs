//! Where the last block of a deflate stream begins, and where the stream ends (RFC 1951).
//!
//! ```text
//! block   last u1 | kind u2 | contents
//! stored  up to the next byte | size u16 | its complement u16 | bytes
//! fixed   symbols of codes that everybody knows
//! dynamic literals u5 | distances u5 | order u4 | lengths of the codes, compressed | symbols
//! ```
//!
//! Bits are counted from the lowest of the first byte. Symbols are only measured: what they stand for matters no
//! more than whether a distance reaches too far back.

use std::ops::Range;

/// In which order the code lengths of code lengths are given.
const LENGTH_ORDER: [usize; 19] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// The literal that ends a block; those above stand for lengths of matches.
const END_OF_BLOCK: usize = 256;

/// Finds the last block and returns the bits that it takes. The stream must be whole, with eight bytes or more
/// of anything behind it; `None` if it is not a stream.
pub(super) fn last_block(stream: &[u8]) -> Option<Range<usize>> {
    let mut bits = Bits { stream, position: 0 };
    loop {
        let start = bits.position;
        let is_last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => bits.skip_stored()?,
            1 => bits.skip_symbols(&SymbolCodes::fixed()?)?,
            2 => {
                let codes = bits.take_codes()?;
                bits.skip_symbols(&codes)?;
            }
            _ => return None,
        }
        if is_last {
            return Some(start..bits.position);
        }
    }
}

/// A stream that is read from the front.
struct Bits<'a> {
    stream: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    /// Returns the next bits, 57 at least.
    fn peek(&self) -> Option<u64> {
        let word = self.stream.get(self.position / 8..)?.first_chunk()?;
        Some(u64::from_le_bytes(*word) >> (self.position % 8))
    }

    fn take(&mut self, count: u32) -> Option<usize> {
        let bits = self.peek()? & ((1 << count) - 1);
        self.position += usize::try_from(count).ok()?;
        usize::try_from(bits).ok()
    }

    fn skip_stored(&mut self) -> Option<()> {
        self.position = self.position.next_multiple_of(8);
        let size = self.take(16)?;
        // If that is beyond the end, it shows when the next bits are wanted.
        self.position += 16 + 8 * size;
        Some(())
    }

    /// Reads the codes of a dynamic block.
    fn take_codes(&mut self) -> Option<SymbolCodes> {
        let literals = 257 + self.take(5)?;
        let distances = 1 + self.take(5)?;
        let ordered = 4 + self.take(4)?;
        let mut lengths = [0; LENGTH_ORDER.len()];
        for &symbol in LENGTH_ORDER.get(..ordered)? {
            *lengths.get_mut(symbol)? = u8::try_from(self.take(3)?).ok()?;
        }
        let code = Code::new(&lengths, |_| 0)?;
        let lengths = self.take_lengths(&code, literals + distances)?;
        let (literals, distances) = lengths.split_at_checked(literals)?;
        SymbolCodes::new(literals, distances)
    }

    fn take_lengths(&mut self, code: &Code, count: usize) -> Option<Vec<u8>> {
        let mut lengths = Vec::with_capacity(count);
        while lengths.len() < count {
            let (symbol, size) = code.symbol(self.peek()?)?;
            self.position += size;
            let (length, repeats) = match symbol {
                16 => (*lengths.last()?, 3 + self.take(2)?),
                17 => (0, 3 + self.take(3)?),
                18 => (0, 11 + self.take(7)?),
                length => (u8::try_from(length).ok()?, 1),
            };
            lengths.resize(lengths.len() + repeats, length);
        }
        (lengths.len() == count).then_some(lengths)
    }

    fn skip_symbols(&mut self, codes: &SymbolCodes) -> Option<()> {
        loop {
            // Enough for a match: at most 20 bits of length and 28 of distance.
            let bits = self.peek()?;
            let (symbol, size) = codes.literals.symbol(bits)?;
            self.position += size;
            if symbol > END_OF_BLOCK {
                self.position += codes.distances.symbol(bits >> size)?.1;
            } else if symbol == END_OF_BLOCK {
                return Some(());
            }
        }
    }
}

/// The two codes of a block.
struct SymbolCodes {
    literals: Code,
    distances: Code,
}

impl SymbolCodes {
    /// Makes codes of the lengths for each symbol. What follows a symbol counts as part of it.
    fn new(literals: &[u8], distances: &[u8]) -> Option<Self> {
        let length_bits = |symbol| match symbol {
            265..=284 => (symbol - 261) / 4,
            _ => 0,
        };
        let distance_bits = |symbol: usize| (symbol / 2).saturating_sub(1);
        Some(SymbolCodes {
            literals: Code::new(literals, length_bits)?,
            distances: Code::new(distances, distance_bits)?,
        })
    }

    /// The codes of fixed blocks.
    fn fixed() -> Option<Self> {
        let literals = [[8; 144].as_slice(), &[9; 112], &[7; 24], &[8; 8]].concat();
        Self::new(&literals, &[5; 30])
    }
}

/// A prefix code, as a table of what the next bits begin with: the symbol, and above [`SIZE_BITS`] how many bits it
/// takes. Zero where there is no symbol.
struct Code {
    entries: Vec<u16>,
    mask: u64,
}

/// How many bits of an entry say how many bits a symbol takes: 28 at most.
const SIZE_BITS: u32 = 5;

impl Code {
    /// Makes the code of the lengths for each symbol, 15 at most; `extra` says how many bits follow a symbol.
    fn new(lengths: &[u8], extra: impl Fn(usize) -> usize) -> Option<Self> {
        let mut entries = vec![0];
        let mut next = 0_usize;
        for length in 1..=*lengths.iter().max()? {
            // One more bit, which means nothing yet.
            entries.extend_from_within(..);
            next <<= 1;
            for (symbol, _) in lengths.iter().enumerate().filter(|&(_, &of)| of == length) {
                let size = usize::from(length) + extra(symbol);
                let reversed = next.reverse_bits() >> (usize::BITS - u32::from(length));
                *entries.get_mut(reversed)? = u16::try_from(symbol << SIZE_BITS | size).ok()?;
                next += 1;
            }
            if next > 1 << length {
                return None;
            }
        }
        let mask = u64::try_from(entries.len()).ok()? - 1;
        Some(Code { entries, mask })
    }

    /// Returns the symbol that bits begin with, and how many bits it takes.
    fn symbol(&self, bits: u64) -> Option<(usize, usize)> {
        let entry = *self.entries.get(usize::try_from(bits & self.mask).ok()?)?;
        let size = usize::from(entry) & ((1 << SIZE_BITS) - 1);
        (size > 0).then_some((usize::from(entry >> SIZE_BITS), size))
    }
}

#[cfg(test)]
mod tests {
    use libdeflater::{CompressionLvl, Compressor};
    use proptest::prelude::*;

    use super::*;

    fn scan(stream: &[u8]) -> Option<Range<usize>> {
        const BEHIND: [u8; 8] = [0xff; 8];
        last_block(&[stream, &BEHIND].concat())
    }

    #[test]
    fn blocks_of_every_kind_are_measured() {
        type Case = (&'static str, &'static [u8], Option<Range<usize>>);
        let cases: [Case; 10] = [
            ("an empty fixed block", &[3, 0], Some(0..10)),
            ("an empty stored block", &[1, 0, 0, 0xff, 0xff], Some(0..40)),
            ("a stored byte", &[1, 1, 0, 0xfe, 0xff, b'a'], Some(0..48)),
            ("a stored block, then a fixed one", &[0, 0, 0, 0xff, 0xff, 3, 0], Some(40..50)),
            ("a fixed block, then a fixed one", &[2, 0x0c, 0], Some(10..20)),
            // "aaaaaaaaaa": a literal and a match.
            ("a fixed match", &[0x4b, 0x84, 0x01, 0x00], Some(0..30)),
            ("a reserved kind", &[7, 0], None),
            ("no code that codes are told in", &[5, 0, 0], None),
            ("a stored block that is too long", &[0, 200, 0, 55, 0xff, 1, 2, 3], None),
            ("a stream that does not end", &[2, 0x08, 0x20, 0x80], None),
        ];
        for (what, stream, expected) in cases {
            assert_eq!(scan(stream), expected, "{what}");
        }
    }

    /// Words, numbers, noise and zeros, a stretch of each.
    fn contents(size: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let stretch = |number: u64| match number % 4 {
            0 => b"one of a few words ".repeat(500),
            1 => (number..number + 2000).flat_map(|n| format!("{n}, ").into_bytes()).collect(),
            2 => std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .take(70_000)
            .collect(),
            _ => vec![0; 20_000],
        };
        (0..).flat_map(stretch).take(size).collect()
    }

    #[test]
    fn streams_of_libdeflate_end_where_they_are_found_to_end() {
        let contents = contents(500_000);
        for level in 0..=12 {
            let mut compressor = Compressor::new(CompressionLvl::new(level).unwrap());
            for size in [0, 1, 100, 10_000, contents.len()] {
                let mut stream = vec![0; compressor.deflate_compress_bound(size)];
                let taken = compressor.deflate_compress(&contents[..size], &mut stream).unwrap();
                let last = scan(&stream[..taken]).unwrap();
                assert_eq!(last.end.div_ceil(8), taken, "level {level}, {size} bytes");
                assert_eq!(stream[last.start / 8] >> (last.start % 8) & 1, 1, "level {level}");
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_neither_panic_nor_hang(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            kind in 0_u8..4,
        ) {
            let stream = [&[kind << 1], &bytes[..]].concat();
            let _ = last_block(&stream);
        }
    }
}
