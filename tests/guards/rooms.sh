#!/bin/sh
# Which room may include which (mod_chronicle/README.md has the table), and
# that every foreign library has one file that knows it.
. tests/guards/lib/common.sh

make_scratch
find mod_chronicle -name '*.[ch]' | sort |
    xargs awk '
        /^[ \t]*#[ \t]*include[ \t]/ {
            name = $0
            sub(/^[^<"]*[<"]/, "", name)
            sub(/[>"].*/, "", name)
            file = FILENAME
            sub(/^mod_chronicle\//, "", file)
            printf "%s %s %s\n", file, (/"/ ? "own" : "foreign"), name
        }' >"$scratch/includes"

# --- rooms ------------------------------------------------------------------

awk '
    BEGIN {
        allow["base"] = "base"
        allow["store"] = "base store"
        allow["net"] = "base net"
        allow["providers"] = "base net providers"
        allow["blob"] = "base net blob"
        allow["web"] = "base store web"
        allow["auth"] = "base store web auth"
        allow["jobs"] = "base store jobs"
        allow["realtime"] = "base store web auth realtime"
        allow["api"] = "base store net providers blob web auth jobs " \
                       "realtime api"
        allow["httpd"] = allow["api"] " httpd"
        allow["."] = "httpd"
        # of the store, web sees rows, limits, counters and caches
        of_store["db.h"] = of_store["limit.h"] = of_store["counter.h"] = 1
        of_store["cache.h"] = of_store["idem.h"] = of_store["seat.h"] = 1
        of_store["kept.h"] = 1
    }

    function room(path) {
        return path ~ /\// ? substr(path, 1, index(path, "/") - 1) : "."
    }

    function wrong(why) {
        printf "%s includes \"%s\": %s\n", $1, $3, why
    }

    $2 == "own" {
        from = room($1)
        to = room($3)
        door = substr($3, index($3, "/") + 1)
        if (to == ".") {
            next # chronicle.h and conf.h are for all
        }
        if (!(from in allow)) {
            wrong("the room " from " is not in the table of this guard")
        }
        else if (index(" " allow[from] " ", " " to " ") == 0) {
            wrong(from "/ may not see " to "/")
        }
        else if ($3 == "store/db_conn.h" && from != "store") {
            wrong("connections are the store'\''s own")
        }
        else if ($3 == "net/curl.h" && from != "net") {
            wrong("the door to libcurl is for net/")
        }
        else if (from == "web" && to == "store" && !(door in of_store)) {
            wrong("web/ may not see this of store/")
        }
    }' "$scratch/includes" >"$scratch/wrong"

# --- foreign libraries ------------------------------------------------------

# NAME-OF-HEADER (awk pattern) FILES (with commas) that may include it. A library that is
# not listed here is refused, so that a new one is a decision.
cat >"$scratch/libraries" <<'END'
^(assert|ctype|errno|fcntl|float|inttypes|limits|math|setjmp|signal|stdarg|stdatomic|stddef|stdint|stdio|stdlib|string|strings|time|unistd)\.h$ *
^(pthread|sched|dlfcn|sys\/(types|stat|statvfs|time|resource|wait|mman|uio|random|syscall))\.h$ *
^(sys\/(socket|un|epoll|eventfd)|netinet\/.*|arpa\/inet|netdb|poll)\.h$ !base
^(apr|apu)(_[a-z0-9_]+)?\.h$ *
^(apr_dbd|mod_dbd|mod_ssl|mod_watchdog|mod_unixd|mod_log_config|mod_status|mod_auth|ap_[a-z_]+|http_[a-z_]+|httpd|util_[a-z_0-9]+|scoreboard|mpm_common|unixd)\.h$ httpd
^locale\.h$ base/unzip.c
^jansson\.h$ base/json.c
^libxml\/ base/html.c
^utf8proc\.h$ base/text.c,base/fold.c
^openssl\/ base/seal.c
^libpq-fe\.h$ store/db_conn.h
^libpq-events\.h$ store/db_conn.c
^semaphore\.h$ store/waiter.h
^grp\.h$ httpd/storage.c
^dirent\.h$ httpd/upgrade.c
^curl\/ net/curl.h
^hiredis\/ store/redis_conn.c
^wslay\/ realtime/ws.c
^git2\.h$ base/merge3.c
^magic\.h$ base/sniff.c
^vips\/ base/thumb.c
^archive(_entry)?\.h$ base/zip.c,base/unzip.c
END

awk '
    function room(path) {
        return path ~ /\// ? substr(path, 1, index(path, "/") - 1) : "httpd"
    }

    FNR == NR { pattern[++n] = $1; who[n] = $2; next }

    $2 == "foreign" {
        for (i = 1; i <= n; i++) {
            if ($3 ~ pattern[i]) {
                break
            }
        }
        if (i > n) {
            printf "%s includes <%s>, which no file is known to own\n", $1, $3
        }
        else if (who[i] == "!base") {
            if (room($1) == "base") {
                printf "%s includes <%s>: base/ sees no sockets\n", $1, $3
            }
        }
        else if (who[i] == "httpd") {
            if (room($1) != "httpd") {
                printf "%s includes <%s>: only httpd/ faces httpd\n", $1, $3
            }
        }
        else if (who[i] != "*" && index("," who[i] ",", "," $1 ",") == 0) {
            printf "%s includes <%s>: only %s may\n", $1, $3, who[i]
        }
    }' "$scratch/libraries" "$scratch/includes" >>"$scratch/wrong"

# --- words ------------------------------------------------------------------

# What a room must not even name.
never() {
    # shellcheck disable=SC2086
    find $1 -name '*.[ch]' 2>/dev/null | sort |
        xargs -r awk -f tests/guards/lib/strip.awk |
        grep -E ":[0-9]+:.*$2" | sed "s|\$|    ($3)|"
}

{
    never "mod_chronicle/base mod_chronicle/store mod_chronicle/net
        mod_chronicle/providers mod_chronicle/blob mod_chronicle/web
        mod_chronicle/auth mod_chronicle/jobs mod_chronicle/realtime
        mod_chronicle/api" \
        '\<(request_rec|conn_rec|server_rec)\>' "httpd's, for httpd/ only"
    never "mod_chronicle/base mod_chronicle/web" '\<sql_[a-z]' \
        "statements are not for this room"
    never "mod_chronicle/api mod_chronicle/auth mod_chronicle/web
        mod_chronicle/realtime" \
        '\<(PQ[a-z]|PGconn|PGresult)' "libpq is the store's"
    never "mod_chronicle/auth mod_chronicle/api mod_chronicle/realtime" \
        '\<ch_counter_(auth_failure|security)\>' \
        "ch_secure_failure and ch_secure_event write the logs, too"
} >>"$scratch/wrong"

if [ -s "$scratch/wrong" ]; then
    complain "$(cat "$scratch/wrong")"
fi
verdict
