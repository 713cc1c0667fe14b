/* Tests of web/perform: answers that are kept, for whom and until when. The
 * cache and the versions are the real ones; the bus and the idempotency keys
 * are made up here. */
#include "ch_idem_none.h"
#include "ch_request.h"
#include "ch_rows.h"

#include "base/steady.h"
#include "store/bus.h"
#include "store/cache.h"
#include "store/counter.h"
#include "store/fresh.h"
#include "web/reply.h"

#define CACHE (8 * 1024 * 1024)
#define LONGEST 262144 /* of the answers that are kept */

/* The clock of this program: it stands still until it is put forward. */
static apr_time_t clock_now = APR_INT64_C(1769250600000000);

apr_time_t apr_time_now(void)
{
    return clock_now;
}

apr_time_t ch_steady_now(void)
{
    return clock_now;
}

static int alone_at = 5; /* the site of which nobody else is heard */
static int in_doubt;

int ch_bus_alone(int site)
{
    return site == alone_at;
}

int ch_db_in_doubt(const ch_db_t *db)
{
    return in_doubt;
}

/* --- routes ---------------------------------------------------------------
 */

/* What is in the "database", and how often it was asked. */
static int version;
static int handled;
static ch_code_e handler_says;
static size_t padding;          /* bytes that an answer is longer */
static void (*meanwhile)(void); /* happens while a handler runs */

static ch_err_t *trouble(ch_req_t *rq)
{
    handled++;
    if (meanwhile) {
        void (*what)(void) = meanwhile;

        meanwhile = NULL;
        what();
    }
    return handler_says ? ch_err_make(rq->pool, handler_says, NULL) : NULL;
}

static ch_err_t *list(ch_req_t *rq)
{
    ch_err_t *err;
    ch_buf_t *buf;
    int seen = version;
    size_t i;

    err = trouble(rq);
    if (err) {
        return err;
    }
    buf = ch_reply_begin(rq, 100 + padding);
    ch_buf_printf(buf, "\"%d ", seen);
    for (i = 0; i < padding; i++) {
        ch_buf_putc(buf, 'x');
    }
    ch_buf_putc(buf, '"');
    return ch_reply_end(rq, "listed");
}

static const ch_field_t fields[] = {
    { .name = "version", .type = CH_T_INT },
};
static const ch_fields_t out = { .rows = fields,
                                 .count = (int)CH_COUNT(fields) };

static ch_err_t *item(ch_req_t *rq)
{
    const char *const cells[] = { apr_itoa(rq->pool, version) };
    const ch_rows_t row = { .names = { "version" },
                            .count = 1,
                            .cells = cells };
    ch_err_t *err = trouble(rq);

    return err ? err : ch_reply_row(rq, &row, "found");
}

static ch_err_t *change(ch_req_t *rq)
{
    ch_err_t *err = trouble(rq);

    version++;
    return err ? err : ch_reply_null(rq, "changed");
}

static const ch_route_t rows[] = {
    { .method = CH_GET,
      .path = "/api/v1/notes",
      .ok = 200,
      .handler = list,
      .feature = CH_FEATURE_NOTES,
      .cache = CH_CACHE_NOTES },
    { .method = CH_GET,
      .path = "/api/v1/other",
      .ok = 200,
      .handler = list,
      .feature = CH_FEATURE_NOTES,
      .cache = CH_CACHE_NOTES },
    { .method = CH_GET,
      .path = "/api/v1/{a:str}/{b:str}",
      .ok = 200,
      .handler = list,
      .cache = CH_CACHE_NOTES },
    { .method = CH_GET,
      .path = "/api/v1/notes/{id:int}",
      .ok = 200,
      .handler = item,
      .flags = CH_VERSIONED,
      .out = &out,
      .feature = CH_FEATURE_NOTES,
      .cache = CH_CACHE_NOTES },
    { .method = CH_PUT,
      .path = "/api/v1/notes",
      .ok = 200,
      .handler = change,
      .feature = CH_FEATURE_NOTES },
    { .method = CH_POST,
      .path = "/api/v1/profile",
      .ok = 200,
      .handler = change },
    { .method = CH_GET, .path = "/api/v1/plain", .ok = 200, .handler = list },
};

