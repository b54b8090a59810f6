use std::convert::Infallible;
use std::io::Write as _;

use lzzzz::lz4f::{
    BlockChecksum, BlockMode, Error, WriteCompressor, compress_to_vec, decompress_to_vec,
};
use proptest::prelude::*;

use super::super::decoder::{DecodeError, Decoder};
use super::*;
use crate::pg::CompressionFormat;

/// Decompresses in chunks of one size; gives what came out even if it failed.
fn decompress(compressed: &[u8], chunk_size: usize) -> (Vec<u8>, Result<(), String>) {
    let mut decoder = Decoder::new(CompressionFormat::Lz4);
    let mut contents = Vec::new();
    let mut sink = |bytes: bytes::Bytes| {
        contents.extend_from_slice(&bytes);
        Ok::<_, Infallible>(())
    };
    let handled =
        compressed.chunks(chunk_size).try_for_each(|chunk| decoder.handle(chunk, &mut sink));
    let outcome = match handled.and_then(|()| decoder.finish()) {
        Err(DecodeError::Corrupt(reason)) => Err(reason),
        outcome => outcome.map_err(|error| error.to_string()),
    };
    (contents, outcome)
}

/// Noise that comes again and again at that distance.
fn repetitions(distance: usize, size: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    noise.take(distance).collect::<Vec<_>>().into_iter().cycle().take(size).collect()
}

/// Just within the reach of matches, so that many of them refer to the block before.
const DISTANCE: usize = 60_000;

/// Every kind of frame with blocks of at most that size.
fn kinds_of_frames(block_size: BlockSize) -> Vec<Preferences> {
    let mut kinds = Vec::new();
    for mode in [BlockMode::Linked, BlockMode::Independent] {
        for block_checksum in [BlockChecksum::Disabled, BlockChecksum::Enabled] {
            for checksum in [ContentChecksum::Disabled, ContentChecksum::Enabled] {
                kinds.push(
                    PreferencesBuilder::new()
                        .block_size(block_size)
                        .block_mode(mode)
                        .block_checksum(block_checksum)
                        .content_checksum(checksum)
                        .build(),
                );
            }
        }
    }
    kinds
}

fn frame(contents: &[u8], preferences: &Preferences) -> Vec<u8> {
    let mut frame = Vec::new();
    compress_to_vec(contents, &mut frame, preferences).unwrap();
    frame
}

/// `lz4 --content-size -BX -BD` of "hello\n": a frame with all fields but a dictionary.
const FRAME: [u8; 37] = *b"\x04\x22\x4d\x18\x7c\x40\x06\x00\x00\x00\x00\x00\x00\x00\x79\
    \x06\x00\x00\x80hello\n\xf9\x5b\x6b\x94\x00\x00\x00\x00\xf9\x5b\x6b\x94";

/// Where its block begins, and where what follows it.
const BLOCK: std::ops::Range<usize> = 15..29;

#[test]
fn frames_of_all_kinds_are_read() {
    use BlockSize::{Max1MB, Max4MB, Max64KB, Max256KB};
    let contents = repetitions(DISTANCE, 9_000_000);
    for (block_size, size) in
        [(Max64KB, 700_000), (Max256KB, 1_100_000), (Max1MB, 2_500_000), (Max4MB, 9_000_000)]
    {
        for kind in kinds_of_frames(block_size) {
            let compressed = frame(&contents[..size], &kind);
            for chunk_size in [10_007, usize::MAX] {
                let (seen, outcome) = decompress(&compressed, chunk_size);
                assert_eq!(outcome, Ok(()), "{kind:?}");
                assert!(seen == contents[..size], "{kind:?}");
            }
        }
    }
}

#[test]
fn linked_blocks_of_any_size_find_what_they_refer_to() {
    for (size, distance) in [(1000, 3001), (65_535, DISTANCE), (65_536, DISTANCE)] {
        let contents = repetitions(distance, 500_000);
        let preferences = PreferencesBuilder::new().compression_level(3).build();
        let mut compressor = WriteCompressor::new(Vec::new(), preferences).unwrap();
        for piece in contents.chunks(size) {
            compressor.write_all(piece).unwrap();
            // Ends a block.
            compressor.flush().unwrap();
        }
        let compressed = compressor.into_inner();
        assert!(compressed.len() < contents.len() / 4, "{size}: {}", compressed.len());
        let (seen, outcome) = decompress(&compressed, usize::MAX);
        assert_eq!(outcome, Ok(()), "{size}");
        assert!(seen == contents, "{size}");
    }
}

