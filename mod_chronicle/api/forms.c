/* Forms that need no account: contact and demo requests, and the lists of them
 * in which managers work. */
#include "api/forms.h"

#include <string.h>

#include <apr_strings.h>

#include "api/api.h"
#include "api/notifications.h"
#include "auth/auth.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/uuid.h"
#include "store/sql_gen.h"
#include "web/reply.h"

#define HERE "/api/v1/forms"
#define MAIL_MAX (256u * 1024)

/* --- inputs ----------------------------------------------------------- */

static const char *const sizes[] = { "1-10", "11-50", "51-200", "201-1000",
                                     "1000+" };

/* Of both forms; each has the members that its table binds. */
typedef struct {
    const char *name;
    const char *email;
    const char *phone;
    const char *company;
    const char *subject;
    const char *job_title;
    int company_size;
    const char *use_case;
    const char *preferred_date;
    const char *timezone;
    const char *message;
    const char *source;
    const char *website;
} form_in_t;

static int is_phone(const char *text, size_t len)
{
    size_t plus = len && *text == '+';

    return len - plus >= 5 && len - plus <= 30
           && strspn(text + plus, "0123456789 ().-") >= len - plus;
}

/* .min and .max are those of the pattern, but that what is too short has not
 * the form. */
#define PHONE_RULES                                                           \
    .max = 31, .valid = is_phone, .pattern = "^\\+?[0-9 ().-]{5,30}$"

#define WHO_ROWS                                                              \
    { .name = "name", CH_IN(form_in_t, name, CH_T_STR),                       \
      .flags = CH_REQUIRED, .min = 1, .max = 100, .doc = "Who asks" },        \
    { .name = "email", CH_IN(form_in_t, email, CH_T_EMAIL),                   \
      .flags = CH_REQUIRED, .doc = "Where the answer goes" },                 \
    { .name = "phone", CH_IN(form_in_t, phone, CH_T_STR), PHONE_RULES,        \
      .doc = "Number" }

/* website: people do not see it, programs that fill in everything do. */
#define LAST_ROWS                                                             \
    { .name = "source", CH_IN(form_in_t, source, CH_T_STR), .min = 1,         \
      .max = 100, .doc = "Which page it was sent from" },                     \
    { .name = "website", CH_IN(form_in_t, website, CH_T_STR), .max = 200,     \
      .doc = "To be hidden from people, and to stay empty" }

static const ch_field_t contact_rows[] = {
    WHO_ROWS,
    { .name = "company", CH_IN(form_in_t, company, CH_T_STR), .min = 1,
      .max = 150, .doc = "Company" },
    { .name = "subject", CH_IN(form_in_t, subject, CH_T_STR),
      .flags = CH_REQUIRED, .min = 1, .max = 200, .doc = "What about" },
    { .name = "message", CH_IN(form_in_t, message, CH_T_TEXT),
      .flags = CH_REQUIRED, .min = 10, .max = 5000, .doc = "Plain text" },
    LAST_ROWS,
};

static const ch_fields_t contact_in = {
    .name = "ContactForm", .rows = contact_rows,
    .count = (int)CH_COUNT(contact_rows), .size = sizeof(form_in_t),
};

static void check_demo(ch_req_t *rq, void *fields, ch_err_t **faults)
{
    const form_in_t *in = fields;

    if (in->preferred_date
        && strncmp(in->preferred_date,
                   ch_clock_text(rq->pool, apr_time_now()), CH_DATE_LEN)
               < 0) {
        ch_err_fault(rq->pool, faults, CH_D_INVALID_VALUE, "preferredDate",
                     "must be today (UTC) or later");
    }
}

