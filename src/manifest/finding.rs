//! What a comparison finds, and the bounded list of it.

use std::fmt;

/// Findings that are kept; the rest is counted. Nobody reads more, and a thousand paths of the
/// longest kind are a megabyte.
const FINDINGS_MAX: usize = 1000;

/// A file that is not as the manifest says. Sorts by path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file's path below the root of the backup.
    pub path: Vec<u8>,
    /// What is wrong with it.
    pub mismatch: Mismatch,
}

/// How a received file and its entry in the manifest disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mismatch {
    /// Listed, but not received.
    Missing,
    /// Received, but not listed.
    Extra,
    /// The sizes differ, in bytes.
    Size {
        /// The size as received.
        received: u64,
        /// The size in the manifest.
        listed: u64,
    },
    /// The contents differ.
    Checksum,
    /// The contents cannot be compared: the manifest uses another algorithm than it should.
    OtherAlgorithm,
    /// Listed more often than received.
    ListedTwice,
    /// Received more often than listed.
    ReceivedTwice,
}

impl fmt::Display for Finding {
    /// Writes the message, in the words of `pg_verifybackup` as far as they fit a file that was
    /// received and perhaps never on disk.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = String::from_utf8_lossy(&self.path);
        match self.mismatch {
            Mismatch::Missing => {
                write!(f, "\"{path}\" is present in the manifest but was not received")
            }
            Mismatch::Extra => write!(f, "\"{path}\" was received but is not in the manifest"),
            Mismatch::Size { received, listed } => write!(
                f,
                "\"{path}\" has size {received} as received but size {listed} in the manifest"
            ),
            Mismatch::Checksum => write!(f, "checksum mismatch for file \"{path}\""),
            Mismatch::OtherAlgorithm => {
                write!(f, "\"{path}\" has a checksum of another algorithm than was asked for")
            }
            Mismatch::ListedTwice => {
                write!(f, "duplicate path name in backup manifest: \"{path}\"")
            }
            Mismatch::ReceivedTwice => write!(f, "\"{path}\" was received more than once"),
        }
    }
}

/// The findings so far.
#[derive(Default)]
pub(super) struct Findings {
    kept: Vec<Finding>,
    omitted: u64,
}

impl Findings {
    pub(super) fn push(&mut self, path: Vec<u8>, mismatch: Mismatch) {
        if self.kept.len() < FINDINGS_MAX {
            self.kept.push(Finding { path, mismatch });
        } else {
            self.omitted += 1;
        }
    }

    /// Returns the kept findings by path, and the number of those that were only counted.
    pub(super) fn into_sorted(mut self) -> (Vec<Finding>, u64) {
        self.kept.sort_unstable();
        // A path that came twice is found twice: when it came, and when its copies are counted.
        self.kept.dedup();
        (self.kept, self.omitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mismatch_has_its_message() {
        let size = Mismatch::Size { received: 7, listed: 8192 };
        let table = [
            (Mismatch::Missing, r#""a" is present in the manifest but was not received"#),
            (Mismatch::Extra, r#""a" was received but is not in the manifest"#),
            (size, r#""a" has size 7 as received but size 8192 in the manifest"#),
            (Mismatch::Checksum, r#"checksum mismatch for file "a""#),
            (
                Mismatch::OtherAlgorithm,
                r#""a" has a checksum of another algorithm than was asked for"#,
            ),
            (Mismatch::ListedTwice, r#"duplicate path name in backup manifest: "a""#),
            (Mismatch::ReceivedTwice, r#""a" was received more than once"#),
        ];
        for (mismatch, text) in table {
            assert_eq!(Finding { path: b"a".to_vec(), mismatch }.to_string(), text);
        }
    }

    #[test]
    fn findings_beyond_the_limit_are_counted() {
        let mut findings = Findings::default();
        for number in (0..FINDINGS_MAX + 3).rev() {
            findings.push(format!("{number:04}").into_bytes(), Mismatch::Extra);
        }
        let (kept, omitted) = findings.into_sorted();
        assert_eq!((kept.len(), omitted), (FINDINGS_MAX, 3));
        assert!(kept.is_sorted());
    }
}