static const ch_router_t *router;

static void prepare(void)
{
    static const ch_routes_t table = CH_ROUTES(rows);
    static const ch_routes_t *const tables[] = { &table };
    static const unsigned char seed[16] = "secret";
    const char *why = NULL;

    router = ch_router_make(pool, tables, 1, &why);
    ck_assert_msg(router != NULL, "%s", why);
    ch_counter_open(apr_pcalloc(pool, ch_counter_size()));
    ch_fresh_open(apr_pcalloc(pool, ch_fresh_size()), seed);
    ch_cache_open(apr_pcalloc(pool, ch_cache_size(CACHE)), CACHE);
    version = 1;
}

/* --- requests -------------------------------------------------------------
 */

#define ANNA "0198a000-0000-7000-8000-0000000000aa"
#define BERT "0198a000-0000-7000-8000-0000000000bb"

static ch_req_t *arrive(ch_method_e method, const char *path, const char *user)
{
    ch_req_t *rq = ch_request_make(method, path);

    conf->site = 5;
    memset(conf->cursor_key, 1, sizeof(conf->cursor_key));
    rq->router = router;
    ch_router_match(router, pool, path, method, conf->feature, &rq->match);
    rq->route = rq->match.route;
    ck_assert_ptr_nonnull(rq->route);
    rq->canonical = path;
    if (user) {
        rq->who = apr_pcalloc(pool, sizeof(*rq->who));
        rq->who->user_id = user;
    }
    return rq;
}

/* Runs it: "HIT 200 <data>", "MISS 304", or the code of its error. */
static const char *outcome(ch_req_t *rq)
{
    const ch_err_t *err = ch_handler_stage(rq);
    const char *body = rq->reply.body ? ch_buf_cstr(rq->reply.body) : "";
    const char *data = strstr(body, "\"data\":");
    const char *end = data ? strstr(data, ",\"message\"") : NULL;

    ck_assert_int_eq(rq->done, !err);
    return apr_psprintf(pool, "%s %s%.*s", ch_answer_header(rq, "X-Cache"),
                        err ? ch_code_of(err)
                            : apr_itoa(pool, rq->reply.status),
                        end ? (int)(end - data) - 6 : 0, end ? data + 6 : "");
}

static const char *get(const char *path)
{
    return outcome(arrive(CH_GET, path, ANNA));
}

static void write_as(const char *user)
{
    int before = handled;

    outcome(arrive(CH_PUT, "/api/v1/notes", user));
    ck_assert_int_eq(handled, before + 1);
}

#define NOTES "/api/v1/notes"

/* --- hits -----------------------------------------------------------------
 */

START_TEST(kept)
{
    ch_req_t *first, *second;

    prepare();
    first = arrive(CH_GET, NOTES, ANNA);
    ck_assert_str_eq(outcome(first), "MISS 200:\"1 \"");
    clock_now += 5;
    second = arrive(CH_GET, NOTES, ANNA);
    ck_assert_str_eq(outcome(second), "HIT 200:\"1 \"");
    ck_assert_int_eq(handled, 1);
    ck_assert_str_eq(ch_buf_cstr(second->reply.body),
                     ch_buf_cstr(first->reply.body));
    ck_assert_str_eq(ch_answer_header(second, "ETag"), "");
    ck_assert_ptr_null(second->reply.cache_control);
    ck_assert_uint_eq(ch_counter_read()->cache_hits[CH_CACHE_NOTES], 1);
    ck_assert_uint_eq(ch_counter_read()->cache_misses[CH_CACHE_NOTES], 1);
    /* HEAD is the same, without what is sent */
    ck_assert_str_eq(outcome(arrive(CH_HEAD, NOTES, ANNA)), "HIT 200:\"1 \"");
}
END_TEST

START_TEST(five_minutes)
{
    prepare();
    get(NOTES);
    clock_now += apr_time_from_sec(299);
    ck_assert_str_eq(get(NOTES), "HIT 200:\"1 \"");
    clock_now += apr_time_from_sec(1);
    ck_assert_str_eq(get(NOTES), "MISS 200:\"1 \"");
}
END_TEST

