/* Tests of base/err: the table of codes and what an error carries. */
#include "ch_check.h"

#include "base/err.h"

START_TEST(codes_have_one_row_each)
{
    int code;

    for (code = CH_E_NONE + 1; code < CH_E__COUNT; code++) {
        const char *name = ch_code_name((ch_code_e)code);
        int status = ch_code_status((ch_code_e)code);

        ck_assert_int_eq(ch_code_find(name, strlen(name)), code);
        ck_assert_int_ge(status, 400);
        ck_assert_int_le(status, 504);
        ck_assert_str_ne(ch_code_text((ch_code_e)code), "");
    }
}
END_TEST

START_TEST(codes_of_the_contract)
{
    ck_assert_str_eq(ch_code_name(CH_E_NOTE_NOT_FOUND), "NOTE_NOT_FOUND");
    ck_assert_int_eq(ch_code_status(CH_E_NOTE_NOT_FOUND), 404);
    ck_assert_int_eq(ch_code_status(CH_E_MALFORMED_JSON), 400);
    ck_assert_int_eq(ch_code_status(CH_E_IDEMPOTENCY_MISMATCH), 422);
    ck_assert_int_eq(ch_code_status(CH_E_DATABASE_ERROR), 503);
    ck_assert_int_eq(ch_code_find("NOTE_NOT_FOUN", 13), CH_E_NONE);
    ck_assert_int_eq(ch_code_find("NOTE_NOT_FOUNDX", 15), CH_E_NONE);
    ck_assert_int_eq(ch_code_find("", 0), CH_E_NONE);
    ck_assert_str_eq(ch_detail_name(CH_D_MISSING_FIELD), "MISSING_FIELD");
    ck_assert_str_eq(ch_detail_name(CH_D_CONFLICT), "CONFLICT");
}
END_TEST

START_TEST(code_outside_of_the_table)
{
    ck_assert_int_eq(ch_code_status((ch_code_e)9999), 500);
    ck_assert_str_eq(ch_detail_name((ch_detail_e)9999), "INVALID_VALUE");
}
END_TEST

START_TEST(message_and_cause_stay_apart)
{
    ch_err_t *err = ch_err_make(pool, CH_E_CONFLICT, "no %d of %s", 3, "x");

    ck_assert_int_eq(err->code, CH_E_CONFLICT);
    ck_assert_str_eq(err->message, "no 3 of x");
    ck_assert_ptr_null(err->cause);
    ck_assert_ptr_null(err->details);
    ck_assert_int_eq(err->retry_after, 0);
    err = ch_err_cause(pool, CH_E_DATABASE_ERROR, "secret %s", "host");
    ck_assert_str_eq(err->message, ch_code_text(CH_E_DATABASE_ERROR));
    ck_assert_str_eq(err->cause, "secret host");
    err = ch_err_make(pool, CH_E_NOTE_NOT_FOUND, NULL);
    ck_assert_str_eq(err->message, "Note not found");
}
END_TEST

START_TEST(faults_gather)
{
    ch_err_t *err = NULL;
    ch_detail_t *detail;

    ch_err_fault(pool, &err, CH_D_TOO_LONG, "title", "at most %d", 500);
    ck_assert_ptr_nonnull(err);
    ck_assert_int_eq(err->code, CH_E_VALIDATION_ERROR);
    ch_err_fault(pool, &err, CH_D_WRONG_TYPE, NULL, "must be an object");
    ck_assert_int_eq(err->details->nelts, 2);
    detail = &APR_ARRAY_IDX(err->details, 0, ch_detail_t);
    ck_assert_str_eq(detail->field, "title");
    ck_assert_str_eq(detail->message, "at most 500");
    ck_assert_str_eq(detail->code, "TOO_LONG");
    detail = &APR_ARRAY_IDX(err->details, 1, ch_detail_t);
    ck_assert_ptr_null(detail->field);
}
END_TEST

START_TEST(faults_end_at_the_maximum)
{
    ch_err_t *err = NULL;
    int i;

    for (i = 0; i < CH_DETAILS_MAX + 50; i++) {
        ch_err_fault(pool, &err, CH_D_UNKNOWN_FIELD, "x", "unknown");
    }
    ck_assert_int_eq(err->details->nelts, CH_DETAILS_MAX);
    ch_err_detail(pool, err, "PROVIDER", NULL, "one more");
    ck_assert_int_eq(err->details->nelts, CH_DETAILS_MAX);
}
END_TEST

START_TEST(detail_of_a_provider)
{
    ch_err_t *err = ch_err_make(pool, CH_E_NOTION_ERROR, NULL);

    ch_err_detail(pool, err, "object_not_found", "parentPageId", "gone");
    ck_assert_str_eq(APR_ARRAY_IDX(err->details, 0, ch_detail_t).code,
                     "object_not_found");
}
END_TEST

CH_SUITE_MAIN("base/err", CH_ONCE(codes_have_one_row_each),
              CH_ONCE(codes_of_the_contract),
              CH_ONCE(code_outside_of_the_table),
              CH_ONCE(message_and_cause_stay_apart), CH_ONCE(faults_gather),
              CH_ONCE(faults_end_at_the_maximum),
              CH_ONCE(detail_of_a_provider))
