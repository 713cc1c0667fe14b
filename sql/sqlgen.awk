# Turns sql/queries/*.sql into typed C functions and a table of statements.
#
#   awk -f sqlgen.awk -v out=h queries/*.sql > store/sql_gen.h
#   awk -f sqlgen.awk -v out=c queries/*.sql > store/sql_gen.c
#   awk -f sqlgen.awk -v out=prepare queries/*.sql | psql    (PREPARE them all)
#
# A query file holds statements of this form:
#
#   -- name: note_get :one (user_id uuid, id uuid, title text?)
#   -- variants: sort = updatedAt:updated_at|x title:title ; order = asc desc
#   -- error 23505 notes_pkey = CONFLICT
#   -- Free comment.
#   SELECT ... $1 ... {{sort}} ... {{sort.2}};
#
# Kinds: :one and :many give rows, :exec nothing, :count the rows affected.
# Types: uuid text date inet json ts (C strings, NULL is SQL NULL), int bigint
# bool (values; with ? pointers, NULL is SQL NULL), text[] uuid[] inet[] ts[]
# (arrays of const char *) int[] (of apr_int64_t; an array that is NULL, and an
# element const char * that is NULL, are SQL NULL), bytea (ch_bytes_t).
# A variants line makes one prepared statement per combination; the generated
# struct then has an int member per dimension: the index of the choice.
# A statement that writes nothing is marked as safe to repeat.
#
# "-- plan: custom" has a statement planned at each use, with the values at
# hand. "-- batch [N]" says that it is quick and only reads: it may share a
# round trip, and a transaction, with other requests' statements, of which it
# fills N sixteenths (1 when not given).
#
# Text that several statements share is a fragment, used as {{its_name}}:
#
#   -- fragment: user_columns
#   u.id, u.email

function fail(text) {
    printf "%s:%d: %s\n", FILENAME, FNR, text > "/dev/stderr"
    failed = 1
    exit 1
}

function ctype(type) {
    if (type ~ /^(uuid|text|date|inet|json|ts)[?]?$/) return "const char *"
    if (type == "int" || type == "bigint") return "apr_int64_t "
    if (type == "int?" || type == "bigint?") return "const apr_int64_t *"
    if (type == "bool") return "int "
    if (type == "bool?") return "const int *"
    if (type ~ /^(text|uuid|inet|ts|int)\[\][?]?$/) {
        return "const apr_array_header_t *"
    }
    if (type ~ /^bytea[?]?$/) return "ch_bytes_t "
    fail("unknown type " type)
}

function ckind(type) {
    if (type ~ /^(uuid|text|date|inet|json|ts)[?]?$/) return "CH_P_TEXT"
    if (type == "int" || type == "bigint") return "CH_P_INT"
    if (type == "int?" || type == "bigint?") return "CH_P_INT_PTR"
    if (type == "bool") return "CH_P_BOOL"
    if (type == "bool?") return "CH_P_BOOL_PTR"
    if (type ~ /^(text|uuid|inet|ts)\[\]/) return "CH_P_TEXTS"
    if (type ~ /^int\[\]/) return "CH_P_INTS"
    return "CH_P_BYTES"
}

function sqltype(type) {
    sub(/[?]$/, "", type)
    if (type == "ts") return "timestamptz"
    if (type == "ts[]") return "timestamptz[]"
    if (type == "json") return "jsonb"
    return type
}

function oid(type) {
    sub(/[?]$/, "", type)
    return oids[type]
}

function trim(text) {
    gsub(/^[ \t]+|[ \t]+$/, "", text)
    return text
}

# Reads "(a uuid, b text)" into args/types of statement n.
function signature(text,    list, count, i, pair) {
    sub(/^[^(]*\(/, "", text)
    sub(/\)[^)]*$/, "", text)
    nargs[n] = 0
    text = trim(text)
    if (text == "") return
    count = split(text, list, ",")
    for (i = 1; i <= count; i++) {
        if (split(trim(list[i]), pair, /[ \t]+/) != 2) {
            fail("bad parameter: " list[i])
        }
        nargs[n]++
        arg[n, i] = pair[1]
        type[n, i] = pair[2]
        ctype(pair[2])
    }
}

# Reads "sort = a:x|y b:z ; order = asc desc" into the dimensions of n.
function variants(text,    dims, count, i, side, names, k) {
    count = split(text, dims, ";")
    for (i = 1; i <= count; i++) {
        split(dims[i], side, "=")
        ndims[n]++
        dim[n, i] = trim(side[1])
        k = split(trim(substr(dims[i], index(dims[i], "=") + 1)), names,
                  /[ \t]+/)
        nchoices[n, i] = k
        for (; k > 0; k--) {
            choice[n, i, k] = names[k]
        }
    }
}