static const ch_field_t demo_rows[] = {
    WHO_ROWS,
    { .name = "company", CH_IN(form_in_t, company, CH_T_STR),
      .flags = CH_REQUIRED, .min = 1, .max = 150, .doc = "Company" },
    { .name = "jobTitle", CH_IN(form_in_t, job_title, CH_T_STR), .min = 1,
      .max = 100, .doc = "What the person does there" },
    { .name = "companySize", CH_IN(form_in_t, company_size, CH_T_ENUM),
      CH_CHOICES(sizes), .doc = "People who work there" },
    { .name = "useCase", CH_IN(form_in_t, use_case, CH_T_TEXT), .max = 2000,
      .doc = "What it is wanted for" },
    { .name = "preferredDate", CH_IN(form_in_t, preferred_date, CH_T_DATE),
      .doc = "Today (UTC) or later" },
    { .name = "timezone", CH_IN(form_in_t, timezone, CH_T_STR), .min = 1,
      .max = 64, .doc = "IANA name" },
    { .name = "message", CH_IN(form_in_t, message, CH_T_TEXT), .max = 5000,
      .doc = "Plain text" },
    LAST_ROWS,
};

static const ch_fields_t demo_in = {
    .name = "DemoForm", .rows = demo_rows, .count = (int)CH_COUNT(demo_rows),
    .size = sizeof(form_in_t), .check = check_demo,
};

static const char *const contact_states[] = { "new", "in_progress",
                                              "resolved", "spam" };
static const char *const demo_states[] = { "new", "contacted", "scheduled",
                                           "completed", "declined" };

typedef struct {
    int status;
    const char *admin_note;
} work_in_t;

#define WORK_ROWS(states)                                                     \
    { .name = "status", CH_IN(work_in_t, status, CH_T_ENUM),                  \
      CH_CHOICES(states), .doc = "Any may follow any" },                      \
    { .name = "adminNote", CH_IN(work_in_t, admin_note, CH_T_TEXT),           \
      .flags = CH_NULLABLE, .max = 2000, .doc = "Never shown to the sender" }

static const ch_field_t contact_work_rows[] = { WORK_ROWS(contact_states) };
static const ch_field_t demo_work_rows[] = { WORK_ROWS(demo_states) };

static const ch_fields_t contact_work =
    CH_FIELDS(work_in_t, contact_work_rows);
static const ch_fields_t demo_work = CH_FIELDS(work_in_t, demo_work_rows);

typedef struct {
    int status;
    const char *search;
    const char *from;
    const char *to;
    ch_page_in_t page;
} list_query_t;

#define QUERY_ROWS(states)                                                    \
    { .name = "status", CH_IN(list_query_t, status, CH_T_ENUM),               \
      CH_CHOICES(states), .doc = "Only in this state" },                      \
    { .name = "search", CH_IN(list_query_t, search, CH_T_STR), .min = 1,      \
      .max = 100,                                                             \
      .doc = "Part of name, e-mail address or company, ignoring case" },      \
    { .name = "from", CH_IN(list_query_t, from, CH_T_TIME),                   \
      .doc = "Not before" },                                                  \
    { .name = "to", CH_IN(list_query_t, to, CH_T_TIME),                       \
      .doc = "Not after" },                                                   \
    CH_PAGE_ROWS(list_query_t, page, "20")

static const ch_field_t contact_query_rows[] = { QUERY_ROWS(contact_states) };
static const ch_field_t demo_query_rows[] = { QUERY_ROWS(demo_states) };

static const ch_fields_t contact_query =
    CH_FIELDS(list_query_t, contact_query_rows);
static const ch_fields_t demo_query =
    CH_FIELDS(list_query_t, demo_query_rows);

/* --- outputs ---------------------------------------------------------- */

static const char *const states_at_first[] = { "new" };

static const ch_field_t created_rows[] = {
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },
    { .name = "status", .type = CH_T_ENUM, CH_CHOICES(states_at_first),
      .doc = "State" },
    { .name = "createdAt", .type = CH_T_TIME, .column = "created_at",
      .doc = "Received" },
};