/* Each of these is another question. */
START_TEST(keys)
{
    static const char *const paths[] = {
        NOTES,
        "/api/v1/other",
        "/api/v1/notes/1",
        "/api/v1/notes/2",
        "/api/v1/x/y",
        "/api/v1/xy/z",
        "/api/v1/x/yz",
        "/api/v1/x%20y/z",
        "/api/v1/x/y%20z",
    };
    static const char *const args[] = { NULL, "limit=1", "limit=2", "limit=1&",
                                        "%6Cimit=1" };
    static const char *const users[] = { ANNA, BERT };
    size_t p, a, u;
    int round;

    prepare();
    for (round = 0; round < 2; round++) {
        for (p = 0; p < CH_COUNT(paths); p++) {
            for (a = 0; a < CH_COUNT(args); a++) {
                for (u = 0; u < CH_COUNT(users); u++) {
                    ch_req_t *rq = arrive(CH_GET, paths[p], users[u]);

                    rq->args = args[a];
                    ck_assert_msg(
                        strncmp(outcome(rq), round ? "HIT" : "MISS", 3) == 0,
                        "%s?%s of %s", paths[p], args[a], users[u]);
                }
            }
        }
    }
}
END_TEST

/* Where a parameter ends and the query begins. */
START_TEST(keys_do_not_run_together)
{
    ch_req_t *rq;

    prepare();
    rq = arrive(CH_GET, "/api/v1/a/b%20c", ANNA);
    ck_assert_str_eq(outcome(rq), "MISS 200:\"1 \"");
    rq = arrive(CH_GET, "/api/v1/a/b", ANNA);
    rq->args = "c";
    ck_assert_str_eq(outcome(rq), "MISS 200:\"1 \"");
    rq = arrive(CH_GET, "/api/v1/a/b", ANNA);
    rq->args = " c";
    ck_assert_str_eq(outcome(rq), "MISS 200:\"1 \"");
}
END_TEST

/* A host with another database, or another key for its cursors. */
START_TEST(hosts)
{
    ch_req_t *rq;

    prepare();
    get(NOTES);
    rq = arrive(CH_GET, NOTES, ANNA);
    conf->cursor_key[31] ^= 1;
    ck_assert_str_eq(outcome(rq), "MISS 200:\"1 \"");
    alone_at = 6;
    rq = arrive(CH_GET, NOTES, ANNA);
    conf->site = 6;
    ck_assert_str_eq(outcome(rq), "MISS 200:\"1 \"");
    alone_at = 5;
    ck_assert_str_eq(get(NOTES), "HIT 200:\"1 \"");
}
END_TEST

START_TEST(not_for_everybody)
{
    ch_req_t *rq;
    int i;

    prepare();
    for (i = 0; i < 2; i++) {
        ck_assert_str_eq(outcome(arrive(CH_GET, NOTES, NULL)), " 200:\"1 \"");
        ck_assert_str_eq(outcome(arrive(CH_GET, NOTES, "no id")),
                         "MISS 200:\"1 \"");
        ck_assert_str_eq(get("/api/v1/plain"), " 200:\"1 \"");
    }
    rq = arrive(CH_PUT, NOTES, ANNA);
    ck_assert_str_eq(outcome(rq), " 200:null");
}
END_TEST

/* --- conditional requests -------------------------------------------------
 */

static const char *ask(const char *tag)
{
    ch_req_t *rq = arrive(CH_GET, "/api/v1/notes/7", ANNA);
    const char *result;

    if (tag) {
        ch_request_header(rq, "If-None-Match", tag);
    }
    result = outcome(rq);
    ck_assert_str_eq(ch_answer_header(rq, "ETag"), "\"v1\"");
    ck_assert_str_eq(rq->reply.cache_control, "private, no-cache");
    return result;
}

START_TEST(with_a_tag)
{
    prepare();
    ck_assert_str_eq(ask(NULL), "MISS 200:{\"version\":1}");
    ck_assert_str_eq(ask(NULL), "HIT 200:{\"version\":1}");
    ck_assert_str_eq(ask("\"v1\""), "HIT 304");
    ck_assert_str_eq(ask("\"v2\""), "HIT 200:{\"version\":1}");
    ck_assert_str_eq(ask("\"v2\", W/\"v1\""), "HIT 304");
    ck_assert_int_eq(handled, 1);
}
END_TEST

