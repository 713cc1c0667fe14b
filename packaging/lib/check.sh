# test: unit tests and fuzz seeds, guards, whole-server tests, and the latter
# again under sanitizers; counts them all.

# Hard limits, in seconds: a part that hangs is a part that fails.
readonly UNIT_LIMIT=300 GUARD_LIMIT=120 API_LIMIT=1800 REALTIME_LIMIT=900
readonly ASAN_LIMIT=2400

# Beside what building needs. Another module's logins, which our API takes over.
# A mail server. Git, whose merges ours are compared with. And a browser.
readonly TEST_PACKAGES="libapache2-mod-auth-openidc python3-aiosmtpd git
chromium"

PASSED=0
FAILED=0
RUN_DIR=
PG_STARTED=
CHILD=
BEAT=

# count PART PASSED FAILED: a part in which nothing ran has failed.
count() {
    local part=$1 passed=$2 failed=$3
    if [ $((passed + failed)) -eq 0 ]; then
        printf '%s: no test ran\n' "$part"
        failed=1
    fi
    PASSED=$((PASSED + passed))
    FAILED=$((FAILED + failed))
    printf '    %s: %d passed, %d failed\n' "$part" "$passed" "$failed"
}

# ── the run's directory ──────────────────────────────────────────────────────

make_run_dir() {
    # not TMPDIR: every user of the server must get there, and a unix socket's
    # path is short
    RUN_DIR=$(mktemp -d /tmp/chronicle-test.XXXXXX)
    chmod 755 "$RUN_DIR"
    trap end_run EXIT
    trap 'exit 130' INT
    trap 'exit 143' HUP TERM
}

