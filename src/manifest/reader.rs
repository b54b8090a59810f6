//! Reading a manifest in one pass, one entry at a time.
//!
//! The grammar and its strictness are those of `src/common/parse_manifest.c`: the version comes
//! first, the checksum last, keys that are not known are refused, and a plain value may be quoted
//! or not. Paths that are listed twice are left to the caller, who may have to remember them all.

use std::fmt;
use std::io::{BufReader, Read};
use std::mem;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::entry::{FileField, FileFields, WalRangeField, WalRangeFields, parse_digest};
use super::{FileEntry, Malformed, ManifestError, ManifestInput, WalRange};

/// WAL ranges that are kept: one for each timeline that the server followed while the backup ran,
/// which is one but for a standby whose primary was replaced meanwhile.
const WAL_RANGES_MAX: usize = 1024;

/// Read size: a few hundred entries, so that neither system calls nor memory matter.
const BUFFER_SIZE: usize = 64 << 10;

/// What a manifest says but for its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestSummary {
    /// The version: 1 (servers 13 to 16) or 2 (17 and newer).
    pub version: u32,
    /// The identifier of the cluster; version 2 only.
    pub system_identifier: Option<u64>,
    /// The WAL that the backup needs, newest timeline first.
    pub wal_ranges: Vec<WalRange>,
    /// The number of files.
    pub file_count: u64,
    /// The sizes of all files together, in bytes.
    pub total_size: u64,
}

/// Reads a manifest to its end, hands each file to `take_file` in the order of the manifest, and
/// checks the manifest's checksum of itself.
///
/// That check comes last: nothing of the files is certain before this function returned.
///
/// # Errors
/// If the manifest cannot be read, is malformed or does not fit its checksum, or what `take_file`
/// returned.
pub fn read_manifest(
    manifest: impl Read,
    take_file: impl FnMut(FileEntry) -> Result<(), ManifestError>,
) -> Result<ManifestSummary, ManifestError> {
    let mut input = ManifestInput::new(manifest);
    let mut parse = Parse::new(take_file);
    let buffered = BufReader::with_capacity(BUFFER_SIZE, &mut input);
    let mut json = serde_json::Deserializer::from_reader(buffered);
    parse
        .at(Place::Document)
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|error| parse.refusal.take().unwrap_or_else(|| json_error(error)))?;
    drop(json);

    let computed = input.into_checksum().finish()?;
    let stated = parse_digest(&parse.manifest_checksum)
        .filter(|stated| stated.as_slice().len() == computed.as_slice().len());
    match stated {
        None => Err(ManifestError::InvalidManifestChecksum(parse.manifest_checksum)),
        Some(stated) if stated != computed => Err(ManifestError::ManifestChecksumMismatch),
        Some(_) => Ok(parse.summary),
    }
}

fn json_error(error: serde_json::Error) -> ManifestError {
    match error.classify() {
        Category::Io => ManifestError::Read(error.into()),
        Category::Eof => Malformed::Truncated.into(),
        Category::Syntax | Category::Data => ManifestError::Json(error),
    }
}

/// The state of reading one manifest.
struct Parse<F> {
    take_file: F,
    summary: ManifestSummary,
    manifest_checksum: String,
    /// The last plain value, as text.
    scalar: String,
    /// Why reading was given up; the JSON parser's errors cannot carry it.
    refusal: Option<ManifestError>,
}

/// Where in the document a value stands.
#[derive(Clone, Copy)]
enum Place {
    Document,
    Files,
    File,
    WalRanges,
    WalRange,
    Scalar,
}

/// A place that is about to be read.
struct At<'a, F> {
    parse: &'a mut Parse<F>,
    place: Place,
}

impl<F: FnMut(FileEntry) -> Result<(), ManifestError>> Parse<F> {
    fn new(take_file: F) -> Self {
        Parse {
            take_file,
            summary: ManifestSummary::default(),
            manifest_checksum: String::new(),
            scalar: String::new(),
            refusal: None,
        }
    }

