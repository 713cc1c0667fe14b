/* Tests of auth/password: policy, bcrypt, and the gate. */
#include "ch_check.h"

#include <time.h>

#include <apr_thread_proc.h>

#include "auth/password.h"

#define P72                                                                   \
    "012345678901234567890123456789012345678901234567890123456789012345678901"

static const struct {
    const char *password;
    const char *email;
    const char *code; /* NULL = taken */
} rules[] = {
    {"correct horse", NULL, NULL},
    {"12345679", NULL, NULL},
    {"        ", NULL, NULL},
    {P72, NULL, NULL},
    {"\xC3\xA4\xC3\xB6\xC3\xBC\xC3\x9F", NULL, NULL}, /* 8 bytes */
    {"", NULL, "TOO_SHORT"},
    {"1234567", NULL, "TOO_SHORT"},
    {"\xC3\xA4\xC3\xB6\xC3\xBC", NULL, "TOO_SHORT"},
    {P72 "2", NULL, "TOO_LONG"},
    {"password", NULL, "INVALID_VALUE"},
    {"PassWord1", NULL, "INVALID_VALUE"},
    {"password123", NULL, "INVALID_VALUE"},
    {"passw0rd", NULL, "INVALID_VALUE"},
    {"12345678", NULL, "INVALID_VALUE"},
    {"123456789", NULL, "INVALID_VALUE"},
    {"1234567890", NULL, "INVALID_VALUE"},
    {"QWERTY123", NULL, "INVALID_VALUE"},
    {"qwertyuiop", NULL, "INVALID_VALUE"},
    {"iloveyou", NULL, "INVALID_VALUE"},
    {"11111111", NULL, "INVALID_VALUE"},
    {"00000000", NULL, "INVALID_VALUE"},
    {"letmein1", NULL, "INVALID_VALUE"},
    {"welcome1", NULL, "INVALID_VALUE"},
    {"admin123", NULL, "INVALID_VALUE"},
    {"abc12345", NULL, "INVALID_VALUE"},
    {"abcd1234", NULL, "INVALID_VALUE"},
    {"sunshine", NULL, "INVALID_VALUE"},
    {"football", NULL, "INVALID_VALUE"},
    {"baseball", NULL, "INVALID_VALUE"},
    {"princess", NULL, "INVALID_VALUE"},
    {"changeme", NULL, "INVALID_VALUE"},
    {"changeme1", NULL, NULL},
    {"xpassword", NULL, NULL},
    {"Longname@b.c", "longname@B.C", "INVALID_VALUE"},
    {"LongName", "longname@b.c", "INVALID_VALUE"},
    {"L\xC3\x96NGNAME", "l\xC3\xB6ngname@b.c", "INVALID_VALUE"},
    {"longname@", "longname@b.c", NULL},
    {"longname@b", "longname@b.c", NULL},
    {"longname1", "longname@b.c", NULL},
    {"longname", "longname1@b.c", NULL},
};

START_TEST(rule)
{
    ch_err_t *err = NULL;

    ch_password_check(pool, &err, "newPassword", rules[_i].password,
                      rules[_i].email);
    if (rules[_i].code == NULL) {
        ck_assert_ptr_null(err);
        return;
    }
    ck_assert_msg(err != NULL, "%s", rules[_i].password);
    ck_assert_int_eq(err->details->nelts, 1);
    ck_assert_str_eq(APR_ARRAY_IDX(err->details, 0, ch_detail_t).code,
                     rules[_i].code);
    ck_assert_str_eq(APR_ARRAY_IDX(err->details, 0, ch_detail_t).field,
                     "newPassword");
    ck_assert_ptr_null(strstr(
        APR_ARRAY_IDX(err->details, 0, ch_detail_t).message, "princess"));
}
END_TEST

static int fits(const char *password, const char *hash)
{
    int good = 7;

    ck_assert_ptr_null(ch_password_verify(pool, password, hash, &good));
    return good;
}

