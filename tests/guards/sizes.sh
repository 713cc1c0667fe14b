#!/bin/sh
# How large things may be: files of 600 lines; lines of 79 characters in the
# module; functions of 60 lines with 6 parameters and 4 levels of nesting.
. tests/guards/lib/common.sh

make_scratch

# --- files ------------------------------------------------------------------

find mod_chronicle tests bench sql packaging conf apxs-build.sh \
    -name node_modules -prune -o -type f \
    \( -name '*.[ch]' -o -name '*.mjs' -o -name '*.sh' -o -name '*.awk' \
    -o -name '*.sql' \) -print 2>/dev/null | sort |
    while read -r file; do
        lines=$(wc -l <"$file")
        if [ "$lines" -gt 600 ] &&
            ! head -n 1 "$file" | grep -q 'Generated'; then
            printf '%s has %d lines (at most 600)\n' "$file" "$lines"
        fi
    done >"$scratch/wrong"

# --- lines ------------------------------------------------------------------

find mod_chronicle -name '*.[ch]' -print | sort |
    xargs env LC_ALL=C.UTF-8 grep -nE '^.{80}' /dev/null |
    sed 's/^\([^:]*:[0-9]*\):.*/\1 has more than 79 characters/' \
        >>"$scratch/wrong"

# --- functions --------------------------------------------------------------

# A function's first line begins in column 1 with its type, its { and } stand
# alone in column 1. A block is a { behind ) or else or do, or behind a label;
# any other { begins the value of something.
cat >"$scratch/functions.awk" <<'END'
function parameters(text,    i, c, depth, count) {
    # of the first parenthesis at the name
    text = substr(text, index(text, "("))
    count = 1
    for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == "(") depth++
        if (c == ")" && --depth == 0) break
        if (c == "," && depth == 1) count++
    }
    if (substr(text, 1, i) ~ /\.\.\.[ ]*\)$/) count--
    return count
}

function report(what) {
    printf "%s:%d: %s %s\n", file, start, name, what
}

function name_of(text) {
    sub(/[ ]*\(.*/, "", text)
    sub(/.*[ *]/, "", text)
    return text
}

function braces(text,    i, c, before, block) {
    for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == "{") {
            before = substr(text, 1, i - 1)
            block = before ~ /(\)|else|do|:)[ ]+$/ || before ~ /^[ ]*$/
            stack[++depth] = block
            nesting += block
            if (nesting > deepest) deepest = nesting
        }
        else if (c == "}" && depth) {
            nesting -= stack[depth--]
        }
    }
}

{
    at = index($0, ":")
    file = substr($0, 1, at - 1)
    rest = substr($0, at + 1)
    at = index(rest, ":")
    line = substr(rest, 1, at - 1) + 0
    text = substr(rest, at + 1)
    if (line == 1) { head = ""; inside = 0 }
}

!inside && text ~ /^\{[ ]*$/ && head ~ /\)[ ]*$/ {
    inside = 1
    depth = nesting = deepest = 0
    name = name_of(head)
    count = parameters(head)
    if (count > 6) report("has " count " parameters (at most 6)")
    next
}

inside && text ~ /^\}/ {
    inside = 0
    head = ""
    if (line - start + 1 > 60) {
        report("has " (line - start + 1) " lines (at most 60)")
    }
    if (deepest > 4) report("is nested " deepest " deep (at most 4)")
    next
}

inside { braces(text); next }

# What stands before a function's {, in one line.
text ~ /^[ ]*$/ || text ~ /^#/ || text ~ /[;}][ ]*$/ { head = ""; next }
head == "" && text ~ /^[A-Za-z_]/ { head = text; start = line; next }
head != "" { head = head " " text }
END

c_files | xargs awk -f tests/guards/lib/strip.awk |
    awk -f "$scratch/functions.awk" >>"$scratch/wrong"

if [ -s "$scratch/wrong" ]; then
    complain "$(cat "$scratch/wrong")"
fi
verdict
