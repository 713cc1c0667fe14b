# Builds the module with autotools, outside the source tree: var/build for use,
# var/build-asan for the tests under sanitizers.

readonly BUILD="$ROOT/var/build"
readonly BUILD_ASAN="$ROOT/var/build-asan"

# A tree that was configured in place can't be built elsewhere as well.
leave_in_place_build() {
    [ -e "$ROOT/config.status" ] || return 0
    step "make distclean (this tree had been configured in place)"
    quietly "$ROOT/var/distclean.log" "make distclean failed" \
        make -C "$ROOT" distclean
}

make_configure() {
    [ -x "$ROOT/configure" ] && [ -e "$ROOT/Makefile.in" ] &&
        [ ! "$ROOT/configure.ac" -nt "$ROOT/configure" ] && return
    step "autoreconf"
    (cd "$ROOT" && quietly "$ROOT/var/autoreconf.log" "autoreconf failed" \
        autoreconf -fi)
}

# configure_in DIR ARGUMENT...: unless DIR is configured with those already.
configure_in() {
    local dir=$1
    shift
    if [ -e "$dir/Makefile" ] &&
        [ "$(cat "$dir/.configure-arguments" 2>/dev/null)" = "$*" ]; then
        return
    fi
    step "configure ($(basename "$dir"))"
    (cd "$dir" && quietly "$dir/configure.out" "configure failed" \
        "$ROOT/configure" "$@")
    printf '%s\n' "$*" >"$dir/.configure-arguments"
}

make_in() {
    local dir=$1
    shift
    step "make ($(basename "$dir"))"
    make -C "$dir" -s --no-print-directory -j "$(processors)" "$@" </dev/null ||
        die "the build failed; the cause is above"
}

# prepare_tree DIR ARGUMENT...: configured, nothing made; one at a time,
# whoever else calls.
prepare_tree() {
    local dir=$1
    shift
    mkdir -p "$dir"
    exec 9>"$ROOT/var/build.lock"
    flock 9
    leave_in_place_build
    make_configure
    configure_in "$dir" "$@"
    exec 9>&-
}

# build_tree DIR ARGUMENT...
build_tree() {
    prepare_tree "$@"
    exec 9>"$ROOT/var/build.lock"
    flock 9
    make_in "$1" all
    exec 9>&-
}

# The documentation page: the server runs without it, so being offline is no
# reason to stop.
build_docs_ui() {
    local log="$BUILD/docs-ui.log"
    if ! make -C "$BUILD" -s --no-print-directory swagger-ui >"$log" 2>&1 \
        </dev/null; then
        grep -i -m 5 -e error -e ERR! "$log" >&2
        warn "no Swagger UI (npm could not get it): /api-docs stays empty"
    fi
}

build_module() {
    build_tree "$BUILD" --quiet --enable-werror
    build_docs_ui
}

build_sanitized() {
    build_tree "$BUILD_ASAN" --quiet --enable-asan --enable-ubsan \
        "CFLAGS=-O1 -g"
}

module_file() { printf '%s\n' "$1/.libs/mod_chronicle.so"; }

command_build() {
    [ $# -eq 0 ] || die "build takes no options"
    ensure_packages
    build_module
    say "Built $(module_file "$BUILD"). Next: ./apxs-build.sh up"
}