# Whatever a test has left running names this run's directory, which is unique,
# in its command line.
stop_leftovers() {
    local dir pid
    for dir in /proc/[0-9]*; do
        pid=${dir#/proc/}
        [ "$pid" != $$ ] && [ "$pid" != "$BASHPID" ] || continue
        if grep -q -s -F -e "$RUN_DIR" "$dir/cmdline"; then
            kill -"$1" "$pid" 2>/dev/null || true
        fi
    done
}

end_run() {
    local code=$?
    trap '' INT HUP TERM
    set +e
    [ -z "$BEAT" ] || kill "$BEAT" 2>/dev/null
    [ -z "$CHILD" ] || kill -TERM "$CHILD" 2>/dev/null
    [ -z "$CHILD" ] || wait "$CHILD" 2>/dev/null
    [ -z "$PG_STARTED" ] || pg_stop "$RUN_DIR/pg" immediate
    stop_leftovers TERM
    sleep 0.2
    stop_leftovers KILL
    rm -rf "$RUN_DIR"
    exit "$code"
}

# A sign of life every minute, for people and for machines that give up on a
# silent job.
heartbeat() {
    local log=$1 seconds=0 nothing
    # waits without a process of its own, which would outlive this one
    exec {nothing}<> <(:)
    while ! read -r -t 60 -u "$nothing"; do
        seconds=$((seconds + 60))
        printf '    %d s, %d lines of output so far\n' "$seconds" \
            "$(wc -l <"$log")"
    done
}

# limited SECONDS LOG COMMAND...: with output to LOG, in the background, so that
# a signal to us is handled at once; the command's children go with it.
limited() {
    local seconds=$1 log=$2 code=0
    shift 2
    timeout -k 20 "$seconds" "$@" >"$log" 2>&1 </dev/null &
    CHILD=$!
    heartbeat "$log" &
    BEAT=$!
    wait "$CHILD" || code=$?
    CHILD=
    kill "$BEAT" 2>/dev/null || true
    wait "$BEAT" 2>/dev/null || true
    BEAT=
    [ "$code" -ne 124 ] || echo "stopped after $seconds s" >>"$log"
    return "$code"
}

# ── unit tests, fuzz seeds ───────────────────────────────────────────────────

# Adds up the summaries of the library check and of replay.c, in which one seed
# is one test. A program that failed without a word counts as one.
count_unit() {
    find "$1/tests" -name '*.trs' | while read -r result; do
        cat "${result%.trs}.log" "$result"
    done | awk '
        /^[0-9]+%: Checks: / {
            gsub(/[^0-9 ]/, "")
            bad += $3 + $4
            passed += $2 - $3 - $4
        }
        /: replayed [0-9]+ seeds$/ { passed += $(NF - 1) }
        /^:test-result: / {
            failed += bad
            if ($2 != "PASS" && bad == 0) failed++
            bad = 0
        }
        END { print passed + 0, failed + bad }'
}

# check_tree PART LIMIT DIRECTORY ARGUMENT...: its `make check`; built first,
# then two at a time for each processor, since many of them wait.
check_tree() {
    local part=$1 limit=$2 dir=$3 log="$RUN_DIR/$1.log" code=0 counts
    local make=(make -C "$3" --no-print-directory -k VERBOSE=1 "${@:4}")
    find "$dir/tests" -name '*.trs' -delete
    limited "$limit" "$log" "${make[@]}" -j "$(processors)" check TESTS= ||
        cat "$log"
    limited "$limit" "$log" "${make[@]}" -j $((2 * $(processors))) check ||
        code=$?
    read -r -a counts <<<"$(count_unit "$dir")"
    if [ "$code" -ne 0 ]; then
        cat "$log"
        # it may not even have been compiled
        [ "${counts[1]}" -gt 0 ] || counts[1]=1
    fi
    count "$part" "${counts[@]}"
}

run_unit() {
    step "unit tests and fuzz seeds"
    check_tree unit "$UNIT_LIMIT" "$BUILD"
}

# ── guards ───────────────────────────────────────────────────────────────────

# guards_in PART DIRECTORY: the current directory is the project's.
guards_in() {
    local part=$1 guard passed=0 failed=0 log="$RUN_DIR/guard.log"
    step "$part"
    for guard in "$2"/*.sh; do
        [ -e "$guard" ] || continue
        if limited "$GUARD_LIMIT" "$log" sh "$guard"; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            printf 'guard %s:\n' "$(basename "$guard" .sh)"
            sed 's/^/    /' "$log"
        fi
    done
    count "$part" "$passed" "$failed"
}

run_guards() { guards_in guards "$ROOT/tests/guards"; }

# Those that judge what the whole-server tests have left in CH_TEST_TMP; only
# after all of them.
run_after() {
    if [ -z "${1:-}" ] && [ -d "$ROOT/tests/guards/after" ]; then
        guards_in "guards after the tests" "$ROOT/tests/guards/after"
    fi
}

# ── whole-server tests ───────────────────────────────────────────────────────

make_template() {
    local home="$RUN_DIR/pg"
    pg_super "$home" -d postgres -c "CREATE DATABASE chronicle_template"
    quietly "$RUN_DIR/migrate.log" "chronicle-migrate failed" \
        "$ROOT/sql/chronicle-migrate" apply \
        "host=$home user=$(pg_user) dbname=chronicle_template"
}

start_test_postgres() {
    step "starting a PostgreSQL for the tests"
    pg_make "$RUN_DIR/pg" trust
    PG_STARTED=yes
    # nothing in here has to outlive a crash
    pg_start "$RUN_DIR/pg" <<'END'
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 200
shared_buffers = 128MB
END
    make_template
}

# offered PACKAGE...: those that this release of the system has.
offered() {
    local package
    have apt-cache || return 0
    for package; do
        ! apt-cache show "$package" >/dev/null 2>&1 ||
            printf '%s\n' "$package"
    done
}

# Tools that single tests use; a test says so when its tool is not there.
install_test_tools() {
    # shellcheck disable=SC2046
    ensure_packages $(offered slowhttptest)
}

install_test_packages() {
    local mark="$ROOT/tests/node_modules/.package-lock.used"
    cmp -s "$ROOT/tests/package-lock.json" "$mark" && return
    step "installing the packages of the tests"
    (cd "$ROOT/tests" && quietly "$RUN_DIR/npm.log" "npm ci failed" \
        npm ci --no-audit --no-fund --ignore-scripts)
    cp "$ROOT/tests/package-lock.json" "$mark"
}

# export_contract TREE: what the tests (and guards) are told about this machine.
export_contract() {
    local tree=$1
    export CH_TEST_PGHOST="$RUN_DIR/pg" CH_TEST_PGPORT=5432
    CH_TEST_PGUSER=$(pg_user)
    export CH_TEST_PGUSER CH_TEST_TEMPLATE=chronicle_template
    CH_TEST_HTTPD=$(httpd_program)
    CH_TEST_MODULES=$(httpd_modules_dir)
    # a copy, so that another build meanwhile does not change what is tested
    CH_TEST_SO="$RUN_DIR/$(basename "$tree")/mod_chronicle.so"
    mkdir -p "$(dirname "$CH_TEST_SO")"
    cp "$(module_file "$tree")" "$CH_TEST_SO"
    CH_TEST_PGBIN=$(find_pg_bin)
    CH_TEST_RUNAS_PG=
    ! is_root || CH_TEST_RUNAS_PG=postgres
    export CH_TEST_HTTPD CH_TEST_MODULES CH_TEST_SO CH_TEST_PGBIN
    export CH_TEST_RUNAS_PG CH_TEST_TMP="$RUN_DIR/tmp"
    export CH_TEST_MIGRATE="$ROOT/sql/chronicle-migrate"
    export CH_TEST_DOCS="$RUN_DIR/swagger-ui" CH_TEST_BUILD="$BUILD"
    export CH_TEST_DEMO="$RUN_DIR/demo"
    unset CH_TEST_SANITIZE CH_TEST_PRELOAD CH_TEST_ASAN_LOG
}

# Where httpd's children may read them, wherever the checkout is.
place_test_files() {
    mkdir -p "$RUN_DIR/tmp" "$RUN_DIR/swagger-ui" "$RUN_DIR/demo"
    chmod 755 "$RUN_DIR/tmp" "$RUN_DIR/swagger-ui" "$RUN_DIR/demo"
    cp "$ROOT/packaging/demo/"* "$RUN_DIR/demo/"
    [ ! -e "$BUILD/swagger-ui/swagger-ui.css" ] ||
        cp "$BUILD/swagger-ui/"* "$RUN_DIR/swagger-ui/"
}

# httpd starts with a sanitized module only if the sanitizers are there first;
# the leak report only names functions of modules that stay loaded.
export_sanitizer() {
    export CH_TEST_SANITIZE=1
    CH_TEST_PRELOAD="$(gcc -print-file-name=libasan.so)"
    CH_TEST_PRELOAD+=":$(gcc -print-file-name=libubsan.so)"
    CH_TEST_PRELOAD+=":$BUILD_ASAN/tests/sanitize/.libs/nodlclose.so"
    export CH_TEST_PRELOAD CH_TEST_ASAN_LOG="$RUN_DIR/reports/report"
    mkdir -p "$RUN_DIR/reports"
    chmod 1777 "$RUN_DIR/reports"
}

# node_tests PART LIMIT FILE...: three at a time, since they wait half of the
# time; a file that hangs fails long before the part, and one whose servers
# couldn't be stopped ends all the same.
node_tests() {
    local part=$1 limit=$2 log="$RUN_DIR/$1.log" code=0 passed failed flag
    local flags=(--test --test-reporter=spec)
    shift 2
    # older ones know none of these
    for flag in --test-concurrency=3 "--test-timeout=$((limit * 1000 / 3))" \
        --test-force-exit; do
        ! node --help | grep -q -e "${flag%=*}" || flags+=("$flag")
    done
    if [ $# -gt 0 ]; then
        limited "$limit" "$log" node "${flags[@]}" "$@" || code=$?
    else
        : >"$log"
    fi
    passed=$(node_count pass "$log")
    failed=$(($(node_count fail "$log") + $(node_count cancelled "$log")))
    if [ "$code" -ne 0 ]; then
        show_node_failures "$log"
        grep -q '^\(#\|ℹ\) fail ' "$log" ||
            say "node ended with status $code, before its summary"
        [ "$failed" -gt 0 ] || failed=1
    fi
    count "$part" "$passed" "$failed"
}

# node_count WORD LOG: from Node's own summary, in either of its notations.
node_count() {
    sed -n "s/^\(#\|ℹ\) $1 \([0-9]*\)\$/\2/p" "$2" | tail -n 1 | grep . || echo 0
}

# Node repeats what failed at the end of its report, unless it was cut short.
show_node_failures() {
    if grep -q '^✖ failing tests:' "$1"; then
        sed -n '/^✖ failing tests:/,$p' "$1" | tee -a "$RUN_DIR/failures"
    else
        cat "$1"
    fi
}

# node_files DIRECTORY [NAME]: the tests in tests/DIRECTORY, or one of them.
node_files() {
    local dir="$ROOT/tests/$1"
    if [ -n "${2:-}" ]; then
        [ -e "$dir/$2.test.mjs" ] || die "there is no tests/$1/$2.test.mjs"
        printf '%s\n' "$dir/$2.test.mjs"
    else
        find "$dir" -maxdepth 1 -name '*.test.mjs' | sort
    fi
}

# server_file NAME: a whole-server test, wherever it is.
server_file() {
    if [ -e "$ROOT/tests/realtime/$1.test.mjs" ]; then
        node_files realtime "$1"
    else
        node_files api "$1"
    fi
}

# Those in tests/api/asan.list, one name per line.
asan_files() {
    local name
    if [ -n "${1:-}" ]; then
        server_file "$1"
        return
    fi
    sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' \
        "$ROOT/tests/api/asan.list" |
        while read -r name; do
            name=${name%.test.mjs}
            server_file "${name##*/}"
        done
}

