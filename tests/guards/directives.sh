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

# --- the dump of the settings -------------------------------------------------

dump=mod_chronicle/httpd/dump.c

# "NAME SETTER MEMBER" of each row; MEMBER is NULL for several values.
tr -d '\n' <"$table" |
    grep -oE 'AP_INIT_[A-Z0-9_]+\( *"[A-Za-z]+", *[a-z_0-9]+, *(AT\([a-z_0-9]+\)|NULL)' |
    sed 's/.*"\(.*\)", *\([a-z_0-9]*\), *\(.*\)/\1 \2 \3/; s/AT(\(.*\))/\1/' |
    sort >"$scratch/rows"
[ "$(wc -l <"$scratch/rows")" -eq "$(wc -l <"$scratch/code")" ] ||
    complain "a row of $table is not NAME, setter, AT(member) or NULL"
# "SETTER SHOW" and the names with functions of their own
tr -d '\n' <"$table" |
    grep -oE '\{ \{ \.[a-z0-9]+ = [a-z_0-9]+ \}, *CH_SHOW_[A-Z]+' |
    sed 's/.* = \([a-z_0-9]*\) }, *\(.*\)/\1 \2/' >"$scratch/shows"
sed -n '/own_ways\[\] = {/,/^};/s/.*{ "\([A-Za-z]*\)".*/\1/p' "$dump" \
    >"$scratch/own"
while read -r name setter member; do
    if [ "$member" = NULL ]; then
        grep -q -x "$name" "$scratch/own" ||
            complain "$name has several values: $dump has to show them" \
                "(own_ways)"
        continue
    fi
    show=$(sed -n "s/^$setter //p" "$scratch/shows")
    [ -n "$show" ] ||
        complain "$table: shows[] does not say how $setter's value is shown"
    case $name:$show in
    *Secret:CH_SHOW_SECRET | *Secret:CH_SHOW_KEYS) ;;
    *Key:CH_SHOW_SECRET | *Key:CH_SHOW_KEYS | *Token:CH_SHOW_SECRET) ;;
    *Secret:* | *Key:* | *Token:*)
        complain "$name is a secret, but shown as $show"
        ;;
    esac
done <"$scratch/rows"
# every member of the settings is somebody's, so that it is shown
sed -n '/^#define CH_SETTINGS/,/[^\\]$/p' mod_chronicle/httpd/config.h |
    grep -oE '(INT|TEXT|LIST)\([a-z_0-9]+\)' |
    sed 's/.*(\(.*\))/\1/' | while read -r member; do
    grep -q " $member\$" "$scratch/rows" || grep -q -w "$member" "$dump" ||
        printf 'nothing shows the setting %s\n' "$member"
done >"$scratch/wrong"

# "NAME|DEFAULT|VARIABLE" of the dump, against the pages. A default that is put
# together (CH_DATADIR "...") is left out.
sed -n '/^} facts\[\] = {/,/^};/p' "$dump" | tr -d '\n' |
    sed 's/" *"//g' | grep -oE '\{ "[A-Za-z]+", *[^}]*\}' |
    sed 's/{ "\([A-Za-z]*\)", *\(.*\), *\([^,]*\) }/\1|\2|\3/' \
        >"$scratch/facts"
cut -d '|' -f 1 "$scratch/facts" | sort >"$scratch/named"
same_lists "%s has no row in facts[] of $dump" \
    "facts[] of $dump names %s, which is no directive" \
    "$scratch/code" "$scratch/named"
field() {
    sed -n "s/^| $1 | \(.*\) |\$/\1/p" "docs/directives/$2.md" | head -n 1
}
while IFS='|' read -r name preset variable; do
    told=$(field Default "$name" | sed "s/^\`$name \([^\`]*\)\`/\1/")
    preset=$(printf '%s' "$preset" | sed 's/^"\(.*\)"$/\1/')
    case $preset in
    *'"'*) ;;
    *)
        case $told in
        "$preset"*) ;;
        *) echo "$name: the dump's default is $preset, its page says $told" ;;
        esac
        ;;
    esac
    told=$(field Variable "$name" | sed 's/^`\([A-Z_]*\)`.*/\1/')
    variable=$(printf '%s' "$variable" | tr -d '"')
    [ "$variable" != NULL ] || variable=–
    [ "$told" = "$variable" ] ||
        echo "$name: the dump's variable is $variable, its page says $told"
done <"$scratch/facts" >>"$scratch/wrong"
[ ! -s "$scratch/wrong" ] || complain "$(cat "$scratch/wrong")"
verdict
