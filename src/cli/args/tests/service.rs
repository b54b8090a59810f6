//! Command lines of receiving WAL as a service.

use super::super::{CheckRequest, ServeRequest, StatusRequest, StatusSource};
use super::{Outcome, outcome};

/// Returns what a line means, as it prints for programmers.
fn meant(line: &str) -> Result<String, String> {
    let argv: Vec<&str> = line.split_ascii_whitespace().collect();
    outcome(&argv).map(|outcome| match outcome {
        Outcome::Serve(request) => format!("{request:?}"),
        Outcome::Check(request) => format!("{request:?}"),
        Outcome::Status(request) => format!("{request:?}"),
        other => panic!("{line:?} gave {other:?}"),
    })
}

#[test]
fn options_mean_what_they_name() {
    let check = |is_json| format!("{:?}", CheckRequest { config: "x".into(), is_json });
    let status = |source, is_json, is_watched| {
        format!("{:?}", StatusRequest { source, is_json, is_watched })
    };
    let config = || StatusSource::Config("x".into());
    let address = || StatusSource::Address("h:1".into());
    let table = [
        ("serve -c x", format!("{:?}", ServeRequest { config: "x".into() })),
        ("check --config=x", check(false)),
        ("check --json -cx", check(true)),
        ("status", status(StatusSource::Default, false, false)),
        ("status --json -c x", status(config(), true, false)),
        ("status -w -c x --address h:1", status(address(), false, true)),
    ];
    for (line, expected) in table {
        assert_eq!(meant(&format!("pgsiphon {line}")), Ok(expected), "{line}");
    }
}

#[test]
fn what_means_nothing_is_refused() {
    let table = [
        ("serve", "error: no configuration file specified"),
        ("check --json", "error: no configuration file specified"),
        ("check -c x y", "error: too many command-line arguments (first is \"y\")"),
        ("status y", "error: too many command-line arguments (first is \"y\")"),
    ];
    for (line, expected) in table {
        let command = line.split(' ').next().unwrap();
        let hint = format!("Try \"pgsiphon {command} --help\" for more information.");
        let expected = format!("pgsiphon: {expected}\npgsiphon: hint: {hint}\n");
        assert_eq!(meant(&format!("pgsiphon {line}")), Err(expected), "{line}");
    }
}
