/* Tests of store/db on a real PostgreSQL: parameters of every kind there and
 * back, rows, and what becomes of the server's errors. */
#include "ch_database.h"

/* --- parameters -----------------------------------------------------------
 */

/* Runs "SELECT <expression of $1>" and gives its text, "NULL" for none. */
static const char *select_one(ch_db_t *db, const char *expression,
                              unsigned type, ch_param_t param)
{
    static int index;
    const unsigned types[] = { type };
    const ch_sql_t sql = { .name = apr_psprintf(pool, "one_%d", index),
                           .text = apr_psprintf(pool, "SELECT %s AS v",
                                                expression),
                           .index = index++,
                           .params = 1,
                           .types = types,
                           .repeatable = 1 };
    ch_rows_t *rows;
    const char *text;

    ck_result(ch_db_query(db, &sql, &param, &rows), "");
    ck_assert_int_eq(ch_rows_count(rows), 1);
    text = ch_rows_text(rows, 0, "v");
    return text ? text : "NULL";
}

static const char *const texts[] = {
    "",
    "a",
    "a'b''c",
    "\\x41 \\n",
    "\"q\" {a,b} NULL",
    "\t\r\n\x01\x7F",
    "é € 😀",
    "$1 %s ; -- /* */",
    " a ",
};

START_TEST(text_parameters)
{
    ch_db_t *db = ch_door_make();
    const ch_param_t null = CH_P_TEXT((const char *)NULL);
    size_t i;

    for (i = 0; i < CH_COUNT(texts); i++) {
        const char *copy = ch_check_copy(texts[i], strlen(texts[i]) + 1);
        const ch_param_t param = CH_P_TEXT(copy);

        ck_assert_str_eq(select_one(db, "$1", CH_OID_TEXT, param), texts[i]);
    }
    ck_assert_str_eq(select_one(db, "$1", CH_OID_TEXT, null), "NULL");
    ck_assert_str_eq(select_one(db, "$1 IS NULL", CH_OID_TEXT, null), "t");
}
END_TEST

START_TEST(long_texts)
{
    size_t size = 5 * 1024 * 1024;
    char *text = malloc(size + 1);
    const ch_param_t param = CH_P_TEXT(text);
    ch_db_t *db = ch_door_make();

    ck_assert_ptr_nonnull(text);
    memset(text, '\'', size);
    text[size] = '\0';
    ck_assert_str_eq(select_one(db, "$1", CH_OID_TEXT, param), text);
    ck_assert_str_eq(select_one(db, "length($1)", CH_OID_TEXT, param),
                     "5242880");
    free(text);
}
END_TEST

/* Types that travel as text, and what PostgreSQL sends back. */
START_TEST(other_texts)
{
    static const struct {
        unsigned type;
        const char *in, *out;
    } cases[] = {
        { CH_OID_UUID, "0198A000-0000-7000-8000-00000000000F",
          "0198a000-0000-7000-8000-00000000000f" },
        { CH_OID_TIME, "2026-01-24T10:30:00.123456Z",
          "2026-01-24 10:30:00.123456+00" },
        { CH_OID_TIME, "2026-07-01T00:00:00+02:00", "2026-06-30 22:00:00+00" },
        { CH_OID_JSONB, "{\"a\":[1,null]}", "{\"a\": [1, null]}" },
    };
    ch_db_t *db = ch_door_make();
    size_t i;

    for (i = 0; i < CH_COUNT(cases); i++) {
        const ch_param_t param = CH_P_TEXT(cases[i].in);

        ck_assert_str_eq(select_one(db, "$1", cases[i].type, param),
                         cases[i].out);
    }
}
END_TEST

START_TEST(numbers)
{
    static const apr_int64_t values[] = { 0, 1, -1, APR_INT64_MAX,
                                          APR_INT64_MIN };
    ch_db_t *db = ch_door_make();
    const apr_int64_t *none = NULL;
    const ch_param_t null = CH_P_INT_PTR(none);
    size_t i;

    for (i = 0; i < CH_COUNT(values); i++) {
        const ch_param_t param = CH_P_INT(values[i]);
        const ch_param_t by_pointer = CH_P_INT_PTR(&values[i]);
        const char *want = apr_psprintf(pool, "%" APR_INT64_T_FMT, values[i]);

        ck_assert_str_eq(select_one(db, "$1", CH_OID_BIGINT, param), want);
        ck_assert_str_eq(select_one(db, "$1", CH_OID_BIGINT, by_pointer),
                         want);
    }
    ck_assert_str_eq(select_one(db, "$1", CH_OID_BIGINT, null), "NULL");
}
END_TEST

