#!/bin/sh
# Passes all tests: installs the PostgreSQL servers that they need (tests/servers.sh), checks format, lints
# and documentation, and runs unit and integration tests. Arguments go to `cargo test`.
set -eu
cd "$(dirname "$0")/.."
tests/servers.sh
# Some tests inject faults or cut the power of a disk in a file. What is missing and cannot be installed makes
# them say that they are skipped, or fail when CI is set.
if ! { command -v strace && command -v xfs_io && command -v mkfs.ext4; } >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends strace xfsprogs e2fsprogs >/dev/null
    fi
fi
cargo fmt --check
cargo clippy --all-targets --locked -- -D warnings
RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --locked
cargo test --locked "$@"
