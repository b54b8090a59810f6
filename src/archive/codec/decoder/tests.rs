use std::convert::Infallible;

use proptest::prelude::*;

use super::super::{BLOCK_SIZE, Block, BlockEncoder, BlockFormat, BlockFraming};
use super::*;

const FORMATS: [CompressionFormat; 3] =
    [CompressionFormat::Gzip, CompressionFormat::Lz4, CompressionFormat::Zstd];

/// Something that compresses, but not to nothing.
fn contents(size: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        format!("{:x} user{}@example.org ", state >> 8, state >> 24)
    });
    words.flat_map(String::into_bytes).take(size).collect()
}

/// Compresses in blocks, on this thread.
fn in_blocks(format: BlockFormat, contents: &[u8]) -> Vec<u8> {
    let mut encoder = BlockEncoder::new(format);
    let mut framing = BlockFraming::new(format);
    let mut compressed = framing.header().to_vec();
    let (mut block, mut next) = (Block::default(), Block::default());
    let mut rest = contents;
    loop {
        let taken = block.fill(rest);
        rest = &rest[taken..];
        if rest.is_empty() {
            block.set_last();
        }
        encoder.encode(&mut block).unwrap();
        compressed.extend_from_slice(block.compressed());
        framing.add(&block);
        if rest.is_empty() {
            compressed.extend_from_slice(&framing.trailer());
            return compressed;
        }
        next.follow(&block);
        std::mem::swap(&mut block, &mut next);
    }
}

/// Compresses with what is usual for the format.
fn compress(format: CompressionFormat, contents: &[u8]) -> Vec<u8> {
    match format {
        CompressionFormat::Gzip => in_blocks(BlockFormat::Gzip { level: None }, contents),
        CompressionFormat::Lz4 => in_blocks(BlockFormat::Lz4 { level: None }, contents),
        CompressionFormat::Zstd => ::zstd::bulk::compress(contents, 3).unwrap(),
    }
}

/// Decompresses in chunks of one size.
fn decompress(
    format: CompressionFormat,
    compressed: &[u8],
    chunk_size: usize,
) -> Result<Vec<u8>, DecodeError<Infallible>> {
    let mut decoder = Decoder::new(format);
    let mut contents = Vec::new();
    for chunk in compressed.chunks(chunk_size) {
        decoder.handle(chunk, &mut |bytes| {
            assert!(!bytes.is_empty() && bytes.len() <= OUTPUT_SIZE);
            contents.extend_from_slice(&bytes);
            Ok(())
        })?;
    }
    decoder.finish()?;
    Ok(contents)
}

/// Decompresses all at once.
fn decompress_whole(
    format: CompressionFormat,
    compressed: &[u8],
) -> Result<Vec<u8>, DecodeError<Infallible>> {
    decompress(format, compressed, usize::MAX)
}

/// "hello\n", as the usual tools compress it: with every field that a header may have, and without.
const SMALL_STREAMS: [(CompressionFormat, &[u8]); 6] = [
    // gzip -N: with name and time.
    (
        CompressionFormat::Gzip,
        b"\x1f\x8b\x08\x08\x15\xcd\x5b\x07\x00\x03h\x00\xcb\x48\xcd\xc9\xc9\xe7\x02\x00\
          \x20\x30\x3a\x36\x06\x00\x00\x00",
    ),
    // zlib at level 0: a stored block.
    (
        CompressionFormat::Gzip,
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\x03\x01\x06\x00\xf9\xffhello\n\
          \x20\x30\x3a\x36\x06\x00\x00\x00",
    ),
    // lz4 --no-frame-crc
    (
        CompressionFormat::Lz4,
        b"\x04\x22\x4d\x18\x60\x40\x82\x06\x00\x00\x80hello\n\x00\x00\x00\x00",
    ),
    // lz4 --content-size -BX -BD: block and content checksums, linked blocks.
    (
        CompressionFormat::Lz4,
        b"\x04\x22\x4d\x18\x7c\x40\x06\x00\x00\x00\x00\x00\x00\x00\x79\x06\x00\x00\x80hello\n\
          \xf9\x5b\x6b\x94\x00\x00\x00\x00\xf9\x5b\x6b\x94",
    ),
    // zstd --no-check, from a pipe
    (CompressionFormat::Zstd, b"\x28\xb5\x2f\xfd\x00\x58\x31\x00\x00hello\n"),
    // zstd: with checksum and size.
    (CompressionFormat::Zstd, b"\x28\xb5\x2f\xfd\x24\x06\x31\x00\x00hello\n\x53\x88\xbd\x91"),
];

