/* Tests of web/promtext: the text format 0.0.4. */
#include "ch_check.h"

#include "web/promtext.h"

START_TEST(a_family_and_its_samples)
{
    const ch_prom_label_t labels[] = { { .name = "a", .value = "1" },
                                       { .name = "b", .value = "" } };
    const ch_prom_series_t bare = { .name = "x_total" };
    const ch_prom_series_t labelled = { .name = "x_total",
                                        .labels = labels,
                                        .count = 2 };
    ch_buf_t *buf = ch_buf_make(pool, 16, 4096);

    ch_prom_family(buf, "x_total", "counter", "What\nthere \\ \"is\"");
    ch_prom_sample(buf, &bare, 0);
    ch_prom_sample(buf, &labelled, INT64_C(9223372036854775807));
    ch_prom_sample(buf, &bare, -1);
    ck_assert_str_eq(ch_buf_cstr(buf),
                     "# HELP x_total What\\nthere \\\\ \"is\"\n"
                     "# TYPE x_total counter\n"
                     "x_total 0\n"
                     "x_total{a=\"1\",b=\"\"} 9223372036854775807\n"
                     "x_total -1\n");
}
END_TEST

START_TEST(labels_are_escaped)
{
    const ch_prom_label_t label = { .name = "l",
                                    .value = "a\"b\\c\nd\xC3\xA9" };
    const ch_prom_series_t series = { .name = "x",
                                      .labels = &label,
                                      .count = 1 };
    ch_buf_t *buf = ch_buf_make(pool, 16, 4096);

    ch_prom_sample(buf, &series, 1);
    ck_assert_str_eq(ch_buf_cstr(buf), "x{l=\"a\\\"b\\\\c\\nd\xC3\xA9\"} 1\n");
}
END_TEST

START_TEST(buckets_are_cumulative)
{
    static const apr_time_t bounds[] = { 500, 10000, 2500000 };
    const apr_uint64_t buckets[] = { 1, 0, 2, 4 };
    const ch_prom_label_t label = { .name = "r", .value = "/a" };
    const ch_prom_series_t series = { .name = "d",
                                      .labels = &label,
                                      .count = 1 };
    const ch_prom_histogram_t histogram = { .bounds = bounds,
                                            .buckets = buckets,
                                            .bound_count = 3,
                                            .sum_usec = 12345678 };
    ch_buf_t *buf = ch_buf_make(pool, 16, 4096);

    ch_prom_durations(buf, &series, &histogram);
    ck_assert_str_eq(ch_buf_cstr(buf), "d_bucket{r=\"/a\",le=\"0.0005\"} 1\n"
                                       "d_bucket{r=\"/a\",le=\"0.01\"} 1\n"
                                       "d_bucket{r=\"/a\",le=\"2.5\"} 3\n"
                                       "d_bucket{r=\"/a\",le=\"+Inf\"} 7\n"
                                       "d_sum{r=\"/a\"} 12.345678\n"
                                       "d_count{r=\"/a\"} 7\n");
}
END_TEST

static const struct {
    apr_uint64_t usec;
    const char *text;
} sums[] = {
    { 0, "0" },
    { 1, "0.000001" },
    { 100000, "0.1" },
    { 1000000, "1" },
    { 10000001, "10.000001" },
    { UINT64_MAX, "18446744073709.551615" },
};

START_TEST(seconds_are_exact)
{
    static const apr_time_t bounds[] = { 1 };
    const apr_uint64_t buckets[] = { 0, 0 };
    const ch_prom_series_t series = { .name = "d" };
    const ch_prom_histogram_t histogram = { .bounds = bounds,
                                            .buckets = buckets,
                                            .bound_count = 1,
                                            .sum_usec = sums[_i].usec };
    ch_buf_t *buf = ch_buf_make(pool, 16, 4096);
    const char *sum;

    ch_prom_durations(buf, &series, &histogram);
    sum = strstr(ch_buf_cstr(buf), "d_sum ");
    ck_assert_ptr_nonnull(sum);
    ck_assert_int_eq(strncmp(sum + 6, sums[_i].text, strlen(sums[_i].text)),
                     0);
    ck_assert_int_eq(sum[6 + strlen(sums[_i].text)], '\n');
}
END_TEST

CH_SUITE_MAIN("web/promtext", CH_ONCE(a_family_and_its_samples),
              CH_ONCE(labels_are_escaped), CH_ONCE(buckets_are_cumulative),
              CH_EACH(seconds_are_exact, sums))
