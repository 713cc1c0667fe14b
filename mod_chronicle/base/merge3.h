/* Three-way merge of texts by lines; the only file that sees libgit2 is
 * merge3.c. */
#ifndef CH_BASE_MERGE3_H
#define CH_BASE_MERGE3_H

#include "base/err.h"

/* A text with more lines is not compared line by line. Within this bound the
 * worst texts that are known take well under a second. */
#define CH_MERGE3_LINES_MAX 100000

/* Brings together what the server's text and the client's made of base, byte
 * for byte as `git merge-file -p -L server -L base -L client` does. A line
 * ends with "\n", which is part of it, and so is a "\r" before it. Where both
 * sides changed the same lines, or lines beside each other, there is a clash
 * region:
 *     <<<<<<< server
 *     the server's lines
 *     =======
 *     the client's lines
 *     >>>>>>> client
 * The markers are lines of their own, which end as the lines around do. Two
 * regions become one if there are at most three lines between them, or no line
 * with an ASCII letter or digit. *clashes is the number of regions, whatever
 * the texts themselves hold.
 *
 * base NULL: there is no common text, which is not the same as an empty one.
 * The leading and trailing lines that both sides have in common are kept, all
 * between them is one region. So it is, too, when one of three texts that
 * differ from each other has more than CH_MERGE3_LINES_MAX lines: the time
 * grows faster than the number of lines.
 *
 * The texts may hold any bytes. The result, which can be longer than both
 * sides together, is in pool or is one of the texts. Any thread may call, in a
 * process that has not forked since the first call. INTERNAL_ERROR when there
 * is no memory. */
ch_err_t *ch_merge3(apr_pool_t *pool, const ch_bytes_t *base,
                    ch_bytes_t server, ch_bytes_t client, ch_bytes_t *out,
                    int *clashes);

#endif
