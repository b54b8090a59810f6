//! The stages of the streaming path, one by one: frames, tar, digests, compression, WAL records, pages, files,
//! WAL segments.
//!
//! Run one with `cargo bench --bench components -- tar`; compare with a saved state with
//! `--save-baseline NAME` and `--baseline NAME`.

#[path = "../src/walrecord/fixture.rs"]
mod log;

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::create_dir_all;
use std::hint::black_box;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pgsiphon::archive::codec::Decoder;
use pgsiphon::archive::{Member, MemberSink, NewMember, TarParser, padding};
use pgsiphon::page::{PageChecksums, PageReader, PageRules, RelationFile};
use pgsiphon::pg::{ChecksumAlgorithm, Compression, Digester, Lsn, TimelineId, WalSegmentSize};
use pgsiphon::protocol::{Message, poll_frame};
use pgsiphon::storage::{
    DirectIo, Disk, DiskConfig, Extractor, ExtractorConfig, FileSyncs, TarFile, TarOutput,
    ThreadShare,
};
use pgsiphon::wal::{SyncPolicy, WalInput, WalWriter, WalWriterConfig};
use pgsiphon::walrecord::{WalFormat, WalOrigin, WalReader};
use tokio::runtime::Builder;

/// What one read of a socket gives.
const READ_SIZE: usize = 256 << 10;

/// The payload of one CopyData message of a server that compresses nothing.
const PAYLOAD_SIZE: usize = 32 << 10;

/// A read buffer full of CopyData messages.
fn copy_data() -> Bytes {
    let mut stream = BytesMut::new();
    while stream.len() + PAYLOAD_SIZE < READ_SIZE {
        stream.extend_from_slice(b"d");
        stream.extend_from_slice(&(PAYLOAD_SIZE as u32 + 5).to_be_bytes());
        stream.extend_from_slice(b"d");
        stream.extend_from_slice(&[7; PAYLOAD_SIZE]);
    }
    stream.freeze()
}

/// An archive with files of one size.
fn archive(files: usize, file_size: usize) -> Bytes {
    let mut archive = BytesMut::new();
    for index in 0..files {
        let name = format!("base/16384/{index}");
        let size = file_size as u64;
        let member = NewMember { name: &name, mode: 0o600, size, mtime: 0, injected: false };
        archive.extend_from_slice(&member.to_header());
        archive.extend_from_slice(&vec![7; file_size]);
        archive.extend_from_slice(&vec![0; padding(size)]);
    }
    archive.freeze()
}

/// Throws members away.
struct Nowhere;

impl MemberSink for Nowhere {
    type Error = Infallible;

    fn begin(&mut self, member: &Member) -> Result<(), Infallible> {
        black_box(member);
        Ok(())
    }

