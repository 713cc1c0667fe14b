# up and down: a private server in one directory.

readonly DEMO_EMAIL=demo@example.com
readonly DEMO_PASSWORD=chronicle-demo
readonly DATABASE=chronicle

# What httpd needs beside our module. Each is there for a line of the template.
readonly UP_MODULES="mpm_event unixd log_config authz_core authz_host dbd mime
dir alias headers deflate reqtimeout status"

# Options, as globals of this command.
DIR=$ROOT/var
PORT=
LISTEN=127.0.0.1
INCLUDE=
DEMO=yes
WITH_REDIS=no

parse_up() {
    while [ $# -gt 0 ]; do
        case $1 in
        --port) PORT=$(option_value "$@") && shift ;;
        --listen) LISTEN=$(option_value "$@") && shift ;;
        --dir) DIR=$(option_value "$@") && shift ;;
        --include) INCLUDE=$(option_value "$@") && shift ;;
        --no-demo) DEMO=no ;;
        --with-redis) WITH_REDIS=yes ;;
        *) die "up: unknown option $1 (see help)" ;;
        esac
        shift
    done
    case $PORT in *[!0-9]*) die "--port: not a number: $PORT" ;; esac
    if [ -n "$INCLUDE" ]; then
        INCLUDE=$(absolute "$INCLUDE")
        [ -r "$INCLUDE" ] || die "--include: can't read $INCLUDE"
    fi
}

# ── places ───────────────────────────────────────────────────────────────────

make_dir() {
    DIR=$(absolute "$DIR")
    mkdir -p "$DIR" || die "can't make $DIR"
    DIR=$(cd "$DIR" && pwd -P)
    check_path "$DIR"
    mkdir -p "$DIR/log" "$DIR/run" "$DIR/modules" "$DIR/secrets"
    chmod 700 "$DIR/secrets"
}

# Can the users that Postgres and httpd's children run as pass through DIR?
dir_is_open() {
    is_root || return 0
    as_user postgres test -x "$DIR" && as_user www-data test -x "$DIR"
}

# HOME_DIR holds what those users must reach. That is DIR, unless they can't
# pass (a checkout below /root) or the path is too long for a unix socket; then
# it is a directory of its own below /var/tmp, and DIR/pg leads to it.
choose_home() {
    local socket="$DIR/pg/.s.PGSQL.5432"
    if [ -L "$DIR/pg" ] && [ -d "$DIR/pg" ]; then
        HOME_DIR=$(dirname "$(readlink -f "$DIR/pg")")
    elif dir_is_open && [ "${#socket}" -le 107 ]; then
        HOME_DIR=$DIR
    else
        HOME_DIR=$(mktemp -d /var/tmp/chronicle.XXXXXX)
        chmod 755 "$HOME_DIR"
        mkdir "$HOME_DIR/pg"
        ln -s -f -n "$HOME_DIR/pg" "$DIR/pg"
        say "    $DIR can't be entered by every user of the server," \
            "or its path is too long for a socket: the data are in $HOME_DIR"
    fi
    mkdir -p "$HOME_DIR/htdocs"
    PG_HOME=$HOME_DIR/pg
    REDIS_HOME=$HOME_DIR/redis
}

make_secrets() {
    (
        umask 077
        cd "$DIR/secrets" || exit 1
        [ -s jwt ] || printf '1:%s\n' "$(random_secret)" >jwt
        [ -s refresh ] || printf '%s\n' "$(random_secret)" >refresh
    )
}

# ── database ─────────────────────────────────────────────────────────────────

# Who may connect as whom is decided by the kernel's word on who is calling, so
# there is no password to keep: root and the cluster's user as anybody, httpd's
# children only as the module's role.
write_access() {
    local me
    me=$(id -un)
    echo "local all all peer map=chronicle" | pg_write "$PG_HOME/data/pg_hba.conf"
    {
        local user
        for user in "$me" "$(pg_user)"; do
            echo "chronicle $user $me"
            echo "chronicle $user $(pg_user)"
            echo "chronicle $user $DATABASE"
        done | sort -u
        ! is_root || echo "chronicle www-data $DATABASE"
    } | pg_write "$PG_HOME/data/pg_ident.conf"
}

# Role and database, once; the caller's own role, so that plain psql works.
make_database() {
    local me
    me=$(id -un)
    pg_super "$PG_HOME" -d postgres -f - <<END
SELECT 'CREATE ROLE $DATABASE LOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$DATABASE') \gexec
SELECT 'CREATE ROLE "$me" LOGIN SUPERUSER'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$me') \gexec
SELECT 'CREATE DATABASE $DATABASE OWNER $DATABASE'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '$DATABASE') \gexec
END
}

