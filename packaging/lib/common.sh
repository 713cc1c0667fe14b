# What every command of apxs-build.sh uses: messages, logs, users, paths.

say() { printf '%s\n' "$*"; }
step() { printf '==> %s\n' "$*"; }
warn() { printf 'apxs-build.sh: warning: %s\n' "$*" >&2; }

die() {
    printf 'apxs-build.sh: %s\n' "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" -eq 0 ]; }

# die_with_log TEXT LOG: the cause and the end of its log.
die_with_log() {
    if [ -s "$2" ]; then
        printf '%s\n' "---- the end of $2:" >&2
        tail -n 30 "$2" | sed 's/^/    /' >&2
    fi
    die "$1"
}

# quietly LOG TEXT COMMAND...: runs COMMAND with its output in LOG; if it fails,
# ends with TEXT and the end of LOG.
quietly() {
    local log=$1 text=$2
    shift 2
    "$@" >"$log" 2>&1 </dev/null || die_with_log "$text" "$log"
}

# as_user USER COMMAND...: as root, runs COMMAND as USER, from a directory that
# USER can enter.
as_user() {
    local user=$1
    shift
    (cd / && exec runuser -u "$user" -- "$@")
}

# absolute PATH: PATH need not exist, its parent must be possible to make.
absolute() {
    case $1 in
    /*) printf '%s\n' "$1" ;;
    *) printf '%s\n' "$PWD/$1" ;;
    esac
}

# Neither make nor the configuration files can hold every path.
check_path() {
    case $1 in
    *[[:space:]\"\'\\\$\`\&\#%]*)
        die "the path \"$1\" holds a space or a special character: move it"
        ;;
    esac
}

check_root_path() { check_path "$ROOT"; }

# option_value "$@": the value after the option that is first.
option_value() {
    [ $# -ge 2 ] && [ -n "$2" ] || die "$1 needs a value (see help)"
    printf '%s\n' "$2"
}

processors() { nproc 2>/dev/null || echo 2; }

# random_secret: 64 hexadecimal digits.
random_secret() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
