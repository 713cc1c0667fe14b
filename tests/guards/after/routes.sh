#!/bin/sh
# Every operation of the OpenAPI document was called by a whole-server test.
# The tests note what they called in routes-called.txt of CH_TEST_TMP, one
# "METHOD /path/{template}" a line; PUT and PATCH of one path are one row.
. tests/guards/lib/common.sh

need CH_TEST_TMP
called=$CH_TEST_TMP/routes-called.txt
served=${CH_TEST_OPENAPI:-$CH_TEST_TMP/openapi.json}
for file in "$called" "$served"; do
    if [ ! -s "$file" ]; then
        complain "$file is not there: it is written by the whole-server" \
            "tests (./apxs-build.sh test)"
        verdict
    fi
done

make_scratch
node -e '
    const fs = require("fs");
    const read = (name) => fs.readFileSync(name, "utf8");
    const doc = JSON.parse(read(process.argv[1]));
    const called = new Set(read(process.argv[2]).trim().split("\n"));
    const twin = { put: "patch", patch: "put" };
    for (const [path, item] of Object.entries(doc.paths)) {
      for (const method of Object.keys(item)) {
        const names = [method];
        if (twin[method] && item[twin[method]]) names.push(twin[method]);
        if (!names.some((n) => called.has(n.toUpperCase() + " " + path))) {
          console.log(method.toUpperCase() + " " + path);
        }
      }
    }
' "$served" "$called" >"$scratch/missed" || complain "could not compare"
while read -r row; do
    complain "no test calls $row"
done <"$scratch/missed"
verdict
