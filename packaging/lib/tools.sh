# test tsan, test races, test valgrind: the same tests under tools that look closer.

readonly BUILD_TSAN="$ROOT/var/build-tsan"
readonly TSAN_LIMIT=300 VALGRIND_LIMIT=1500

# ── ThreadSanitizer ──────────────────────────────────────────────────────────

# The unit tests that start threads, as make knows them: a new one is found by
# what is in it.
threaded_tests() {
    local file
    grep -l -E 'APR_THREAD_FUNC|apr_thread_t|pthread_create|"ch_realtime.h"' \
        "$ROOT"/tests/unit/test_*.c |
        while read -r file; do
            printf 'tests/unit/%s\n' "$(basename "$file" .c)"
        done
}

# Addresses that are laid out at random may lie where the tool keeps its own.
without_aslr() {
    if setarch "$(uname -m)" -R true 2>/dev/null; then
        printf 'setarch %s -R\n' "$(uname -m)"
    fi
}

run_tsan() {
    local tests
    local -a prefix
    read -r -a prefix <<<"$(without_aslr)" || true
    tests=$(threaded_tests | tr '\n' ' ')
    prepare_tree "$BUILD_TSAN" --quiet --enable-tsan "CFLAGS=-O1 -g"
    step "unit tests with threads, under ThreadSanitizer"
    export TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1"
    export CK_DEFAULT_TIMEOUT=240
    check_tree tsan "$TSAN_LIMIT" "$BUILD_TSAN" "check_PROGRAMS=$tests" \
        "TESTS=$tests" "LOG_COMPILER=${prefix[*]}"
    unset CK_DEFAULT_TIMEOUT
}

# The whole server, too: its threads as they are, with many clients. With a
# name only that file. The server's libraries are not instrumented: what only
# they touch is not looked at.
readonly RACES_LIMIT=900 RACES_FILES="races"

run_races() {
    local name files=
    build_tree "$BUILD_TSAN" --quiet --enable-tsan "CFLAGS=-O1 -g"
    step "whole-server tests under ThreadSanitizer"
    export_contract "$BUILD_TSAN"
    CH_TEST_UNDER=$(without_aslr)
    CH_TEST_PRELOAD=$(gcc -print-file-name=libtsan.so)
    for name in nodlclose atomics; do
        CH_TEST_PRELOAD+=":$BUILD_TSAN/tests/sanitize/.libs/$name.so"
    done
    # httpd leaves threads of its own behind
    TSAN_OPTIONS="suppressions=$ROOT/tests/sanitize/tsan.supp"
    TSAN_OPTIONS+=":second_deadlock_stack=1:history_size=4"
    TSAN_OPTIONS+=":report_thread_leaks=0"
    CH_TEST_ASAN_LOG="$RUN_DIR/reports/tsan"
    export CH_TEST_SANITIZE=1 CH_TEST_UNDER CH_TEST_PRELOAD TSAN_OPTIONS
    export CH_TEST_ASAN_LOG
    mkdir -p "$RUN_DIR/reports"
    chmod 1777 "$RUN_DIR/reports"
    for name in ${1:-$RACES_FILES}; do
        files="$files $(server_file "$name")"
    done
    # shellcheck disable=SC2086
    node_tests races "$RACES_LIMIT" $files
    unset CH_TEST_UNDER CH_TEST_SANITIZE CH_TEST_PRELOAD CH_TEST_ASAN_LOG
}

# ── valgrind ─────────────────────────────────────────────────────────────────

# Whole-server tests that are run under it, one after the other: slowly.
readonly VALGRIND_FILES="folders bodies conditional compression http2"

valgrind_words() {
    printf '%s ' valgrind -q --vgdb=no --error-exitcode=9 --leak-check=full \
        --errors-for-leak-kinds=definite --show-leak-kinds=definite \
        --keep-debuginfo=yes --num-callers=30 --fair-sched=yes "$@"
}

# Threads that spin for each other, as in this one, stand still where only one
# runs at a time; ThreadSanitizer watches over it.
readonly VALGRIND_NEVER="tests/unit/test_store_seat"

valgrind_tests() {
    local file name
    for file in "$ROOT"/tests/unit/test_*.c; do
        name=tests/unit/$(basename "$file" .c)
        [ "$name" = "$VALGRIND_NEVER" ] || printf '%s ' "$name"
    done
}

# The unit tests fork for every single test: what they leave allocated then is
# no leak of the product's.
run_valgrind_unit() {
    step "unit tests under valgrind"
    export CK_DEFAULT_TIMEOUT=600
    check_tree valgrind-unit "$VALGRIND_LIMIT" "$BUILD" \
        "TESTS=$(valgrind_tests)" \
        "LOG_COMPILER=$(valgrind_words --leak-check=no)"
    unset CK_DEFAULT_TIMEOUT
}

run_valgrind_api() {
    local name files=
    step "whole-server tests under valgrind"
    CH_TEST_ASAN_LOG="$RUN_DIR/reports/valgrind"
    CH_TEST_UNDER=$(valgrind_words --trace-children=yes --log-file=REPORT.%p)
    export CH_TEST_ASAN_LOG CH_TEST_UNDER
    mkdir -p "$RUN_DIR/reports"
    chmod 1777 "$RUN_DIR/reports"
    for name in ${1:-$VALGRIND_FILES}; do
        files="$files $(server_file "$name")"
    done
    # shellcheck disable=SC2086
    node_tests valgrind "$VALGRIND_LIMIT" $files
    unset CH_TEST_UNDER
}

# With a name only that file.
run_valgrind() {
    [ -n "${1:-}" ] || run_valgrind_unit
    run_valgrind_api "${1:-}"
}
