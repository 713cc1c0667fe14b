#!/bin/sh
# Every statement of sql/queries is prepared on a database of the newest
# schema: names and types of columns and parameters fit.
. tests/guards/lib/common.sh

need CH_TEST_PGHOST CH_TEST_PGUSER CH_TEST_TEMPLATE
make_scratch
PATH=${CH_TEST_PGBIN:+$CH_TEST_PGBIN:}$PATH
export PGHOST="$CH_TEST_PGHOST" PGUSER="$CH_TEST_PGUSER"
export PGPORT="${CH_TEST_PGPORT:-5432}"
export PGOPTIONS='-c client_min_messages=error'

# a copy: nobody may be connected to a template while it is copied
database=chronicle_guard_$$
run_psql() {
    psql -X -q -v ON_ERROR_STOP=1 "$@"
}
run_psql -d postgres 2>"$scratch/errors" \
    -c "CREATE DATABASE $database TEMPLATE $CH_TEST_TEMPLATE" || {
    complain "no copy of $CH_TEST_TEMPLATE: $(cat "$scratch/errors")"
    verdict
}
trap 'run_psql -d postgres -c "DROP DATABASE IF EXISTS $database" \
    >/dev/null 2>&1; rm -rf "$scratch"' EXIT

awk -f sql/sqlgen.awk -v out=prepare sql/queries/*.sql \
    >"$scratch/prepare.sql" 2>"$scratch/errors" ||
    complain "sqlgen.awk: $(cat "$scratch/errors")"
grep -q '^PREPARE' "$scratch/prepare.sql" || complain "there is no statement"

# without ON_ERROR_STOP, to hear of all of them
psql -X -q -d "$database" -f "$scratch/prepare.sql" \
    >"$scratch/output" 2>&1 || true
if grep -E -A 3 'ERROR|FATAL|WARNING' "$scratch/output" >"$scratch/errors"; then
    complain "$(cat "$scratch/errors")"
    # psql names a line of the generated script
    sed -n 's/.*prepare\.sql:\([0-9]*\): ERROR.*/\1/p' "$scratch/output" |
        while read -r line; do
            head -n "$line" "$scratch/prepare.sql" | grep '^PREPARE' |
                tail -n 1 | sed 's/^PREPARE \([a-z0-9_]*\).*/    in \1/'
        done
fi

# SQLSTATEs that a query file turns into codes must be codes that exist.
sed -n 's/^-- error .*= *\([A-Z_]*\) *$/\1/p' sql/queries/*.sql | sort -u |
    while read -r code; do
        grep -q "X($code," mod_chronicle/base/codes.h || printf '%s\n' "$code"
    done >"$scratch/codes"
[ ! -s "$scratch/codes" ] ||
    complain "no such error code: $(tr '\n' ' ' <"$scratch/codes")"
verdict