static const ch_fields_t created_out = {
    .name = "Submitted", .rows = created_rows,
    .count = (int)CH_COUNT(created_rows),
};

#define MAYBE(key, its_column, its_doc)                                       \
    { .name = key, .type = CH_T_STR, .column = its_column,                    \
      .flags = CH_NULLABLE, .doc = its_doc }

#define CONTACT_OUT                                                           \
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },                         \
    { .name = "name", .type = CH_T_STR, .doc = "Who asks" },                  \
    { .name = "email", .type = CH_T_STR, .doc = "Where the answer goes" },    \
    MAYBE("phone", "phone", "Number"),                                        \
    MAYBE("company", "company", "Company"),                                   \
    { .name = "subject", .type = CH_T_STR, .doc = "What about" },             \
    { .name = "message", .type = CH_T_STR, .doc = "Plain text" },             \
    MAYBE("source", "source", "Which page it was sent from")

#define DEMO_OUT                                                              \
    { .name = "id", .type = CH_T_UUID, .doc = "Id" },                         \
    { .name = "name", .type = CH_T_STR, .doc = "Who asks" },                  \
    { .name = "email", .type = CH_T_STR, .doc = "Where the answer goes" },    \
    { .name = "company", .type = CH_T_STR, .doc = "Company" },                \
    MAYBE("jobTitle", "job_title", "What the person does there"),             \
    MAYBE("phone", "phone", "Number"),                                        \
    { .name = "companySize", .type = CH_T_ENUM, .column = "company_size",     \
      .flags = CH_NULLABLE, CH_CHOICES(sizes),                                \
      .doc = "People who work there" },                                       \
    MAYBE("useCase", "use_case", "What it is wanted for"),                    \
    { .name = "preferredDate", .type = CH_T_DATE,                             \
      .column = "preferred_date", .flags = CH_NULLABLE,                       \
      .doc = "When it would suit" },                                          \
    MAYBE("timezone", "timezone", "IANA name"),                               \
    MAYBE("message", "message", "Plain text"),                                \
    MAYBE("source", "source", "Which page it was sent from")

#define STATE_OUT(states)                                                     \
    { .name = "status", .type = CH_T_ENUM, CH_CHOICES(states),                \
      .doc = "State" }

#define WORK_OUT                                                              \
    MAYBE("adminNote", "admin_note", "Never shown to the sender"),            \
    { .name = "handledBy", .type = CH_T_UUID, .column = "handled_by",         \
      .flags = CH_NULLABLE, .doc = "Who worked on it last" },                 \
    { .name = "userId", .type = CH_T_UUID, .column = "user_id",               \
      .flags = CH_NULLABLE, .doc = "The account that sent it" }

#define TRACE_OUT                                                             \
    { .name = "ipAddress", .type = CH_T_IP, .column = "ip",                   \
      .doc = "From where" },                                                  \
    MAYBE("userAgent", "user_agent", "What sent it"),                         \
    { .name = "createdAt", .type = CH_T_TIME, .column = "created_at",         \
      .doc = "Received" },                                                    \
    { .name = "updatedAt", .type = CH_T_TIME, .column = "updated_at",         \
      .doc = "Last change" }

#define OUT_TABLE(out, table_rows, title)                                     \
    out = { .name = title, .rows = table_rows,                                \
            .count = (int)CH_COUNT(table_rows) }

static const ch_field_t contact_out_rows[] = {
    CONTACT_OUT, STATE_OUT(contact_states), WORK_OUT, TRACE_OUT,
};
static const ch_field_t demo_out_rows[] = {
    DEMO_OUT, STATE_OUT(demo_states), WORK_OUT, TRACE_OUT,
};
static const ch_field_t contact_sent_rows[] = {
    CONTACT_OUT, STATE_OUT(contact_states), TRACE_OUT,
};
static const ch_field_t demo_sent_rows[] = {
    DEMO_OUT, STATE_OUT(demo_states), TRACE_OUT,
};

