//! What command lines of the benchmark mean.

use super::super::{BenchRequest, Confirmation};
use super::{Outcome, outcome};
use crate::benchmark::{Part, Sizes};

fn request(line: &str) -> BenchRequest {
    let argv: Vec<&str> =
        ["pgsiphon", "bench", "-D", "d"].into_iter().chain(line.split_ascii_whitespace()).collect();
    match outcome(&argv) {
        Ok(Outcome::Bench(request)) => *request,
        other => panic!("{argv:?} gave {other:?}"),
    }
}

#[test]
fn without_parts_everything_is_measured_that_leaves_a_given_server_alone() {
    assert_eq!(request("").parts, Part::ALL);
    assert_eq!(request("-d host=x").parts, [Part::BaseBackup, Part::Verify]);
}

#[test]
fn parts_are_measured_in_their_order_whatever_was_typed() {
    let parts = request("standby catch-up verify verify").parts;
    assert_eq!(parts, [Part::Verify, Part::CatchUp, Part::Standby]);
    assert_eq!(request("-d host=x standby").parts, [Part::Standby]);
}

#[test]
fn sizes_are_typed_in_gigabytes_and_seconds() {
    let BenchRequest { rounds, sizes, rows, confirmation, .. } = request(
        "--rounds 2 --size=0.5 --files 10 --backlog 3 --seconds=1 --only plain --only tar -y",
    );
    let expected = Sizes {
        cluster_bytes: 500_000_000,
        small_files: 10,
        backlog_bytes: 3_000_000_000,
        load_seconds: 1,
    };
    assert_eq!((rounds, sizes, confirmation), (2, expected, Confirmation::Given));
    assert_eq!(rows, ["plain", "tar"]);
}
