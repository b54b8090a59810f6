#!/bin/sh
# Passes all tests: installs the PostgreSQL servers that they need (tests/servers.sh), checks format, lints
# and documentation, and runs unit and integration tests. Arguments go to `cargo test`.
set -eu
cd "$(dirname "$0")/.."
tests/servers.sh
# Some tests inject faults, cut the power of a disk in a file, pull a cable, turn a clock, have a Kerberos realm, or judge a
# unit.
# What is missing and cannot be installed makes them say that they are skipped, or fail when CI is set.
if ! { command -v strace && command -v xfs_io && command -v mkfs.ext4 && command -v krb5kdc &&
    command -v krb5-config && command -v lz4 && command -v zstd && command -v ip &&
    command -v systemd-analyze &&
    ls /usr/lib/*/faketime/libfaketimeMT.so.1; } >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --no-upgrade \
            strace xfsprogs e2fsprogs iproute2 libfaketime lz4 zstd krb5-kdc krb5-admin-server krb5-user \
            libkrb5-dev libclang-dev systemd >/dev/null
    fi
fi
cargo fmt --check
cargo clippy --all-targets --locked -- -D warnings
RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --locked
cargo test --locked "$@"
# What the feature gssapi adds, where there is the library that it is built against.
if [ -n "${CI:-}" ] || { command -v krb5-config && ldconfig -p | grep libclang; } >/dev/null; then
    cargo clippy --all-targets --locked --features gssapi -- -D warnings
    cargo test --locked --features gssapi gss
else
    echo "tests/run.sh: feature gssapi is not tested: libkrb5-dev or libclang-dev is missing" >&2
fi
