/* Copies to and from memory that others, threads or processes, read and write
 * at the same time. Every word is an atomic of its own, so a copy may be a mix
 * of old and new, which the caller has to find out (by a counter before and
 * after, by a sum), but nothing else goes wrong.
 *
 * Order: what the caller reads after ch_words_read is at least as new as what
 * he was given by it; what he wrote before ch_words_write is seen by everyone
 * who sees any of it. */
#ifndef CH_BASE_WORDS_H
#define CH_BASE_WORDS_H

#include "chronicle.h"

#define CH_WORD sizeof(apr_uint64_t)

/* The bytes that len bytes take in shared memory: whole words. */
size_t ch_words_size(size_t len);

/* `shared` begins at a multiple of CH_WORD and has room for whole words. */
void ch_words_read(void *to, const void *shared, size_t len);
void ch_words_write(void *shared, const void *from, size_t len);

/* Both with a sum of the words, which goes on from `before`: it tells bytes
 * that were overwritten meanwhile from those that were put there. Against
 * accidents only, for little more than the copy costs. */
apr_uint64_t ch_words_read_sum(void *to, const void *shared, size_t len,
                               apr_uint64_t before);
apr_uint64_t ch_words_write_sum(void *shared, const void *from, size_t len,
                                apr_uint64_t before);

#endif
