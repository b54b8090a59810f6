#!/bin/sh
# Shows the main job on a private throw-away server: takes a verified base backup of it while it is
# written to, starts a server from the backup, and compares what both hold.
#
#     tests/demo.sh [SCALE]               # pgbench scale, 16 MB each; default 40
#
# Installs PostgreSQL 18 for itself (tests/servers.sh) and leaves nothing else behind.
set -eu
cd "$(dirname "$0")/.."
scale=${1:-40}

bin=$(tests/servers.sh 18 | sed -n 's,^18: .*  \(.*\)/postgres$,\1,p')
cargo build --release --quiet

# Not below a home directory: PostgreSQL refuses to run as root, and another user cannot enter there.
work=$(mktemp -d "${TMPDIR:-/tmp}/pgsiphon-demo.XXXXXX")
cp "${CARGO_TARGET_DIR:-target}/release/pgsiphon" "$work"
as_user=
if [ "$(id -u)" = 0 ]; then
    chown -R postgres "$work"
    as_user='setpriv --reuid=postgres --regid=postgres --init-groups'
fi
cd "$work" && export HOME="$work" PGHOST="$work" PGUSER=postgres PGDATABASE=postgres

clean_up() {
    for data in primary restored; do
        [ -f "$work/$data/postmaster.pid" ] &&
            $as_user "$bin/pg_ctl" -D "$work/$data" -m immediate -w stop >/dev/null
    done
    cd / && rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

say() { printf '\n== %s\n' "$*"; }
start() { # DIRECTORY PORT
    $as_user "$bin/pg_ctl" -D "$work/$1" -l "$work/$1.log" -w \
        -o "-p $2 -k $work -c listen_addresses=''" start >/dev/null
}
query() { $as_user "$bin/psql" -XAtq -p "$1" -c "$2"; } # PORT SQL

say "a server, and $((scale * 16)) MB in it"
$as_user "$bin/initdb" -k -A trust -U postgres --no-locale -E UTF8 -D "$work/primary" >/dev/null
start primary 54321
query 54321 'select version()'
$as_user "$bin/pgbench" -p 54321 -i -q -s "$scale" >"$work/load.log" 2>&1
query 54321 "create table before_backup as select n, md5(n::text) from generate_series(1, 100000) n"

say 'a backup while pgbench writes'
$as_user "$bin/pgbench" -p 54321 -n -c 2 -T 600 >"$work/pgbench.log" 2>&1 &
writer=$!
started=$(date +%s%N)
$as_user "$work/pgsiphon" basebackup -p 54321 -D "$work/restored" -c fast -v -P
finished=$(date +%s%N)
kill "$writer"
wait "$writer" 2>/dev/null || true
size_kb=$(du -sk "$work/restored" | cut -f1)
milliseconds=$(((finished - started) / 1000000))
echo "$((size_kb / 1024)) MB in $milliseconds ms: $((size_kb * 1000 / 1024 / milliseconds)) MB/s," \
    "checked against the manifest and synced"

say "PostgreSQL's own verdict"
$as_user "$bin/pg_verifybackup" "$work/restored"

say 'a server from the backup'
start restored 54322
table='select count(*), md5(string_agg(b::text, null order by n)) from before_backup b'
for port in 54321 54322; do
    echo "port $port: $(query "$port" "$table")"
done
[ "$(query 54321 "$table")" = "$(query 54322 "$table")" ] || { echo 'they differ' >&2; exit 1; }
accounts=$(query 54322 'select count(*) from pgbench_accounts')
[ "$accounts" = "$((scale * 100000))" ] || { echo "$accounts accounts are there" >&2; exit 1; }
sums='select (select sum(abalance) from pgbench_accounts) = (select sum(bbalance) from pgbench_branches)'
[ "$(query 54322 "$sums")" = t ] || { echo 'the backup is not consistent' >&2; exit 1; }
echo "$accounts accounts, and their balances add up: the backup is consistent"
