#!/bin/sh
# The alert rules name metrics that there are, and are what Prometheus takes.
. tests/guards/lib/common.sh

make_scratch
rules=packaging/prometheus/chronicle-alerts.yml

grep -oE 'chronicle_[a-z_]+' "$rules" | sed 's/_\(bucket\|sum\|count\)$//' |
    sort -u >"$scratch/used"
[ -s "$scratch/used" ] || complain "$rules names no metric"
while read -r metric; do
    grep -q "\"$metric\"" mod_chronicle/api/metrics.c ||
        complain "$rules uses $metric, which /metrics does not have"
done <"$scratch/used"
sed -n 's/^ *- alert: //p' "$rules" | while read -r alert; do
    grep -q "alertname: $alert\b" "${rules%.yml}.test.yml" ||
        echo "$alert is not in ${rules%.yml}.test.yml"
done >"$scratch/wrong"
[ ! -s "$scratch/wrong" ] || complain "$(cat "$scratch/wrong")"

# Debian's package prometheus has it; nothing else needs that package
if command -v promtool >/dev/null; then
    (cd packaging/prometheus && promtool check rules "$(basename "$rules")" &&
        promtool test rules "$(basename "${rules%.yml}").test.yml") \
        >"$scratch/log" 2>&1 || complain "$(cat "$scratch/log")"
fi
verdict
