/* Tests of auth/role: names of roles, and what a list of them asks for. */
#include "ch_check.h"

#include "auth/auth.h"

static const struct {
    const char *name;
    ch_role_e role;
} names[] = {
    { "user", CH_ROLE_USER },   { "manager", CH_ROLE_MANAGER },
    { "admin", CH_ROLE_ADMIN }, { "Admin", CH_ROLE_USER },
    { "admin ", CH_ROLE_USER }, { "", CH_ROLE_USER },
    { NULL, CH_ROLE_USER },
};

START_TEST(by_name)
{
    ck_assert_int_eq(ch_role_of(names[_i].name), names[_i].role);
}
END_TEST

static const struct {
    const char *list;
    ch_role_e lowest;
} lists[] = {
    { "user", CH_ROLE_USER },
    { "manager", CH_ROLE_MANAGER },
    { "admin", CH_ROLE_ADMIN },
    { "  admin\t", CH_ROLE_ADMIN },
    { "admin manager", CH_ROLE_MANAGER },
    { "manager admin", CH_ROLE_MANAGER },
    { "admin\tuser  manager", CH_ROLE_USER },
    { "admin admin", CH_ROLE_ADMIN },
};

START_TEST(lowest_of_a_list)
{
    ch_role_e role = CH_ROLE_USER;

    ck_assert_ptr_null(ch_role_lowest(pool, lists[_i].list, &role));
    ck_assert_int_eq(role, lists[_i].lowest);
}
END_TEST

static const struct {
    const char *list;
    const char *text; /* part of the message */
} wrong[] = {
    { "", "names no role" },
    { " \t ", "names no role" },
    { "root", "unknown role root" },
    { "admin root", "unknown role root" },
    { "root admin", "unknown role root" },
    { "Admin", "unknown role Admin" },
    { "admin,manager", "unknown role admin,manager" },
    { "\"admin\"", "unknown role \"admin\"" },
    { "!admin", "unknown role !admin" },
    { "%{ENV:X}", "unknown role %{ENV:X}" },
};

START_TEST(no_such_list)
{
    ch_role_e role;
    const char *error = ch_role_lowest(pool, wrong[_i].list, &role);

    ck_assert_ptr_nonnull(error);
    ck_assert_ptr_nonnull(strstr(error, wrong[_i].text));
}
END_TEST

CH_SUITE_MAIN("auth/role", CH_EACH(by_name, names),
              CH_EACH(lowest_of_a_list, lists), CH_EACH(no_such_list, wrong))