up_postgres() {
    if [ ! -e "$PG_HOME/data/PG_VERSION" ]; then
        step "making a private PostgreSQL cluster in $PG_HOME"
        pg_make "$PG_HOME" peer
    fi
    if [ "$(stat -c %U "$PG_HOME/data")" != "$(pg_user)" ]; then
        die "$PG_HOME/data belongs to $(stat -c %U "$PG_HOME/data"): run this" \
            "as the user who made it, or give another --dir"
    fi
    if ! pg_running "$PG_HOME"; then
        step "starting PostgreSQL"
        write_access
        pg_start "$PG_HOME" </dev/null
    fi
    make_database
}

conninfo() { printf 'host=%s dbname=%s user=%s' "$PG_HOME" "$DATABASE" "$DATABASE"; }

migrate() {
    step "bringing the database up to date"
    "$ROOT/sql/chronicle-migrate" apply "$(conninfo)" | sed 's/^/    /' ||
        die "the database could not be brought up to date"
}

load_demo() {
    local mark="$DIR/run/demo-loaded"
    [ "$DEMO" = yes ] && [ ! -e "$mark" ] || return 0
    step "loading demo data"
    quietly "$DIR/log/demo.log" "loading the demo data failed" \
        psql -X -q -w -v ON_ERROR_STOP=1 -1 -f "$ROOT/sql/demo.sql" \
        -d "$(conninfo)"
    rm -f "$DIR/log/demo.log"
    touch "$mark"
}

# ── Redis ──────────────────────────────────────────────────────────────────────

redis_url() { printf 'unix://%s' "$(redis_socket "$REDIS_HOME")"; }

up_redis() {
    if redis_pid "$REDIS_HOME" >/dev/null; then
        [ "$WITH_REDIS" = no ] || return 0
        step "stopping Redis (no --with-redis)"
        redis_stop "$REDIS_HOME"
    elif [ "$WITH_REDIS" = yes ]; then
        step "starting Redis"
        redis_start "$REDIS_HOME"
    fi
}

# ── httpd ────────────────────────────────────────────────────────────────────

port_taken() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# The port of our own server, which is about to be free.
own_port() {
    httpd_pid "$DIR" >/dev/null || return 0
    sed -n 's/^Listen .*:\([0-9]*\)$/\1/p' "$DIR/httpd.conf"
}

choose_port() {
    local port=${PORT:-8080} own
    own=$(own_port)
    while [ "$port" != "$own" ] && port_taken "$port"; do
        [ -z "$PORT" ] || die "port $port is taken by another program"
        port=$((port + 1))
    done
    PORT=$port
}

# The address by which this machine reaches what listens on LISTEN.
own_address() {
    case $LISTEN in
    0.0.0.0 | '*') echo 127.0.0.1 ;;
    '[::]') echo '[::1]' ;;
    *) printf '%s\n' "$LISTEN" ;;
    esac
}

# Copies, so that a running server does not depend on the next build.
place_files() {
    install -m 755 "$(module_file "$BUILD")" "$DIR/modules/mod_chronicle.so"
    rm -rf "$HOME_DIR/swagger-ui"
    mkdir -p "$HOME_DIR/swagger-ui"
    [ ! -e "$BUILD/swagger-ui/swagger-ui.css" ] ||
        cp "$BUILD/swagger-ui/"* "$HOME_DIR/swagger-ui/"
    rm -rf "$HOME_DIR/demo"
    mkdir -p "$HOME_DIR/demo"
    install -m 644 "$ROOT/packaging/demo/"* "$HOME_DIR/demo/"
    cat >"$DIR/mime.types" <<'END'
text/html html
text/plain txt
text/css css
text/javascript js
application/json json
image/png png
END
}

