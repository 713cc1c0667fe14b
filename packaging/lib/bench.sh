# bench: the build, the load generator, and then bench/run.sh.

command_bench() {
    mkdir -p "$ROOT/var"
    ensure_packages wrk
    build_module
    exec "$ROOT/bench/run.sh" "$@"
}
