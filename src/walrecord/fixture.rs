//! Log made by hand, for tests and benchmarks: pages and records as a server of 18 writes them.

/// The number that begins each page.
pub(crate) const PAGE_MAGIC: u16 = 0xD118;

/// The size of segments.
pub(crate) const SEGMENT_SIZE: u32 = 1 << 20;

/// The position of the first byte, where a segment begins.
pub(crate) const START: u64 = 3 << 20;

/// The cluster's identifier.
pub(crate) const SYSTEM_IDENTIFIER: u64 = 7_412_345_678_901_234_567;

/// The size of pages.
pub(crate) const PAGE_SIZE: usize = 8192;

/// Flags of pages.
const CONTINUES: u16 = 1;
const LONG: u16 = 2;

/// Writes log into memory.
pub(crate) struct WalBuilder {
    /// What is written, from [`START`] on.
    pub(crate) bytes: Vec<u8>,
    /// The position of the last record.
    pub(crate) last_record: u64,
}

impl WalBuilder {
    /// Begins with an empty log.
    pub(crate) fn new() -> Self {
        WalBuilder { bytes: Vec::new(), last_record: START - 64 }
    }

    /// Adds a record with its alignment, and the headers of pages that it begins. Returns its position.
    pub(crate) fn record(&mut self, manager: u8, info: u8, body: &[u8]) -> u64 {
        if self.bytes.len().is_multiple_of(PAGE_SIZE) {
            self.page_header(0, 0);
        }
        let start = START + self.bytes.len() as u64;
        let record = self.framed(manager, info, body);
        let mut rest = record.as_slice();
        while !rest.is_empty() {
            if self.bytes.len().is_multiple_of(PAGE_SIZE) {
                self.page_header(CONTINUES, rest.len() as u32);
            }
            let room = PAGE_SIZE - self.bytes.len() % PAGE_SIZE;
            let (here, beyond) = rest.split_at(rest.len().min(room));
            self.bytes.extend_from_slice(here);
            rest = beyond;
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.last_record = start;
        start
    }

    /// Puts the header before a body.
    fn framed(&self, manager: u8, info: u8, body: &[u8]) -> Vec<u8> {
        let mut record = (body.len() as u32 + 24).to_le_bytes().to_vec();
        record.extend([7, 0, 0, 0]);
        record.extend(self.last_record.to_le_bytes());
        record.extend([info, manager, 0, 0]);
        let crc = crc32c::crc32c_append(crc32c::crc32c(body), &record);
        record.extend(crc.to_le_bytes());
        record.extend(body);
        record
    }

    /// Adds the header of a page.
    pub(crate) fn page_header(&mut self, info: u16, remaining: u32) {
        let position = START + self.bytes.len() as u64;
        let begins_segment = position.is_multiple_of(u64::from(SEGMENT_SIZE));
        let info = if begins_segment { info | LONG } else { info };
        self.bytes.extend(PAGE_MAGIC.to_le_bytes());
        self.bytes.extend(info.to_le_bytes());
        self.bytes.extend(1_u32.to_le_bytes());
        self.bytes.extend(position.to_le_bytes());
        self.bytes.extend(u64::from(remaining).to_le_bytes());
        if begins_segment {
            self.bytes.extend(SYSTEM_IDENTIFIER.to_le_bytes());
            self.bytes.extend(SEGMENT_SIZE.to_le_bytes());
            self.bytes.extend((PAGE_SIZE as u32).to_le_bytes());
        }
    }
}
