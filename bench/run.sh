#!/bin/bash
# Measures mod_chronicle against an empty handler, pgbench and two Node peers,
# on a private PostgreSQL cluster that lives only as long as the run.
# What is measured and how to read it: README.md beside this file.
set -euo pipefail

usage() {
    cat <<'END'
usage: bench/run.sh [options]
  --rounds N       alternating rounds (3)
  --seconds S      length of one measurement (8)
  --connections N  keep-alive connections (64)
  --only LIST      of empty,note,list,create,update,pull,push,cached,hosts,
                   pgbench,growth,search,conversations,memory (all of these),
                   realtime
  --servers LIST   of ours,express,fastify, and for realtime of ours,socketio,
                   socketio1,steps,ws (all)
  --rows LIST      sizes for growth, of 1k,10k,100k,1m (1k,100k)
  --search-rows LIST  notes of one user for search, of 1k,10k,100k,1m, and
                   conversations of 20 messages, up to 100k (1k,10k,100k)
  --table N        notes of all users for search, none or 1m (none): takes
                   five minutes to fill
  --realtime LIST  of idle,wss,broadcast,send,rest (all)
  --idle N         idle connections (10000)
  --wss N          the same by TLS (5000)
  --hold S         how long they are held: 25 is from ping to ping (26)
  --receivers N    of a broadcast (10000)
  --broadcasts N   of them (20)
  --broadcast-by WHAT  edit: a message is changed, all get one frame; send: a
                   new one, all get two (edit)
  --rooms N        of 100 members for message:send (10)
  --senders N      in all rooms together (20)
  --children N     processes of each server in realtime (2)
  --no-fsync       PostgreSQL without fsync: write rates without the disk
  --json FILE      also write every number there
  --module FILE    mod_chronicle.so (default: the newest below var/build)
  --keep           leave the temporary directory, with all logs
END
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
export BENCH_ROUNDS=3 BENCH_SECONDS=8 BENCH_CONNECTIONS=64 BENCH_ROWS=1k,100k
export BENCH_SEARCH_ROWS=1k,10k,100k BENCH_TABLE=none
export BENCH_ONLY=empty,note,list,create,update,pull,push,cached,hosts,pgbench
BENCH_ONLY+=,growth,search,conversations,memory
export BENCH_SERVERS BENCH_FSYNC=on BENCH_JSON=
export BENCH_REALTIME=idle,wss,broadcast,send,rest BENCH_IDLE=10000
export BENCH_WSS=5000 BENCH_HOLD=26 BENCH_RECEIVERS=10000 BENCH_BROADCASTS=20
export BENCH_BROADCAST_BY=edit BENCH_ROOMS=10 BENCH_SENDERS=20 BENCH_CHILDREN=2
BENCH_SERVERS=ours,express,fastify,socketio,socketio1,steps,ws
module= keep=
while [ $# -gt 0 ]; do
    case $1 in
    --rounds) BENCH_ROUNDS=$2; shift ;;
    --seconds) BENCH_SECONDS=$2; shift ;;
    --connections) BENCH_CONNECTIONS=$2; shift ;;
    --only) BENCH_ONLY=$2; shift ;;
    --servers) BENCH_SERVERS=$2; shift ;;
    --rows) BENCH_ROWS=$2; shift ;;
    --search-rows) BENCH_SEARCH_ROWS=$2; shift ;;
    --table) BENCH_TABLE=$2; shift ;;
    --realtime) BENCH_REALTIME=$2; shift ;;
    --idle) BENCH_IDLE=$2; shift ;;
    --wss) BENCH_WSS=$2; shift ;;
    --hold) BENCH_HOLD=$2; shift ;;
    --receivers) BENCH_RECEIVERS=$2; shift ;;
    --broadcasts) BENCH_BROADCASTS=$2; shift ;;
    --broadcast-by) BENCH_BROADCAST_BY=$2; shift ;;
    --rooms) BENCH_ROOMS=$2; shift ;;
    --senders) BENCH_SENDERS=$2; shift ;;
    --children) BENCH_CHILDREN=$2; shift ;;
    --no-fsync) BENCH_FSYNC=off ;;
    --json) BENCH_JSON=$(realpath -m "$2"); shift ;;
    --module) module=$(realpath "$2"); shift ;;
    --keep) keep=yes ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
    esac
    shift
done

say() { printf 'bench: %s\n' "$*"; }
die() { printf 'bench: %s\n' "$*" >&2; exit 1; }
wants() { [[ ",$2," == *",$1,"* ]]; }

for tool in wrk node npm psql; do
    command -v $tool >/dev/null || die "$tool is missing"
done
pgbin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -x "$pgbin/initdb" ] || pgbin=$(pg_config --bindir)
export PATH=$pgbin:$PATH

