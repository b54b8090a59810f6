use std::io::Cursor;

use super::super::fixture::{file, manifest_of};
use super::*;
use crate::pg::Digester;

const CRC32C: ChecksumAlgorithm = ChecksumAlgorithm::Crc32c;

fn log_of(files: &[(&str, &str)]) -> ReceivedLog<Cursor<Vec<u8>>> {
    let mut log = ReceivedLog::new(Cursor::default());
    for (path, contents) in files {
        let mut digester = Digester::new(CRC32C);
        digester.update(contents.as_bytes());
        let size = contents.len() as u64;
        log.push(path.as_bytes(), size, &digester.finish()).expect("memory");
    }
    log
}

/// Compares files of the same contents by their names.
fn compare_names(received: &[&str], listed: &[&str]) -> Vec<(String, Mismatch)> {
    let received: Vec<_> = received.iter().map(|path| (*path, "")).collect();
    let listed: Vec<_> = listed.iter().map(|path| file(path, "")).collect();
    let manifest = manifest_of(&listed);
    let comparison = compare(log_of(&received), manifest.as_bytes(), CRC32C).expect("comparable");
    let text = |path| String::from_utf8(path).expect("UTF-8");
    comparison.findings.into_iter().map(|f| (text(f.path), f.mismatch)).collect()
}

#[test]
fn equal_lists_agree_in_any_order() {
    let names = ["backup_label", "a", "b", "c", "global/pg_control"];
    let mut received = names;
    for _ in 0..names.len() {
        received.rotate_left(1);
        assert_eq!(compare_names(&received, &names), []);
        received.swap(0, 2);
        assert_eq!(compare_names(&received, &names), []);
    }
}

#[test]
fn what_only_one_list_has_is_found_and_the_rest_still_agrees() {
    let missing = |path| (path, Mismatch::Missing);
    let extra = |path| (path, Mismatch::Extra);
    let table = [
        ("a c", "a b c", vec![missing("b")]),
        ("a x b", "a b", vec![extra("x")]),
        ("", "a", vec![missing("a")]),
        ("a", "", vec![extra("a")]),
        ("b y", "x b", vec![missing("x"), extra("y")]),
        ("a b", "a b a", vec![("a", Mismatch::ListedTwice)]),
        ("a b a", "a b", vec![("a", Mismatch::ReceivedTwice)]),
    ];
    let names = |list: &'static str| list.split_whitespace().collect::<Vec<_>>();
    for (received, listed, expected) in table {
        let expected: Vec<_> = expected.into_iter().map(|(p, m)| (p.to_owned(), m)).collect();
        let found = compare_names(&names(received), &names(listed));
        assert_eq!(found, expected, "{received:?} {listed:?}");
    }
}

#[test]
fn duplicates_are_found_also_while_they_wait() {
    let twice = |mismatch| vec![("b".to_owned(), mismatch)];
    let received = ["a", "b"];
    assert_eq!(compare_names(&received, &["b", "b", "a"]), twice(Mismatch::ListedTwice));
    assert_eq!(compare_names(&["b", "b", "a"], &received), twice(Mismatch::ReceivedTwice));
}

#[test]
fn fetched_wal_need_not_be_listed_but_what_is_listed_must_come() {
    let segment = "pg_wal/000000010000000000000002";
    let status = "pg_wal/archive_status/000000010000000000000002.done";
    let history = "pg_wal/00000002.history";
    assert_eq!(compare_names(&["a", segment, status, history], &["a", status]), []);
    assert_eq!(compare_names(&["a", segment], &["a", segment]), []);
    let missing = vec![(status.to_owned(), Mismatch::Missing)];
    assert_eq!(compare_names(&["a", segment], &["a", status]), missing);
}

#[test]
fn segments_in_thousands_leave_room_for_files_that_wait() {
    let segments: Vec<_> = (0..2 * UNMATCHED_MAX).map(|n| format!("pg_wal/{n:024X}")).collect();
    let received: Vec<_> = segments.iter().map(String::as_str).chain(["last"]).collect();
    assert_eq!(compare_names(&received, &["last"]), []);
}

#[test]
fn sizes_and_checksums_are_compared() {
    let without_checksum = r#"{"Path": "c", "Size": 3}"#.to_owned();
    let other_algorithm =
        r#"{"Path": "d", "Size": 3, "Checksum-Algorithm": "SHA224", "Checksum": "00"}"#.to_owned();
    let no_digest = r#"{"Path": "e", "Size": 3, "Checksum-Algorithm": "CRC32C"}"#.to_owned();
    let manifest = manifest_of(&[
        file("a", "abcd"),
        file("b", "abd"),
        without_checksum,
        other_algorithm,
        no_digest,
        file("f", "abc"),
    ]);
    let files: Vec<_> = ["a", "b", "c", "d", "e", "f"].map(|path| (path, "abc")).into();
    let comparison = compare(log_of(&files), manifest.as_bytes(), CRC32C).expect("comparable");
    let found: Vec<_> =
        comparison.findings.iter().map(|f| (f.path.as_slice(), f.mismatch)).collect();
    let expected: [(&[u8], Mismatch); 4] = [
        (b"a", Mismatch::Size { received: 3, listed: 4 }),
        (b"b", Mismatch::Checksum),
        (b"d", Mismatch::OtherAlgorithm),
        (b"e", Mismatch::Checksum),
    ];
    assert_eq!(found, expected);
    assert_eq!(comparison.findings_omitted, 0);
    assert_eq!((comparison.summary.file_count, comparison.summary.total_size), (6, 19));
}

#[test]
fn lists_without_anything_in_common_are_given_up() {
    let names: Vec<_> = (0..UNMATCHED_MAX).map(|number| format!("f{number}")).collect();
    let listed: Vec<_> = names.iter().map(|path| file(path, "")).collect();
    let received: Vec<_> = names.iter().map(|path| (path.as_str(), "")).collect();

    let found = compare(log_of(&received), manifest_of(&[]).as_bytes(), CRC32C);
    assert_eq!(found.map(|c| c.findings.len() as u64 + c.findings_omitted).ok(), Some(32_768));

    let mut received = log_of(&received);
    let digest = Digester::new(CRC32C).finish();
    received.push(b"one more", 0, &digest).expect("memory");
    let error = compare(received, manifest_of(&[]).as_bytes(), CRC32C).expect_err("too many");
    let text = "backup manifest and received files differ in more than 32768 files";
    assert_eq!(error.to_string(), text);

    let listed = manifest_of(&[&listed[..], &[file("one more", "")]].concat());
    let error = compare(log_of(&[]), listed.as_bytes(), CRC32C).expect_err("too many");
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_malformed_manifest_is_an_error_whatever_was_received() {
    let error = compare(log_of(&[("a", "")]), &b"{}"[..], CRC32C).expect_err("malformed");
    assert_eq!(error.to_string(), "could not parse backup manifest: unexpected object end");
}