/* A 304 is kept without a body, and does not stand for one. */
START_TEST(only_a_tag)
{
    prepare();
    ck_assert_str_eq(ask("\"v1\""), "MISS 304");
    ck_assert_str_eq(ask("\"v1\""), "HIT 304");
    ck_assert_int_eq(handled, 1);
    ck_assert_str_eq(ask("\"v2\""), "MISS 200:{\"version\":1}");
    ck_assert_str_eq(ask(NULL), "HIT 200:{\"version\":1}");
    ck_assert_str_eq(ask("\"v1\""), "HIT 304");
    ck_assert_int_eq(handled, 2);
}
END_TEST

/* The tag that was found does not go out with an error. */
START_TEST(only_a_tag_and_an_error)
{
    ch_req_t *rq;

    prepare();
    ask("\"v1\"");
    handler_says = CH_E_NOTE_NOT_FOUND;
    rq = arrive(CH_GET, "/api/v1/notes/7", ANNA);
    ch_reply_error(rq, ch_handler_stage(rq));
    ck_assert_int_eq(rq->reply.status, 404);
    ck_assert_str_eq(ch_answer_header(rq, "ETag"), "");
    ck_assert_ptr_null(rq->reply.cache_control);
}
END_TEST

/* --- what is not kept -----------------------------------------------------
 */

START_TEST(errors)
{
    prepare();
    handler_says = CH_E_NOTE_NOT_FOUND;
    ck_assert_str_eq(get(NOTES), "MISS NOTE_NOT_FOUND");
    ck_assert_str_eq(get(NOTES), "MISS NOTE_NOT_FOUND");
    handler_says = CH_E_NONE;
    ck_assert_str_eq(get(NOTES), "MISS 200:\"1 \"");
    ck_assert_str_eq(get(NOTES), "HIT 200:\"1 \"");
}
END_TEST

START_TEST(long_answers)
{
    ch_req_t *rq;
    size_t envelope;

    prepare();
    rq = arrive(CH_GET, NOTES, ANNA);
    outcome(rq);
    envelope = rq->reply.body->len;
    padding = LONGEST - envelope;
    rq = arrive(CH_GET, NOTES, BERT);
    outcome(rq);
    ck_assert_uint_eq(rq->reply.body->len, LONGEST);
    rq = arrive(CH_GET, NOTES, BERT);
    ck_assert(strncmp(outcome(rq), "HIT", 3) == 0);
    ck_assert_uint_eq(rq->reply.body->len, LONGEST);
    padding++;
    get("/api/v1/other");
    ck_assert(strncmp(get("/api/v1/other"), "MISS", 4) == 0);
}
END_TEST

START_TEST(not_alone)
{
    prepare();
    alone_at = -1;
    ck_assert_str_eq(get(NOTES), "MISS 200:\"1 \"");
    ck_assert_str_eq(get(NOTES), "MISS 200:\"1 \"");
    alone_at = 5;
    ck_assert_str_eq(get(NOTES), "MISS 200:\"1 \"");
    ck_assert_str_eq(get(NOTES), "HIT 200:\"1 \"");
    alone_at = -1;
    ck_assert_str_eq(get(NOTES), "MISS 200:\"1 \"");
}
END_TEST

/* As the bus does when it hears of another server. */
static void somebody_comes(void)
{
    alone_at = -1;
    ch_fresh_spoil_all();
    version = 2; /* the other one's write */
}

START_TEST(a_visitor)
{
    prepare();
    meanwhile = somebody_comes;
    ck_assert_str_eq(get(NOTES), "MISS 200:\"1 \"");
    alone_at = 5; /* it has gone */
    ck_assert_str_eq(get(NOTES), "MISS 200:\"2 \"");
}
END_TEST

/* --- writes ---------------------------------------------------------------
 */

START_TEST(a_write)
{
    prepare();
    get(NOTES);
    get("/api/v1/notes/7");
    outcome(arrive(CH_GET, NOTES, BERT));
    write_as(ANNA);
    ck_assert_str_eq(get(NOTES), "MISS 200:\"2 \"");
    ck_assert_str_eq(get("/api/v1/notes/7"), "MISS 200:{\"version\":2}");
    ck_assert_str_eq(get(NOTES), "HIT 200:\"2 \"");
    ck_assert_str_eq(outcome(arrive(CH_GET, NOTES, BERT)), "HIT 200:\"1 \"");
}
END_TEST