static const ch_fields_t OUT_TABLE(contact_out, contact_out_rows,
                                   "ContactSubmission");
static const ch_fields_t OUT_TABLE(demo_out, demo_out_rows, "DemoRequest");
const ch_fields_t OUT_TABLE(ch_contact_sent_out, contact_sent_rows, NULL);
const ch_fields_t OUT_TABLE(ch_demo_sent_out, demo_sent_rows, NULL);

/* --- the two forms ---------------------------------------------------- */

typedef struct {
    const char *path; /* of both routes and answers */
    const char *type; /* of the notification */
    const char *what; /* as people read it */
    const char *const *states;
    size_t topic; /* the member that says best what it is about */
} form_t;

static const form_t forms[] = {
    [CH_FORM_CONTACT] = { .path = HERE "/contact", .type = "contact_form",
                          .what = "Contact request",
                          .states = contact_states,
                          .topic = offsetof(form_in_t, subject) },
    [CH_FORM_DEMO] = { .path = HERE "/demo", .type = "demo_request",
                       .what = "Demo request", .states = demo_states,
                       .topic = offsetof(form_in_t, company) },
};

static ch_form_e form_of(const ch_req_t *rq)
{
    const char *path = forms[CH_FORM_DEMO].path;

    return strncmp(rq->route->path, path, strlen(path)) == 0
               ? CH_FORM_DEMO
               : CH_FORM_CONTACT;
}

/* --- mails ------------------------------------------------------------ */

/* What the sender wrote, as text that can pass for nothing else: a field is a
 * line, and the lines of a longer text stand further in. */
static void write_lines(ch_buf_t *buf, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\r\n");

        ch_buf_puts(buf, "\n    ");
        ch_buf_puts(buf, ch_text_clean(buf->pool, text, len));
        text += len;
        text += *text == '\r' && text[1] == '\n';
        text += *text != '\0';
    }
}

static void write_field(ch_buf_t *buf, const ch_field_t *row,
                        const char *base)
{
    const void *member = base + row->offset;
    const char *text = row->type == CH_T_ENUM
                           ? row->choices[*(const int *)member]
                           : *(const char *const *)member;

    if (!text || !*text) {
        return;
    }
    ch_buf_printf(buf, "%s:", row->name);
    if (row->type == CH_T_TEXT) {
        write_lines(buf, text);
    }
    else {
        ch_buf_printf(buf, " %s",
                      ch_text_clean(buf->pool, text, strlen(text)));
    }
    ch_buf_putc(buf, '\n');
}

/* For those who run the service. */
static const char *admin_text(ch_req_t *rq, const char *id)
{
    const ch_fields_t *fields = rq->route->body;
    ch_buf_t *buf = ch_buf_make(rq->pool, 1024, MAIL_MAX);
    int i;

    ch_buf_printf(buf, "%s %s\n\n", forms[form_of(rq)].what, id);
    for (i = 0; i < fields->count; i++) {
        if (rq->given >> i & 1) {
            write_field(buf, &fields->rows[i], rq->body);
        }
    }
    return ch_buf_cstr(buf);
}

/* For the sender. The address is whatever somebody has typed in, perhaps that
 * of a stranger: this mail holds nothing else of what was sent, not even the
 * name, so that nobody can have a text of his own delivered by this server.
 * How often it can be had is limited by the rate class for him who asks, and
 * by the statement for the mailbox that gets it. */
static const char *confirm_text(ch_req_t *rq, const char *id)
{
    return apr_psprintf(
        rq->pool,
        "Thank you. We have received your request and will answer it as soon "
        "as we can.\n\nIts number is %s.\n\nIf you did not send one, somebody "
        "has given your address by mistake: do nothing, and you will not hear "
        "of it again.\n",
        id);
}

/* Where mails to this address end: what follows a plus sign is for the owner
 * to tell them apart. */