#[test]
fn streams_of_the_usual_tools_are_read() {
    for (format, compressed) in SMALL_STREAMS {
        let contents = decompress_whole(format, compressed);
        assert_eq!(contents.as_deref(), Ok(&b"hello\n"[..]), "{format:?} {compressed:x?}");
    }
}

#[test]
fn any_split_of_the_stream_gives_the_same_contents() {
    let contents = contents(400_000);
    for format in FORMATS {
        let compressed = compress(format, &contents);
        for chunk_size in [1, 2, 3, 7, 511, 8192, compressed.len()] {
            let seen = decompress(format, &compressed, chunk_size).unwrap();
            assert!(seen == contents, "{format:?} in chunks of {chunk_size}");
        }
    }
}

#[test]
fn members_and_frames_after_one_another_are_one_stream() {
    for (format, compressed) in SMALL_STREAMS {
        for chunk_size in [1, 5, compressed.len(), usize::MAX] {
            let seen = decompress(format, &compressed.repeat(3), chunk_size);
            assert_eq!(seen.as_deref(), Ok(&b"hello\nhello\nhello\n"[..]), "{format:?}");
        }
    }
}

#[test]
fn blocks_are_one_stream_at_every_level_and_size() {
    let contents = contents(2 * BLOCK_SIZE + 12_345);
    let gzip = (1..=9).map(|level| BlockFormat::Gzip { level: Some(level) });
    let lz4 = (1..=12).map(|level| BlockFormat::Lz4 { level: Some(level) });
    for block_format in gzip.chain(lz4) {
        let format = match block_format {
            BlockFormat::Gzip { .. } => CompressionFormat::Gzip,
            BlockFormat::Lz4 { .. } => CompressionFormat::Lz4,
        };
        let whole = contents.len();
        for size in [0, 1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, whole] {
            // The slow levels differ only in how hard they search.
            if size < whole
                && !matches!(
                    block_format,
                    BlockFormat::Gzip { level: Some(1 | 6) }
                        | BlockFormat::Lz4 { level: Some(1 | 3) }
                )
            {
                continue;
            }
            let compressed = in_blocks(block_format, &contents[..size]);
            assert!(compressed.len() < size / 2 + 64, "{block_format:?}: {}", compressed.len());
            let seen = decompress_whole(format, &compressed).unwrap();
            assert!(seen == contents[..size], "{block_format:?} {size}");
        }
    }
}

#[test]
fn blocks_that_do_not_compress_come_through() {
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(BLOCK_SIZE + 1000)
    .collect();
    for format in FORMATS {
        let compressed = compress(format, &noise);
        assert!(compressed.len() < noise.len() + noise.len() / 500, "{}", compressed.len());
        assert!(decompress_whole(format, &compressed).unwrap() == noise, "{format:?}");
    }
}

/// The bytes of gzip are one member: `pg_verifybackup` 18 does not get past the end of a first one.
#[test]
fn gzip_blocks_are_one_member() {
    let contents = contents(BLOCK_SIZE + 1000);
    let compressed = in_blocks(BlockFormat::Gzip { level: None }, &contents);
    let mut inflate = flate2::Decompress::new_gzip(15);
    let mut seen = Vec::with_capacity(2 * contents.len());
    let status = inflate.decompress_vec(&compressed, &mut seen, flate2::FlushDecompress::None);
    assert_eq!(status.unwrap(), flate2::Status::StreamEnd);
    assert_eq!(inflate.total_in(), compressed.len() as u64);
    assert!(seen == contents);
}

#[test]
fn a_stream_that_ends_early_is_refused_wherever_it_ends() {
    for (format, compressed) in SMALL_STREAMS {
        for size in 0..compressed.len() {
            let outcome = decompress_whole(format, &compressed[..size]);
            assert_eq!(outcome, Err(DecodeError::Truncated), "{format:?} after {size} bytes");
        }
    }
    let contents = contents(400_000);
    for format in FORMATS {
        let compressed = compress(format, &contents);
        for size in (0..compressed.len()).step_by(997) {
            let outcome = decompress(format, &compressed[..size], 8192);
            assert_eq!(outcome, Err(DecodeError::Truncated), "{format:?} after {size} bytes");
        }
    }
}

