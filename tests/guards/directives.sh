#!/bin/sh
# Each directive is in the table that httpd reads, in a page of docs/directives
# and in the example configuration; and the page has the fields it has to have.
. tests/guards/lib/common.sh

make_scratch
table=mod_chronicle/httpd/directives.c

# the name may stand on the line behind the macro
tr '\n' ' ' <"$table" |
    grep -oE 'AP_INIT_[A-Z0-9_]+\([[:space:]]*"[A-Za-z]+"' |
    sed 's/.*"\(.*\)"/\1/' | sort >"$scratch/code"
[ -s "$scratch/code" ] || complain "$table has no AP_INIT_...(\"Name\" rows"
uniq -d "$scratch/code" >"$scratch/twice"
[ ! -s "$scratch/twice" ] ||
    complain "stands twice in $table: $(cat "$scratch/twice")"

find docs/directives -name '*.md' -exec basename {} .md \; | sort \
    >"$scratch/docs"
# as a directive: first on its line, switched off by one # or not
grep -oE '^ *#?Chronicle[A-Za-z]*' conf/chronicle.conf | tr -d ' #' |
    sort -u >"$scratch/conf"

same_lists "%s has no page in docs/directives" \
    "docs/directives/%s.md describes no directive of $table" \
    "$scratch/code" "$scratch/docs"
same_lists "%s is not in conf/chronicle.conf" \
    "conf/chronicle.conf names %s, which is not in $table" \
    "$scratch/code" "$scratch/conf"

# The same fields in the same order, as in httpd's manual.
fields='Description Syntax Default Context Variable See also'
while read -r name; do
    page=docs/directives/$name.md
    [ "$(head -n 1 "$page")" = "# $name" ] ||
        complain "$page does not begin with \"# $name\""
    # of the first table; others are part of the prose
    found=$(awk '/^[|]/ { table = 1; print; next } table { exit }' "$page" |
        sed -n 's/^| \([A-Z][a-z ]*[a-z]\) | .* |$/\1/p' |
        tr '\n' ' ' | sed 's/ $//')
    [ "$found" = "$fields" ] ||
        complain "$page has the fields \"$found\", not \"$fields\""
    grep -q "^| Syntax | \`$name " "$page" ||
        complain "the syntax in $page does not begin with $name"
    grep -o ']([A-Za-z./-]*\.md)' "$page" | tr -d ']()' |
        while read -r other; do
            [ -e "docs/directives/$other" ] || echo "$other"
        done >"$scratch/dead"
    [ ! -s "$scratch/dead" ] ||
        complain "$page links to pages that are not there:" \
            "$(tr '\n' ' ' <"$scratch/dead")"
done <"$scratch/docs"
verdict