# run_node PART LIMIT TITLE [NAME]: tests/PART against the plain build.
run_node() {
    local files
    step "$3"
    export_contract "$BUILD"
    files=$(node_files "$1" "${4:-}")
    # shellcheck disable=SC2086
    node_tests "$1" "$2" $files
}

run_api() { run_node api "$API_LIMIT" "whole-server tests" "${1:-}"; }
run_realtime() { run_node realtime "$REALTIME_LIMIT" "open rooms" "${1:-}"; }

run_asan() {
    local files
    build_sanitized
    step "whole-server tests under sanitizers"
    export_contract "$BUILD_ASAN"
    export_sanitizer
    files=$(asan_files "${1:-}")
    # shellcheck disable=SC2086
    node_tests asan "$ASAN_LIMIT" $files
}

# ── command ──────────────────────────────────────────────────────────────────

command_test() {
    local parts=${1:-unit tsan guards api realtime after asan} part
    [ "$parts" != api ] || parts="api after"
    case ${1:-} in
    '') ;;
    unit | tsan | guards) [ $# -eq 1 ] || die "test $1 takes no name" ;;
    api | realtime | asan | races | valgrind)
        [ $# -le 2 ] || die "test $1 takes one name"
        ;;
    *)
        die "test: unknown part $1" \
            "(unit tsan guards api realtime asan races valgrind)"
        ;;
    esac
    cd "$ROOT" || exit 1
    mkdir -p var
    # shellcheck disable=SC2046
    ensure_packages $(redis_package) $TEST_PACKAGES \
        $([ "${1:-}" != valgrind ] || echo valgrind)
    build_module
    make_run_dir
    case $parts in
    unit | tsan) ;;
    *)
        install_test_tools
        install_test_packages
        place_test_files
        start_test_postgres
        export_contract "$BUILD"
        ;;
    esac
    for part in $parts; do
        "run_$part" "${2:-}"
    done
    print_verdict
}

# What failed long ago is far up: told again, in short.
print_verdict() {
    if [ -s "$RUN_DIR/failures" ]; then
        step "what failed"
        head -n 100 "$RUN_DIR/failures"
    fi
    say ""
    if [ "$FAILED" -eq 0 ]; then
        say "Next: ./apxs-build.sh up"
    else
        say "Next: mend what is shown above, and: ./apxs-build.sh test"
    fi
    say "$PASSED passed, $FAILED failed"
    [ "$FAILED" -eq 0 ] || exit 1
}
