#!/bin/sh
# Functions that are not used here: unbounded copies, hidden state, numbers
# without error checks, memory outside of pools.
. tests/guards/lib/common.sh

make_scratch
anywhere='strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atoll|atof|strtok'
anywhere="$anywhere|gmtime|localtime|asctime|ctime|mktemp|tmpnam|alloca"
anywhere="$anywhere|system|popen|setjmp|longjmp|rand|srand|random"
memory='malloc|calloc|realloc|free|strdup|strndup|asprintf'

# Files that hand memory over to, or take it from, a library.
wrappers='^mod_chronicle/(base/(heap|json|fold|seal)\.c)$'

c_files | xargs awk -f tests/guards/lib/strip.awk >"$scratch/code"

# a member of that name (x->free, x.free) is none of them
call() {
    grep -E ":[0-9]+:(.*[^A-Za-z0-9_.>])?($1)[[:space:]]*\(" "$scratch/code"
}

call "$anywhere" | sed 's/$/    (banned)/' >"$scratch/wrong"
call "$memory" | grep '^mod_chronicle/' | while IFS= read -r line; do
    printf '%s\n' "${line%%:*}" | grep -qE "$wrappers" ||
        printf '%s    (memory is of a pool)\n' "$line"
done >>"$scratch/wrong"
if [ -s "$scratch/wrong" ]; then
    complain "$(cat "$scratch/wrong")"
fi
verdict
