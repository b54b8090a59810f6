//! Moments and offsets that differ from run to run of a loop, and never from run to run of the test.

/// A small generator (xorshift64*): equal seeds give equal numbers.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Begins with a seed other than 0.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// Returns a number below the bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % bound
    }
}
