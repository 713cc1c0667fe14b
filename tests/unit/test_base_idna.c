/* Tests of base/idna: domains as DNS knows them. */
#include "ch_check.h"

#include "base/idna.h"

static const struct {
    const char *domain;
    const char *ascii; /* NULL = refused */
} cases[] = {
    { "example.com", "example.com" },
    { "EXAMPLE.com", "EXAMPLE.com" },
    { "bücher.example", "xn--bcher-kva.example" },
    { "BÜCHER.example", "xn--bcher-kva.example" },
    { "bu\xCC\x88"
      "cher.example",
      "xn--bcher-kva.example" },
    { "münchen.de", "xn--mnchen-3ya.de" },
    { "例え.テスト", "xn--r8jz45g.xn--zckzah" },
    { "пример.испытание", "xn--e1afmkfd.xn--80akhbyknj4f" },
    { "παράδειγμα.δοκιμή", "xn--hxajbheg2az3al.xn--jxalpdlp" },
    { "דוגמה.טעסט", "xn--6dbbec0c.xn--deba0ad" },
    { "उदाहरण.परीक्षा", "xn--p1b6ci4b4b3a.xn--11b5bs3a9aj6g" },
    /* RFC 3492, section 7.1: (L) and (P) */
    { "3年b組金八先生.jp", "xn--3b-ww4c5e180e575a65lsy2b.jp" },
    { "majiでKoiする5秒前.jp", "xn--majikoi5-783gue6qz075azm5e.jp" },
    { "☃.net", "xn--n3h.net" },
    { "💩.la", "xn--ls8h.la" },
    { "ｅｘａｍｐｌｅ.com", "example.com" },
    { "a_b.example", "a_b.example" },
    { "", NULL },
    { ".", NULL },
    { "a..b", NULL },
    { "a.", NULL },
    { ".a", NULL },
    { "a b.c", NULL },
    { "a\r\nb.c", NULL },
    { "a>b.c", NULL },
    { "a＞b.c", NULL }, /* folds to > */
    { "a＠b.c", NULL }, /* folds to @ */
    { "℀.c", NULL },    /* folds to a/c */
    { "\xC3.c", NULL },
    { "ü\xFF.c", NULL },
    { "a\x7F.c", NULL },
};

START_TEST(writes_domains)
{
    size_t len = strlen(cases[_i].domain);
    const char *got =
        ch_idna_ascii(pool, ch_check_copy(cases[_i].domain, len), len);

    if (!cases[_i].ascii) {
        ck_assert_ptr_null(got);
    }
    else {
        ck_assert_ptr_nonnull(got);
        ck_assert_str_eq(got, cases[_i].ascii);
    }
}
END_TEST

/* Labels of 63 bytes are the longest, domains of 255. */
START_TEST(lengths)
{
    char label[65];
    char domain[300] = "";
    const char *got;
    size_t i;

    memset(label, 'a', 64);
    label[64] = '\0';
    ck_assert_ptr_null(ch_idna_ascii(pool, label, 64));
    ck_assert_ptr_nonnull(ch_idna_ascii(pool, label, 63));
    memcpy(label + 61, "\xC3\xBC", 2); /* 62 points in 63 bytes */
    ck_assert_ptr_null(ch_idna_ascii(pool, label, 63));
    for (i = 0; i < 260; i += 2) {
        memcpy(domain + i, "a.", 2);
    }
    ck_assert_ptr_nonnull(ch_idna_ascii(pool, domain, 255));
    ck_assert_ptr_null(ch_idna_ascii(pool, domain, 257));
    /* the most that one label can hold */
    for (i = 0; i < 25; i++) {
        memcpy(domain + 4 * i, "\xF0\x9F\x92\xA9", 4);
    }
    got = ch_idna_ascii(pool, domain, 100);
    ck_assert_ptr_nonnull(got);
    ck_assert_uint_le(strlen(got), 63);
}
END_TEST

CH_SUITE_MAIN("base/idna", CH_EACH(writes_domains, cases), CH_ONCE(lengths))
