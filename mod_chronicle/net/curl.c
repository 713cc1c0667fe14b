/* Makes libcurl ready and hands out handles. */
#include "net/curl.h"

#include "net/net.h"

/* Nothing undoes this: when a child ends, its threads may still be inside of
 * the library, and others in the process may use it, too. */
apr_status_t ch_net_open(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? APR_SUCCESS
                                                             : APR_EINIT;
}

static apr_status_t cleanup(void *curl)
{
    curl_easy_cleanup(curl);
    return APR_SUCCESS;
}

CURL *ch_curl_make(apr_pool_t *pool)
{
    CURL *curl = curl_easy_init();

    if (curl) {
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_SSLVERSION,
                         (long)CURL_SSLVERSION_TLSv1_2);
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
        apr_pool_cleanup_register(pool, curl, cleanup,
                                  apr_pool_cleanup_null);
    }
    return curl;
}
