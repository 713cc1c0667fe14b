/* How fresh an answer kept for a user is: a version of everything that the
 * user's lists show, which every write moves. What is kept is kept under the
 * version of before it was read, so a write leaves nothing stale behind.
 *
 * Writers call begin before and end after their statements, readers ask for
 * the version before theirs. While somebody writes there is no version; one
 * who dies in between leaves it so, for 1 user in CH_FRESH_SLOTS. Nor is there
 * one for CH_FRESH_DOUBT_SECONDS after a write of which nobody knows whether
 * it is done by now: PostgreSQL may still be at it. */
#ifndef CH_STORE_FRESH_H
#define CH_STORE_FRESH_H

#include "chronicle.h"

#define CH_FRESH_SLOTS 65536
#define CH_FRESH_LEN 16
#define CH_FRESH_DOUBT_SECONDS 60 /* more than any statement may take */

/* Memory shared by all processes, zeroed when new; seed is secret. */
void ch_fresh_open(void *memory, const unsigned char seed[16]);
size_t ch_fresh_size(void);

void ch_fresh_begin(const unsigned char user[16]);
void ch_fresh_end(const unsigned char user[16], int in_doubt);

/* 1 and the version, or 0: somebody is writing, or may be. */
int ch_fresh_version(const unsigned char user[16],
                     unsigned char out[CH_FRESH_LEN]);

/* Somebody else has written: what is kept for this user (for all) is old. */
void ch_fresh_spoil(const unsigned char user[16]);
void ch_fresh_spoil_all(void);

#endif
