use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::net::conninfo::TargetSessionAttrs;

/// The least that is a configuration; lines are added behind it.
const LEAST: &str = "[servers.main]\nconninfo = 'host=a'\ndirectory = '/wal/main'\n";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("pgsiphon.toml")).map_err(|error| error.to_string())
}

fn valid(text: &str) -> Config {
    parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn server(lines: &str) -> ServerConfig {
    valid(&format!("{LEAST}{lines}")).servers.remove(0)
}

fn assert_refused<const COUNT: usize>(table: [(String, &str); COUNT]) {
    for (text, expected) in table {
        let expected = format!("pgsiphon.toml:{expected}");
        assert_eq!(parse(&text), Err(expected), "{text}");
    }
}

#[test]
fn what_is_not_written_has_a_default() {
    let expected = Config {
        http: Some(HttpConfig { listen: "127.0.0.1:9847".parse().unwrap() }),
        log: LogConfig { format: LogFormat::Auto, level: LogLevel::Info },
        servers: vec![ServerConfig {
            name: "main".to_owned(),
            conninfo: Conninfo::new("host=a".to_owned()),
            directory: "/wal/main".into(),
            slot: None,
            compression: None,
            sync: SyncPolicy::Segments,
            status_interval: Duration::from_secs(10),
            on_hole: HolePolicy::Skip,
            time_index: true,
            limits: Limits {
                disk_free_min: 1 << 30,
                slot_retained_max: None,
                on_slot_at_risk: OnSlotAtRisk::Report,
            },
            backups: None,
        }],
    };
    assert_eq!(valid(LEAST), expected);
}

#[test]
fn everything_can_be_written() {
    let text = "
        [http]
        listen = '[::]:80'
        [log]
        format = 'journald'
        level = 'warn'
        [servers.main]
        conninfo = 'host=a,b user=replicator'
        directory = '/wal/main'
        slot = 'pgsiphon'
        slot_policy = 'recreate'
        slot_mirror = false
        slot_retained_max = '50 GiB'
        on_slot_at_risk = 'drop'
        compression = 'zstd:level=5,workers=2'
        fsync = 'at-once'
        status_interval = '2s 500ms'
        on_hole = 'refuse'
        time_index = false
        disk_free_min = '0B'
        backups = '/backups/main'
    ";
    let compression = Compression::Zstd { level: Some(5), workers: Some(2), long_distance: false };
    let expected = Config {
        http: Some(HttpConfig { listen: "[::]:80".parse().unwrap() }),
        log: LogConfig { format: LogFormat::Journald, level: LogLevel::Warn },
        servers: vec![ServerConfig {
            name: "main".to_owned(),
            conninfo: Conninfo::new("host=a,b user=replicator".to_owned()),
            directory: "/wal/main".into(),
            slot: Some(SlotConfig {
                name: "pgsiphon".to_owned(),
                policy: SlotPolicy::Recreate,
                is_mirrored: false,
            }),
            compression: Some(compression),
            sync: SyncPolicy::AtOnce,
            status_interval: Duration::from_millis(2500),
            on_hole: HolePolicy::Refuse,
            time_index: false,
            limits: Limits {
                disk_free_min: 0,
                slot_retained_max: Some(50 << 30),
                on_slot_at_risk: OnSlotAtRisk::Drop,
            },
            backups: Some("/backups/main".into()),
        }],
    };
    assert_eq!(valid(text), expected);
}

#[test]
fn servers_keep_their_order_and_override_the_defaults() {
    let config = valid(
        "[http]\nenabled = false\n\
         [servers.zebra]\nconninfo = ''\ndirectory = '/wal/z'\n\
         [servers.ant]\nconninfo = 'host=a'\ndirectory = '/wal/a'\n\
         slot = 'own'\ncompression = 'none'\nfsync = 'segments'\n\
         [defaults]\nslot = 'shared'\nslot_mirror = false\ncompression = 'lz4'\nfsync = 'never'\n",
    );
    assert_eq!(config.http, None);
    let seen = config.servers.iter().map(|server| {
        let slot = server.slot.as_ref().expect("there is one");
        assert!(!slot.is_mirrored);
        (server.name.as_str(), slot.name.as_str(), server.compression, server.sync)
    });
    let expected = [
        ("zebra", "shared", Some(Compression::Lz4 { level: None }), SyncPolicy::Never),
        ("ant", "own", None, SyncPolicy::Segments),
    ];
    assert_eq!(seen.collect::<Vec<_>>(), expected);
}

#[test]
fn a_slot_is_created_and_mirrored_unless_something_else_is_written() {
    let slot = server("slot = 'pgsiphon'").slot.expect("there is one");
    assert_eq!((slot.policy, slot.is_mirrored), (SlotPolicy::Create, true));
}

#[test]
fn sizes_have_the_units_of_the_server() {
    let table = [
        ("0B", 0),
        ("512 B", 512),
        ("3kB", 3 << 10),
        ("3KiB", 3 << 10),
        ("16MB", 16 << 20),
        ("1 GiB", 1 << 30),
        ("2TB", 2 << 40),
        ("16777215TiB", u64::MAX - (1 << 40) + 1),
    ];
    for (text, expected) in table {
        let limits = server(&format!("disk_free_min = '{text}'")).limits;
        assert_eq!(limits.disk_free_min, expected, "{text}");
    }
}

#[test]
fn faults_of_the_file_are_told_with_line_and_column() {
    let table = [
        ("[servers", "1:9: unclosed table, expected `]`"),
        ("[http]\nlisten = 127.0.0.1:80", "2:15: invalid float, expected nothing"),
        ("", "1:1: no server is configured"),
        (
            "[server.main]",
            "1:2: unknown field `server`, expected one of `http`, `log`, `defaults`, `servers`",
        ),
        ("[http]\n  port = 80", "2:3: unknown field `port`, expected `enabled` or `listen`"),
        (
            "[http]\nlisten = 'localhost'",
            "2:10: invalid address: \"localhost\" (ADDRESS:PORT is needed)",
        ),
        (
            "[log]\nlevel = 'all'",
            "2:9: unknown variant `all`, expected one of `error`, `warn`, `info`, `debug`",
        ),
        (
            "[log]\n\"for\\nmat\" = 'text'",
            "2:1: unknown field `for\\nmat`, expected `format` or `level`",
        ),
        ("[defaults]\nconninfo = ''", "2:12: \"conninfo\" cannot have a default"),
        ("[defaults]\nbackups = '/b'", "2:11: \"backups\" cannot have a default"),
        (
            "[servers.'a b']",
            "1:10: invalid server name: \"a b\" (1 to 63 letters, digits, \"-\" and \"_\" are \
             needed)",
        ),
        ("[servers.main]", "1:10: server \"main\" has no \"conninfo\""),
        ("[servers.main]\nconninfo = ''", "1:10: server \"main\" has no \"directory\""),
        (
            "[servers]\nmain = 'password=secret'",
            "2:8: invalid type: string, expected a table of settings",
        ),
        ("[servers.a]\nconninfo='x'\n[servers.a]", "3:10: duplicate key"),
    ];
    assert_refused(table.map(|(text, expected)| (text.to_owned(), expected)));
}

#[test]
fn faults_of_a_server_are_told_with_line_and_column() {
    let table = [
        (
            "synchronous = true",
            "4:1: unknown field `synchronous`, expected one of `conninfo`, `directory`, \
             `backups`, `slot`, `slot_policy`, `slot_mirror`, `slot_retained_max`, \
             `on_slot_at_risk`, `compression`, `fsync`, `status_interval`, `on_hole`, \
             `time_index`, `disk_free_min`",
        ),
        (
            "slot = 'Main'",
            "4:8: invalid slot name: \"Main\" (1 to 63 lower-case letters, digits and \
             underscores are needed)",
        ),
        (
            "slot = 's'\nslot_policy = 'keep'",
            "5:15: unknown variant `keep`, expected one of `require`, `create`, `recreate`",
        ),
        ("slot_policy = 'create'", "4:15: \"slot_policy\" needs \"slot\""),
        ("  slot_mirror = true", "4:17: \"slot_mirror\" needs \"slot\""),
        ("slot_retained_max = '1GB'", "4:21: \"slot_retained_max\" needs \"slot\""),
        (
            "slot = 's'\non_slot_at_risk = 'drop'",
            "5:19: \"on_slot_at_risk\" needs \"slot_retained_max\"",
        ),
        ("compression = 'zip'", "4:15: unrecognized compression algorithm: \"zip\""),
        (
            "compression = 'gzip:99'",
            "4:15: invalid compression specification: compression algorithm \"gzip\" expects a \
             compression level between 1 and 9 (default at -1)",
        ),
        (
            "fsync = 'always'",
            "4:9: unknown variant `always`, expected one of `segments`, `at-once`, `never`",
        ),
        ("status_interval = 10", "4:19: invalid type: integer `10`, expected a string"),
        (
            "status_interval = '10'",
            "4:19: invalid duration: \"10\" (time unit needed, for example 10sec or 10ms)",
        ),
        ("status_interval = '0s'", "4:19: status_interval \"0s\" is not between 100ms and 1h"),
        ("status_interval = '2h'", "4:19: status_interval \"2h\" is not between 100ms and 1h"),
        ("time_index = 'yes'", "4:14: invalid type: string, expected a boolean"),
        (
            "disk_free_min = '1 gb'",
            "4:17: invalid size: \"1 gb\" (a number with kB, MB, GB or TB is needed)",
        ),
        (
            "disk_free_min = '-1GB'",
            "4:17: invalid size: \"-1GB\" (a number with kB, MB, GB or TB is needed)",
        ),
        (
            "disk_free_min = '99999999TB'",
            "4:17: invalid size: \"99999999TB\" (a number with kB, MB, GB or TB is needed)",
        ),
        ("backups = 'b'", "4:11: \"b\" is not an absolute path"),
    ];
    assert_refused(table.map(|(line, expected)| (format!("{LEAST}{line}"), expected)));
}

#[test]
fn faults_of_a_connection_string_are_told_without_passwords() {
    let table = [
        ("mydb", "2:12: missing \"=\" after \"mydb\" in connection info string"),
        ("password=my secret", "2:12: missing \"=\" after \"***\" in connection info string"),
        ("host=a password='secret", "2:12: unterminated quoted string in connection info string"),
        ("host=a,b port=1,2,3", "2:12: could not match 3 port numbers to 2 hosts"),
        ("port=0", "2:12: invalid port number: \"0\""),
        ("postgres://u:secret/x@h/d", "2:12: invalid port number: \"***\""),
        ("password=secret sslmode=on", "2:12: invalid sslmode value: \"on\""),
    ];
    assert_refused(table.map(|(conninfo, expected)| {
        (format!("[servers.main]\nconninfo = \"{conninfo}\"\ndirectory = '/wal'"), expected)
    }));
}

#[test]
fn no_two_servers_share_a_directory_or_a_slot() {
    let table = [
        (
            "'host=b'\ndirectory = '/wal/./main/'",
            "8:13: directory \"/wal/./main/\" is already that of server \"main\"",
        ),
        (
            "'host=b'\ndirectory = '/b'\nbackups = '/backups'",
            "9:11: directory \"/backups\" is already that of server \"main\"",
        ),
        (
            "'host=b,a'\ndirectory = '/b'\nslot = 's'",
            "9:8: slot \"s\" on a:5432 is already that of server \"main\"",
        ),
        (
            "'host=/tmp,a'\ndirectory = '/b'\n[defaults]\nslot = 's'",
            "7:12: slot \"s\" on a:5432 is already that of server \"main\"",
        ),
    ];
    let first = format!("{LEAST}slot = 's'\nbackups = '/backups'\n[servers.other]\nconninfo = ");
    assert_refused(table.map(|(other, expected)| (format!("{first}{other}"), expected)));
}

#[test]
fn brackets_without_end_are_refused() {
    for opened in ["[", "{a=", "[{a="] {
        let text = format!("[log]\nformat = {}", opened.repeat(100_000));
        assert!(parse(&text).is_err_and(|error| error.starts_with("pgsiphon.toml:2:")), "{opened}");
    }
}

#[test]
fn columns_are_counted_in_characters() {
    let expected = "pgsiphon.toml:3:22: unexpected key or value, expected newline, `#`";
    let text = "[servers.main] # früh\nconninfo = \"\"\ndirectory = '/übér/é'; x";
    assert_eq!(parse(text), Err(expected.to_owned()));
}

#[test]
fn a_server_is_connected_to_with_a_limit_and_as_the_primary_of_several() {
    let environment = Environment::new("local", "/tmp");
    let table = [
        ("host=a", TargetSessionAttrs::Any, 10),
        ("host=a,b", TargetSessionAttrs::Primary, 10),
        ("host=a,b target_session_attrs=any connect_timeout=3", TargetSessionAttrs::Any, 3),
    ];
    for (conninfo, target, seconds) in table {
        let server = ServerConfig { conninfo: Conninfo::new(conninfo.to_owned()), ..server("") };
        let options = server.connect_options("pgsiphon", &environment).expect(conninfo);
        assert_eq!(options.target_session_attrs, target, "{conninfo}");
        assert_eq!(options.connect_timeout, Some(Duration::from_secs(seconds)), "{conninfo}");
        assert_eq!(options.application_name, "pgsiphon");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("pgsiphon.toml");
    let read = || Config::read(&path).map_err(|error| error.to_string());
    let shown = path.display();
    let missing =
        format!("could not read configuration file \"{shown}\": No such file or directory");
    assert_eq!(read(), Err(missing));
    fs::write(&path, b"[log]\n# \xc3\xa4\xff").expect("write");
    assert_eq!(read(), Err(format!("{shown}:2:4: invalid UTF-8")));
    fs::write(&path, vec![b'#'; (1 << 20) + 1]).expect("write");
    let large = format!("configuration file \"{shown}\" is too large (maximum 1048576 bytes)");
    assert_eq!(read(), Err(large));
    fs::write(&path, LEAST).expect("write");
    assert_eq!(read(), Ok(valid(LEAST)));
    let endless = Config::read(&PathBuf::from("/dev/zero")).map_err(|error| error.to_string());
    let large = "configuration file \"/dev/zero\" is too large (maximum 1048576 bytes)";
    assert_eq!(endless, Err(large.to_owned()));
}

/// The configuration's reference.
const DOCUMENTATION: &str = include_str!("../../../docs/service.md");

#[test]
fn the_example_of_the_documentation_is_a_configuration() {
    let (_, behind) = DOCUMENTATION.split_once("```toml\n").expect("an example");
    let (example, _) = behind.split_once("```").expect("its end");
    let names: Vec<_> = valid(example).servers.into_iter().map(|server| server.name).collect();
    assert_eq!(names, ["main", "reports"]);
}

#[test]
fn every_key_is_documented() {
    for (table, count) in [("http", 2), ("log", 2), ("servers.main", 14)] {
        let refusal = parse(&format!("[{table}]\nunknown = 1")).expect_err("there is no such key");
        let (_, known) = refusal.split_once("expected ").expect("a list of keys");
        let keys: Vec<_> = known.split('`').skip(1).step_by(2).collect();
        assert_eq!(keys.len(), count, "{known}");
        for key in keys {
            assert!(DOCUMENTATION.contains(&format!("\n| `{key}` | ")), "{key}");
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_in_one_line(
        text in "\\PC*",
        glue in "(\\[|\\]|servers|main|defaults|slot|conninfo|directory|=|'|\"|\\.|\n| |[0-9a-zé\\\\])*",
    ) {
        for text in [text.clone(), glue.clone(), format!("{LEAST}{glue}{text}")] {
            if let Err(error) = parse(&text) {
                prop_assert_eq!(error.lines().count(), 1, "{}", error);
            }
        }
    }
}
