//! What can be wrong with a page.

/// What is wrong with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum PageFault {
    /// The checksum does not fit the contents.
    #[error("page verification failed, calculated checksum {computed:04X} but found {stored:04X}")]
    Checksum {
        /// What the contents give.
        computed: u16,
        /// What the page says.
        stored: u16,
    },
}
