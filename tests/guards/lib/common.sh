# What the guards share. A guard is run from the root of the project, prints
# what is wrong and ends with 1, or says nothing and ends with 0.
# shellcheck shell=sh

guard_failed=0

# complain TEXT...: one thing that is wrong.
complain() {
    guard_failed=1
    printf '%s\n' "$*"
}

# The end of every guard.
verdict() {
    exit "$guard_failed"
}

# need NAME...: variables that the runner (./apxs-build.sh test) sets. Without
# them the guard fails: nothing is left out silently.
need() {
    for need_name in "$@"; do
        eval "need_value=\${$need_name:-}"
        # shellcheck disable=SC2154
        if [ -z "$need_value" ]; then
            complain "$need_name is not set: run the guards by" \
                "./apxs-build.sh test guards"
            verdict
        fi
    done
}

# The project's own C files; what is generated says so in its first line.
c_files() {
    find mod_chronicle tests -name node_modules -prune -o \
        -name '*.[ch]' -type f -print | sort | while read -r c_file; do
        head -n 1 "$c_file" | grep -q 'Generated' || printf '%s\n' "$c_file"
    done
}

# make_scratch: a directory of this guard's own, in $scratch.
make_scratch() {
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/chronicle-guard.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 1' HUP INT TERM
}

# same_lists WHAT_ONLY_FIRST WHAT_ONLY_SECOND FILE FILE: two sorted lists that
# have to be equal; %s in the texts is the line that only one of them has.
same_lists() {
    for line in $(comm -23 "$3" "$4"); do
        # shellcheck disable=SC2059
        complain "$(printf "$1" "$line")"
    done
    for line in $(comm -13 "$3" "$4"); do
        # shellcheck disable=SC2059
        complain "$(printf "$2" "$line")"
    done
}
