/* Tests of web/perform: a handler runs, and under an Idempotency-Key once.
 * The keys are kept by a store that is made up here. */
#include "ch_request.h"

#include "base/seal.h"
#include "store/idem.h"
#include "web/reply.h"

/* What the store was asked and what it says. */
static struct {
    ch_idem_t asked;
    ch_idem_answer_t known; /* status 0 = nothing */
    ch_idem_answer_t kept;
    ch_code_e begin_says, end_says;
    int begins, ends, abandons;
} keeper;

ch_err_t *ch_idem_begin(apr_pool_t *p, ch_db_t *db, const ch_idem_t *idem,
                        ch_idem_answer_t *answer)
{
    keeper.begins++;
    keeper.asked = *idem;
    *answer = keeper.known;
    return keeper.begin_says ? ch_err_make(p, keeper.begin_says, NULL) : NULL;
}

ch_err_t *ch_idem_end(apr_pool_t *p, ch_db_t *db, const ch_idem_t *idem,
                      const ch_idem_answer_t *answer)
{
    keeper.ends++;
    ck_assert_str_eq(idem->key, keeper.asked.key);
    keeper.kept = *answer;
    return keeper.end_says ? ch_err_make(p, keeper.end_says, NULL) : NULL;
}

void ch_idem_abandon(ch_db_t *db, const ch_idem_t *idem)
{
    keeper.abandons++;
}

static int handled;
static ch_code_e handler_says;

static ch_err_t *handle(ch_req_t *rq)
{
    handled++;
    if (handler_says) {
        return ch_err_make(rq->pool, handler_says, NULL);
    }
    apr_table_set(rq->out, "ETag", "\"v1\"");
    apr_table_set(rq->out, "Location", "/api/v1/things/\"7\"");
    apr_table_set(rq->out, "RateLimit-Limit", "100");
    return ch_reply_null(rq, "done");
}

static const ch_route_t route = { .method = CH_PUT,
                                  .path = "/api/v1/things/{id}",
                                  .ok = 201,
                                  .handler = handle };

static ch_req_t *arrive(const char *key, const char *body)
{
    static ch_principal_t who = { .user_id = "u1" };
    ch_req_t *rq = ch_request_make(CH_PATCH, "/api/things/7");

    memset(&keeper, 0, sizeof(keeper));
    handled = 0;
    handler_says = CH_E_NONE;
    rq->route = &route;
    rq->canonical = "/api/v1/things/7";
    rq->idem_key = key;
    rq->raw_body.data = body;
    rq->raw_body.len = strlen(body);
    rq->who = &who;
    return rq;
}

START_TEST(of_an_upload_its_own_hash_counts)
{
    const ch_upload_t upload = { .sha256 = "of all parts" };
    ch_req_t *rq = arrive("k", "");

    rq->upload = &upload;
    ck_assert_ptr_null(ch_handler_stage(rq));
    ck_assert_str_eq(keeper.asked.hash, "of all parts");
}
END_TEST

START_TEST(without_a_key)
{
    ch_req_t *rq = arrive(NULL, "{}");

    ck_assert_ptr_null(ch_handler_stage(rq));
    ck_assert_int_eq(handled, 1);
    ck_assert_int_eq(rq->done, 1);
    ck_assert_int_eq(rq->reply.status, 201);
    ck_assert_int_eq(keeper.begins + keeper.ends + keeper.abandons, 0);
}
END_TEST

