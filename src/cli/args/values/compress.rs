//! `-Z`: which compression, where. What it means is looked at when it is known who compresses.

use std::ffi::OsString;

use super::number::leading_integer;
use super::{ValueError, text};

/// What `-Z` or `-z` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompressWish {
    /// Who compresses; `None` if the user does not say.
    pub side: Option<Side>,
    /// What stands in the place of the algorithm's name.
    pub algorithm: String,
    /// What stands behind the colon.
    pub detail: Option<String>,
}

/// One end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Ours.
    Client,
    /// The server.
    Server,
}

impl CompressWish {
    /// Returns what `-z` asks for.
    pub fn gzip() -> Self {
        CompressWish { side: None, algorithm: "gzip".to_owned(), detail: None }
    }

    /// Returns what is done if the user asks for nothing.
    pub fn none() -> Self {
        CompressWish { side: None, algorithm: "none".to_owned(), detail: None }
    }
}

/// Reads the value of `-Z` of a base backup (`backup_parse_compress_options`).
pub fn compress(value: OsString) -> Result<CompressWish, ValueError> {
    let value = text(value)?;
    let (side, specification) = match (value.strip_prefix("server-"), value.strip_prefix("client-"))
    {
        (Some(rest), _) => (Some(Side::Server), rest),
        (None, Some(rest)) => (Some(Side::Client), rest),
        (None, None) => (None, value.as_str()),
    };
    Ok(wish(side, specification))
}

/// Reads the value of `-Z` where nobody else could compress.
pub fn compress_here(value: OsString) -> Result<CompressWish, ValueError> {
    Ok(wish(Some(Side::Client), &text(value)?))
}

/// Splits a specification (`parse_compress_options`). An integer alone is a level of gzip; 0, and also
/// nothing at all, means no compression.
fn wish(side: Option<Side>, specification: &str) -> CompressWish {
    let (algorithm, detail) = match leading_integer(specification.as_bytes()) {
        (0, []) => ("none", None),
        (_, []) => ("gzip", Some(specification)),
        _ => match specification.split_once(':') {
            Some((algorithm, detail)) => (algorithm, Some(detail)),
            None => (specification, None),
        },
    };
    CompressWish { side, algorithm: algorithm.to_owned(), detail: detail.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifications_split_into_side_algorithm_and_detail() {
        let table = [
            ("", None, "none", None),
            ("0", None, "none", None),
            ("-0", None, "none", None),
            ("server-", Some(Side::Server), "none", None),
            ("5", None, "gzip", Some("5")),
            (" +5", None, "gzip", Some(" +5")),
            (
                "server-99999999999999999999",
                Some(Side::Server),
                "gzip",
                Some("99999999999999999999"),
            ),
            (" ", None, " ", None),
            ("5 ", None, "5 ", None),
            ("client-lz4", Some(Side::Client), "lz4", None),
            ("server-zstd:level=3:4", Some(Side::Server), "zstd", Some("level=3:4")),
            ("server-client-gzip:", Some(Side::Server), "client-gzip", Some("")),
            ("Server-x", None, "Server-x", None),
        ];
        for (value, side, algorithm, detail) in table {
            let detail = detail.map(str::to_owned);
            let wish = CompressWish { side, algorithm: algorithm.to_owned(), detail };
            assert_eq!(compress(value.into()), Ok(wish), "{value:?}");
        }
    }

    #[test]
    fn where_nobody_else_could_compress_a_side_is_part_of_the_algorithm() {
        for (value, algorithm) in
            [("server-gzip", "server-gzip"), ("client-", "client-"), ("1", "gzip")]
        {
            let wish = compress_here(value.into()).unwrap();
            assert_eq!((wish.side, wish.algorithm.as_str()), (Some(Side::Client), algorithm));
        }
    }
}