START_TEST(truth)
{
    static const int values[] = { 1, 0 };
    const int *yes = values;
    const int *no = values + 1;
    const int *none = NULL;
    const ch_param_t params[] = { CH_P_BOOL(1),      CH_P_BOOL(0),
                                  CH_P_BOOL(-1),     CH_P_BOOL_PTR(yes),
                                  CH_P_BOOL_PTR(no), CH_P_BOOL_PTR(none) };
    static const char *const want[] = { "t", "f", "t", "t", "f", "NULL" };
    ch_db_t *db = ch_door_make();
    size_t i;

    for (i = 0; i < CH_COUNT(params); i++) {
        ck_assert_str_eq(select_one(db, "$1", CH_OID_BOOL, params[i]),
                         want[i]);
    }
}
END_TEST

static apr_array_header_t *text_list(const char *const *values, size_t count)
{
    apr_array_header_t *list = apr_array_make(pool, 1, sizeof(char *));
    size_t i;

    for (i = 0; i < count; i++) {
        APR_ARRAY_PUSH(list, const char *) =
            ch_check_copy(values[i], strlen(values[i]) + 1);
    }
    return list;
}

START_TEST(lists_of_texts)
{
    static const char *const odd[] = { "",    "NULL", "null", "{}",  "a,b",
                                       "a\"", "\\",   "\\\"", " a ", "\n",
                                       "é€😀", "'",    "{a",   "\t" };
    ch_db_t *db = ch_door_make();
    const apr_array_header_t *list = text_list(odd, CH_COUNT(odd));
    const ch_param_t param = CH_P_TEXTS(list);
    const ch_param_t empty = CH_P_TEXTS(text_list(odd, 0));
    const apr_array_header_t *none = NULL;
    const ch_param_t null = CH_P_TEXTS(none);
    size_t i;

    ck_assert_str_eq(select_one(db, "cardinality($1)", CH_OID_TEXTS, param),
                     apr_itoa(pool, CH_COUNT(odd)));
    for (i = 0; i < CH_COUNT(odd); i++) {
        const char *element = apr_psprintf(pool, "($1)[%d]", (int)i + 1);

        ck_assert_str_eq(select_one(db, element, CH_OID_TEXTS, param), odd[i]);
    }
    ck_assert_str_eq(select_one(db, "$1", CH_OID_TEXTS, empty), "{}");
    ck_assert_str_eq(select_one(db, "$1", CH_OID_TEXTS, null), "NULL");
}
END_TEST

/* An element that is NULL is no word. */
START_TEST(lists_with_nulls)
{
    ch_db_t *db = ch_door_make();
    apr_array_header_t *list = apr_array_make(pool, 4, sizeof(const char *));
    int i;

    for (i = 0; i < 5; i++) {
        APR_ARRAY_PUSH(list, const char *) = i % 2 ? "NULL" : NULL;
    }
    ck_assert_str_eq(select_one(db, "array_to_string($1, ',', '-')",
                                CH_OID_TEXTS,
                                (ch_param_t)CH_P_TEXTS(list)),
                     "-,NULL,-,NULL,-");
}
END_TEST

