//! Records sessions between the original pg_basebackup and real servers as protocol fixtures:
//!
//! ```text
//! cargo run --example capture -- [MAJOR[/SCENARIO]...]     # default: all
//! cargo run --example capture -- expect                    # only rewrites every expect.txt
//! ```
//!
//! Wants the servers that `tests/servers.sh` installs. See README.md beside this file.

mod proxy;
mod recording;
mod scenarios;
mod server;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use proxy::Proxy;
use recording::fixture::{self, CONNECTIONS, EXPECT, Fixture, META, Meta, Original};
use recording::transcript;
use scenarios::{Cluster, PASSWORD, SCENARIOS, Scenario};
use server::{Server, entries, make_directory};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Where clusters and tablespaces are made. The name is in the recordings, so it is always the same.
const ROOT: &str = "/tmp/pgsiphon-capture";

/// The tree with the client programs that make the recordings.
const CLIENT_MAJOR: &str = "18";

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if wanted == ["expect"] {
        return fixture::load_all()?.iter().try_for_each(save_expected);
    }
    let root = Path::new(ROOT);
    for major in 13..=18 {
        for scenario in SCENARIOS.iter().filter(|scenario| scenario.since <= major) {
            let name = format!("{major}/{}", scenario.name);
            let is_wanted = |word: &String| *word == name || *word == major.to_string();
            if wanted.is_empty() || wanted.iter().any(is_wanted) {
                // Fails if it exists: another run may be at work.
                fs::create_dir(root)?;
                let captured = capture(root, major, scenario);
                fs::remove_dir_all(root)?;
                save(&captured?)?;
                println!("{name}");
            }
        }
    }
    Ok(())
}

/// Writes the fixture in place of an older one.
fn save(fixture: &Fixture) -> Result<()> {
    let directory = fixture.directory();
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(&directory)?,
    }
    fs::write(directory.join(META), toml::to_string(&fixture.meta)?)?;
    for ((client, server), recording) in CONNECTIONS.iter().zip(&fixture.connections) {
        fs::write(directory.join(client), &recording.client)?;
        let file = File::create(directory.join(server))?;
        let mut encoder = GzEncoder::new(file, Compression::best());
        encoder.write_all(&recording.server)?;
        encoder.finish()?;
    }
    save_expected(fixture)
}

fn save_expected(fixture: &Fixture) -> Result<()> {
    let text = transcript::of_fixture(fixture, usize::MAX)
        .map_err(|error| format!("{}: {error}", fixture.name))?;
    Ok(fs::write(fixture.directory().join(EXPECT), text)?)
}

/// Returns the program of a major version.
fn program(major: &str, name: &str) -> PathBuf {
    let trees = std::env::var("PGSIPHON_SERVERS");
    let trees = trees.unwrap_or_else(|_| "/opt/pgsiphon-servers".to_owned());
    Path::new(&trees).join(major).join("bin").join(name)
}

fn capture(root: &Path, major: u32, scenario: &Scenario) -> Result<Fixture> {
    for directory in ["", "first", "second", "server", "client"] {
        make_directory(&root.join(directory))?;
    }
    let programs = program(&major.to_string(), "");
    give_to_server(&[root.join("first"), root.join("second")])?;
    let mut server = Server::create(&programs, &root.join("server"))?;
    let statements = scenario.cluster.statements(root);
    if !statements.is_empty() {
        server.start()?;
        server.execute(&program(CLIENT_MAJOR, "psql"), &statements)?;
        server.stop()?;
    }
    server.shrink()?;
    scenario.cluster.prepare_files(&server)?;
    server.start()?;
    let proxy = Proxy::start(&root.join("client/.s.PGSQL.5432"), server.socket())?;
    let target = root.join("target");
    let output = take_backup(root, scenario, &target)?;
    let connections = proxy.finish()?;
    server.stop()?;
    let meta = Meta {
        about: scenario.about.to_owned(),
        client: version(&program(CLIENT_MAJOR, "pg_basebackup"))?,
        arguments: arguments(root, scenario),
        user: scenario.user.to_owned(),
        password: (scenario.cluster == Cluster::Password).then(|| PASSWORD.to_owned()),
        original: original(&output, &target)?,
    };
    Ok(Fixture { name: format!("{major}/{}", scenario.name), meta, connections })
}

