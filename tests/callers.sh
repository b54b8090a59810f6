#!/bin/sh
# Has programs that call pg_basebackup and pg_receivewal do their work with ours in their place: Barman
# receives WAL, makes backups in several forms and recovers them, and a server started from each must hold
# the rows; repmgr clones a standby, promotes it, and clones the old primary from it.
#
#     tests/callers.sh [PROGRAM]          # default: a release build
#
# Wants Barman, repmgr and PostgreSQL 15 of Debian, and installs them if this runs as root and there is
# apt-get. Where they are missing it says that it is skipped, or fails when CI is set.
set -eu
cd "$(dirname "$0")/.."
umask 022

# The server too is the distribution's, for repmgr needs its extension there.
major=15
bin=/usr/lib/postgresql/$major/bin

missing() {
    for program in "$bin/postgres" "$bin/repmgr" barman lz4 zstd; do
        command -v "$program" >/dev/null || printf ' %s' "$program"
    done
}
if [ -n "$(missing)" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq >&2 || true # the list that is there may do
    # --no-upgrade: never move an installed PostgreSQL to another version.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --no-upgrade \
        "postgresql-$major" "postgresql-$major-repmgr" 'repmgr=5.*' 'barman=3.*' lz4 zstd >&2 || true
fi
if [ -n "$(missing)" ]; then
    echo "callers.sh: missing:$(missing)" >&2
    [ -z "${CI:-}" ] || exit 1
    echo 'callers.sh: skipped' >&2
    exit 0
fi

[ $# = 1 ] || cargo build --release --quiet
program=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/release/pgsiphon}")

# Not below a home directory: PostgreSQL refuses to run as root, and another user cannot enter there.
work=$(mktemp -d "${TMPDIR:-/tmp}/pgsiphon-callers.XXXXXX")
mkdir "$work/bin" "$work/elsewhere" "$work/barman"
ln -s "$bin"/* "$work/bin"
for original in pg_basebackup pg_receivewal; do
    rm "$work/bin/$original"
    cp "$program" "$work/bin/$original"
done
: >"$work/log"
as_user=
if [ "$(id -u)" = 0 ]; then
    chown -R postgres "$work"
    as_user='setpriv --reuid=postgres --regid=postgres --init-groups'
fi
cd "$work" && export HOME="$work" PGHOST="$work" PGUSER=postgres PGDATABASE=postgres

receiver=
clean_up() {
    status=$?
    [ "$status" = 0 ] || tail -n 40 "$work"/*.log "$work/log" >&2
    [ -z "$receiver" ] || kill "$receiver" || true
    for data in primary standby restored; do
        [ ! -f "$work/$data/postmaster.pid" ] ||
            $as_user "$bin/pg_ctl" -D "$work/$data" -m immediate -w stop >/dev/null || true
    done
    cd / && rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

say() { printf '\n== %s\n' "$*"; }
die() { echo "callers.sh: $*" >&2; exit 1; }
quietly() { $as_user timeout 60 "$@" >>"$work/log" 2>&1 || die "failed: $*"; }
start() { quietly "$bin/pg_ctl" -D "$work/$1" -l "$work/$1.log" -w -o "-p $2" start; } # DIRECTORY PORT
stop() { quietly "$bin/pg_ctl" -D "$work/$1" -m fast -w stop; } # DIRECTORY
query() { $as_user "$bin/psql" -XAtq -p "$1" -c "$2"; } # PORT SQL
attached() { # PORT NAME: whether it receives WAL
    receivers="select count(*) from pg_stat_replication where state = 'streaming'"
    [ "$(query "$1" "$receivers and application_name = '$2'")" = 1 ]
}
wait_for() { # COMMAND...
    for _ in $(seq 300); do ! "$@" || return 0; sleep 0.1; done
    die "waited in vain for: $*"
}
rows='select count(*), md5(string_agg(b::text, null order by n)) from before_backup b'
has_the_rows() { # PORT
    [ "$(query "$1" "$rows")" = "$expected" ] || die "port $1 has other rows: $(query "$1" "$rows")"
    echo "the server from it has all rows"
}
# Shows how ours was called last, as a log tells it: the proof that it was not the original.
last_call() { # LOG
    grep -F "$work/bin/pg_basebackup" "$1" | grep -Fv -e --version | tail -n 1 |
        sed "s,.* Command: ,,; s,$work,...,g; s,^ *,    ," | grep .
}

say 'a primary with a tablespace'
quietly "$bin/initdb" -k -A trust -U postgres --no-locale -E UTF8 -D "$work/primary"
cat >>primary/postgresql.conf <<CONF
listen_addresses = ''
unix_socket_directories = '$work'
wal_log_hints = on
shared_preload_libraries = 'repmgr'
CONF
start primary 54321
query 54321 "select version()"
query 54321 "create tablespace elsewhere location '$work/elsewhere'"
query 54321 "create table before_backup tablespace elsewhere as
    select n, md5(n::text) from generate_series(1, 100000) n"
query 54321 'create role repmgr superuser login'
query 54321 'create database repmgr owner repmgr'
expected=$(query 54321 "$rows")

barman() { quietly barman -c "$work/barman.conf" "$@"; }
configure_barman() { # SETTINGS
    cat >barman.conf <<CONF
[barman]
barman_user = $($as_user id -un)
barman_home = $work/barman
log_file = $work/barman.log
log_level = DEBUG
path_prefix = $work/bin
[primary]
description = primary
conninfo = host=$work port=54321 user=postgres dbname=postgres
streaming_conninfo = host=$work port=54321 user=postgres
backup_method = postgres
streaming_archiver = on
slot_name = barman
immediate_checkpoint = true
recovery_staging_path = $work/barman
$1
CONF
}
first_segment_is_archived() {
    barman archive-wal primary
    [ -n "$(find barman/primary/wals -name '0*' -type f)" ]
}

say "Barman $(command barman --version | sed 's/ .*//;q')"
configure_barman ''
barman receive-wal --create-slot primary
$as_user barman -c "$work/barman.conf" receive-wal primary >>"$work/log" 2>&1 &
receiver=$!
wait_for attached 54321 barman_receive_wal
# Barman takes no backup before it has a segment, and sees one as complete when WAL follows it.
query 54321 'select pg_switch_wal()' >>"$work/log"
query 54321 checkpoint
wait_for first_segment_is_archived
barman check primary

for form in \
    'bandwidth_limit = 200000' \
    'backup_compression = gzip' \
    'backup_compression = zstd, backup_compression_level = 1, backup_compression_workers = 2' \
    'backup_compression = lz4, backup_compression_location = server, backup_compression_format = plain'; do
    echo "with $form:"
    configure_barman "$(echo "$form" | sed 's/, /\n/g')"
    barman backup --wait primary
    last_call barman.log
    barman check-backup primary last
    case $form in
    *gzip* | *zstd*) ;; # archives, which pg_verifybackup does not read before 18
    *) barman verify-backup primary last ;;
    esac
    rm -rf restored restored-elsewhere
    barman recover --target-immediate --target-action promote \
        --tablespace "elsewhere:$work/restored-elsewhere" primary last "$work/restored"
    start restored 54322
    has_the_rows 54322
    stop restored
