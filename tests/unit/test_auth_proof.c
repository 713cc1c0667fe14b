/* Tests of auth/proof: a password is proved against one hash, and only it. */
#include "ch_check.h"

#include <apr_strings.h>

#include "auth/proof.h"

#define HASH "$2y$12$V1J5Hv40dxK8hn4i9rsqe.DXAhCQyZFtODYTWL5S1pqnj51hODqHu"
#define OTHER "$2y$12$V1J5Hv40dxK8hn4i9rsqe.DXAhCQyZFtODYTWL5S1pqnj51hODqHv"

START_TEST(before_open)
{
    ch_proof_add("secret", HASH);
    ck_assert_int_eq(ch_proof_has("secret", HASH), 0);
}
END_TEST

START_TEST(one_password_and_one_hash)
{
    ch_proof_open(pool);
    ck_assert_int_eq(ch_proof_has("secret", HASH), 0);
    ch_proof_add("secret", HASH);
    ck_assert_int_eq(ch_proof_has("secret", HASH), 1);
    ck_assert_int_eq(ch_proof_has("secret", OTHER), 0);
    ck_assert_int_eq(ch_proof_has("secret ", HASH), 0);
    ck_assert_int_eq(ch_proof_has("secre", HASH), 0);
    ck_assert_int_eq(ch_proof_has("Secret", HASH), 0);
    ck_assert_int_eq(ch_proof_has("", HASH), 0);
}
END_TEST

/* Where one ends and the other begins is part of it. */
START_TEST(not_as_one_text)
{
    ch_proof_open(pool);
    ch_proof_add("ab", "c");
    ck_assert_int_eq(ch_proof_has("ab", "c"), 1);
    ck_assert_int_eq(ch_proof_has("a", "bc"), 0);
    ck_assert_int_eq(ch_proof_has("abc", ""), 0);
    ck_assert_int_eq(ch_proof_has("c", "ab"), 0);
}
END_TEST

/* Another process has another key, and an emptied table. */
START_TEST(opened_anew)
{
    ch_proof_open(pool);
    ch_proof_add("secret", HASH);
    ch_proof_open(pool);
    ck_assert_int_eq(ch_proof_has("secret", HASH), 0);
}
END_TEST

START_TEST(gone_with_its_pool)
{
    apr_pool_t *child;

    apr_pool_create(&child, pool);
    ch_proof_open(child);
    ch_proof_add("secret", HASH);
    apr_pool_destroy(child);
    ck_assert_int_eq(ch_proof_has("secret", HASH), 0);
    ch_proof_add("secret", HASH);
}
END_TEST

/* Later ones take the places of earlier ones; nothing else is let in. */
START_TEST(many)
{
    int known = 0;
    int i;

    ch_proof_open(pool);
    for (i = 0; i < 20000; i++) {
        ch_proof_add(apr_psprintf(pool, "password %d", i), HASH);
        ck_assert_int_eq(
            ch_proof_has(apr_psprintf(pool, "password %d", i), HASH), 1);
    }
    for (i = 0; i < 20000; i++) {
        known += ch_proof_has(apr_psprintf(pool, "password %d", i), HASH);
        ck_assert_int_eq(
            ch_proof_has(apr_psprintf(pool, "password %d", i), OTHER), 0);
    }
    ck_assert_int_gt(known, 2000);
    ck_assert_int_le(known, 4096);
}
END_TEST

CH_SUITE_MAIN("auth/proof", CH_ONCE(before_open),
              CH_ONCE(one_password_and_one_hash), CH_ONCE(not_as_one_text),
              CH_ONCE(opened_anew), CH_ONCE(gone_with_its_pool),
              CH_ONCE(many))
