//! A file that is no manifest is refused by `pg_verifybackup` and by our program under its name, in the same words
//! where the fault is one of a manifest and not of JSON.

use std::fs;
use std::iter;

use sha2::{Digest as _, Sha256};

use crate::support::client::Client;
use crate::support::installation::Installation;
use crate::support::scratch::Scratch;

on_servers!(both_refuse_broken_manifests_in_the_same_words: pg18);
on_servers!(both_refuse_what_is_no_json: pg18);
on_servers!(values_out_of_range_are_refused_that_the_original_cuts: pg18);

const FILE: &str = r#"{ "Path": "a", "Size": 0 }"#;
const RANGE: &str = r#"{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" }"#;

/// The parts of a manifest as they stand in its text.
#[derive(Clone, Copy)]
struct Parts<'a> {
    version: &'a str,
    system: &'a str,
    files: &'a str,
    ranges: &'a str,
}

const SOUND: Parts<'_> =
    Parts { version: "2", system: r#""System-Identifier": 7,"#, files: FILE, ranges: RANGE };

impl Parts<'_> {
    /// Returns all but the last line.
    fn text(self) -> String {
        let Parts { version, system, files, ranges } = self;
        format!(
            "{{ \"PostgreSQL-Backup-Manifest-Version\": {version},\n{system}\n\"Files\": [\n{files}],\n\
             \"WAL-Ranges\": [\n{ranges}\n],\n"
        )
    }

    fn signed(self) -> String {
        signed(&self.text())
    }

    /// Returns a manifest whose last line has something else for its checksum.
    fn signed_with(self, checksum: &str) -> String {
        format!("{}\"Manifest-Checksum\": {checksum}}}\n", self.text())
    }
}

/// Adds the line with the checksum.
fn signed(text: &str) -> String {
    let checksum: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{text}\"Manifest-Checksum\": \"{checksum}\"}}\n")
}