function begin(line) {
    n++
    match(line, /name: [a-z0-9_]+/)
    name[n] = substr(line, RSTART + 6, RLENGTH - 6)
    if (name[n] in seen) fail("statement " name[n] " stands twice")
    seen[name[n]] = 1
    match(line, /:(one|many|exec|count)/)
    if (RSTART == 0) fail("no kind for " name[n])
    kind[n] = substr(line, RSTART + 1, RLENGTH - 1)
    body[n] = ""
    doc[n] = ""
    nerrors[n] = 0
    ndims[n] = 0
    custom[n] = 0
    batch[n] = 0
}

BEGIN {
    n = 0
    oids["uuid"] = 2950; oids["text"] = 25; oids["date"] = 1082
    oids["inet"] = 869; oids["json"] = 3802; oids["ts"] = 1184
    oids["int"] = 23; oids["bigint"] = 20; oids["bool"] = 16
    oids["text[]"] = 1009; oids["int[]"] = 1007; oids["bytea"] = 17
    oids["uuid[]"] = 2951; oids["inet[]"] = 1041; oids["ts[]"] = 1185
}

/^-- fragment: / { fragment = $3; inside = 1; next }

/^-- name: / {
    inside = 0
    begin($0)
    pending = $0
    if ($0 ~ /\)[ \t]*$/) { signature(pending); pending = "" }
    next
}

pending != "" {
    line = $0
    sub(/^--[ \t]*/, " ", line)
    pending = pending line
    if ($0 ~ /\)[ \t]*$/) { signature(pending); pending = "" }
    next
}

/^-- variants: / { sub(/^-- variants: /, ""); variants($0); next }

/^-- plan: custom/ { custom[n] = 1; next }
/^-- batch/ { batch[n] = NF > 2 ? $3 : 1; next }

/^-- error [0-9A-Z]+ / {
    e = ++nerrors[n]
    split($0, word, /[ \t]+/)
    state[n, e] = word[3]
    constraint[n, e] = (word[4] == "=") ? "" : word[4]
    code[n, e] = (word[4] == "=") ? word[5] : word[6]
    next
}

inside && /^--/ { next }
inside && NF { fragments[fragment] = fragments[fragment] $0 "\n"; next }
/^--/ { if (n && body[n] == "") doc[n] = doc[n] substr($0, 3) "\n"; next }
n && NF { body[n] = body[n] $0 "\n" }

function quoted(text,    lines, count, i, result) {
    sub(/;[ \t\n]*$/, "", text)
    gsub(/\\/, "\\\\&", text)
    gsub(/"/, "\\\"", text)
    count = split(text, lines, "\n")
    result = ""
    for (i = 1; i <= count; i++) {
        gsub(/[ \t]+/, " ", lines[i])
        if (trim(lines[i]) == "") continue
        result = result "\n        \"" trim(lines[i]) " \""
    }
    return result
}

function writes(text) {
    return tolower(text) ~ \
        /(^|[^a-z_])(insert|update|delete|for no key|nextval)([^a-z_]|$)/
}

function replace(text, from, to,    at, out) {
    out = ""
    while ((at = index(text, from)) > 0) {
        out = out substr(text, 1, at - 1) to
        text = substr(text, at + length(from))
    }
    return out text
}

function with_fragments(text,    f, again) {
    for (again = 0; again < 3; again++) {
        for (f in fragments) {
            text = replace(text, "{{" f "}}", fragments[f])
        }
    }
    return text
}

