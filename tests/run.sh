#!/bin/sh
# Passes all tests: installs the PostgreSQL servers that they need (tests/servers.sh), checks format, lints
# and documentation, and runs unit and integration tests. Arguments go to `cargo test`.
set -eu
cd "$(dirname "$0")/.."
tests/servers.sh
cargo fmt --check
cargo clippy --all-targets --locked -- -D warnings
RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --locked
cargo test --locked "$@"