START_TEST(lists_of_numbers)
{
    apr_array_header_t *list = apr_array_make(pool, 1, sizeof(apr_int64_t));
    ch_db_t *db = ch_door_make();
    const apr_array_header_t *none = NULL;
    const ch_param_t null = CH_P_INTS(none);
    ch_param_t param = CH_P_INTS(list);
    int i;

    ck_assert_str_eq(select_one(db, "$1", CH_OID_BIGINTS, param), "{}");
    APR_ARRAY_PUSH(list, apr_int64_t) = APR_INT64_MIN;
    ck_assert_str_eq(select_one(db, "$1", CH_OID_BIGINTS, param),
                     "{-9223372036854775808}");
    APR_ARRAY_PUSH(list, apr_int64_t) = APR_INT64_MAX;
    ck_assert_str_eq(select_one(db, "$1", CH_OID_BIGINTS, param),
                     "{-9223372036854775808,9223372036854775807}");
    for (i = 2; i < 1000; i++) {
        APR_ARRAY_PUSH(list, apr_int64_t) = APR_INT64_MIN;
    }
    ck_assert_str_eq(select_one(db, "cardinality($1)", CH_OID_BIGINTS, param),
                     "1000");
    ck_assert_str_eq(select_one(db, "$1", CH_OID_BIGINTS, null), "NULL");
}
END_TEST

START_TEST(bytes)
{
    char all[256];
    const ch_bytes_t whole = { ch_check_copy(all, 0), 0 };
    const ch_bytes_t none = { NULL, 0 };
    const ch_param_t empty = CH_P_BYTES(whole);
    const ch_param_t null = CH_P_BYTES(none);
    ch_db_t *db = ch_door_make();
    ch_bytes_t data;
    int i;

    for (i = 0; i < 256; i++) {
        all[i] = (char)i;
    }
    data.data = ch_check_copy(all, 256);
    data.len = 256;
    {
        const ch_param_t param = CH_P_BYTES(data);

        ck_assert_str_eq(select_one(db, "md5($1)", CH_OID_BYTEA, param),
                         "e2c865db4162bed963bfaa9ef6ac18f0");
        ck_assert_str_eq(
            select_one(db, "substr($1, 1, 3)", CH_OID_BYTEA, param),
            "\\x000102");
    }
    ck_assert_str_eq(select_one(db, "length($1)", CH_OID_BYTEA, empty), "0");
    ck_assert_str_eq(select_one(db, "$1", CH_OID_BYTEA, null), "NULL");
}
END_TEST

/* --- rows -----------------------------------------------------------------
 */

static const ch_sql_t three = {
    .name = "three",
    .text = "SELECT * FROM (VALUES (1, 'a', true, NULL::text), "
            "(-9223372036854775808, '', false, 'x'), "
            "(NULL::bigint, NULL, NULL, 'yy')) AS t (n, word, flag, word2)",
    .index = 0,
    .repeatable = 1
};

START_TEST(rows_and_cells)
{
    ch_db_t *db = ch_door_make();
    ch_rows_t *rows;
    size_t len = 99;

    ck_result(ch_db_query(db, &three, NULL, &rows), "");
    ck_assert_int_eq(ch_rows_count(rows), 3);
    ck_assert_int_eq(ch_rows_columns(rows), 4);
    ck_assert_uint_eq(ch_rows_size(rows), 1 + 1 + 1 + 20 + 1 + 1 + 2);
    /* found at the hint, before it, behind it, not at all */
    ck_assert_int_eq(ch_rows_find(rows, "flag", 2), 2);
    ck_assert_int_eq(ch_rows_find(rows, "n", 3), 0);
    ck_assert_int_eq(ch_rows_find(rows, "word2", 1), 3);
    ck_assert_int_eq(ch_rows_find(rows, "word2", -1), 3);
    ck_assert_int_eq(ch_rows_find(rows, "word2", 99), 3);
    ck_assert_int_eq(ch_rows_find(rows, "none", 0), -1);
    ck_assert_str_eq(ch_rows_cell(rows, 0, 1, &len), "a");
    ck_assert_uint_eq(len, 1);
    ck_assert_str_eq(ch_rows_cell(rows, 1, 1, &len), "");
    ck_assert_uint_eq(len, 0);
    len = 99;
    ck_assert_ptr_null(ch_rows_cell(rows, 2, 1, &len));
    ck_assert_uint_eq(len, 0);
    ck_assert_ptr_null(ch_rows_cell(rows, 0, -1, &len));
    ck_assert_ptr_null(ch_rows_cell(rows, 3, 1, &len));
    ck_assert_int_eq(ch_rows_int(rows, 1, "n"), APR_INT64_MIN);
    ck_assert_int_eq(ch_rows_int(rows, 2, "n"), 0);
    ck_assert_int_eq(ch_rows_bool(rows, 0, "flag"), 1);
    ck_assert_int_eq(ch_rows_bool(rows, 1, "flag"), 0);
    ck_assert_int_eq(ch_rows_bool(rows, 2, "flag"), 0);
    ck_assert_ptr_null(ch_rows_text(rows, 0, "none"));
    ck_assert_int_eq(ch_rows_int(rows, 0, "none"), 0);
}
END_TEST

