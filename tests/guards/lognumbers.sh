#!/bin/sh
# Every message of the error log has a number of its own: CH1042 in the text
# of an ap_log call, 1042 in a call of the log that httpd/ lends out. Numbers
# are cheap: one that was removed is not used again for something else.
. tests/guards/lib/common.sh

make_scratch
find mod_chronicle -name '*.c' ! -name 'sql_gen.c' | sort |
    while read -r file; do
        grep -noE '"CH[0-9]{4}:' "$file" |
            sed "s|^\([0-9]*\):\"CH\([0-9]*\):|\2 $file:\1|"
        # the arguments may stand on several lines
        awk '
            /(->|\.|write_|job_)log\(/ && !/char level/ {
                call = ""
                first = FNR
                on = 1
            }
            on {
                call = call $0
                if (match(call, /log\([^,]*,[^,]*,[ \t]*[0-9]+[ \t]*,/)) {
                    number = substr(call, RSTART, RLENGTH)
                    sub(/[ \t]*,$/, "", number)
                    sub(/.*[ ,\t]/, "", number)
                    printf "%s %s:%d\n", number, FILENAME, first
                    on = 0
                }
                else if (call ~ /log\([^,]*,[^,]*,[ \t]*number,/) {
                    on = 0 # handed on
                }
                else if (call ~ /\);/) {
                    printf "none %s:%d\n", FILENAME, first
                    on = 0
                }
            }' "$file"
    done | sort >"$scratch/numbers"

[ -s "$scratch/numbers" ] || complain "no log message has a number"
cut -d ' ' -f 1 "$scratch/numbers" | uniq -d | while read -r number; do
    grep "^$number " "$scratch/numbers" | cut -d ' ' -f 2 | tr '\n' ' ' |
        sed "s/^/CH$number stands at /; s/\$/\n/"
done | grep -v '^CHnone' >"$scratch/wrong"
sed -n 's/^none \(.*\)/\1: the number is no constant/p' "$scratch/numbers" \
    >>"$scratch/wrong"
# every call of ap_log_* of ours names one
find mod_chronicle -name '*.c' | sort | while read -r file; do
    awk -v file="$file" '
        /ap_log_[a-z]*error\(/ { call = ""; first = FNR; on = 1 }
        on {
            call = call $0
            if (call ~ /\);/) {
                if (call !~ /"CH[0-9][0-9][0-9][0-9]:/ &&
                    call !~ /"CH%d:/ && call !~ /"CH%04d:/) {
                    printf "%s:%d: a message without a number\n", file, first
                }
                on = 0
            }
        }' "$file"
done >>"$scratch/wrong"
if [ -s "$scratch/wrong" ]; then
    complain "$(cat "$scratch/wrong")"
fi
verdict
