#!/bin/sh
# docs/openapi.json is the document that the server serves. Run after the
# whole-server tests, which leave what they were served in CH_TEST_OPENAPI
# (openapi.json in CH_TEST_TMP). "openapi.sh update" writes docs/openapi.json.
. tests/guards/lib/common.sh

served=${CH_TEST_OPENAPI:-${CH_TEST_TMP:-}/openapi.json}
if [ ! -s "$served" ]; then
    complain "$served is not there: it is written by the whole-server tests" \
        "(./apxs-build.sh test)"
    verdict
fi

make_scratch
# indented, so that a change of one route is a change of few lines
node -e '
    const fs = require("fs");
    const doc = JSON.parse(fs.readFileSync(process.argv[1], "utf8"));
    process.stdout.write(JSON.stringify(doc, null, 1) + "\n");
' "$served" >"$scratch/openapi.json" || complain "$served is no JSON"

if [ "${1:-}" = update ]; then
    cp "$scratch/openapi.json" docs/openapi.json
    verdict
fi
if ! diff -u docs/openapi.json "$scratch/openapi.json" >"$scratch/diff" 2>&1
then
    complain "docs/openapi.json is not what the server serves:"
    head -n 40 "$scratch/diff"
    complain "If the change is meant: sh tests/guards/after/openapi.sh update"
fi
verdict
