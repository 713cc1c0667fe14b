#!/bin/sh
# Nothing is forgotten: each source is built, each unit test and fuzz target
# is run, each test of a file is in its suite, and the runner finds each file
# of whole-server tests.
. tests/guards/lib/common.sh

make_scratch

# words FILE VARIABLE: the words of a list in a makefile.
words() {
    awk -v name="$2" '
        { line = $0; sub(/#.*/, "", line) }
        line ~ "^" name "[ \t]*[+:]?=" { on = 1; sub(/^[^=]*=/, "", line) }
        on {
            more = sub(/\\[ \t]*$/, "", line)
            count = split(line, word, /[ \t]+/)
            for (i = 1; i <= count; i++) if (word[i] != "") print word[i]
            on = more
        }' "$1" | sort
}

# --- sources ----------------------------------------------------------------

{
    words mod_chronicle/sources.mk chronicle_core_sources
    words mod_chronicle/sources.mk chronicle_httpd_sources
    words mod_chronicle/sources.mk chronicle_headers
} | sort >"$scratch/listed"
find mod_chronicle -name '*.[ch]' ! -name 'sql_gen.*' | sort >"$scratch/there"
same_lists "%s is not in mod_chronicle/sources.mk" \
    "mod_chronicle/sources.mk lists %s, which is not there" \
    "$scratch/there" "$scratch/listed"

# --- unit tests and fuzz targets --------------------------------------------

words tests/unit/tests.mk chronicle_unit_tests >"$scratch/listed"
find tests/unit -name '*.c' | sed 's/\.c$//' | sort >"$scratch/there"
same_lists "%s is not in tests/unit/tests.mk" \
    "tests/unit/tests.mk lists %s, which is not there" \
    "$scratch/there" "$scratch/listed"

words tests/fuzz/fuzz.mk chronicle_fuzzers >"$scratch/listed"
find tests/fuzz -name 'fuzz_*.c' | sed 's/\.c$//' | sort >"$scratch/there"
same_lists "%s is not in tests/fuzz/fuzz.mk" \
    "tests/fuzz/fuzz.mk lists %s, which is not there" \
    "$scratch/there" "$scratch/listed"
while read -r target; do
    seeds=tests/fuzz/seeds/$(basename "$target" | sed 's/^fuzz_//')
    [ -n "$(ls "$seeds" 2>/dev/null)" ] || complain "$target has no $seeds"
done <"$scratch/listed"

# A test stands in its suite once: CH_ONCE(name), CH_EACH(name, table), or as
# the row that these make.
for file in tests/unit/*.c; do
    awk -f tests/guards/lib/strip.awk "$file" | awk '
        BEGIN {
            made_or_used = "(START_TEST\\(|CH_ONCE\\(|CH_EACH\\(|" \
                           "[.]test = )[a-z0-9_]+"
        }
        {
            line = $0
            sub(/^[^:]*:[0-9]+:/, "", line)
            while (match(line, made_or_used)) {
                word = substr(line, RSTART, RLENGTH)
                line = substr(line, RSTART + RLENGTH)
                name = word
                sub(/.*[( ]/, "", name)
                if (word ~ /^START_TEST/) made[name]++
                else used[name]++
            }
        }
        END {
            for (name in made) {
                if (used[name] != 1) {
                    printf "%s is in its suite %d times\n", name, used[name]
                }
            }
        }' | sort >"$scratch/lost"
    while read -r line; do
        complain "$file: $line"
    done <"$scratch/lost"
done

# --- whole-server tests -----------------------------------------------------

# The runner takes tests/api/*.test.mjs; anything else there is a helper, and
# those are in lib/.
find tests/api -name lib -prune -o -type f -name '*.*js' -print |
    grep -v '^tests/api/[^/]*\.test\.mjs$' >"$scratch/lost"
while read -r file; do
    complain "$file is found by no runner (tests/api/<name>.test.mjs)"
done <"$scratch/lost"
find tests/api -path tests/api/lib -prune -o -name '*.test.mjs' -print |
    while read -r file; do
        grep -qE '\b(serverSuite|describe|it|test)\(' "$file" ||
            printf '%s holds no test\n' "$file"
    done >"$scratch/empty"
[ ! -s "$scratch/empty" ] || complain "$(cat "$scratch/empty")"
grep -rnE '\b(it|test|describe|serverSuite)\.(only|todo)\(' tests/api \
    --include='*.mjs' >"$scratch/only" &&
    complain "$(sed 's/$/    (leaves other tests out)/' "$scratch/only")"
verdict
