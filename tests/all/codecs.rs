//! The ordinary tools read what is compressed here, and it is read here what they compress.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::Path;
use std::process::{Command, Stdio};

use pgsiphon::archive::NewMember;
use pgsiphon::archive::codec::{DecodeError, Decoder};
use pgsiphon::pg::{Compression, CompressionFormat};
use pgsiphon::storage::{TarFile, TarOutput, ThreadShare};

use crate::support::scratch::Scratch;
use crate::support::skip;

/// A few blocks and a rest.
const CONTENTS_SIZE: usize = 3_500_000;

fn contents() -> Vec<u8> {
    let lines = (0_u64..).flat_map(|number| format!("{number:x} is a number\n").into_bytes());
    lines.take(CONTENTS_SIZE).collect()
}

fn compression(specification: &str) -> Compression {
    let (algorithm, detail) = match specification.split_once(':') {
        Some((algorithm, detail)) => (algorithm, Some(detail)),
        None => (specification, None),
    };
    Compression::parse(algorithm, detail).unwrap().expect("a compression")
}

/// Writes a tar file with one member.
fn write_tar(path: &Path, compression: Compression) {
    let stream = Box::new(BufWriter::new(File::create(path).unwrap()));
    let output = TarOutput::Stream(stream, path.to_owned());
    let mut tar =
        TarFile::new(TarOutput::compressed(output, compression, ThreadShare::All).unwrap());
    let size = CONTENTS_SIZE as u64;
    let member = NewMember { name: "numbers", mode: 0o600, size, mtime: 0, injected: false };
    tar.append(&member, &mut contents().as_slice()).unwrap();
    tar.finish().unwrap();
}

/// Runs a tool that writes to standard output; nothing if it is not installed.
fn output_of(program: &str, arguments: &[&str], path: &Path) -> Option<Vec<u8>> {
    let mut command = Command::new(program);
    match command.args(arguments).arg(path).stdin(Stdio::null()).output() {
        Ok(output) => {
            assert!(
                output.status.success(),
                "{program}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            Some(output.stdout)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            skip(&format!("{program} is not installed"));
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

#[test]
fn ordinary_tools_read_compressed_tar_files_in_one_go() {
    let scratch = Scratch::new();
    let cases = [
        ("gzip:1", "gzip"),
        ("gzip", "gzip"),
        ("lz4", "lz4"),
        ("lz4:9", "lz4"),
        ("zstd", "zstd"),
        ("zstd:level=19,workers=2", "zstd"),
        ("zstd:long", "zstd"),
        ("zstd:workers=0,long", "zstd"),
    ];
    let contents = contents();
    for (specification, tool) in cases {
        let compression = compression(specification);
        let path = scratch.path().join(format!("base.tar{}", compression.format().suffix()));
        write_tar(&path, compression);
        if let Some(tar) = output_of(tool, &["-d", "-c"], &path) {
            let mut archive = tar::Archive::new(tar.as_slice());
            let mut member = archive.entries().unwrap().next().expect("a member").unwrap();
            let mut seen = Vec::new();
            io::copy(&mut member, &mut seen).unwrap();
            assert!(seen == contents, "{specification}");
        }
        if tool == "gzip"
            && let Some(seen) = output_of("tar", &["-x", "-z", "-O", "-f"], &path)
        {
            assert!(seen == contents, "tar -xz {specification}");
        }
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn output_of_the_ordinary_tools_is_read() {
    let scratch = Scratch::new();
    let path = scratch.path().join("numbers");
    let contents = contents();
    fs::write(&path, &contents).unwrap();
    let cases: [(&str, &[&str], CompressionFormat); 8] = [
        ("gzip", &["-c"], CompressionFormat::Gzip),
        ("gzip", &["-1", "-c"], CompressionFormat::Gzip),
        ("lz4", &["-c"], CompressionFormat::Lz4),
        ("lz4", &["-9", "-c", "-B4", "-BD"], CompressionFormat::Lz4),
        ("lz4", &["-c", "-BX", "--content-size"], CompressionFormat::Lz4),
        ("zstd", &["-c"], CompressionFormat::Zstd),
        ("zstd", &["-c", "--no-check", "-T2"], CompressionFormat::Zstd),
        ("zstd", &["-c", "--long=27"], CompressionFormat::Zstd),
    ];
    for (tool, arguments, format) in cases {
        let Some(compressed) = output_of(tool, arguments, &path) else { continue };
        let mut decoder = Decoder::new(format);
        let mut seen = Vec::new();
        for chunk in compressed.chunks(32 << 10) {
            let mut take = |bytes: bytes::Bytes| {
                seen.extend_from_slice(&bytes);
                Ok::<_, DecodeError<()>>(())
            };
            decoder.handle(chunk, &mut take).unwrap();
        }
        decoder.finish::<()>().unwrap();
        assert!(seen == contents, "{tool} {arguments:?}");
    }
}