static const char *mailbox(apr_pool_t *pool, const char *email)
{
    size_t len = strcspn(email, "+@");

    return apr_pstrcat(pool, apr_pstrmemdup(pool, email, len),
                       email + strcspn(email, "@"), NULL);
}

/* --- handlers --------------------------------------------------------- */

static ch_err_t *create(ch_req_t *rq, const sql_form_create_t *row,
                        ch_rows_t **rows)
{
    const sql_form_lock_t lock = { .mailbox = row->mailbox };
    ch_rows_t *locked;
    ch_err_t *err;

    ch_db_gather(rq->db);
    err = sql_form_lock(rq->db, &lock, &locked);
    err = err ? err : sql_form_create(rq->db, row, rows);
    return err ? err : ch_db_send(rq->db);
}

/* One statement for everything, so that nothing is half stored, and so that
 * what a program fell into the trap with is answered in the same way. */
static ch_err_t *submit(ch_req_t *rq)
{
    const form_in_t *in = rq->body;
    const int *size = CH_OPT(rq, form_in_t, company_size);
    const form_t *form = &forms[form_of(rq)];
    sql_form_create_t row = {
        .id = ch_uuid_make(rq->pool),
        .user_id = rq->who ? rq->who->user_id : NULL,
        .ip = rq->client_ip,
        .user_agent = ch_req_agent(rq),
        .trapped = in->website && *in->website,
        .type = form->type,
        .note = *(const char *const *)(const void *)((const char *)in
                                                     + form->topic),
        .admin_to = rq->conf->contact_email,
        .confirm_subject = "We have received your request",
        .name = in->name,
        .email = in->email,
        .phone = in->phone,
        .company = in->company,
        .message = in->message,
        .source = in->source,
        .subject = in->subject,
        .job_title = in->job_title,
        .company_size = size ? sizes[*size] : NULL,
        .use_case = in->use_case,
        .preferred_date = in->preferred_date,
        .timezone = in->timezone,
        .mailbox = mailbox(rq->pool, in->email),
        .form = form_of(rq),
    };
    ch_rows_t *rows;
    ch_err_t *err;

    row.title = apr_psprintf(rq->pool, "%s from %s", form->what, in->name);
    row.admin_subject =
        apr_psprintf(rq->pool, "%s: %s", form->what,
                     ch_text_clean(rq->pool, row.note, strlen(row.note)));
    row.admin_text = admin_text(rq, row.id);
    row.confirm_text = confirm_text(rq, row.id);
    err = create(rq, &row, &rows);
    if (err) {
        return err;
    }
    ch_notification_tell(rq, rows);
    return ch_reply_created(rq, rows,
                            apr_pstrcat(rq->pool, form->path, "/", NULL),
                            "Received");
}

static const char *status_filter(const ch_req_t *rq)
{
    const int *status = CH_QUERY_OPT(rq, list_query_t, status);

    return status ? forms[form_of(rq)].states[*status] : NULL;
}

static ch_err_t *fetch(ch_req_t *rq, const char *const *cursor,
                       ch_rows_t **rows)
{
    const list_query_t *query = rq->query;
    const sql_form_page_t page = {
        .status = status_filter(rq),
        .search = ch_text_like(rq->pool, query->search),
        .since = query->from,
        .until = query->to,
        .want_total = ch_page_wants_total(&query->page),
        .fetch = ch_page_fetch(&query->page),
        .skip = ch_page_offset(&query->page),
        .form = form_of(rq),
    };
    sql_form_after_t after;

    if (!cursor) {
        return sql_form_page(rq->db, &page, rows);
    }
    after = (sql_form_after_t){
        .status = page.status,
        .search = page.search,
        .since = page.since,
        .until = page.until,
        .after = cursor[0],
        .after_id = cursor[1],
        .fetch = page.fetch,
        .form = page.form,
    };
    return sql_form_after(rq->db, &after, rows);
}

