//! How something is compressed, as `pg_basebackup -Z` and its relatives say it (`compression.c` of 18).

use std::ops::RangeInclusive;

use super::CompressionFormat;

/// An algorithm with its parameters, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Deflate in gzip's format.
    Gzip {
        /// 1 to 9; `None` for zlib's default.
        level: Option<u8>,
    },
    /// LZ4 frames.
    Lz4 {
        /// 1 to 12; `None` for the fastest.
        level: Option<u8>,
    },
    /// Zstandard frames.
    Zstd {
        /// The library's least level to 22; `None` for its default.
        level: Option<i32>,
        /// Threads that compress; `None` to leave the choice to us.
        workers: Option<u32>,
        /// Whether matches are also looked for far back.
        long_distance: bool,
    },
}

/// A compression was named that does not exist, or with parameters that it does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    /// There is no such algorithm.
    #[error("unrecognized compression algorithm: \"{0}\"")]
    UnrecognizedAlgorithm(String),
    /// The algorithm cannot be used in this way.
    #[error("invalid compression specification: {0}")]
    InvalidSpecification(#[from] CompressionDetailError),
}

/// What is wrong with the parameters of a compression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressionDetailError {
    /// Nothing stands where an option is expected.
    #[error("found empty string where a compression option was expected")]
    EmptyOption,
    /// No algorithm has such an option.
    #[error("unrecognized compression option: \"{0}\"")]
    UnrecognizedOption(String),
    /// The option stands without a value.
    #[error("compression option \"{0}\" requires a value")]
    MissingValue(&'static str),
    /// The value is no integer.
    #[error("value for compression option \"{0}\" must be an integer")]
    NotAnInteger(&'static str),
    /// The value is neither yes nor no.
    #[error("value for compression option \"{0}\" must be a Boolean value")]
    NotABoolean(&'static str),
    /// The algorithm has no levels.
    #[error("compression algorithm \"{0}\" does not accept a compression level")]
    NoLevels(&'static str),
    /// The algorithm has other levels.
    #[error(
        "compression algorithm \"{algorithm}\" expects a compression level between {} and {} (default at {default})",
        .range.start(), .range.end()
    )]
    LevelOutOfRange {
        /// Its name.
        algorithm: &'static str,
        /// Its levels.
        range: RangeInclusive<i32>,
        /// The level it has if none is given; may lie outside.
        default: i32,
    },
    /// The algorithm does not work on several threads, in PostgreSQL's view.
    #[error("compression algorithm \"{0}\" does not accept a worker count")]
    NoWorkers(&'static str),
    /// The algorithm has no long-distance mode.
    #[error("compression algorithm \"{0}\" does not support long-distance mode")]
    NoLongDistance(&'static str),
}

impl Compression {
    /// Understands an algorithm's name and what followed it behind a colon: a level, or options separated
    /// by commas, of which the last of each kind counts. `none` gives no compression.
    ///
    /// Integers are read as `strtol` does, but one that does not fit is too large for any level, where the
    /// original takes what is left in its lowest bits.
    ///
    /// # Errors
    /// If the name or an option is not known, or the algorithm does not have the option or level; the
    /// first of several in the order of `parse_compress_specification` and `validate_compress_specification`.
    pub fn parse(algorithm: &str, detail: Option<&str>) -> Result<Option<Self>, CompressionError> {
        let algorithm = Algorithm::parse(algorithm)?;
        let parameters = detail.map_or(Ok(Parameters::default()), Parameters::parse)?;
        parameters.check(algorithm)?;
        Ok(parameters.of(algorithm))
    }

    /// Returns how a format is made when nothing else was asked for.
    pub const fn with_defaults(format: CompressionFormat) -> Self {
        match format {
            CompressionFormat::Gzip => Compression::Gzip { level: None },
            CompressionFormat::Lz4 => Compression::Lz4 { level: None },
            CompressionFormat::Zstd => {
                Compression::Zstd { level: None, workers: None, long_distance: false }
            }
        }
    }

    /// Returns what the compressed bytes are.
    pub const fn format(&self) -> CompressionFormat {
        match self {
            Compression::Gzip { .. } => CompressionFormat::Gzip,
            Compression::Lz4 { .. } => CompressionFormat::Lz4,
            Compression::Zstd { .. } => CompressionFormat::Zstd,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Algorithm {
    None,
    Gzip,
    Lz4,
    Zstd,
}

impl Algorithm {
    fn parse(name: &str) -> Result<Self, CompressionError> {
        let all = [Algorithm::None, Algorithm::Gzip, Algorithm::Lz4, Algorithm::Zstd];
        let found = all.into_iter().find(|algorithm| algorithm.name() == name);
        found.ok_or_else(|| CompressionError::UnrecognizedAlgorithm(name.to_owned()))
    }

    const fn name(self) -> &'static str {
        match self {
            Algorithm::None => "none",
            Algorithm::Gzip => "gzip",
            Algorithm::Lz4 => "lz4",
            Algorithm::Zstd => "zstd",
        }
    }

    /// The levels that may be chosen, and the number that stands for not choosing one.
    const fn levels(self) -> (RangeInclusive<i32>, i32) {
        match self {
            Algorithm::None => (0..=0, 0),
            Algorithm::Gzip => (1..=9, -1),
            Algorithm::Lz4 => (1..=12, 0),
            // ZSTD_minCLevel() to ZSTD_maxCLevel() of libzstd 1.5; it takes 0 as its default, too.
            Algorithm::Zstd => (-(1 << 17)..=22, 3),
        }
    }
}

/// What stands behind the algorithm's name.
#[derive(Clone, Copy, Debug, Default)]
struct Parameters {
    level: Option<i32>,
    workers: Option<i32>,
    long_distance: Option<bool>,
}

impl Parameters {
    fn parse(detail: &str) -> Result<Self, CompressionDetailError> {
        let mut parameters = Parameters::default();
        if let Some(level) = parse_integer(detail) {
            parameters.level = Some(level);
            return Ok(parameters);
        }
        for option in detail.split(',') {
            let (keyword, value) = match option.split_once('=') {
                Some((keyword, value)) => (keyword, Some(value)),
                None => (option, None),
            };
            match keyword {
                "" => return Err(CompressionDetailError::EmptyOption),
                "level" => parameters.level = Some(expect_integer("level", value)?),
                "workers" => parameters.workers = Some(expect_integer("workers", value)?),
                "long" => parameters.long_distance = Some(expect_boolean("long", value)?),
                other => return Err(CompressionDetailError::UnrecognizedOption(other.to_owned())),
            }
        }
        Ok(parameters)
    }

    /// Checks that the algorithm has what was asked for.
    fn check(&self, algorithm: Algorithm) -> Result<(), CompressionDetailError> {
        let name = algorithm.name();
        let (range, default) = algorithm.levels();
        if self.level.is_some_and(|level| !range.contains(&level) && level != default) {
            return Err(match algorithm {
                Algorithm::None => CompressionDetailError::NoLevels(name),
                Algorithm::Gzip | Algorithm::Lz4 | Algorithm::Zstd => {
                    CompressionDetailError::LevelOutOfRange { algorithm: name, range, default }
                }
            });
        }
        match (algorithm, self.workers, self.long_distance) {
            (Algorithm::Zstd, _, _) | (_, None, None) => Ok(()),
            (_, Some(_), _) => Err(CompressionDetailError::NoWorkers(name)),
            (_, None, Some(_)) => Err(CompressionDetailError::NoLongDistance(name)),
        }
    }

    /// Builds the compression from checked parameters.
    fn of(self, algorithm: Algorithm) -> Option<Compression> {
        // A level outside of 1 to 9 or 12 can only be the number of the default.
        let small_level =
            || self.level.and_then(|level| u8::try_from(level).ok()).filter(|&level| level > 0);
        match algorithm {
            Algorithm::None => None,
            Algorithm::Gzip => Some(Compression::Gzip { level: small_level() }),
            Algorithm::Lz4 => Some(Compression::Lz4 { level: small_level() }),
            Algorithm::Zstd => Some(Compression::Zstd {
                level: self.level.filter(|&level| level != 0),
                // libzstd takes a negative count for none, that is, for no thread of its own.
                workers: self.workers.map(|count| u32::try_from(count).unwrap_or_default()),
                long_distance: self.long_distance.unwrap_or_default(),
            }),
        }
    }
}

/// Reads a whole text as `strtol` does: blanks and a sign may come first. Saturates.
fn parse_integer(text: &str) -> Option<i32> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() {
        return None;
    }
    digits.bytes().try_fold(0_i32, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| i32::from(digit - b'0'))?;
        Some(value.saturating_mul(10).saturating_add(sign * digit))
    })
}

fn expect_integer(
    option: &'static str,
    value: Option<&str>,
) -> Result<i32, CompressionDetailError> {
    let value = value.ok_or(CompressionDetailError::MissingValue(option))?;
    parse_integer(value).ok_or(CompressionDetailError::NotAnInteger(option))
}

/// An option without a value means yes.
fn expect_boolean(
    option: &'static str,
    value: Option<&str>,
) -> Result<bool, CompressionDetailError> {
    let Some(value) = value else { return Ok(true) };
    let is_one_of = |words: [&str; 3]| words.iter().any(|word| word.eq_ignore_ascii_case(value));
    match value {
        _ if is_one_of(["yes", "on", "1"]) => Ok(true),
        _ if is_one_of(["no", "off", "0"]) => Ok(false),
        _ => Err(CompressionDetailError::NotABoolean(option)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses what stands behind `-Z`, without a location.
    fn parse(specification: &str) -> Result<Option<Compression>, CompressionError> {
        match specification.split_once(':') {
            Some((algorithm, detail)) => Compression::parse(algorithm, Some(detail)),
            None => Compression::parse(specification, None),
        }
    }

    const fn zstd(level: Option<i32>, workers: Option<u32>, long_distance: bool) -> Compression {
        Compression::Zstd { level, workers, long_distance }
    }

    #[test]
    fn specifications_of_the_original_are_understood() {
        let gzip = |level| Some(Compression::Gzip { level });
        let lz4 = |level| Some(Compression::Lz4 { level });
        let cases = [
            ("none", None),
            ("none:0", None),
            ("none:level=0", None),
            ("gzip", gzip(None)),
            ("gzip:1", gzip(Some(1))),
            ("gzip:+5", gzip(Some(5))),
            ("gzip: \t5", gzip(Some(5))),
            ("gzip:-1", gzip(None)),
            ("gzip:level=9", gzip(Some(9))),
            ("gzip:level= +3", gzip(Some(3))),
            ("gzip:level=2,level=3", gzip(Some(3))),
            ("lz4", lz4(None)),
            ("lz4:0", lz4(None)),
            ("lz4:12", lz4(Some(12))),
            ("zstd", Some(zstd(None, None, false))),
            ("zstd:0", Some(zstd(None, None, false))),
            ("zstd:22", Some(zstd(Some(22), None, false))),
            ("zstd:-131072", Some(zstd(Some(-131_072), None, false))),
            ("zstd:workers=4,level=-1", Some(zstd(Some(-1), Some(4), false))),
            ("zstd:workers=-5", Some(zstd(None, Some(0), false))),
            ("zstd:long", Some(zstd(None, None, true))),
            ("zstd:long=YES", Some(zstd(None, None, true))),
            ("zstd:long=1,long=Off", Some(zstd(None, None, false))),
            ("zstd:level=40,level=2", Some(zstd(Some(2), None, false))),
        ];
        for (specification, expected) in cases {
            assert_eq!(parse(specification), Ok(expected), "{specification}");
        }
    }

    /// The texts are those of `pg_basebackup` 18, as it said them.
    #[test]
    fn wrong_specifications_are_refused_with_the_original_words() {
        let cases = [
            ("gzip:", "found empty string where a compression option was expected"),
            ("none:", "found empty string where a compression option was expected"),
            ("gzip:level=3,", "found empty string where a compression option was expected"),
            ("gzip:,level=3", "found empty string where a compression option was expected"),
            ("gzip:=3", "found empty string where a compression option was expected"),
            ("gzip:5 ", "unrecognized compression option: \"5 \""),
            ("gzip:0x5", "unrecognized compression option: \"0x5\""),
            ("gzip:-", "unrecognized compression option: \"-\""),
            ("gzip: level=3", "unrecognized compression option: \" level\""),
            ("gzip:Level=3", "unrecognized compression option: \"Level\""),
            ("gzip:level=10,foo", "unrecognized compression option: \"foo\""),
            ("none:foo", "unrecognized compression option: \"foo\""),
            ("gzip:level", "compression option \"level\" requires a value"),
            ("gzip:workers", "compression option \"workers\" requires a value"),
            ("gzip:level=", "value for compression option \"level\" must be an integer"),
            ("gzip:level=3 ", "value for compression option \"level\" must be an integer"),
            ("gzip:level=1=2", "value for compression option \"level\" must be an integer"),
            ("zstd:long=true", "value for compression option \"long\" must be a Boolean value"),
            ("zstd:long=", "value for compression option \"long\" must be a Boolean value"),
            (
                "gzip:long=maybe,workers=a",
                "value for compression option \"long\" must be a Boolean value",
            ),
            ("none:1", "compression algorithm \"none\" does not accept a compression level"),
            (
                "gzip:0",
                "compression algorithm \"gzip\" expects a compression level between 1 and 9 (default at -1)",
            ),
            (
                "gzip:level=10,workers=2",
                "compression algorithm \"gzip\" expects a compression level between 1 and 9 (default at -1)",
            ),
            (
                "gzip:4294967302",
                "compression algorithm \"gzip\" expects a compression level between 1 and 9 (default at -1)",
            ),
            (
                "lz4:-1",
                "compression algorithm \"lz4\" expects a compression level between 1 and 12 (default at 0)",
            ),
            (
                "zstd:-131073",
                "compression algorithm \"zstd\" expects a compression level between -131072 and 22 (default at 3)",
            ),
            (
                "gzip:long,workers=2",
                "compression algorithm \"gzip\" does not accept a worker count",
            ),
            ("none:workers=0", "compression algorithm \"none\" does not accept a worker count"),
            ("lz4:long=no", "compression algorithm \"lz4\" does not support long-distance mode"),
        ];
        for (specification, expected) in cases {
            let error = parse(specification).expect_err(specification);
            let expected = format!("invalid compression specification: {expected}");
            assert_eq!(error.to_string(), expected, "{specification}");
        }
    }

    #[test]
    fn algorithms_have_exact_names() {
        for name in ["", "GZIP", "gzip ", "foo"] {
            let error = CompressionError::UnrecognizedAlgorithm(name.to_owned());
            assert_eq!(Compression::parse(name, Some("level=x")), Err(error.clone()));
            let text = format!("unrecognized compression algorithm: \"{name}\"");
            assert_eq!(error.to_string(), text);
        }
    }
}
