#!/bin/sh
# fetch.sh DIRECTORY: puts the files of the documentation page (Swagger UI, at
# the version pinned in package-lock.json) into DIRECTORY. Does nothing when
# they are there already.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
files='swagger-ui.css swagger-ui-bundle.js swagger-ui-standalone-preset.js
favicon-32x32.png LICENSE NOTICE'

[ $# -eq 1 ] || {
    echo "usage: fetch.sh DIRECTORY" >&2
    exit 1
}
case $1 in
/*) target=$1 ;;
*) target=$PWD/$1 ;;
esac
if cmp -s "$here/package-lock.json" "$target/.package-lock.json"; then
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cp "$here/package.json" "$here/package-lock.json" "$work/"
# Nothing of the package is run: not even its telemetry at installation.
(cd "$work" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error \
    --fetch-retries=2 --fetch-retry-maxtimeout=5000)

mkdir -p "$target"
for file in $files; do
    cp "$work/node_modules/swagger-ui-dist/$file" "$target/$file"
    chmod 644 "$target/$file"
done
cp "$here/package-lock.json" "$target/.package-lock.json"