done
kill "$receiver"
wait "$receiver" || true # it says by which signal it ended
receiver=

configure_repmgr() { # NODE NUMBER PORT SETTINGS
    cat >"$1.conf" <<CONF
node_name = '$1'
node_id = $2
conninfo = 'host=$work port=$3 user=repmgr dbname=repmgr connect_timeout=2'
data_directory = '$work/$1'
pg_bindir = '$work/bin'
use_replication_slots = yes
$4
CONF
}
repmgr() { node=$1 && shift && quietly "$bin/repmgr" -f "$work/$node.conf" "$@"; } # NODE ARGUMENTS...

say "$("$bin/repmgr" --version)"
configure_repmgr primary 1 54321 ''
configure_repmgr standby 2 54322 "
tablespace_mapping = '$work/elsewhere=$work/standby-elsewhere'
pg_basebackup_options = '--label=standby --waldir=$work/standby-wal'"
repmgr primary primary register
repmgr standby -h "$work" -p 54321 -U repmgr -d repmgr standby clone --fast-checkpoint
last_call log
start standby 54322
wait_for attached 54321 standby
repmgr standby standby register
has_the_rows 54322

say 'the standby takes over, and the old primary becomes its standby'
stop primary
repmgr standby standby promote
configure_repmgr primary 1 54321 "tablespace_mapping = '$work/standby-elsewhere=$work/primary-elsewhere'"
repmgr primary -d "host=$work port=54322 user=repmgr dbname=repmgr" standby clone --force --fast-checkpoint
last_call log
start primary 54321
wait_for attached 54322 primary
repmgr primary standby register --force
has_the_rows 54321
