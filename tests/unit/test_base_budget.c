/* Tests of base/budget: so many in a window, and as many in the next. */
#include "ch_check.h"

#include "base/budget.h"

static int taken(ch_budget_t *budget, apr_int64_t second, int tries)
{
    int count = 0;

    while (tries-- > 0) {
        count += ch_budget_take(budget, apr_time_from_sec(second), 5, 60);
    }
    return count;
}

START_TEST(so_many)
{
    ch_budget_t budget = { 0 };

    ck_assert_int_eq(taken(&budget, 0, 3), 3);
    ck_assert_int_eq(taken(&budget, 30, 9), 2);
    ck_assert_int_eq(taken(&budget, 59, 9), 0);
    ck_assert_int_eq(taken(&budget, 60, 9), 5);
    ck_assert_int_eq(taken(&budget, 119, 9), 0);
    ck_assert_int_eq(taken(&budget, 1763748000, 9), 5);
}
END_TEST

CH_SUITE_MAIN("base/budget", CH_ONCE(so_many))
