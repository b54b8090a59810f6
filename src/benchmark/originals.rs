//! Where PostgreSQL's programs are.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::config::{Part, ServerChoice};
use super::error::BenchError;

/// Directories in which distributions keep a release's programs; `*` is the release.
const INSTALLATIONS: [&str; 2] = ["/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"];

/// The directory of a server that was built from source without further wishes.
const BUILT_FROM_SOURCE: &str = "/usr/local/pgsql/bin";

/// Lists the programs that are needed to measure some parts.
pub fn needed_programs(server: &ServerChoice, parts: &[Part]) -> Vec<&'static str> {
    let needed_by = |part: &Part| match part {
        Part::BaseBackup => &["pg_basebackup", "pg_verifybackup"][..],
        Part::SmallFiles | Part::EmptyCluster => &["pg_basebackup"],
        Part::Verify => &["pg_verifybackup"],
        Part::CatchUp | Part::Standby => &["pg_receivewal", "pgbench"],
    };
    let mut programs: Vec<_> = parts.iter().flat_map(needed_by).copied().collect();
    programs.push("psql");
    if matches!(server, ServerChoice::Private) {
        programs.extend(["initdb", "postgres"]);
    }
    programs.sort_unstable();
    programs.dedup();
    programs
}

/// Finds the directory that has the programs: in `PATH`, then where distributions put them, the newest release
/// first. A link to this program is no original.
///
/// # Errors
/// No directory has all of them.
pub fn find_originals(programs: &[&'static str]) -> Result<PathBuf, BenchError> {
    let mut candidates: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    candidates.extend(INSTALLATIONS.into_iter().flat_map(releases));
    candidates.push(PathBuf::from(BUILT_FROM_SOURCE));
    let found = candidates.iter().find(|directory| missing(directory, programs).is_none());
    let missing_everywhere =
        || candidates.iter().filter_map(|directory| missing(directory, programs)).max();
    found.cloned().ok_or_else(|| BenchError::NoOriginal(missing_everywhere().unwrap_or("psql")))
}

/// Returns the first of the programs that a directory does not have.
pub(super) fn missing(directory: &Path, programs: &[&'static str]) -> Option<&'static str> {
    programs.iter().copied().find(|program| !is_original(&directory.join(program)))
}

fn is_original(program: &Path) -> bool {
    let ours = env::current_exe().and_then(fs::canonicalize).ok();
    fs::canonicalize(program).is_ok_and(|path| path.is_file() && Some(path) != ours)
}

/// Lists the directories that a pattern stands for, the highest release first.
fn releases(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return Vec::new() };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or_default();
    let names = fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut releases: Vec<u32> =
        names.filter_map(|name| name.to_str()?.strip_prefix(prefix)?.parse().ok()).collect();
    releases.sort_unstable_by(|a, b| b.cmp(a));
    releases.into_iter().map(|release| PathBuf::from(format!("{before}{release}{after}"))).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn parts_need_their_programs_and_a_private_server_its_own() {
        let given = ServerChoice::Given(Default::default());
        let table = [
            (&given, &[Part::Verify][..], &["pg_verifybackup", "psql"][..]),
            (&given, &[Part::Standby, Part::CatchUp], &["pg_receivewal", "pgbench", "psql"]),
            (
                &ServerChoice::Private,
                &[Part::SmallFiles],
                &["initdb", "pg_basebackup", "postgres", "psql"],
            ),
        ];
        for (server, parts, expected) in table {
            assert_eq!(needed_programs(server, parts), expected, "{parts:?}");
        }
    }

    #[test]
    fn a_link_to_this_program_is_no_original() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("psql"), "").unwrap();
        symlink(env::current_exe().unwrap(), directory.path().join("pg_basebackup")).unwrap();
        assert_eq!(missing(directory.path(), &["psql"]), None);
        assert_eq!(missing(directory.path(), &["psql", "pg_basebackup"]), Some("pg_basebackup"));
        let found = find_originals(&["no_such_program"]).unwrap_err();
        let expected = "could not find PostgreSQL's program \"no_such_program\"";
        assert_eq!(found.to_string(), expected);
    }
}