/* Rows stay when the connection has gone to somebody else. */
START_TEST(rows_outlive_the_connection)
{
    ch_db_t *db = ch_door_make();
    ch_rows_t *first, *second;

    ck_result(ch_db_query(db, &three, NULL, &first), "");
    ck_assert_int_eq(database.all[0].taken, 0);
    ck_result(ch_db_query(db, &three, NULL, &second), "");
    ck_assert_int_eq(database.opened, 2);
    ck_assert_int_eq(database.closed, 2);
    ck_assert_str_eq(ch_rows_text(first, 0, "word"), "a");
    ck_assert_int_eq(ch_db_statements(db), 2);
    ck_assert_int_gt(ch_db_elapsed(db), 0);
}
END_TEST

START_TEST(counts)
{
    static const ch_sql_t make = { .name = "make",
                                   .text = "CREATE TABLE t (n int)",
                                   .index = 0 };
    static const ch_sql_t fill = {
        .name = "fill",
        .text = "INSERT INTO t SELECT generate_series(1, 7)",
        .index = 1
    };
    static const ch_sql_t cut = { .name = "cut",
                                  .text = "DELETE FROM t WHERE n > 5",
                                  .index = 2 };
    ch_db_t *db = ch_door_make();
    apr_int64_t count = -1;

    ck_result(ch_db_exec(db, &make, NULL), "");
    ck_result(ch_db_count(db, &fill, NULL, &count), "");
    ck_assert_int_eq(count, 7);
    ck_result(ch_db_count(db, &cut, NULL, &count), "");
    ck_assert_int_eq(count, 2);
    ck_result(ch_db_count(db, &cut, NULL, &count), "");
    ck_assert_int_eq(count, 0);
}
END_TEST

/* --- errors ---------------------------------------------------------------
 */

static const ch_sql_error_t own[] = {
    { "23505", "folder_name", CH_E_FOLDER_NAME_TAKEN },
    { "23505", "email", CH_E_EMAIL_TAKEN },
    { "23503", NULL, CH_E_FOLDER_NOT_FOUND },
    { "P0001", NULL, CH_E_INVALID_TRANSITION },
    { "57014", NULL, CH_E_UPSTREAM_TIMEOUT },
};

/* The statement's own codes go first; then what will pass; then conflicts;
 * all else is a defect. */
static const struct {
    const char *state;
    const char *constraint;
    int has_own;
    ch_code_e code;
} states[] = {
    { "23505", "folder_name", 1, CH_E_FOLDER_NAME_TAKEN },
    { "23505", "email", 1, CH_E_EMAIL_TAKEN },
    { "23505", "folder_names", 1, CH_E_CONFLICT },
    { "23505", "", 1, CH_E_CONFLICT },
    { "23505", "folder_name", 0, CH_E_CONFLICT },
    { "23503", "any", 1, CH_E_FOLDER_NOT_FOUND },
    { "23503", "any", 0, CH_E_INTERNAL_ERROR },
    { "P0001", "", 1, CH_E_INVALID_TRANSITION },
    { "P0001", "", 0, CH_E_INTERNAL_ERROR },
    { "57014", "", 1, CH_E_UPSTREAM_TIMEOUT },
    { "57014", "", 0, CH_E_DATABASE_ERROR },
    { "57P01", "", 0, CH_E_DATABASE_ERROR },
    { "57P03", "", 0, CH_E_DATABASE_ERROR },
    { "08006", "", 0, CH_E_DATABASE_ERROR },
    { "53100", "", 0, CH_E_DATABASE_ERROR },
    { "53300", "", 0, CH_E_DATABASE_ERROR },
    { "58030", "", 0, CH_E_DATABASE_ERROR },
    { "55P03", "", 0, CH_E_DATABASE_ERROR },
    { "40001", "", 0, CH_E_DATABASE_ERROR },
    { "40P01", "", 0, CH_E_DATABASE_ERROR },
    { "25006", "", 0, CH_E_DATABASE_ERROR },
    { "23502", "", 0, CH_E_INTERNAL_ERROR },
    { "23514", "", 0, CH_E_INTERNAL_ERROR },
    { "22P02", "", 0, CH_E_INTERNAL_ERROR },
    { "22003", "", 0, CH_E_INTERNAL_ERROR },
    { "42601", "", 0, CH_E_INTERNAL_ERROR },
    { "42P01", "", 0, CH_E_INTERNAL_ERROR },
    { "42501", "", 0, CH_E_INTERNAL_ERROR },
    { "0A000", "", 0, CH_E_INTERNAL_ERROR },
    { "25P02", "", 0, CH_E_INTERNAL_ERROR },
    { "55000", "", 0, CH_E_INTERNAL_ERROR },
    { "XX000", "", 0, CH_E_INTERNAL_ERROR },
};