apxs=$(command -v apxs || command -v apxs2) || die "apxs is missing"
BENCH_HTTPD=$($apxs -q SBINDIR)/$($apxs -q PROGNAME)
BENCH_MODULES=$($apxs -q LIBEXECDIR)
export BENCH_HTTPD BENCH_MODULES
if wants ours "$BENCH_SERVERS" && [ -z "$module" ]; then
    module=$(find "$root/var/build" -name mod_chronicle.so -printf '%T@ %p\n' \
        2>/dev/null | sort -n | tail -1 | cut -d' ' -f2- || true)
    [ -n "$module" ] || die "no mod_chronicle.so: build it, or give --module"
fi
export BENCH_MODULE=$module

tmp=$(mktemp -d "${TMPDIR:-/tmp}/chronicle-bench.XXXXXX")
chmod 755 "$tmp"
export BENCH_DIR=$tmp BENCH_ROOT=$root
as_pg() { "$@"; }
if [ "$(id -u)" = 0 ]; then
    as_pg() { runuser -u postgres -- "$@"; }
    install -d -o postgres "$tmp/pg"
else
    mkdir "$tmp/pg"
fi

runner=
finish() {
    local status=$?
    trap - EXIT INT TERM
    [ -n "$runner" ] && kill "$runner" 2>/dev/null && wait "$runner" || true
    if [ -f "$tmp/pg/data/postmaster.pid" ]; then
        as_pg "$pgbin/pg_ctl" -D "$tmp/pg/data" -m immediate -w stop \
            >/dev/null 2>&1 || true
    fi
    if [ -n "$keep" ]; then say "kept $tmp"; else rm -rf "$tmp"; fi
    exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The directories of the peers that will be asked.
peers=
if [ "$BENCH_ONLY" != realtime ]; then
    for peer in express fastify; do
        wants $peer "$BENCH_SERVERS" && peers+=" $peer-pg"
    done
fi
if wants realtime "$BENCH_ONLY"; then
    [[ $BENCH_SERVERS =~ socketio|steps ]] && peers+=' socketio-pg'
    wants ws "$BENCH_SERVERS" && peers+=' ws'
    say "the client for open sockets"
    "${CC:-gcc}" -O2 -std=gnu11 -Wall -Wextra -D_GNU_SOURCE -o "$tmp/load" \
        "$here"/realtime/*.c -lssl -lcrypto || die "no client"
    # each connection is a descriptor of a server's process and of the client's
    ulimit -n "$(ulimit -Hn)"
fi
export BENCH_DESCRIPTORS=$(ulimit -n)

for peer in $peers; do
    dir=$here/peers/$peer
    if [ ! "$dir/node_modules/.package-lock.json" -nt "$dir/package-lock.json" ]
    then
        say "npm ci for $peer"
        (cd "$dir" && npm ci --no-audit --no-fund --loglevel=error)
        touch "$dir/node_modules/.package-lock.json"
    fi
done

say "PostgreSQL cluster (fsync $BENCH_FSYNC)"
cd "$tmp"
as_pg "$pgbin/initdb" -D "$tmp/pg/data" -U chronicle --auth=trust \
    --encoding=UTF8 --locale=C.UTF-8 >"$tmp/initdb.log" 2>&1 ||
    { tail "$tmp/initdb.log" >&2; die "initdb failed"; }
as_pg tee -a "$tmp/pg/data/postgresql.conf" >/dev/null <<END
listen_addresses = ''
unix_socket_directories = '$tmp/pg'
max_connections = 100
shared_buffers = 256MB
fsync = $BENCH_FSYNC
# A round must not hit another one's housekeeping.
autovacuum = off
max_wal_size = 8GB
checkpoint_timeout = 1h
END
as_pg "$pgbin/pg_ctl" -D "$tmp/pg/data" -l "$tmp/pg/log" -w start >/dev/null ||
    { tail "$tmp/pg/log" >&2; die "PostgreSQL did not start"; }
export PGHOST=$tmp/pg PGUSER=chronicle PGDATABASE=base
unset PGPORT PGPASSWORD PGOPTIONS PGSERVICE
createdb -T template0 base

say "schema and data"
"$root/sql/chronicle-migrate" apply >"$tmp/migrate.log" 2>&1 ||
    { tail "$tmp/migrate.log" >&2; die "chronicle-migrate failed"; }
psql -qX -f "$here/lib/data.sql"
psql -qX -c 'VACUUM ANALYZE' -c 'CHECKPOINT'

# The session settings that the product is delivered with, for everybody.
BENCH_PGOPTIONS=$(sed -n "s/^DBDParams.*options='\([^']*\)'.*/\1/p" \
    "$root/conf/httpd.conf.in")
BENCH_TICKS=$(getconf CLK_TCK)
export BENCH_TICKS BENCH_PGOPTIONS
node "$here/lib/bench.mjs" &
runner=$!
status=0
wait $runner || status=$?
runner=
exit $status