START_TEST(a_write_with_a_key)
{
    ch_req_t *rq;

    prepare();
    get(NOTES);
    rq = arrive(CH_PUT, NOTES, ANNA);
    rq->idem_key = "k";
    rq->raw_body = (ch_bytes_t){ "{}", 2 };
    outcome(rq);
    ck_assert_str_eq(get(NOTES), "MISS 200:\"2 \"");
}
END_TEST

/* An error is no proof that nothing was written. */
START_TEST(a_write_that_fails)
{
    prepare();
    get(NOTES);
    handler_says = CH_E_DATABASE_ERROR;
    write_as(ANNA);
    handler_says = CH_E_NONE;
    ck_assert_str_eq(get(NOTES), "MISS 200:\"2 \"");
    ck_assert_str_eq(get(NOTES), "HIT 200:\"2 \"");
}
END_TEST

START_TEST(a_write_in_doubt)
{
    prepare();
    get(NOTES);
    in_doubt = 1;
    write_as(ANNA);
    ck_assert_str_eq(get(NOTES), "MISS 200:\"2 \"");
    version = 3; /* PostgreSQL is done now */
    ck_assert_str_eq(get(NOTES), "MISS 200:\"3 \"");
    clock_now += apr_time_from_sec(CH_FRESH_DOUBT_SECONDS);
    ck_assert_str_eq(get(NOTES), "MISS 200:\"3 \"");
    ck_assert_str_eq(get(NOTES), "HIT 200:\"3 \"");
}
END_TEST

START_TEST(a_write_elsewhere)
{
    prepare();
    get(NOTES);
    outcome(arrive(CH_POST, "/api/v1/profile", ANNA));
    ck_assert_str_eq(get(NOTES), "HIT 200:\"1 \"");
    write_as(NULL);
    write_as("no id");
    ck_assert_str_eq(get(NOTES), "HIT 200:\"1 \"");
}
END_TEST

static void look_twice(void)
{
    ck_assert_str_eq(get(NOTES), "MISS 200:\"1 \"");
    ck_assert_str_eq(get(NOTES), "MISS 200:\"1 \"");
}

/* While it runs, nothing is kept and nothing that was kept is used. */
START_TEST(during_a_write)
{
    prepare();
    get(NOTES);
    ck_assert_str_eq(get(NOTES), "HIT 200:\"1 \"");
    meanwhile = look_twice;
    outcome(arrive(CH_PUT, NOTES, ANNA));
    ck_assert_str_eq(get(NOTES), "MISS 200:\"2 \"");
    ck_assert_str_eq(get(NOTES), "HIT 200:\"2 \"");
}
END_TEST

static void write_meanwhile(void)
{
    write_as(ANNA);
}

/* A read that a write overtakes is not kept as of after it. */
START_TEST(a_slow_read)
{
    prepare();
    meanwhile = write_meanwhile;
    ck_assert_str_eq(get(NOTES), "MISS 200:\"1 \"");
    ck_assert_str_eq(get(NOTES), "MISS 200:\"2 \"");
    ck_assert_str_eq(get(NOTES), "HIT 200:\"2 \"");
}
END_TEST

CH_SUITE_MAIN("web/perform, kept", CH_ONCE(kept), CH_ONCE(five_minutes),
              CH_ONCE(keys), CH_ONCE(keys_do_not_run_together), CH_ONCE(hosts),
              CH_ONCE(not_for_everybody), CH_ONCE(with_a_tag),
              CH_ONCE(only_a_tag), CH_ONCE(only_a_tag_and_an_error),
              CH_ONCE(errors), CH_ONCE(long_answers), CH_ONCE(not_alone),
              CH_ONCE(a_visitor), CH_ONCE(a_write),
              CH_ONCE(a_write_with_a_key), CH_ONCE(a_write_that_fails),
              CH_ONCE(a_write_in_doubt), CH_ONCE(a_write_elsewhere),
              CH_ONCE(during_a_write), CH_ONCE(a_slow_read))
