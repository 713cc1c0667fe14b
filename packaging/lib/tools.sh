# test tsan, test valgrind: the same tests under tools that look closer.

readonly BUILD_TSAN="$ROOT/var/build-tsan"
readonly TSAN_LIMIT=300 VALGRIND_LIMIT=1500

# ── ThreadSanitizer ──────────────────────────────────────────────────────────

# The unit tests that start threads, as make knows them: a new one is found by
# what is in it.
threaded_tests() {
    local file
    grep -l -E 'APR_THREAD_FUNC|pthread_create' "$ROOT"/tests/unit/test_*.c |
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

# build_tsan TEST...: only what these are made of.
build_tsan() {
    prepare_tree "$BUILD_TSAN" --quiet --enable-tsan "CFLAGS=-O1 -g"
    make_in "$BUILD_TSAN" check "check_PROGRAMS=$*" TESTS=
}

run_tsan() {
    local log="$RUN_DIR/tsan.log" code=0 counts tests
    local -a prefix
    read -r -a prefix <<<"$(without_aslr)" || true
    tests=$(threaded_tests | tr '\n' ' ')
    build_tsan "$tests"
    step "unit tests with threads, under ThreadSanitizer"
    export TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1"
    limited "$TSAN_LIMIT" "$log" env CK_DEFAULT_TIMEOUT=240 \
        "${prefix[@]}" make -C "$BUILD_TSAN" --no-print-directory \
        -j "$(processors)" -k check "check_PROGRAMS=$tests" "TESTS=$tests" ||
        code=$?
    read -r -a counts <<<"$(count_unit "$log")"
    if [ "$code" -ne 0 ]; then
        cat "$log"
        [ "${counts[1]}" -gt 0 ] || counts[1]=1
    fi
    count tsan "${counts[@]}"
}
