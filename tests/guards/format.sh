#!/bin/sh
# How far the C files are from .clang-format. Only tells: "make format" mends
# it, and other versions of clang-format than 14 differ in detail.
. tests/guards/lib/common.sh

for program in clang-format-14 clang-format; do
    if command -v "$program" >/dev/null &&
        "$program" --version | grep -q 'version 14\.'; then
        c_files | while read -r file; do
            "$program" --dry-run --Werror "$file" >/dev/null 2>&1 ||
                printf '%s is not as clang-format would have it\n' "$file"
        done
        verdict
    fi
done
echo "clang-format 14 is not installed: nothing was looked at"
verdict
