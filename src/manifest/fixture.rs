//! Small manifests for tests, with a valid checksum of themselves.

use crate::pg::{ChecksumAlgorithm, Digester};

/// The end of a manifest's body after the files.
pub(super) const WAL_RANGES: &str = r#""WAL-Ranges": [
{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" }
],
"#;

/// Adds the last line to the lines before it.
pub(super) fn with_checksum(body: &str) -> String {
    let mut digester = Digester::new(ChecksumAlgorithm::Sha256);
    digester.update(body.as_bytes());
    format!("{body}\"Manifest-Checksum\": \"{:?}\"}}\n", digester.finish())
}

/// Makes a manifest of version 1 of the objects of its files.
pub(crate) fn manifest_of(files: &[String]) -> String {
    let files = files.join(",\n");
    with_checksum(&format!(
        "{{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n{files}\n],\n{WAL_RANGES}"
    ))
}

/// Makes the object of a file with the CRC of its contents.
pub(crate) fn file(path: &str, contents: &str) -> String {
    let mut digester = Digester::new(ChecksumAlgorithm::Crc32c);
    digester.update(contents.as_bytes());
    format!(
        r#"{{ "Path": "{path}", "Size": {}, "Last-Modified": "2026-01-01 00:00:00 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "{:?}" }}"#,
        contents.len(),
        digester.finish(),
    )
}