#[test]
fn what_follows_the_end_must_be_another_member_or_frame() {
    for (format, compressed) in SMALL_STREAMS {
        for garbage in [&b"garbage"[..], &[0; 512]] {
            let outcome = decompress_whole(format, &[compressed, garbage].concat());
            assert!(matches!(outcome, Err(DecodeError::Corrupt(_))), "{format:?}: {outcome:?}");
        }
        let outcome = decompress_whole(format, &[compressed, &compressed[..2]].concat());
        assert_eq!(outcome, Err(DecodeError::Truncated), "{format:?}");
    }
}

#[test]
fn damage_is_told_in_the_words_of_the_original() {
    let told =
        |format, compressed: &[u8]| decompress_whole(format, compressed).unwrap_err().to_string();
    assert_eq!(
        told(CompressionFormat::Gzip, b"no gzip at all"),
        "could not decompress data: incorrect header check"
    );
    assert_eq!(
        told(CompressionFormat::Lz4, b"no LZ4 at all"),
        "could not decompress data: ERROR_frameType_unknown"
    );
    assert_eq!(
        told(CompressionFormat::Zstd, b"no Zstandard at all"),
        "could not decompress data: Unknown frame descriptor"
    );
    assert_eq!(
        told(CompressionFormat::Zstd, b""),
        "could not decompress data: unexpected end of compressed data"
    );
}

#[test]
fn a_changed_byte_of_checked_contents_is_found() {
    let contents = contents(100_000);
    for format in [CompressionFormat::Gzip, CompressionFormat::Lz4] {
        let mut compressed = compress(format, &contents);
        let middle = compressed.len() / 2;
        compressed[middle] ^= 1;
        let outcome = decompress_whole(format, &compressed);
        assert!(matches!(outcome, Err(DecodeError::Corrupt(_))), "{format:?}");
    }
}

#[test]
fn windows_of_long_mode_are_accepted_and_larger_ones_are_refused() {
    use ::zstd::stream::raw::CParameter;
    const WINDOW_LOG_OF_LONG: u32 = 27;
    let contents = contents(100_000);
    for (window_log, is_accepted) in [(WINDOW_LOG_OF_LONG, true), (WINDOW_LOG_OF_LONG + 1, false)] {
        let mut encoder = ::zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.set_parameter(CParameter::WindowLog(window_log)).unwrap();
        encoder.long_distance_matching(true).unwrap();
        std::io::Write::write_all(&mut encoder, &contents).unwrap();
        let compressed = encoder.finish().unwrap();
        let outcome = decompress_whole(CompressionFormat::Zstd, &compressed);
        assert_eq!(outcome.is_ok(), is_accepted, "windowLog {window_log}");
    }
}

#[test]
fn zeros_without_end_are_given_in_pieces() {
    const SIZE: usize = 16 << 20;
    for format in FORMATS {
        let compressed = compress(format, &vec![0; SIZE]);
        assert!(compressed.len() < SIZE / 200, "{format:?}: {}", compressed.len());
        let mut decoder = Decoder::new(format);
        let mut seen = 0;
        let mut count = |bytes: Bytes| {
            assert!(bytes.len() <= OUTPUT_SIZE);
            seen += bytes.len();
            Ok::<_, Infallible>(())
        };
        decoder.handle(&compressed, &mut count).unwrap();
        decoder.finish::<Infallible>().unwrap();
        assert_eq!(seen, SIZE, "{format:?}");
    }
}

#[test]
fn a_failing_sink_ends_it() {
    for (format, compressed) in SMALL_STREAMS {
        let mut decoder = Decoder::new(format);
        let outcome = decoder.handle(compressed, &mut |_| Err("disk full"));
        assert_eq!(outcome, Err(DecodeError::Sink("disk full")));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_neither_panic_nor_hang(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        with_magic in any::<bool>(),
        chunk_size in 1_usize..50,
    ) {
        for (format, compressed) in SMALL_STREAMS {
            let start = if with_magic { &compressed[..4] } else { &[] };
            let _ = decompress(format, &[start, &bytes].concat(), chunk_size);
        }
    }

    #[test]
    fn corrupted_streams_neither_panic_nor_hang(
        at in any::<prop::sample::Index>(),
        flipped in 1_u8..,
        chunk_size in 1_usize..5000,
    ) {
        let contents = contents(20_000);
        for format in FORMATS {
            let mut compressed = compress(format, &contents);
            let at = at.index(compressed.len());
            compressed[at] ^= flipped;
            let _ = decompress(format, &compressed, chunk_size);
        }
    }
}
