//! Made-up sessions: a base backup of any members with any manifest, in both forms of the protocol.

use pgsiphon::archive::TRAILER_SIZE;
use pgsiphon::pg::CompressionFormat;
use sha2::{Digest as _, Sha256};

use super::session::Session;
use crate::recording::wire::frame;

/// The data directory's permission bits, the sizes of WAL segments and pages, and who the server is.
const SETTINGS: [(&str, &[&str]); 4] = [
    ("SHOW data_directory_mode", &["0700"]),
    ("SHOW wal_segment_size", &["16MB"]),
    ("SHOW wal_block_size", &["8192"]),
    ("IDENTIFY_SYSTEM", &["7000000000000000001", "1", "0/2000100", ""]),
];

/// A tablespace or the data directory, as the server lists and sends it.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The identifier; none for the data directory.
    pub oid: Option<u32>,
    /// The location; none for the data directory.
    pub location: Option<String>,
    /// Members, each with header and padding.
    pub members: Vec<Vec<u8>>,
    /// What is sent in place of the members, as the server compressed them; only from 15 on.
    pub compressed: Option<(CompressionFormat, Vec<u8>)>,
}

/// A made-up base backup.
#[derive(Clone, Debug)]
pub struct Synthetic {
    /// The server's version.
    pub version: &'static str,
    /// The archives in the order in which they are listed and sent.
    pub archives: Vec<Archive>,
    /// The manifest's text; none if the server sends none.
    pub manifest: Option<String>,
}

impl Archive {
    /// Returns the members and the end of the archive.
    pub fn to_tar(&self) -> Vec<u8> {
        [&self.members.concat()[..], &[0; TRAILER_SIZE]].concat()
    }
}

impl Synthetic {
    /// A backup of a data directory with these members.
    pub fn new(version: &'static str, members: Vec<Vec<u8>>, manifest: Option<String>) -> Self {
        let archives = vec![Archive { oid: None, location: None, members, compressed: None }];
        Synthetic { version, archives, manifest }
    }

    /// Returns the answers of a server that sends this.
    pub fn to_session(&self) -> Session {
        let answers = SETTINGS.iter().map(|(command, columns)| {
            let answer = [result_set(&[columns.iter().map(|text| Some(*text)).collect()]), ready()];
            ((*command).to_owned(), answer.concat())
        });
        let backup = ("BASE_BACKUP".to_owned(), self.backup());
        Session {
            startups: vec![self.startup()],
            answers: answers.chain([backup]).collect(),
            ..Session::default()
        }
    }

    fn startup(&self) -> Vec<u8> {
        let parameter =
            |name: &str, value: &str| frame(b'S', format!("{name}\0{value}\0").as_bytes());
        [
            frame(b'R', &0_u32.to_be_bytes()),
            parameter("server_version", self.version),
            parameter("integer_datetimes", "on"),
            frame(b'K', &[0, 0, 0, 42, 0, 0, 0, 1]),
            ready(),
        ]
        .concat()
    }

    /// The whole answer to BASE_BACKUP.
    pub fn backup(&self) -> Vec<u8> {
        let position = result_set(&[vec![Some("0/2000028"), Some("1")]]);
        let rows: Vec<_> = self
            .archives
            .iter()
            .map(|archive| (archive.oid.map(|oid| oid.to_string()), &archive.location))
            .collect();
        let rows: Vec<_> = rows
            .iter()
            .map(|(oid, location)| vec![oid.as_deref(), location.as_deref(), None])
            .collect();
        [
            position.clone(),
            result_set(&rows),
            if self.is_multiplexed() { self.multiplexed_copy() } else { self.plain_copies() },
            position,
            frame(b'C', b"SELECT\0"),
            ready(),
        ]
        .concat()
    }

    fn is_multiplexed(&self) -> bool {
        !self.version.starts_with("13") && !self.version.starts_with("14")
    }

    fn multiplexed_copy(&self) -> Vec<u8> {
        let mut copy = copy_out();
        for archive in &self.archives {
            let name = archive.oid.map_or_else(|| "base".to_owned(), |oid| oid.to_string());
            let location = archive.location.clone().unwrap_or_default();
            let (suffix, stream) = match &archive.compressed {
                Some((format, stream)) => (format.suffix(), stream.clone()),
                None => ("", archive.to_tar()),
            };
            copy.extend(frame(b'd', format!("n{name}.tar{suffix}\0{location}\0").as_bytes()));
            let pieces = stream.chunks(32_768);
            copy.extend(pieces.flat_map(|piece| frame(b'd', &[b"d", piece].concat())));
        }
        if let Some(manifest) = &self.manifest {
            copy.extend(frame(b'd', b"m"));
            copy.extend(frame(b'd', &[b"d", manifest.as_bytes()].concat()));
        }
        copy.extend(frame(b'c', b""));
        copy
    }

