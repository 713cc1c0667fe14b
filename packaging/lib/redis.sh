# A private Redis that listens on a unix socket only and keeps nothing on disk.

# The package to install, unless the program is there already.
redis_package() { have redis-server || echo redis-server; }

# It runs as the user who is to reach it, so that its directory is for that user
# alone.
redis_as() {
    if is_root; then
        as_user www-data "$@"
    else
        (cd / && exec "$@")
    fi
}

redis_socket() { printf '%s/redis.sock\n' "$1"; }

# redis_pid HOME: the pid of the server that was started there, if it runs.
redis_pid() {
    local pid
    pid=$(cat "$1/redis.pid" 2>/dev/null) || return 1
    # the number may by now belong to somebody else
    [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$1" ] &&
        grep -q -z -e redis-server "/proc/$pid/cmdline" || return 1
    printf '%s\n' "$pid"
}

redis_make() {
    mkdir -p "$1"
    chmod 700 "$1"
    ! is_root || chown www-data: "$1"
}

redis_start() {
    local home=$1 tries
    redis_make "$home"
    # what is full of old answers throws away the oldest
    redis_as tee "$home/redis.conf" >/dev/null <<END
port 0
unixsocket $(redis_socket "$home")
unixsocketperm 700
daemonize yes
pidfile $home/redis.pid
logfile $home/redis.log
dir $home
save ""
appendonly no
maxmemory 64mb
maxmemory-policy volatile-lru
END
    redis_as redis-server "$home/redis.conf" >"$home.start.log" 2>&1 \
        </dev/null 9>&- || die_with_log "Redis does not start" "$home.start.log"
    rm -f "$home.start.log"
    for tries in $(seq 100); do
        if redis_pid "$home" >/dev/null && [ -S "$(redis_socket "$home")" ]; then
            return 0
        fi
        sleep 0.1
    done
    die_with_log "Redis does not start" "$home/redis.log"
}

redis_stop() {
    local pid tries=0
    pid=$(redis_pid "$1") || return 0
    kill -TERM "$pid" 2>/dev/null || return 0
    while redis_pid "$1" >/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || die "Redis (pid $pid) does not stop"
        sleep 0.1
    done
}