/// What may not stand behind the version's key.
const VERSIONS: [&str; 9] = ["0", "3", "-1", "1.5", "1e0", r#""x""#, "null", "{}", "[]"];

/// What may not stand behind the version.
const FIELDS: [&str; 4] = [
    r#""System-Identifier": "x","#,
    r#""System-Identifier": [],"#,
    r#""Comment": 1,"#,
    r#""Comment": {},"#,
];

/// What may not stand among the files.
const FILES: [&str; 29] = [
    "5",
    r#""x""#,
    "[]",
    "{}",
    r#"{ "Size": 0 }"#,
    r#"{ "Path": "a" }"#,
    r#"{ "Path": "a", "Encoded-Path": "61", "Size": 0 }"#,
    r#"{ "Encoded-Path": "6", "Size": 0 }"#,
    r#"{ "Encoded-Path": "6x", "Size": 0 }"#,
    r#"{ "Path": "a", "Size": "1x" }"#,
    r#"{ "Path": "a", "Size": 1.0 }"#,
    r#"{ "Path": "a", "Size": null }"#,
    r#"{ "Path": "a", "Size": true }"#,
    r#"{ "Path": "a", "Size": 0, "Mode": 1 }"#,
    r#"{ "Path": {}, "Size": 0 }"#,
    r#"{ "Path": [], "Size": 0 }"#,
    r#"{ "Path": "a", "Size": 0, "Checksum": "00" }"#,
    r#"{ "Path": "a", "Size": 0, "Checksum-Algorithm": "MD5", "Checksum": "00" }"#,
    r#"{ "Path": "a", "Size": 0, "Checksum-Algorithm": "", "Checksum": "00" }"#,
    r#"{ "Path": "a", "Size": 0, "Checksum-Algorithm": "CRC32C", "Checksum": "000" }"#,
    r#"{ "Path": "a", "Size": 0, "Checksum-Algorithm": "CRC32C", "Checksum": "0x" }"#,
    r#"{ "Path": "a", "Size": 0 }, { "Path": "a", "Size": 0 }"#,
    r#"{ "Path": "a", "Size": 0 }, { "Encoded-Path": "61", "Size": 1 }"#,
    r#"{ "Path": "a/b c", "Size": 0, "Checksum-Algorithm": "SHA257", "Checksum": "00" }"#,
    r#"{ "Path": "a/b c", "Size": 0, "Checksum-Algorithm": "sha256", "Checksum": "g0" }"#,
    r#"{ "Path": "a", "Size": 0 }, []"#,
    r#"{ "Path": "a", "Size": 0 }, { "Size": 1 }"#,
    r#"{ "Path": "a", "Last-Modified": {}, "Size": 0 }"#,
    r#"{ "Timeline": 1 }"#,
];

/// What may not stand among the WAL ranges.
const RANGES: [&str; 10] = [
    "5",
    "[]",
    r#"{ "Start-LSN": "0/1", "End-LSN": "0/2" }"#,
    r#"{ "Timeline": 1, "End-LSN": "0/2" }"#,
    r#"{ "Timeline": 1, "Start-LSN": "0/2" }"#,
    r#"{ "Timeline": "x", "Start-LSN": "0/1", "End-LSN": "0/2" }"#,
    r#"{ "Timeline": 1, "Start-LSN": "0", "End-LSN": "0/2" }"#,
    r#"{ "Timeline": 1, "Start-LSN": "0/1", "End-LSN": "/2" }"#,
    r#"{ "Timeline": 1, "Start-LSN": "0/1", "End-LSN": {} }"#,
    r#"{ "Path": "a" }"#,
];

/// Documents that are none of a manifest's shape.
const DOCUMENTS: [&str; 12] = [
    "",
    " ",
    "\n\n",
    "{}\n\n",
    "[]\n\n",
    "\"x\"\n\n",
    "5\n\n",
    "null\n\n",
    "{\n\n",
    "{ \"Files\": [],\n\n",
    "{\"PostgreSQL-Backup-Manifest-Version\": 1}\n\n",
    "{\"PostgreSQL-Backup-Manifest-Version\": 1\n",
];

/// All manifests that both programs refuse in the same words.
fn broken_manifests() -> Vec<String> {
    let versions = VERSIONS.map(|version| Parts { version, ..SOUND }.signed());
    let fields = FIELDS.map(|system| Parts { system, ..SOUND }.signed());
    let files = FILES.map(|files| Parts { files, ..SOUND }.signed());
    let ranges = RANGES.map(|ranges| Parts { ranges, ..SOUND }.signed());
    let sound = SOUND.signed();
    let zeros = format!("\"{}\"", "0".repeat(64));
    let others = [
        signed(&SOUND.text().replace(": [\n", ": {\n")),
        signed(&SOUND.text().replace('\n', "")),
        signed(&format!("{{ {}", SOUND.system)),
        sound.replace("\"a\"", "\"b\""),
        sound.trim_end().to_owned(),
        sound.replace("\"}\n", "\", \"x\": 1}\n"),
        sound[..sound.len() - 2].to_owned(),
        format!("{}}}\n", SOUND.text().trim_end_matches(",\n")),
        SOUND.signed_with(&zeros),
        SOUND.signed_with("\"00\""),
        SOUND.signed_with("\"xx\""),
        SOUND.signed_with("{}"),
        SOUND.signed_with("null"),
    ];
    let documents = DOCUMENTS.map(str::to_owned);
    iter::empty()
        .chain(versions)
        .chain(fields)
        .chain(files)
        .chain(ranges)
        .chain(others)
        .chain(documents)
        .collect()
}

/// Returns what both programs say of a manifest, the original first.
fn said_of(scratch: &Scratch, manifest: &str) -> [String; 2] {
    fs::write(scratch.join("backup_manifest"), manifest).unwrap();
    [Client::verifybackup_original(), Client::verifybackup_drop_in()].map(|client| {
        let finished = client.args(["-n", "-F", "plain", "."]).within(scratch.path()).run();
        assert_eq!(
            (finished.status.code(), finished.stdout.as_slice()),
            (Some(1), &b""[..]),
            "{manifest}"
        );
        finished.stderr
    })
}

fn both_refuse_broken_manifests_in_the_same_words(_: Installation) {
    let scratch = Scratch::new();
    let [original, ours] = said_of(&scratch, &SOUND.signed());
    assert_eq!(ours, original);
    assert!(ours.contains("\"a\" is present in the manifest but not on disk"), "{ours}");
    for manifest in broken_manifests() {
        let [original, ours] = said_of(&scratch, &manifest);
        assert_eq!(ours, original, "{manifest}");
        assert_eq!(ours.lines().count(), 1, "{ours}");
    }
}

/// Texts that are no JSON, or end within a word or string of it.
fn both_refuse_what_is_no_json(_: Installation) {
    let files = [
        r#"{ "Path": a, "Size": 0 }"#,
        r#"{ 'Path': "a", "Size": 0 }"#,
        r#"{ "Path" "a", "Size": 0 }"#,
        r#"{ "Path": "a", "Size": 00 }"#,
        r#"{ "Path": "a", "Size": 1. }"#,
        r#"{ "Path": "\x", "Size": 0 }"#,
        r#"{ "Path": "\u12", "Size": 0 }"#,
        r#"{ "Path": "\ud800", "Size": 0 }"#,
        "{ \"Path\": \"a\u{1}\", \"Size\": 0 }",
        r#"{ "Path": "a", "Size": 0, }"#,
        r#"{ "Path": "a", "Size": 0 },"#,
        r#"{ "Path": "a", "Size": 0 } { "Path": "b", "Size": 0 }"#,
    ];
    let sound = SOUND.signed();
    let documents = [
        "hello\n\n".to_owned(),
        "\0\n\n".to_owned(),
        format!("\u{feff}{sound}"),
        format!("{sound}{{}}\n"),
        sound[..sound.len() / 2].to_owned(),
    ];
    let scratch = Scratch::new();
    for manifest in files.map(|files| Parts { files, ..SOUND }.signed()).iter().chain(&documents) {
        for said in said_of(&scratch, manifest) {
            let text =
                said.strip_prefix("pg_verifybackup: error: could not parse backup manifest: ");
            assert!(text.is_some_and(|text| text.lines().count() == 1), "{manifest}: {said}");
        }
    }
}

/// The original reads these numbers with `strtoul` and takes what is left of them.
fn values_out_of_range_are_refused_that_the_original_cuts(_: Installation) {
    let system = "\"System-Identifier\": 18446744073709551616,";
    let range = |timeline: &str| RANGE.replace("1,", &format!("{timeline},"));
    let ranges = ["0", "-1", "4294967297"].map(range);
    let size = |size: &str| format!(r#"{{ "Path": "a", "Size": {size} }}"#);
    let sizes = ["-1", "18446744073709551616", r#""""#, r#"" 5""#].map(size);
    let timelines =
        ranges.iter().map(|ranges| (Parts { ranges, ..SOUND }, "timeline is not an integer"));
    let sizes = sizes.iter().map(|files| (Parts { files, ..SOUND }, "file size is not an integer"));
    let system = (Parts { system, ..SOUND }, "system identifier in manifest not an integer");
    let scratch = Scratch::new();
    for (parts, fault) in timelines.chain(sizes).chain([system]) {
        let [original, ours] = said_of(&scratch, &parts.signed());
        let expected =
            format!("pg_verifybackup: error: could not parse backup manifest: {fault}\n");
        assert_eq!(ours, expected);
        assert!(!original.contains("could not parse"), "{original}");
    }
}
