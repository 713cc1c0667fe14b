/* Words in the messages of the caller's rooms. */
#include <string.h>

#include "api/api.h"
#include "api/chat.h"
#include "api/search.h"
#include "web/reply.h"

typedef struct {
    const char *q;
    const char *room_id;
    ch_page_in_t page;
} search_query_t;

static const ch_field_t query_rows[] = {
    { .name = "q", CH_IN(search_query_t, q, CH_T_STR), .flags = CH_REQUIRED,
      .min = 1, .max = 200,
      .doc = "Words; \"in quotes\" a phrase, or, -without" },
    { .name = "roomId", CH_IN(search_query_t, room_id, CH_T_UUID),
      .doc = "Only of this room" },
    CH_PAGE_NUMBER_ROWS(search_query_t, page, "20"),
};

static const ch_fields_t search_query =
    CH_FIELDS(search_query_t, query_rows);

/* What the statement says of the room that was asked for. */
static ch_err_t *judge(ch_req_t *rq, const ch_rows_t *rows)
{
    const char *verdict = ch_rows_text(rows, 0, "verdict");
    ch_code_e code = verdict ? ch_code_find(verdict, strlen(verdict))
                             : CH_E_NONE;

    return code == CH_E_NONE ? NULL : ch_err_make(rq->pool, code, NULL);
}

static ch_err_t *search_messages(ch_req_t *rq)
{
    const search_query_t *query = rq->query;
    const sql_message_search_t in = {
        .user_id = rq->who->user_id,
        .room_id = query->room_id,
        .admin = CH_CHAT_ADMIN(rq),
        .q = ch_search_calmed(rq->pool, query->q),
        .fetch = ch_page_fetch(&query->page),
        .skip = ch_page_offset(&query->page),
    };
    ch_list_t list = { .id_column = "message_id", .no_cursor = 1 };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_message_search(rq->db, &in, &rows);

    err = err ? err : judge(rq, rows);
    if (err) {
        return err;
    }
    list.rows = rows;
    return ch_reply_list(rq, &query->page, &list, "Messages found");
}

static const ch_route_t routes[] = {
    { .method = CH_GET, .path = CH_CHAT "/messages/search",
      CH_CHAT_ROUTE(SEARCH), .flags = CH_LIST, .ok = 200,
      .query = &search_query, .out = &ch_message_found_out,
      CH_ROUTE_CODES(CH_E_ROOM_NOT_FOUND, CH_E_NOT_ROOM_MEMBER),
      .handler = search_messages,
      .summary = "Search the messages of one's rooms" },
};

const ch_routes_t ch_message_search_routes = CH_ROUTES(routes);
