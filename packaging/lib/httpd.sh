# Finds httpd and writes what differs between its builds.

find_apxs() {
    command -v apxs || command -v apxs2 || die "apxs not found: ./apxs-build.sh deps"
}

httpd_program() {
    local apxs
    apxs=$(find_apxs)
    printf '%s/%s\n' "$("$apxs" -q sbindir)" "$("$apxs" -q progname)"
}

httpd_modules_dir() { "$(find_apxs)" -q LIBEXECDIR; }

# load_lines NAME...: a LoadModule line for each module that this httpd has as a
# file; the others are compiled in.
load_lines() {
    local name dir compiled
    dir=$(httpd_modules_dir)
    compiled=$("$(httpd_program)" -l)
    for name in "$@"; do
        if [ -e "$dir/mod_$name.so" ]; then
            echo "LoadModule ${name}_module \"$dir/mod_$name.so\""
        elif ! grep -q -w -e "mod_$name.c" -e "$name.c" <<<"$compiled"; then
            die "this httpd lacks mod_$name"
        fi
    done
}

# httpd_pid DIR: the pid of the server that "up" started there, if it runs.
httpd_pid() {
    local pid
    pid=$(cat "$1/httpd.pid" 2>/dev/null) || return 1
    # the number may by now belong to somebody else
    [ -n "$pid" ] && tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null |
        grep -q -x -F -e "$1/httpd.conf" || return 1
    printf '%s\n' "$pid"
}

httpd_stop() {
    local pid tries=0
    pid=$(httpd_pid "$1") || return 0
    kill -TERM "$pid" 2>/dev/null || return 0
    # not kill -0, for which one that nobody has waited for still runs
    while httpd_pid "$1" >/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || die "httpd (pid $pid) does not stop"
        sleep 0.1
    done
}