    fn plain_copies(&self) -> Vec<u8> {
        let copy = |bytes: Vec<u8>| {
            let pieces = bytes.chunks(32_768).flat_map(|piece| frame(b'd', piece));
            [copy_out(), pieces.collect(), frame(b'c', b"")].concat()
        };
        let archives = self.archives.iter().map(|archive| archive.members.concat());
        archives.chain(self.manifest.clone().map(String::into_bytes)).flat_map(copy).collect()
    }
}

/// Builds the answer to a query, without ReadyForQuery.
pub fn result_set(rows: &[Vec<Option<&str>>]) -> Vec<u8> {
    let count = rows.first().map_or(0, Vec::len);
    let size = |size: usize| u16::try_from(size).expect("few columns").to_be_bytes();
    let field = [&b"column\0"[..], &[0; 6], &25_u32.to_be_bytes(), &[0xFF; 6], &[0; 2]].concat();
    let mut answer = frame(b'T', &[&size(count)[..], &field.repeat(count)].concat());
    for row in rows {
        let mut payload = size(row.len()).to_vec();
        for column in row {
            let length = column.map_or(-1, |text| i32::try_from(text.len()).expect("short texts"));
            payload.extend(length.to_be_bytes());
            payload.extend(column.unwrap_or_default().as_bytes());
        }
        answer.extend(frame(b'D', &payload));
    }
    answer.extend(frame(b'C', b"SELECT\0"));
    answer
}

fn copy_out() -> Vec<u8> {
    frame(b'H', &[0, 0, 0])
}

/// Builds ReadyForQuery.
pub fn ready() -> Vec<u8> {
    frame(b'Z', b"I")
}

/// A tar member that may say anything.
#[derive(Clone, Debug)]
pub struct TarMember<'a> {
    /// The name, of at most 100 bytes.
    pub name: &'a [u8],
    /// The type byte.
    pub kind: u8,
    /// The size that the header names.
    pub stated_size: u64,
    /// Where a link leads.
    pub link: &'a [u8],
    /// What follows the header.
    pub contents: &'a [u8],
}

impl TarMember<'_> {
    /// Builds header, contents and padding.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.set_mode(if self.kind == b'5' { 0o700 } else { 0o600 });
        header.set_size(self.stated_size);
        header.set_entry_type(tar::EntryType::new(self.kind));
        let block = header.as_mut_bytes();
        for (offset, text) in [(0, self.name), (157, self.link)] {
            let field = block.get_mut(offset..offset + text.len());
            field.expect("names are shorter than their fields").copy_from_slice(text);
        }
        header.set_cksum();
        let padding = self.contents.len().wrapping_neg() % 512;
        [header.as_bytes(), self.contents, &vec![0; padding]].concat()
    }
}

/// Builds a regular file.
pub fn file(name: &str, contents: &[u8]) -> Vec<u8> {
    let stated_size = contents.len() as u64;
    let name = name.as_bytes();
    TarMember { name, kind: b'0', stated_size, link: b"", contents }.to_bytes()
}

/// Builds a directory.
pub fn directory(name: &str) -> Vec<u8> {
    let name = name.as_bytes();
    TarMember { name, kind: b'5', stated_size: 0, link: b"", contents: b"" }.to_bytes()
}

/// Builds a symbolic link.
pub fn link(name: &str, target: &str) -> Vec<u8> {
    let (name, link) = (name.as_bytes(), target.as_bytes());
    TarMember { name, kind: b'2', stated_size: 0, link, contents: b"" }.to_bytes()
}

/// A line of a manifest.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The path.
    pub path: String,
    /// The size.
    pub size: usize,
    /// The CRC-32C.
    pub crc: u32,
}

impl Entry {
    /// Lists a file as it is.
    pub fn of(path: &str, contents: &[u8]) -> Self {
        Entry { path: path.to_owned(), size: contents.len(), crc: crc32c::crc32c(contents) }
    }
}

/// Writes a manifest of version 1, with the right checksum of itself.
pub fn manifest(entries: &[Entry]) -> String {
    let files: Vec<String> = entries
        .iter()
        .map(|Entry { path, size, crc }| {
            let checksum: String =
                crc.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            format!(
                "{{ \"Path\": \"{path}\", \"Size\": {size}, \"Last-Modified\": \
                 \"2024-01-01 00:00:00 GMT\", \"Checksum-Algorithm\": \"CRC32C\", \
                 \"Checksum\": \"{checksum}\" }}"
            )
        })
        .collect();
    let text = format!(
        "{{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n{}\n],\n\"WAL-Ranges\": [\n\
         {{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000100\" }}\n],\n",
        files.join(",\n")
    );
    let checksum: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{text}\"Manifest-Checksum\": \"{checksum}\"}}\n")
}
