# A private PostgreSQL cluster that listens on a unix socket only.

# The newest installed server, 13 or later; prints the directory of its programs.
find_pg_bin() {
    local dir version best=0 found=
    for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin; do
        [ -x "$dir/initdb" ] || continue
        version=$(basename "$(dirname "$dir")")
        version=${version##*-}
        version=${version%%.*}
        if [ "$version" -ge 13 ] && [ "$version" -gt "$best" ]; then
            best=$version
            found=$dir
        fi
    done
    if [ -z "$found" ] && have initdb && have pg_ctl; then
        found=$(dirname "$(command -v initdb)")
    fi
    [ -n "$found" ] && printf '%s\n' "$found"
}

# Postgres refuses to run as root: there it runs as this user.
pg_user() { if is_root; then echo postgres; else id -un; fi; }

# pg_as COMMAND...: as the cluster's user.
pg_as() {
    if is_root; then
        as_user postgres "$@"
    else
        (cd / && exec "$@")
    fi
}

# pg_run PROGRAM ARGUMENT...: one of PostgreSQL's own programs.
pg_run() {
    local program=$1
    shift
    pg_as "$(find_pg_bin)/$program" "$@"
}

# pg_write FILE, pg_append FILE: put standard input into a file of the cluster.
pg_write() { pg_as tee "$1" >/dev/null; }
pg_append() { pg_as tee -a "$1" >/dev/null; }

pg_locale() {
    if locale -a 2>/dev/null | grep -qix 'c.utf-\?8'; then
        echo C.UTF-8
    else
        echo C
    fi
}

# pg_make HOME AUTH: makes the cluster HOME/data; AUTH as in initdb --auth-local.
pg_make() {
    local home=$1 auth=$2
    mkdir -p "$home"
    if is_root; then
        id postgres >/dev/null 2>&1 || die "there is no user \"postgres\""
        chown postgres: "$home"
    fi
    quietly "$(dirname "$home")/initdb.log" "initdb failed" \
        pg_run initdb -D "$home/data" -U "$(pg_user)" -E UTF8 \
        --locale="$(pg_locale)" --auth-local="$auth" --auth-host=reject
    echo "include_if_exists = 'chronicle.conf'" |
        pg_append "$home/data/postgresql.conf"
}

pg_running() { pg_run pg_ctl -D "$1/data" status >/dev/null 2>&1; }

# pg_start HOME: with the settings on standard input, beside those that make it
# private. Its socket is in HOME.
pg_start() {
    local home=$1
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$home'"
        echo "timezone = 'UTC'"
        echo "log_timezone = 'UTC'"
        # short statements: compiling them costs more than it saves
        echo "jit = off"
        cat
    } | pg_write "$home/data/chronicle.conf"
    pg_run pg_ctl -D "$home/data" -l "$home/postgres.log" -s -w -t 60 start \
        >"$home.start.log" 2>&1 </dev/null 9>&- || {
        cat "$home.start.log" >&2
        die_with_log "PostgreSQL does not start" "$home/postgres.log"
    }
    rm -f "$home.start.log"
}

pg_stop() {
    pg_running "$1" || return 0
    pg_run pg_ctl -D "$1/data" -s -m "${2:-fast}" -w -t 60 stop >/dev/null 2>&1
}

# pg_super HOME ARGUMENT...: psql as the cluster's superuser.
pg_super() {
    local home=$1
    shift
    pg_run psql -X -q -A -t -v ON_ERROR_STOP=1 -h "$home" -U "$(pg_user)" "$@"
}