# fill TEMPLATE NAME=VALUE...: the template with each @NAME@ replaced.
fill() {
    local text pair
    text=$(cat "$1")
    shift
    for pair in "$@"; do
        text=${text//"@${pair%%=*}@"/"${pair#*=}"}
    done
    printf '%s\n' "$text"
}

write_conf() {
    local modules user='' include='' redis=''
    # shellcheck disable=SC2086
    modules=$(load_lines $UP_MODULES)
    ! is_root || user=$'User www-data\nGroup www-data'
    [ -z "$INCLUDE" ] || include="Include \"$INCLUDE\""
    [ "$WITH_REDIS" = no ] || redis="ChronicleRedis \"$(redis_url)\""
    fill "$ROOT/conf/httpd.conf.in" LOAD_MODULES="$modules" \
        MODULE="$DIR/modules/mod_chronicle.so" \
        DOCS_DIR="$HOME_DIR/swagger-ui" DEMO="$HOME_DIR/demo" FILES="$HOME_DIR/files" HTDOCS="$HOME_DIR/htdocs" \
        LISTEN="$LISTEN:$PORT" SERVER_NAME="$(own_address):$PORT" \
        USER="$user" PGHOST="$PG_HOME" PGDATABASE="$DATABASE" \
        PGUSER="$DATABASE" REDIS="$redis" INCLUDE="$include" DIR="$DIR" >"$1"
}

write_env() {
    cat >"$DIR/env" <<END
BASE_URL=http://$(own_address):$PORT
PGHOST=$PG_HOME
PGDATABASE=$DATABASE
PGUSER=$DATABASE
DEMO_EMAIL=$DEMO_EMAIL
DEMO_PASSWORD=$DEMO_PASSWORD
END
    [ "$WITH_REDIS" = no ] || echo "REDIS_URL=$(redis_url)" >>"$DIR/env"
}

# A mistake in the configuration must not cost the server that runs.
test_conf() {
    local log="$DIR/log/configtest.log"
    PORT=${PORT:-8080} write_conf "$DIR/httpd.conf.new"
    quietly "$log" "the configuration is refused" \
        "$(httpd_program)" -t -f "$DIR/httpd.conf.new"
    rm -f "$log" "$DIR/httpd.conf.new"
}

restart_httpd() {
    local log="$DIR/log/start.log" errors="$DIR/log/error.log"
    choose_port
    if httpd_pid "$DIR" >/dev/null; then
        step "stopping the httpd that runs"
        httpd_stop "$DIR"
    fi
    write_conf "$DIR/httpd.conf"
    step "starting httpd on $LISTEN:$PORT"
    touch "$errors"
    if ! "$(httpd_program)" -f "$DIR/httpd.conf" -k start >"$log" 2>&1 </dev/null
    then
        cat "$log" >&2
        die_with_log "httpd does not start" "$errors"
    fi
    rm -f "$log"
}

wait_ready() {
    local url tries answer
    url="http://$(own_address):$PORT/health/ready"
    for tries in $(seq 150); do
        if curl -fs -m 5 -o /dev/null "$url"; then
            return 0
        fi
        # it takes a moment to write its pid
        [ "$tries" -lt 25 ] || httpd_pid "$DIR" >/dev/null || break
        sleep 0.2
    done
    answer=$(curl -s -m 5 "$url" || true)
    [ -z "$answer" ] || printf '%s\n' "/health/ready says: $answer" >&2
    die_with_log "the server does not become ready" "$DIR/log/error.log"
}

# ── commands ─────────────────────────────────────────────────────────────────

print_welcome() {
    local url down="./apxs-build.sh down" body
    url="http://$(own_address):$PORT"
    [ "$DIR" = "$ROOT/var" ] || down="$down --dir $DIR"
    cat <<END

mod_chronicle is running.
  API            $url/api/v1
  documentation  $url/api-docs
  demo page      $url/demo/ (notes and chat, in two windows)
  logs           $DIR/log/error.log, $DIR/log/access.log
  database       psql -h $PG_HOME -U $DATABASE $DATABASE
END
    [ "$WITH_REDIS" = no ] ||
        say "  Redis          redis-cli -s $(redis_socket "$REDIS_HOME")"
    if [ "$DEMO" = yes ]; then
        body="{\"email\":\"$DEMO_EMAIL\",\"password\":\"$DEMO_PASSWORD\"}"
        cat <<END
  demo login     $DEMO_EMAIL / $DEMO_PASSWORD
                 demo2@example.com, with the same password

Log in:
  curl -s $url/api/v1/auth/login -H 'Content-Type: application/json' -d '$body'
END
    fi
    say ""
    say "Next: open $url/api-docs, or stop it with $down"
}

command_up() {
    parse_up "$@"
    mkdir -p "$ROOT/var"
    # shellcheck disable=SC2046
    ensure_packages $([ "$WITH_REDIS" = no ] || redis_package)
    build_module
    make_dir
    choose_home
    make_secrets
    up_postgres
    migrate
    load_demo
    place_files
    test_conf
    [ "$WITH_REDIS" = no ] || up_redis
    restart_httpd
    up_redis
    wait_ready
    write_env
    print_welcome
}

command_down() {
    while [ $# -gt 0 ]; do
        case $1 in
        --dir) DIR=$(option_value "$@") && shift ;;
        *) die "down: unknown option $1 (see help)" ;;
        esac
        shift
    done
    DIR=$(absolute "$DIR")
    [ -d "$DIR" ] || die "there is no $DIR"
    DIR=$(cd "$DIR" && pwd -P)
    local stopped=
    if httpd_pid "$DIR" >/dev/null; then
        step "stopping httpd"
        httpd_stop "$DIR"
        stopped=yes
    fi
    PG_HOME=$(readlink -f "$DIR/pg")
    REDIS_HOME=$(dirname "$PG_HOME")/redis
    if redis_pid "$REDIS_HOME" >/dev/null; then
        step "stopping Redis"
        redis_stop "$REDIS_HOME"
        stopped=yes
    fi
    if [ -e "$PG_HOME/data/PG_VERSION" ] && pg_running "$PG_HOME"; then
        step "stopping PostgreSQL"
        pg_stop "$PG_HOME"
        stopped=yes
    fi
    if [ -n "$stopped" ]; then
        say "Stopped; the data stay in $DIR. Next: ./apxs-build.sh up"
    else
        say "Nothing was running in $DIR. Next: ./apxs-build.sh up"
    fi
}
