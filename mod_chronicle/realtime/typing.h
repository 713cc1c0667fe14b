/* Who is typing where, in memory of all processes of this server. It may be
 * lost without harm: a place that is full forgets. */
#ifndef CH_REALTIME_TYPING_H
#define CH_REALTIME_TYPING_H

#include "chronicle.h"

#define CH_TYPING_SECONDS 5

/* Memory shared by all processes, zeroed when new. */
void ch_typing_open(void *memory);
size_t ch_typing_size(void);

/* For CH_TYPING_SECONDS from now, or not any more. ids: 16 bytes. */
void ch_typing_set(int site, const unsigned char *room,
                   const unsigned char *user, int on);

/* The users typing in a room now, at most max, 16 bytes each; how many. */
int ch_typing_list(int site, const unsigned char *room,
                   unsigned char (*users)[16], int max);

#endif