# Puts one combination's words into {{dim}} and {{dim.k}}.
function expanded(i, combo,    text, d, rest, pick, words, count, k, value) {
    text = with_fragments(body[i])
    suffix = ""
    rest = combo
    for (d = ndims[i]; d >= 1; d--) {
        pick = rest % nchoices[i, d] + 1
        rest = int(rest / nchoices[i, d])
        value = choice[i, d, pick]
        label = value
        sub(/:.*/, "", label)
        suffix = "_" label suffix
        sub(/^[^:]*:/, "", value)
        count = split(value, words, "|")
        for (k = 1; k <= count; k++) {
            gsub(/~/, " ", words[k])
            text = replace(text, "{{" dim[i, d] "." k "}}", words[k])
        }
        text = replace(text, "{{" dim[i, d] "}}", words[1])
    }
    if (text ~ /[{][{]/) {
        printf "%s: unknown {{word}}\n", name[i] > "/dev/stderr"
        failed = 1
        exit 1
    }
    return text
}

function combos(i,    d, count) {
    count = 1
    for (d = 1; d <= ndims[i]; d++) count *= nchoices[i, d]
    return count
}

function prototype(i,    text) {
    text = "ch_err_t *sql_" name[i] "(ch_db_t *db"
    if (nargs[i] || ndims[i]) text = text ", const sql_" name[i] "_t *in"
    if (kind[i] == "one" || kind[i] == "many") text = text ", ch_rows_t **out"
    if (kind[i] == "count") text = text ", apr_int64_t *out"
    return text ")"
}

function header(    i, a, d, lines, count, k) {
    print "/* Generated from sql/queries by sql/sqlgen.awk: do not edit. */"
    print "#ifndef CH_STORE_SQL_GEN_H\n#define CH_STORE_SQL_GEN_H\n"
    print "#include \"store/db.h\"\n"
    for (i = 1; i <= n; i++) {
        if (nargs[i] || ndims[i]) {
            print "typedef struct {"
            for (a = 1; a <= nargs[i]; a++) {
                print "    " ctype(type[i, a]) arg[i, a] ";"
            }
            for (d = 1; d <= ndims[i]; d++) print "    int " dim[i, d] ";"
            print "} sql_" name[i] "_t;\n"
        }
        count = split(doc[i], lines, "\n")
        printf "/*"
        for (k = 1; k < count; k++) {
            gsub(/\*\//, "* /", lines[k])
            printf "%s%s", (k > 1 ? "\n *" : ""), lines[k]
        }
        print " */"
        print prototype(i) ";\n"
    }
    print "#endif"
}

function table(    i, c, a, e, total) {
    for (i = 1; i <= n; i++) {
        printf "static const unsigned types_%s[] = { ", name[i]
        for (a = 1; a <= nargs[i]; a++) printf "%s, ", oid(type[i, a])
        print "0 };"
        if (nerrors[i]) {
            printf "static const ch_sql_error_t errors_%s[] = {\n", name[i]
            for (e = 1; e <= nerrors[i]; e++) {
                printf "    { .state = \"%s\", ", state[i, e]
                if (constraint[i, e] != "") {
                    printf ".constraint = \"%s\", ", constraint[i, e]
                }
                printf ".code = CH_E_%s },\n", code[i, e]
            }
            print "};"
        }
    }
    print "\nconst ch_sql_t ch_sql_table[] = {"
    total = 0
    for (i = 1; i <= n; i++) {
        first[i] = total
        for (c = 0; c < combos(i); c++) {
            text = quoted(expanded(i, c))
            printf "    { .name = \"%s%s\",\n      .text =%s,\n", name[i],
                   suffix, text
            printf "      .index = %d, .params = %d, .types = types_%s,\n",
                   total, nargs[i], name[i]
            if (nerrors[i]) {
                printf "      .errors = errors_%s, .error_count = %d,\n",
                       name[i], nerrors[i]
            }
            printf "      .repeatable = %d, .custom = %d, .batch = %d },\n",
                   !writes(with_fragments(body[i])), custom[i], batch[i]
            total++
        }
    }
    print "};\n"
    print "const int ch_sql_count = " total ";\n"
}

function source(    i, a, d, at, has) {
    print "/* Generated from sql/queries by sql/sqlgen.awk: do not edit. */"
    print "#include \"store/sql_gen.h\"\n"
    table()
    for (i = 1; i <= n; i++) {
        print prototype(i) "\n{"
        has = nargs[i] > 0
        if (has) {
            print "    const ch_param_t params[] = {"
            for (a = 1; a <= nargs[i]; a++) {
                print "        " ckind(type[i, a]) "(in->" arg[i, a] "),"
            }
            print "    };"
        }
        at = first[i] ""
        if (ndims[i]) {
            print "    int pick = 0;\n"
            for (d = 1; d <= ndims[i]; d++) {
                printf "    pick = pick * %d + in->%s;\n", nchoices[i, d],
                       dim[i, d]
            }
            at = at " + pick"
        }
        printf "    return ch_db_%s(db, &ch_sql_table[%s], %s%s);\n}\n\n",
               (kind[i] == "one" || kind[i] == "many") ? "query" : kind[i],
               at, has ? "params" : "NULL", (kind[i] == "exec") ? "" : ", out"
    }
}

function prepares(    i, c, a) {
    for (i = 1; i <= n; i++) {
        for (c = 0; c < combos(i); c++) {
            text = expanded(i, c)
            sub(/;[ \t\n]*$/, "", text)
            printf "PREPARE %s%s", name[i], suffix
            if (nargs[i]) {
                printf " ("
                for (a = 1; a <= nargs[i]; a++) {
                    printf "%s%s", (a > 1 ? ", " : ""), sqltype(type[i, a])
                }
                printf ")"
            }
            printf " AS\n%s;\n", text
        }
    }
}

END {
    if (failed) exit 1
    if (out == "h") header()
    else if (out == "c") source()
    else if (out == "prepare") prepares()
    else { print "out is h, c or prepare" > "/dev/stderr"; exit 1 }
}