#define SECRET "the secret row"

START_TEST(states_become_codes)
{
    static const unsigned types[] = { CH_OID_TEXT, CH_OID_TEXT };
    ch_db_t *db = ch_door_make();
    size_t i;

    ch_sql("CREATE FUNCTION fail(state text, name text) RETURNS int "
           "LANGUAGE plpgsql AS $$ BEGIN "
           "RAISE EXCEPTION '" SECRET "' USING errcode = state, "
           "constraint = name; END $$");
    for (i = 0; i < CH_COUNT(states); i++) {
        const ch_sql_t sql = { .name = states[i].has_own ? "with" : "without",
                               .text = "SELECT fail($1, $2)",
                               .index = states[i].has_own,
                               .params = 2,
                               .types = types,
                               .errors = states[i].has_own ? own : NULL,
                               .error_count = states[i].has_own
                                                  ? (int)CH_COUNT(own)
                                                  : 0 };
        const ch_param_t params[] = { CH_P_TEXT(states[i].state),
                                      CH_P_TEXT(states[i].constraint) };
        ch_rows_t *rows;
        ch_err_t *err = ch_db_query(db, &sql, params, &rows);

        ck_assert_ptr_nonnull(err);
        ck_assert_msg(err->code == states[i].code, "%s gave %s",
                      states[i].state, ch_code_name(err->code));
        /* the log is told, the client is not */
        ck_assert_ptr_nonnull(strstr(err->cause, states[i].state));
        ck_assert_ptr_nonnull(strstr(err->cause, sql.name));
        ck_assert_ptr_nonnull(strstr(err->cause, SECRET));
        ck_assert_str_eq(err->message, ch_code_text(err->code));
        ck_assert_ptr_null(err->details);
    }
    ck_assert_int_eq(database.opened, database.closed);
}
END_TEST

/* A statement that cannot be prepared is a defect, told once. */
START_TEST(a_bad_statement)
{
    static const ch_sql_t bad = {
        .name = "bad", .text = "SELEC 1", .index = 0, .repeatable = 1
    };
    ch_db_t *db = ch_door_make();
    ch_rows_t *rows;

    ck_assert_str_eq(ch_code_name(ch_db_query(db, &bad, NULL, &rows)->code),
                     "INTERNAL_ERROR");
    ck_assert_int_eq(database.opened, 1);
    ck_assert_int_eq(database.closed, 1);
    ck_result(ch_db_query(db, &three, NULL, &rows), "");
}
END_TEST

CH_POSTGRES_MAIN("store/db", CH_ONCE(text_parameters), CH_ONCE(long_texts),
                 CH_ONCE(other_texts), CH_ONCE(numbers), CH_ONCE(truth),
                 CH_ONCE(lists_of_texts),
                 CH_ONCE(lists_with_nulls), CH_ONCE(lists_of_numbers),
                 CH_ONCE(bytes), CH_ONCE(rows_and_cells),
                 CH_ONCE(rows_outlive_the_connection), CH_ONCE(counts),
                 CH_ONCE(states_become_codes), CH_ONCE(a_bad_statement))