static ch_err_t *list_submissions(ch_req_t *rq)
{
    const list_query_t *query = rq->query;
    ch_list_t list = { .sort_column = "created_at" };
    const char *cursor[2];
    ch_rows_t *rows = NULL;
    int after;
    ch_err_t *err = ch_page_open_cursor(rq, &query->page, cursor, &after);

    if (!err) {
        err = fetch(rq, after ? cursor : NULL, &rows);
    }
    if (err) {
        return err;
    }
    list.rows = rows;
    return ch_reply_list(rq, &query->page, &list, "Submissions");
}

static ch_err_t *get_submission(ch_req_t *rq)
{
    const sql_form_get_t in = { .id = rq->match.param[0],
                                .form = form_of(rq) };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_form_get(rq->db, &in, &rows);

    return ch_reply_found(rq, err, rows, CH_E_SUBMISSION_NOT_FOUND,
                          "Submission");
}

static ch_err_t *update_submission(ch_req_t *rq)
{
    const int *status = CH_OPT(rq, work_in_t, status);
    const work_in_t *in = rq->body;
    const sql_form_update_t row = {
        .id = rq->match.param[0],
        .actor = rq->who->user_id,
        .status = status ? forms[form_of(rq)].states[*status] : NULL,
        .note_given = CH_GIVEN(rq, work_in_t, admin_note),
        .note = in->admin_note,
        .ip = rq->client_ip,
        .request_id = rq->request_id,
        .form = form_of(rq),
    };
    ch_rows_t *rows = NULL;
    ch_err_t *err = sql_form_update(rq->db, &row, &rows);

    return ch_reply_found(rq, err, rows, CH_E_SUBMISSION_NOT_FOUND,
                          "Submission updated");
}

/* --- routes ----------------------------------------------------------- */

#define FORM_ROUTE .feature = CH_FEATURE_FORMS, .tag = "Forms"
#define WORK_ROUTE FORM_ROUTE, .auth = CH_MANAGER, .rate = CH_RATE_API

#define FORM_ROUTES(form, one, many)                                          \
    { .method = CH_POST, .path = HERE "/" #form, FORM_ROUTE,                  \
      .alias = form##_ALIASES, .auth = CH_OPTIONAL, .rate = CH_RATE_FORMS,    \
      .flags = CH_IDEMPOTENT | CH_FORM, .ok = 201, .body = &form##_in,        \
      .out = &created_out, .handler = submit, .summary = "Send a " one,       \
      .doc = "Of a form of HTML a field that is empty was not given." },      \
    { .method = CH_GET, .path = HERE "/" #form, WORK_ROUTE,                   \
      .flags = CH_LIST, .ok = 200, .query = &form##_query,                    \
      .out = &form##_out, .handler = list_submissions, .summary = many,       \
      .doc = "Newest first." },                                               \
    { .method = CH_GET, .path = HERE "/" #form "/{id}", WORK_ROUTE,           \
      .ok = 200, .out = &form##_out,                                          \
      CH_ROUTE_CODES(CH_E_SUBMISSION_NOT_FOUND),                              \
      .handler = get_submission, .summary = "One " one },                     \
    { .method = CH_PUT, .path = HERE "/" #form "/{id}", WORK_ROUTE,           \
      .ok = 200, .body = &form##_work, .out = &form##_out,                    \
      CH_ROUTE_CODES(CH_E_SUBMISSION_NOT_FOUND),                              \
      .handler = update_submission, .summary = "Work on a " one }

#define contact_ALIASES { "/api/v1/contact" }
#define demo_ALIASES { "/api/v1/demo-requests", HERE "/demo-requests" }

static const ch_route_t routes[] = {
    FORM_ROUTES(contact, "contact request", "Contact requests"),
    FORM_ROUTES(demo, "demo request", "Demo requests"),
};

const ch_routes_t ch_form_routes = CH_ROUTES(routes);