/* Of Openwall's crypt_blowfish */
static const struct {
    const char *hash;
    const char *password;
} vectors[] = {
    {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
    {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*"},
    {"$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U"},
    {"$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e",
     "\xFF\xFF\xA3"},
};

START_TEST(vector)
{
    ck_assert_int_eq(fits(vectors[_i].password, vectors[_i].hash), 1);
    ck_assert_int_eq(fits("U*", vectors[_i].hash), 0);
}
END_TEST

START_TEST(hash_and_verify)
{
    const char *one;
    const char *two;

    ck_assert_ptr_null(ch_password_hash(pool, P72, &one));
    ck_assert_ptr_null(ch_password_hash(pool, P72, &two));
    ck_assert_int_eq(strncmp(one, "$2y$12$", 7), 0);
    ck_assert_uint_eq(strlen(one), 60);
    ck_assert_str_ne(one, two);
    ck_assert_int_eq(fits(P72, one), 1);
    ck_assert_int_eq(fits(P72 "x", one), 0); /* bcrypt would cut it */
    ck_assert_int_eq(fits("", one), 0);
}
END_TEST

START_TEST(last_byte_counts)
{
    const char *hash;

    ck_assert_ptr_null(ch_password_hash(pool, P72, &hash));
    ck_assert_int_eq(
        fits("0123456789012345678901234567890123456789012345678901234567890123"
             "45678902",
             hash),
        0);
}
END_TEST

START_TEST(too_long_to_hash)
{
    const char *hash = "x";
    ch_err_t *err = ch_password_hash(pool, P72 "2", &hash);

    ck_assert_ptr_nonnull(err);
    ck_assert_int_eq(err->code, CH_E_INTERNAL_ERROR);
    ck_assert_ptr_null(hash);
}
END_TEST

static const char *const not_bcrypt[] = {
    "",
    "x",
    "$2",
    "$2y$12$",
    "$1$salt$qJH7.N4xYta3aEG/dfqo/0",
    "$apr1$salt$Xxd1irWT9ycqoYxGFn4cb.",
    "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
    "password",
    "pak3ZCrpe5ASE",
};

START_TEST(only_bcrypt_counts)
{
    ck_assert_int_eq(fits("password", not_bcrypt[_i]), 0);
}
END_TEST

static double processor_seconds(const char *password, const char *hash)
{
    clock_t from = clock();

    fits(password, hash);
    return (double)(clock() - from) / CLOCKS_PER_SEC;
}

/* Whoever measures learns nothing about who has an account. */
START_TEST(nobody_takes_as_long)
{
    const char *hash;
    double real;
    double none;
    double cut;

    ck_assert_ptr_null(ch_password_hash(pool, "some password", &hash));
    ck_assert_int_eq(fits("some password", NULL), 0);
    real = processor_seconds("other password", hash);
    none = processor_seconds("other password", NULL);
    cut = processor_seconds(P72 "x", hash);
    ck_assert_double_gt(none, real / 2);
    ck_assert_double_lt(none, real * 2);
    ck_assert_double_gt(cut, real / 2);
    ck_assert_double_lt(cut, real * 2);
}
END_TEST

#define THREADS 8

static void *APR_THREAD_FUNC hash_once(apr_thread_t *thread, void *out)
{
    apr_pool_t *own;
    const char *hash;

    apr_pool_create(&own, NULL);
    *(ch_err_t **)out = ch_password_hash(own, "some password", &hash);
    /* own is left to the end of the process: *out is in it */
    return NULL;
}

/* Hashes in THREADS threads at once and counts those that were let in. */
static int storm(void)
{
    ch_err_t *errs[THREADS] = {NULL};
    apr_thread_t *threads[THREADS];
    apr_status_t rv;
    int good = 0;
    int i;

    for (i = 0; i < THREADS; i++) {
        ck_assert_int_eq(
            apr_thread_create(&threads[i], NULL, hash_once, &errs[i], pool),
            APR_SUCCESS);
    }
    for (i = 0; i < THREADS; i++) {
        apr_thread_join(&rv, threads[i]);
        good += errs[i] == NULL;
        if (errs[i] != NULL) {
            ck_assert_int_eq(errs[i]->code, CH_E_SERVICE_UNAVAILABLE);
        }
    }
    return good;
}

START_TEST(gate_refuses_who_waits_too_long)
{
    int good;

    ck_assert_int_eq(ch_password_init(pool, 1, 1), APR_SUCCESS);
    good = storm();
    ck_assert_int_ge(good, 1);
    ck_assert_int_lt(good, THREADS);
    /* the places are free again */
    ck_assert_int_eq(fits("x", NULL), 0);
    ck_assert_int_eq(fits("x", NULL), 0);
}
END_TEST

START_TEST(gate_lets_all_in_who_wait)
{
    ck_assert_int_eq(ch_password_init(pool, 2, 20000), APR_SUCCESS);
    ck_assert_int_eq(storm(), THREADS);
}
END_TEST

START_TEST(gate_of_any_width)
{
    ck_assert_int_eq(ch_password_init(pool, 0, 0), APR_SUCCESS);
    ck_assert_int_eq(fits("x", NULL), 0);
}
END_TEST

START_TEST(gate_goes_with_its_pool)
{
    apr_pool_t *own;

    apr_pool_create(&own, NULL);
    ck_assert_int_eq(ch_password_init(own, 1, 1), APR_SUCCESS);
    apr_pool_destroy(own);
    ck_assert_int_eq(storm(), THREADS);
}
END_TEST

CH_SUITE_MAIN("auth/password", CH_EACH(rule, rules), CH_EACH(vector, vectors),
              CH_ONCE(hash_and_verify), CH_ONCE(last_byte_counts),
              CH_ONCE(too_long_to_hash),
              CH_EACH(only_bcrypt_counts, not_bcrypt),
              CH_ONCE(nobody_takes_as_long),
              CH_ONCE(gate_refuses_who_waits_too_long),
              CH_ONCE(gate_lets_all_in_who_wait), CH_ONCE(gate_of_any_width),
              CH_ONCE(gate_goes_with_its_pool))
