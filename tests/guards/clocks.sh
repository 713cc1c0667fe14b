#!/bin/sh
# Who asks the clock on the wall, which somebody may set. It is for what is
# stored, shown, or compared with what another machine wrote; how long
# something took or may take is asked of base/steady.
. tests/guards/lib/common.sh

make_scratch

# Files that may, and why.
may='
api/export_archive.c     shown: the age of a file in an archive
api/export_write.c       shown
api/forms.c              shown
api/root.c               shown
auth/session.c           until when a cookie is good, as another server said
base/uuid.c              ids begin with the time
blob/blob_fs.c           ages of files
httpd/access.c           since httpd read the request, by its clock
httpd/handler.c          the same
httpd/jsonlog.c          shown
httpd/logs.c             as httpd/access.c
httpd/status.c           shown
realtime/call.c          shown
realtime/event.c         until when a token is good
realtime/hands.c         the same
realtime/loop.c          turns such a time into one of the loop
store/counter.c          shown
web/reply.c              shown; as httpd/access.c
'

c_files | grep '^mod_chronicle/' |
    xargs awk -f tests/guards/lib/strip.awk >"$scratch/code"
grep -E '[^A-Za-z0-9_](apr_time_now|time|gettimeofday)[[:space:]]*\(' \
    "$scratch/code" | cut -d : -f 1 | sed 's|^mod_chronicle/||' | sort -u \
    >"$scratch/do"
printf '%s' "$may" | sed -n 's/ .*//; /./p' | sort >"$scratch/may"
same_lists 'mod_chronicle/%s asks the clock on the wall: see the guard' \
    'mod_chronicle/%s does not ask the clock on the wall any more' \
    "$scratch/do" "$scratch/may"
verdict