    fn at(&mut self, place: Place) -> At<'_, F> {
        At { parse: self, place }
    }

    /// Keeps the reason and returns an error that stops the JSON parser.
    fn refuse<E: de::Error>(&mut self, reason: impl Into<ManifestError>) -> E {
        self.refusal = Some(reason.into());
        E::custom("refused")
    }

    fn scalar<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<String, A::Error> {
        map.next_value_seed(self.at(Place::Scalar))?;
        Ok(mem::take(&mut self.scalar))
    }

    fn document<'de, A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
        self.version(&mut map)?;
        loop {
            match map.next_key_seed(Key(TopLevelField::from_key))? {
                None => return Err(self.refuse(Malformed::UnexpectedObjectEnd)),
                Some(None) => return Err(self.refuse(Malformed::UnrecognizedTopLevelField)),
                Some(Some(TopLevelField::SystemIdentifier)) => self.system_identifier(&mut map)?,
                Some(Some(TopLevelField::Files)) => map.next_value_seed(self.at(Place::Files))?,
                Some(Some(TopLevelField::WalRanges)) => {
                    map.next_value_seed(self.at(Place::WalRanges))?;
                }
                Some(Some(TopLevelField::ManifestChecksum)) => break,
            }
        }
        self.manifest_checksum = self.scalar(&mut map)?;
        match map.next_key_seed(Key(TopLevelField::from_key))? {
            None => Ok(()),
            Some(_) => Err(self.refuse(Malformed::UnexpectedObjectField)),
        }
    }

    fn version<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let is_version = |key: &str| (key == "PostgreSQL-Backup-Manifest-Version").then_some(());
        match map.next_key_seed(Key(is_version))? {
            None => return Err(self.refuse(Malformed::UnexpectedObjectEnd)),
            Some(None) => return Err(self.refuse(Malformed::ExpectedVersion)),
            Some(Some(())) => {}
        }
        match self.scalar(map)?.parse::<i64>() {
            Ok(1) => self.summary.version = 1,
            Ok(2) => self.summary.version = 2,
            Ok(_) => return Err(self.refuse(Malformed::UnexpectedVersion)),
            Err(_) => return Err(self.refuse(Malformed::VersionNotInteger)),
        }
        Ok(())
    }

    fn system_identifier<'de, A: MapAccess<'de>>(&mut self, map: &mut A) -> Result<(), A::Error> {
        let text = self.scalar(map)?;
        let parsed = text.parse().map_err(|_| Malformed::SystemIdentifierNotInteger);
        self.summary.system_identifier = Some(parsed.map_err(|fault| self.refuse(fault))?);
        Ok(())
    }

    fn file<'de, A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
        let mut fields = FileFields::default();
        while let Some(key) = map.next_key_seed(Key(FileField::from_key))? {
            let field = key.ok_or_else(|| self.refuse(Malformed::UnexpectedFileField))?;
            fields.set(field, self.scalar(&mut map)?);
        }
        let entry = fields.into_entry().map_err(|error| self.refuse(error))?;
        self.summary.file_count += 1;
        self.summary.total_size = self.summary.total_size.saturating_add(entry.size);
        (self.take_file)(entry).map_err(|error| self.refuse(error))
    }

    fn wal_range<'de, A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
        let mut fields = WalRangeFields::default();
        while let Some(key) = map.next_key_seed(Key(WalRangeField::from_key))? {
            let field = key.ok_or_else(|| self.refuse(Malformed::UnexpectedWalRangeField))?;
            fields.set(field, self.scalar(&mut map)?);
        }
        let range = fields.into_range().map_err(|fault| self.refuse(fault))?;
        if self.summary.wal_ranges.len() == WAL_RANGES_MAX {
            return Err(self.refuse(Malformed::TooManyWalRanges));
        }
        self.summary.wal_ranges.push(range);
        Ok(())
    }

    fn elements<'de, A: SeqAccess<'de>>(
        &mut self,
        mut list: A,
        element: Place,
    ) -> Result<(), A::Error> {
        while list.next_element_seed(self.at(element))?.is_some() {}
        Ok(())
    }
}

impl<F: FnMut(FileEntry) -> Result<(), ManifestError>> At<'_, F> {
    fn take_scalar<E: de::Error>(self, text: impl fmt::Display) -> Result<(), E> {
        match self.place {
            Place::Scalar => {
                self.parse.scalar = text.to_string();
                Ok(())
            }
            Place::Document | Place::Files | Place::File | Place::WalRanges | Place::WalRange => {
                Err(self.parse.refuse(Malformed::UnexpectedScalar))
            }
        }
    }
}

impl<'de, F: FnMut(FileEntry) -> Result<(), ManifestError>> DeserializeSeed<'de> for At<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, F: FnMut(FileEntry) -> Result<(), ManifestError>> Visitor<'de> for At<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a part of a backup manifest")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match self.place {
            Place::Document => self.parse.document(map),
            Place::File => self.parse.file(map),
            Place::WalRange => self.parse.wal_range(map),
            Place::Files | Place::WalRanges | Place::Scalar => {
                Err(self.parse.refuse(Malformed::UnexpectedObjectStart))
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        match self.place {
            Place::Files => self.parse.elements(list, Place::File),
            Place::WalRanges => self.parse.elements(list, Place::WalRange),
            Place::Document | Place::File | Place::WalRange | Place::Scalar => {
                Err(self.parse.refuse(Malformed::UnexpectedArrayStart))
            }
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.take_scalar(text)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        self.take_scalar(number)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<(), E> {
        self.take_scalar(number)
    }

    /// Keeps the decimal point, so that 5.0 is not taken for an integer.
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<(), E> {
        self.take_scalar(format_args!("{number:?}"))
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<(), E> {
        self.take_scalar(flag)
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.take_scalar("null")
    }
}

/// The keys of the document after the version.
#[derive(Clone, Copy)]
enum TopLevelField {
    SystemIdentifier,
    Files,
    WalRanges,
    ManifestChecksum,
}

impl TopLevelField {
    fn from_key(key: &str) -> Option<Self> {
        match key {
            "System-Identifier" => Some(Self::SystemIdentifier),
            "Files" => Some(Self::Files),
            "WAL-Ranges" => Some(Self::WalRanges),
            "Manifest-Checksum" => Some(Self::ManifestChecksum),
            _ => None,
        }
    }
}

/// An object's key that is about to be read; gives `None` for one that is not known.
struct Key<K>(fn(&str) -> Option<K>);

impl<'de, K> DeserializeSeed<'de> for Key<K> {
    type Value = Option<K>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<K>, D::Error> {
        json.deserialize_str(self)
    }
}

impl<K> Visitor<'_> for Key<K> {
    type Value = Option<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key of a backup manifest")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Option<K>, E> {
        Ok((self.0)(key))
    }
}

#[cfg(test)]
mod tests;
