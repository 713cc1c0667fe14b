#!/bin/sh
# Each header compiles alone: whoever includes it needs nothing else before.
. tests/guards/lib/common.sh

make_scratch
mkdir -p "$scratch/store"
awk -f sql/sqlgen.awk -v out=h sql/queries/*.sql \
    >"$scratch/store/sql_gen.h" || complain "sqlgen.awk failed"

# The flags of the build: as for a user who calls configure.
apxs=${APXS:-$(command -v apxs || command -v apxs2 ||
    echo /usr/local/apache2/bin/apxs)}
flags="-std=gnu11 -Wall -Wextra -Wno-unused-parameter -Wstrict-prototypes"
flags="$flags -Werror -Imod_chronicle -I$scratch -Itests/unit"
flags="$flags -isystem $("$apxs" -q INCLUDEDIR) $("$apxs" -q EXTRA_CPPFLAGS)"
for package in apr-1 apr-util-1 libpq jansson libcrypto \
    libutf8proc hiredis check; do
    flags="$flags $(pkg-config --cflags "$package")" ||
        complain "pkg-config does not know $package"
done

c_files | grep '\.h$' >"$scratch/headers"
while read -r header; do
    # included from a file, because a header compiled by itself is a main file
    printf '#include "%s"\n' "$PWD/$header" >"$scratch/alone.c"
    # shellcheck disable=SC2086
    if ! ${CC:-gcc} $flags -Wno-unused -fsyntax-only "$scratch/alone.c" \
        2>"$scratch/errors"; then
        complain "$header does not compile alone:"
        sed 's/^/    /' "$scratch/errors" | head -n 10
    fi
done <"$scratch/headers"
verdict