/// The server keeps its tablespaces to itself, so the directories must be its own.
fn give_to_server(directories: &[PathBuf]) -> Result<()> {
    if let (true, Some(user)) =
        (nix::unistd::geteuid().is_root(), nix::unistd::User::from_name("postgres")?)
    {
        for directory in directories {
            std::os::unix::fs::chown(directory, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
    }
    Ok(())
}

fn arguments(root: &Path, scenario: &Scenario) -> Vec<String> {
    let root = root.display().to_string();
    let own = scenario.arguments.iter().map(|argument| argument.replace("{root}", &root));
    let common = ["-c", "fast", "-v", "--no-sync", "--no-clean"];
    common.into_iter().map(str::to_owned).chain(own).collect()
}

fn take_backup(root: &Path, scenario: &Scenario, target: &Path) -> Result<Output> {
    let mut command = Command::new(program(CLIENT_MAJOR, "pg_basebackup"));
    command.arg("-D").arg(target).arg("-h").arg(root.join("client")).args(["-U", scenario.user]);
    command.args(arguments(root, scenario)).stdin(Stdio::null());
    command.env("PGPASSWORD", PASSWORD).env("PGGSSENCMODE", "disable").env("LC_ALL", "C");
    Ok(command.output()?)
}

fn version(program: &Path) -> Result<String> {
    let output = Command::new(program).arg("--version").output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Collects what the original client made of the session.
fn original(output: &Output, target: &Path) -> Result<Original> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !target.exists() {
        return Err(format!("there was no backup to record: {stderr}").into());
    }
    let lines: Vec<&str> = stderr.split(['\n', '\r']).map(str::trim_end).collect();
    let after = |label: &str| {
        let rest = lines.iter().find_map(|line| line.split_once(label)).map(|(_, rest)| rest);
        rest.and_then(|rest| rest.split(' ').next()).map(str::to_owned)
    };
    let is_notice = |line: &&&str| line.starts_with("NOTICE:") || line.starts_with("WARNING:");
    Ok(Original {
        exit_code: output.status.code().ok_or("the client was killed")?,
        start_lsn: after("write-ahead log start point: "),
        end_lsn: after("write-ahead log end point: "),
        notices: lines.iter().filter(is_notice).map(|line| (*line).to_owned()).collect(),
        files: count_files(target)?,
        manifest_sha256: manifest_sha256(target),
    })
}

/// Digests the manifest, which keeps its temporary name if the backup failed at its end, and is empty
/// if it failed before.
fn manifest_sha256(target: &Path) -> Option<String> {
    let read = |name| fs::read(target.join(name)).ok();
    let manifest = read("backup_manifest").or_else(|| read("backup_manifest.tmp"))?;
    (!manifest.is_empty())
        .then(|| Sha256::digest(manifest).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Counts regular files in directories and archives, but for the manifest and `pg_wal`. Links are
/// followed, since tablespaces hang on them.
fn count_files(directory: &Path) -> Result<u64> {
    let mut count = 0;
    for path in entries(directory)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        count += match path.extension() {
            _ if name == "pg_wal" || name.starts_with("backup_manifest") => 0,
            _ if path.is_dir() => count_files(&path)?,
            Some(extension) if extension == "tar" => count_members(&path)?,
            _ => 1,
        };
    }
    Ok(count)
}

fn count_members(archive: &Path) -> Result<u64> {
    let mut archive = tar::Archive::new(File::open(archive)?);
    let mut count = 0;
    for entry in archive.entries()? {
        let header = entry?.header().clone();
        let is_wal = header.path_bytes().starts_with(b"pg_wal/");
        count += u64::from(header.entry_type().is_file() && !is_wal);
    }
    Ok(count)
}
