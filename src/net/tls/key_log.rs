//! The session's secrets, for somebody who looks into the network's traffic (`sslkeylogfile`).

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Mutex;

use rustls::KeyLog;

/// A file in the format that Wireshark reads.
pub(super) struct KeyLogFile(Mutex<File>);

impl KeyLogFile {
    /// Opens a file for appending. Like libpq, do without it if that fails.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let file = File::options().append(true).create(true).mode(0o600).open(path).ok()?;
        Some(KeyLogFile(Mutex::new(file)))
    }
}

impl fmt::Debug for KeyLogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLogFile")
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut line = format!("{label} ");
        for byte in client_random {
            let _ = write!(line, "{byte:02x}");
        }
        line.push(' ');
        for byte in secret {
            let _ = write!(line, "{byte:02x}");
        }
        line.push('\n');
        if let Ok(mut file) = self.0.lock() {
            let _ = file.write_all(line.as_bytes());
        }
    }
}
