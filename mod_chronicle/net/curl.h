/* The door to libcurl: the one file that includes it, for the files of net/
 * and nobody else. */
#ifndef CH_NET_CURL_H
#define CH_NET_CURL_H

#include <curl/curl.h>

#include "chronicle.h"

/* A handle with what all transfers want: no signals, TLS 1.2 or newer, no
 * proxy from the environment. It ends with pool. NULL when memory is short. */
CURL *ch_curl_make(apr_pool_t *pool);

#endif
