#!/bin/sh
# docs/errors.md describes the codes of base/codes.h, each under its status.
. tests/guards/lib/common.sh

make_scratch
tr '\n' ' ' <mod_chronicle/base/codes.h |
    grep -oE 'X\([A-Z_]+, *[0-9]{3},' |
    sed 's/X(\([A-Z_]*\), *\([0-9]*\),/\1=\2/' | sort >"$scratch/code"
[ -s "$scratch/code" ] || complain "base/codes.h lists no codes"

# a row: | `CODE` | 404 | when | what to do |
sed -n 's/^| `\([A-Z_]*\)` | \([0-9]\{3\}\) | .* | .* |$/\1=\2/p' \
    docs/errors.md | sort >"$scratch/docs"
same_lists "%s is not described in docs/errors.md" \
    "docs/errors.md describes %s, which is not in base/codes.h" \
    "$scratch/code" "$scratch/docs"
uniq -d "$scratch/docs" >"$scratch/twice"
[ ! -s "$scratch/twice" ] || complain "twice: $(cat "$scratch/twice")"

# codes of single faults: | `CODE` | meaning |
sed -n '/define CH_DETAIL_CODES/,/^$/s/.*X(\([A-Z_]*\)).*/\1/p' \
    mod_chronicle/base/codes.h | sort >"$scratch/code"
sed -n 's/^| `\([A-Z_]*\)` | [^0-9|][^|]* |$/\1/p' docs/errors.md | sort \
    >"$scratch/docs"
same_lists "the detail code %s is not described in docs/errors.md" \
    "docs/errors.md describes the detail code %s, which there is not" \
    "$scratch/code" "$scratch/docs"
verdict
