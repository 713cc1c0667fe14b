#!/usr/bin/env bash
# The one door to this project: installs what is missing, builds, starts and
# stops a private server, runs the tests and the benchmark. See "help".
#
# Each command is a file in packaging/lib; this one only finds them.
set -euo pipefail
# what is made here is read by the users of the server too; secrets say otherwise
umask 022

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly ROOT

for part in common deps build postgres redis httpd up check tools bench; do
    # shellcheck source=/dev/null
    . "$ROOT/packaging/lib/$part.sh"
done

usage() {
    cat <<'END'
Usage: ./apxs-build.sh COMMAND [OPTIONS]

  up      install what is missing, build, and start a private server with its
          own PostgreSQL and demo data; again: restart with the new build
            --port N        port to listen on (8080, else the next free one)
            --listen ADDR   address to listen on (127.0.0.1)
            --dir DIR       where everything of the server is kept (./var)
            --include FILE  a piece of httpd configuration, read last
            --no-demo       without the demo account and its notes
            --with-redis    with a Redis of its own as well
  down    stop what "up" started
            --dir DIR       the same as given to "up"
  test    build, then run all tests; the last line is the count
            test PART       one of: unit tsan guards api realtime asan; and
                            races valgrind
            test api NAME   one file: tests/api/NAME.test.mjs; realtime alike
  bench   build, then measure (options are those of bench/run.sh)
  build   only build; the module is then in var/build/.libs
  deps    only install what is missing
  help    this text

Works as root and as an ordinary user; only installing packages needs root,
through sudo. Nothing outside this directory and --dir is touched, and no
service of the system.
END
}

main() {
    local command=${1:-help}
    [ $# -eq 0 ] || shift
    check_root_path
    case $command in
    up) command_up "$@" ;;
    down) command_down "$@" ;;
    test) command_test "$@" ;;
    bench) command_bench "$@" ;;
    build) command_build "$@" ;;
    deps) command_deps "$@" ;;
    help | -h | --help) usage ;;
    *)
        usage >&2
        die "unknown command: $command"
        ;;
    esac
}

main "$@"
