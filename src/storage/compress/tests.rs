use std::sync::Arc;

use super::pool::Pool;
use super::*;
use crate::archive::codec::{BLOCK_SIZE, Decoder};

/// Every way to compress, at levels that are fast.
fn compressions() -> Vec<Compression> {
    let zstd =
        |workers, long_distance| Compression::Zstd { level: Some(1), workers, long_distance };
    vec![
        Compression::Gzip { level: Some(1) },
        Compression::Gzip { level: None },
        Compression::Lz4 { level: None },
        Compression::Lz4 { level: Some(3) },
        Compression::Zstd { level: None, workers: None, long_distance: false },
        Compression::Zstd { level: Some(-5), workers: None, long_distance: false },
        zstd(None, false),
        zstd(Some(0), false),
        zstd(Some(1), false),
        zstd(Some(3), false),
        zstd(Some(100_000), false),
        zstd(None, true),
        zstd(Some(0), true),
    ]
}

/// Numbered lines, so that no two blocks are alike.
fn contents(size: usize) -> Vec<u8> {
    (0_u64..)
        .flat_map(|number| format!("{number:x} is a number\n").into_bytes())
        .take(size)
        .collect()
}

fn compress(compression: Compression, contents: &[u8], chunk_size: usize) -> Vec<u8> {
    let mut compressed = Vec::new();
    let mut take = |bytes: &[u8]| {
        compressed.extend_from_slice(bytes);
        Ok(())
    };
    let mut compressor =
        Compressor::new(compression, ThreadShare::All, Path::new("base.tar")).unwrap();
    for chunk in contents.chunks(chunk_size) {
        compressor.write(chunk, &mut take).unwrap();
    }
    compressor.finish(&mut take).unwrap();
    compressed
}

fn decompress(compression: Compression, compressed: &[u8]) -> Vec<u8> {
    let mut contents = Vec::new();
    let mut decoder = Decoder::new(compression.format());
    decoder
        .handle::<StorageError>(compressed, &mut |bytes| {
            contents.extend_from_slice(&bytes);
            Ok(())
        })
        .unwrap();
    decoder.finish::<StorageError>().unwrap();
    contents
}

fn no_space() -> StorageError {
    StorageError::new("write to file", "base.tar", io::ErrorKind::StorageFull)
}

#[test]
fn what_was_compressed_comes_back_in_order() {
    let contents = contents(5 * BLOCK_SIZE + 4321);
    for compression in compressions() {
        let compressed = compress(compression, &contents, 32 << 10);
        assert!(compressed.len() < contents.len() / 2, "{compression:?}: {}", compressed.len());
        assert!(decompress(compression, &compressed) == contents, "{compression:?}");
    }
}

#[test]
fn what_was_flushed_can_be_read_before_the_stream_ends() {
    let contents = contents(3 * BLOCK_SIZE / 2);
    for compression in compressions() {
        let (mut compressed, mut decoder) = (Vec::new(), Decoder::new(compression.format()));
        let mut compressor =
            Compressor::new(compression, ThreadShare::All, Path::new("segment")).unwrap();
        let mut readable = 0;
        for (written, chunk) in contents.chunks(50_000).enumerate() {
            let mut take = |bytes: &[u8]| {
                compressed.extend_from_slice(bytes);
                Ok(())
            };
            compressor.write(chunk, &mut take).unwrap();
            compressor.flush(&mut take).unwrap();
            let mut count = |bytes: bytes::Bytes| {
                readable += bytes.len();
                Ok::<_, StorageError>(())
            };
            decoder.handle(&std::mem::take(&mut compressed), &mut count).unwrap();
            assert_eq!(readable, written * 50_000 + chunk.len(), "{compression:?}");
        }
    }
}

#[test]
fn small_files_and_odd_chunks_come_back() {
    for compression in compressions() {
        for (size, chunk_size) in
            [(0, 1), (1, 1), (1000, 7), (BLOCK_SIZE, BLOCK_SIZE), (3 * BLOCK_SIZE, 999_983)]
        {
            let contents = contents(size);
            let compressed = compress(compression, &contents, chunk_size);
            assert!(decompress(compression, &compressed) == contents, "{compression:?} {size}");
        }
    }
}

#[test]
fn the_output_depends_neither_on_threads_nor_on_chunks() {
    let contents = contents(4 * BLOCK_SIZE);
    for compression in [Compression::Gzip { level: None }, Compression::Lz4 { level: None }] {
        let first = compress(compression, &contents, 512);
        assert!(first == compress(compression, &contents, 100_000), "{compression:?}");
    }
}

#[test]
fn a_failing_output_is_told() {
    let contents = contents(4 * BLOCK_SIZE);
    for compression in compressions() {
        let mut compressor =
            Compressor::new(compression, ThreadShare::All, Path::new("base.tar")).unwrap();
        let mut fail = |bytes: &[u8]| if bytes.is_empty() { Ok(()) } else { Err(no_space()) };
        let outcome =
            compressor.write(&contents, &mut fail).and_then(|()| compressor.finish(&mut fail));
        let error = outcome.expect_err("no space").to_string();
        assert_eq!(error, no_space().to_string(), "{compression:?}");
    }
}

#[test]
fn a_compression_that_was_given_up_leaves_no_thread() {
    // Each thread has a share of it until it ends.
    let share = Arc::new(());
    let mut pool = Pool::start("given-up", 3, || {
        let share = Arc::clone(&share);
        move |input: u32| {
            let _share = &share;
            input
        }
    })
    .unwrap();
    (0..20).for_each(|input| pool.submit(input));
    assert_eq!(pool.next(), Some(0));
    drop(pool);
    assert_eq!(Arc::strong_count(&share), 1);
}

#[test]
fn an_abandoned_compressor_of_each_kind_can_be_dropped() {
    let contents = contents(3 * BLOCK_SIZE);
    for compression in compressions() {
        let mut compressor =
            Compressor::new(compression, ThreadShare::All, Path::new("base.tar")).unwrap();
        compressor.write(&contents, &mut |_| Ok(())).unwrap();
    }
}

#[test]
fn results_come_in_the_order_of_the_pieces() {
    let mut pool = Pool::start("order", 4, || {
        |input: u64| {
            // The first of each four takes longest.
            std::thread::sleep(std::time::Duration::from_micros(300 * (3 - input % 4)));
            input
        }
    })
    .unwrap();
    (0..40).for_each(|input| pool.submit(input));
    assert_eq!(pool.in_flight(), 40);
    let results: Vec<u64> = std::iter::from_fn(|| pool.next()).collect();
    assert!(results.into_iter().eq(0..40));
    assert_eq!(pool.try_next(), None);
}

#[test]
#[should_panic(expected = "a broken worker")]
fn a_panic_of_a_thread_is_one_of_the_owner() {
    let work = || |_: u32| -> u32 { panic!("a broken worker") };
    let mut pool = Pool::start("panic", 1, work).unwrap();
    pool.submit(1);
    pool.next();
}