    fn contents(&mut self, bytes: Bytes) -> Result<(), Infallible> {
        black_box(bytes);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn frames(criterion: &mut Criterion) {
    let stream = copy_data();
    let mut group = criterion.benchmark_group("frames");
    group.throughput(Throughput::Bytes(stream.len() as u64));
    group.bench_function("copy_data_32k", |bencher| {
        bencher.iter_batched_ref(
            || BytesMut::from(&stream[..]),
            |buffer| {
                while let Some(frame) = poll_frame(buffer).expect("well-formed frames") {
                    black_box(Message::decode(frame).expect("CopyData"));
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn tar(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tar");
    for (name, files, size) in [("large_files", 2, 16 << 20), ("small_files", 2_000, 8192)] {
        let archive = archive(files, size);
        group.throughput(Throughput::Bytes(archive.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut parser = TarParser::default();
                let mut rest = archive.clone();
                while !rest.is_empty() {
                    let chunk = rest.split_to(rest.len().min(PAYLOAD_SIZE));
                    parser.handle(chunk, &mut Nowhere).expect("a valid archive");
                }
            });
        });
    }
    group.finish();
}

fn digests(criterion: &mut Criterion) {
    let payload = vec![7; PAYLOAD_SIZE];
    let mut group = criterion.benchmark_group("digests");
    group.throughput(Throughput::Bytes(PAYLOAD_SIZE as u64));
    let algorithms = [
        ChecksumAlgorithm::Crc32c,
        ChecksumAlgorithm::Sha224,
        ChecksumAlgorithm::Sha256,
        ChecksumAlgorithm::Sha384,
        ChecksumAlgorithm::Sha512,
    ];
    for algorithm in algorithms {
        group.bench_function(algorithm.to_string(), |bencher| {
            let mut digester = Digester::new(algorithm);
            bencher.iter(|| digester.update(black_box(&payload)));
        });
    }
    group.finish();
}

/// What is compressed: some blocks for each core.
const CONTENTS_SIZE: usize = 16 << 20;

/// Rows of numbers and short texts, of which a third is as if drawn by lot.
fn rows() -> Vec<u8> {
    let mut state = 1_u32;
    let rows = (0_u32..).flat_map(|id| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mail = format!("user{}@example.org", state >> 12);
        [&id.to_le_bytes()[..], &state.to_le_bytes(), mail.as_bytes(), &[0; 12]].concat()
    });
    rows.take(CONTENTS_SIZE).collect()
}

/// Where compressed bytes go: shared, because an output keeps what it writes to.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic before").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compresses as a tar file is.
fn compress(contents: &[u8], compression: Compression) -> Vec<u8> {
    let compressed = Shared::default();
    let stream = TarOutput::Stream(Box::new(compressed.clone()), "memory".into());
    let output = TarOutput::compressed(stream, compression, ThreadShare::All).expect("threads");
    let mut tar = TarFile::new(output);
    for chunk in contents.chunks(PAYLOAD_SIZE) {
        tar.write(chunk).expect("memory takes everything");
    }
    tar.finish().expect("memory takes everything");
    std::mem::take(&mut *compressed.0.lock().expect("no panic before"))
}

fn decompress(compressed: &[u8], compression: Compression) {
    let mut decoder = Decoder::new(compression.format());
    for chunk in compressed.chunks(PAYLOAD_SIZE) {
        let mut take = |bytes| {
            black_box(bytes);
            Ok::<_, Infallible>(())
        };
        decoder.handle(chunk, &mut take).expect("an undamaged stream");
    }
    decoder.finish::<Infallible>().expect("a whole stream");
}

fn codecs(criterion: &mut Criterion) {
    let contents = rows();
    let zstd = |level, long_distance| Compression::Zstd { level, workers: None, long_distance };
    let compressions = [
        ("gzip_1", Compression::Gzip { level: Some(1) }),
        ("gzip", Compression::Gzip { level: None }),
        ("lz4", Compression::Lz4 { level: None }),
        ("lz4_9", Compression::Lz4 { level: Some(9) }),
        ("zstd_1", zstd(Some(1), false)),
        ("zstd", zstd(None, false)),
        ("zstd_long", zstd(None, true)),
    ];
    let mut group = criterion.benchmark_group("codecs");
    group.throughput(Throughput::Bytes(contents.len() as u64));
    group.sample_size(10);
    for (name, compression) in compressions {
        group.bench_function(format!("compress_{name}"), |bencher| {
            bencher.iter(|| black_box(compress(&contents, compression)));
        });
        let compressed = compress(&contents, compression);
        group.bench_function(format!("decompress_{name}"), |bencher| {
            bencher.iter(|| decompress(&compressed, compression));
        });
    }
    group.finish();
}

/// The most WAL that a server puts into one message.
const WAL_MESSAGE_SIZE: usize = 128 << 10;

/// Several segments of records whose bodies have one size.
fn wal(body_size: usize) -> Vec<u8> {
    let mut log = log::WalBuilder::new();
    let body = rows().split_off(CONTENTS_SIZE - body_size);
    while log.bytes.len() < CONTENTS_SIZE {
        log.record(10, 0, &body);
    }
    log.bytes
}

fn wal_records(criterion: &mut Criterion) {
    let segment_size = WalSegmentSize::from_bytes(log::SEGMENT_SIZE.into()).expect("valid");
    let origin = WalOrigin {
        start: Lsn::new(log::START),
        timeline: TimelineId::FIRST,
        segment_size,
        format: WalFormat::of_page_magic(log::PAGE_MAGIC).expect("a known release"),
        system_identifier: Some(log::SYSTEM_IDENTIFIER),
    };
    let mut group = criterion.benchmark_group("wal_records");
    for (name, body_size) in [("100_bytes", 76), ("page_images", 8192 + 27), ("1_mib", 1 << 20)] {
        let wal = wal(body_size);
        group.throughput(Throughput::Bytes(wal.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut reader = WalReader::new(origin);
                for message in wal.chunks(WAL_MESSAGE_SIZE) {
                    let handled = reader.handle(message, &mut |record| {
                        black_box(record);
                    });
                    handled.expect("sound WAL");
                }
                assert_eq!(reader.proven(), reader.position());
            });
        });
    }
    group.finish();
}

fn pages(criterion: &mut Criterion) {
    let relation = RelationFile::of_path(b"base/5/16384").expect("a relation's name");
    let none = Lsn::new(u64::MAX);
    let rules = PageRules { started_at: none, ended_at: none, checksums: PageChecksums::Present };
    // Their checksums are wrong, which costs nothing more.
    let pages = rows().split_off(CONTENTS_SIZE - READ_SIZE);
    let mut group = criterion.benchmark_group("pages");
    group.throughput(Throughput::Bytes(pages.len() as u64));
    group.bench_function("checksums", |bencher| {
        let mut reader = PageReader::new(relation, rules);
        let mut on_fault = |block, _, _| {
            black_box(block);
        };
        bencher.iter(|| reader.handle(black_box(&pages), &mut on_fault));
    });
    group.finish();
}

/// Archives are extracted into a directory of the system's temporary files, everything synced.
fn files(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("files");
    group.sample_size(10);
    for (name, count, size) in [("large", 2, 64 << 20), ("small", 2_000, 8192)] {
        let archive = archive(count, size);
        group.throughput(Throughput::Bytes(archive.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || tempfile::tempdir().expect("a directory"),
                |root| extract(archive.clone(), root.path()),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn extract(mut archive: Bytes, root: &Path) {
    create_dir_all(root.join("base/16384")).expect("directories");
    let disk = Disk::start(DiskConfig { syncs: FileSyncs::All, direct_io: DirectIo::Auto })
        .expect("threads");
    let config = ExtractorConfig {
        root: root.to_owned(),
        wal_directory: None,
        tablespace_links: HashMap::new(),
    };
    let mut extractor = Extractor::new(config, disk.handle());
    let mut parser = TarParser::default();
    while !archive.is_empty() {
        let chunk = archive.split_to(archive.len().min(PAYLOAD_SIZE));
        parser.handle(chunk, &mut extractor).expect("a valid archive");
    }
    drop(extractor);
    disk.finish().expect("a disk that takes everything");
}

/// WAL is written in segments, proved and synced.
fn segments(criterion: &mut Criterion) {
    let wal = Bytes::from(wal(8192 + 27));
    let mut group = criterion.benchmark_group("segments");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(wal.len() as u64));
    for (name, compression) in [("plain", None), ("lz4", Some(Compression::Lz4 { level: None }))] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || tempfile::tempdir().expect("a directory"),
                |directory| write_segments(&wal, directory.path(), compression),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn write_segments(wal: &Bytes, directory: &Path, compression: Option<Compression>) {
    let config = WalWriterConfig {
        directory: directory.to_owned(),
        file_mode: 0o600,
        direct_io: DirectIo::Auto,
        sync: SyncPolicy::Segments,
        compression,
        timeline: TimelineId::FIRST,
        segment_size: WalSegmentSize::from_bytes(log::SEGMENT_SIZE.into()).expect("valid"),
        start: Lsn::new(log::START),
        format: WalFormat::of_page_magic(log::PAGE_MAGIC),
        system_identifier: Some(log::SYSTEM_IDENTIFIER),
        sync_times: None,
    };
    let on_record = Box::new(|record: &_| {
        black_box(record);
    });
    let (inbox, writer) = WalWriter::start(config, on_record, None).expect("a thread");
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut start = Lsn::new(log::START);
        for offset in (0..wal.len()).step_by(WAL_MESSAGE_SIZE) {
            let bytes = wal.slice(offset..wal.len().min(offset + WAL_MESSAGE_SIZE));
            let next = Lsn::new(start.offset() + bytes.len() as u64);
            inbox.room().await.expect("a writer");
            inbox.push(vec![WalInput::Data { start, bytes, is_latest: false }], 0);
            start = next;
        }
        drop(inbox);
        writer.finish().await.expect("a disk that takes everything");
    });
}

criterion_group!(benches, frames, tar, digests, codecs, wal_records, pages, files, segments);
criterion_main!(benches);