START_TEST(the_first_time)
{
    ch_req_t *rq = arrive("k", "{}");

    ck_assert_ptr_null(ch_handler_stage(rq));
    ck_assert_int_eq(rq->done, 1);
    ck_assert_int_eq(handled, 1);
    ck_assert_int_eq(keeper.ends, 1);
    ck_assert_int_eq(keeper.abandons, 0);
    /* user, the row's own method, canonical path, key, hash of the body */
    ck_assert_str_eq(keeper.asked.scope, "u1");
    ck_assert_str_eq(keeper.asked.route, "PUT /api/v1/things/7");
    ck_assert_str_eq(keeper.asked.key, "k");
    ck_assert_str_eq(
        keeper.asked.hash,
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    ck_assert_int_eq(keeper.kept.status, 201);
    ck_assert_str_eq(keeper.kept.headers,
                     "{\"ETag\":\"\\\"v1\\\"\","
                     "\"Location\":\"/api/v1/things/\\\"7\\\"\"}");
    ck_assert_str_eq(keeper.kept.body, ch_buf_cstr(rq->reply.body));
    ck_assert_str_eq(ch_answer_header(rq, "Idempotent-Replayed"), "");
}
END_TEST

START_TEST(an_anonymous_client)
{
    ch_req_t *rq = arrive("k", "");

    rq->who = NULL;
    ck_assert_ptr_null(ch_handler_stage(rq));
    ck_assert_str_eq(keeper.asked.scope, "192.0.2.1");
    ck_assert_str_eq(
        keeper.asked.hash,
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
END_TEST

START_TEST(again)
{
    ch_req_t *rq = arrive("k", "{}");

    keeper.known.status = 202;
    keeper.known.headers = "{\"Location\": \"/x\"}";
    keeper.known.body = "{\"kept\":1}";
    ck_assert_ptr_null(ch_handler_stage(rq));
    ck_assert_int_eq(handled, 0);
    ck_assert_int_eq(keeper.ends + keeper.abandons, 0);
    ck_assert_int_eq(rq->done, 1);
    ck_assert_int_eq(rq->reply.status, 202);
    ck_assert_str_eq(ch_buf_cstr(rq->reply.body), "{\"kept\":1}");
    ck_assert_str_eq(ch_answer_header(rq, "Idempotent-Replayed"), "true");
    ck_assert_str_eq(ch_answer_header(rq, "Location"), "/x");
    ck_assert_str_eq(ch_answer_header(rq, "ETag"), "");
}
END_TEST

START_TEST(while_it_runs)
{
    static const ch_code_e says[] = { CH_E_IDEMPOTENCY_IN_PROGRESS,
                                      CH_E_IDEMPOTENCY_MISMATCH,
                                      CH_E_DATABASE_ERROR };
    size_t i;

    for (i = 0; i < CH_COUNT(says); i++) {
        ch_req_t *rq = arrive("k", "{}");

        keeper.begin_says = says[i];
        ck_assert_str_eq(ch_code_of(ch_handler_stage(rq)),
                         ch_code_name(says[i]));
        ck_assert_int_eq(handled, 0);
        ck_assert_int_eq(rq->done, 0);
        ck_assert_int_eq(keeper.ends + keeper.abandons, 0);
    }
}
END_TEST

/* Only what went well is kept. */
START_TEST(a_failure)
{
    ch_req_t *rq = arrive("k", "{}");

    handler_says = CH_E_NOTE_NOT_FOUND;
    ck_assert_str_eq(ch_code_of(ch_handler_stage(rq)), "NOTE_NOT_FOUND");
    ck_assert_int_eq(keeper.abandons, 1);
    ck_assert_int_eq(keeper.ends, 0);
    ck_assert_int_eq(rq->done, 0);
}
END_TEST

START_TEST(what_could_not_be_kept)
{
    ch_req_t *rq = arrive("k", "{}");

    keeper.end_says = CH_E_DATABASE_ERROR;
    ck_assert_str_eq(ch_code_of(ch_handler_stage(rq)), "DATABASE_ERROR");
    ck_assert_int_eq(rq->done, 0);
}
END_TEST

CH_SUITE_MAIN("web/perform", CH_ONCE(of_an_upload_its_own_hash_counts),
              CH_ONCE(without_a_key), CH_ONCE(the_first_time),
              CH_ONCE(an_anonymous_client), CH_ONCE(again),
              CH_ONCE(while_it_runs), CH_ONCE(a_failure),
              CH_ONCE(what_could_not_be_kept))