#[test]
fn frames_after_one_another_may_be_of_different_kinds() {
    let contents = repetitions(DISTANCE, 200_000);
    let frames = [BlockSize::Max64KB, BlockSize::Max4MB, BlockSize::Max256KB]
        .into_iter()
        .flat_map(kinds_of_frames)
        .map(|kind| frame(&contents, &kind));
    let frames: Vec<_> = frames.collect();
    let (seen, outcome) = decompress(&frames.concat(), 50_021);
    assert_eq!(outcome, Ok(()));
    assert!(seen == contents.repeat(frames.len()));
}

/// liblz4 takes only a size of 0 without the bit for the end.
#[test]
fn a_stored_block_may_be_empty() {
    let [header, rest] = [&FRAME[..BLOCK.start], &FRAME[BLOCK.start..]];
    let empty_with_checksum = b"\x00\x00\x00\x80\x05\x5d\xcc\x02";
    let outcome = decompress(&[header, empty_with_checksum, rest].concat(), 1);
    assert_eq!(outcome, (b"hello\n".to_vec(), Ok(())));
}

#[test]
fn damage_of_each_field_is_told() {
    type Damage = (usize, u8, &'static str);
    const DAMAGES: [Damage; 14] = [
        (0, 0x05, "ERROR_frameType_unknown"),
        (3, 0x19, "ERROR_frameType_unknown"),
        (4, 0x3c, "ERROR_headerVersion_wrong"),
        (4, 0xbc, "ERROR_headerVersion_wrong"),
        (4, 0x7e, "ERROR_reservedFlag_set"),
        (5, 0xc0, "ERROR_reservedFlag_set"),
        (5, 0x41, "ERROR_reservedFlag_set"),
        (5, 0x30, "ERROR_maxBlockSize_invalid"),
        (6, 0x07, "ERROR_headerChecksum_invalid"),
        (14, 0x78, "ERROR_headerChecksum_invalid"),
        // A block of more than 64 KiB; one that claims to be compressed.
        (17, 0x02, "ERROR_maxBlockSize_invalid"),
        (18, 0x00, "ERROR_decompressionFailed"),
        (19, b'H', "ERROR_blockChecksum_invalid"),
        (36, 0x95, "ERROR_contentChecksum_invalid"),
    ];
    for (at, byte, reason) in DAMAGES {
        let mut damaged = FRAME;
        damaged[at] = byte;
        for chunk_size in [1, FRAME.len()] {
            let (_, outcome) = decompress(&damaged, chunk_size);
            assert_eq!(outcome, Err(reason.to_owned()), "{byte:#x} at {at}");
        }
    }
    let [before, block, after] = [&FRAME[..BLOCK.start], &FRAME[BLOCK], &FRAME[BLOCK.end..]];
    for blocks in [vec![], block.repeat(2)] {
        let (_, outcome) = decompress(&[before, &blocks, after].concat(), FRAME.len());
        assert_eq!(outcome, Err("ERROR_frameSize_wrong".to_owned()));
    }
}

/// What liblz4 makes of the first frame.
fn by_liblz4(compressed: &[u8]) -> Result<Vec<u8>, Error> {
    let mut contents = Vec::new();
    decompress_to_vec(compressed, &mut contents).map(|_| contents)
}

proptest! {
    #[test]
    fn damage_is_judged_as_by_liblz4(
        kind in prop::sample::select(kinds_of_frames(BlockSize::Max64KB)),
        at in any::<prop::sample::Index>(),
        in_header in any::<bool>(),
        flipped in 1_u8..,
        chunk_size in 1_usize..100_000,
    ) {
        let mut compressed = frame(&repetitions(DISTANCE, 150_000), &kind);
        let at = at.index(if in_header { 12 } else { compressed.len() });
        compressed[at] ^= flipped;
        let (seen, outcome) = decompress(&compressed, chunk_size);
        let told = |reason: String| reason.replace("ERROR_", "").replace('_', "").to_lowercase();
        let outcome = outcome.map_err(told);
        match by_liblz4(&compressed) {
            // The first frame may have become shorter.
            Ok(contents) if outcome.is_err() => {
                prop_assert_eq!(outcome, Err("frametypeunknown".to_owned()));
                prop_assert!(seen == contents);
            }
            Ok(contents) => prop_assert!(seen == contents),
            Err(Error::Lz4f(kind)) => prop_assert_eq!(outcome, Err(kind.to_string().to_lowercase())),
            Err(Error::Common(_)) => {
                let truncated = "could not decompress data: unexpected end of compressed data";
                prop_assert_eq!(outcome, Err(truncated.to_owned()));
            }
        }
    }
}
