/* Tests of base/html: what text a browser would find. */
#include "ch_check.h"

#include "base/html.h"
#include "base/text.h"

static const struct {
    const char *html;
    const char *text;
    int words;
} rows[] = {
    {"", "", 0},
    {"plain", "plain", 1},
    {"  two \n\t words ", "two words", 2},
    {"<p>a</p><p>b</p>", "a b", 2},
    {"<b>a</b><i>b</i>", "ab", 1},
    {"a<br>b<br/>c<BR />d</br>e", "a b c d e", 5},
    {"<h1>T</h1><ul><li>x<li>y</ul>z", "T x y z", 4},
    {"<table><tr><td>1</td><td>2</td></tr><tr><th>3</th></tr></table>4",
     "1 2 3 4", 4},
    {"line one<div>line two</div><div>three</div>", "line one line two three",
     5},
    {"<p>unclosed<p>second", "unclosed second", 2},
    {"<DIV>A</DIV>B", "A B", 2},
    {"a<hr>b", "a b", 2},
    {"x<sup>2</sup>", "x2", 1},
    {"<a href='x>y'>link</a>", "link", 1},
    {"<a href=\"x>y\" title='\"'>link</a>", "link", 1},
    {"<a href=x>y</a>", "y", 1},
    {"<a b=c'd>e</a>", "e", 1},
    {"<a =\">x\">", "x\">", 1}, /* the quote is part of a name */
    {"<a b = \">\" c>x", "x", 1},
    {"<img alt=\"a > b\">x", "x", 1},
    {"<a\nhref\n=\n'>'\n>x</a\n>", "x", 1},
    {"<custom-element-with-a-long-name>x</custom-element-with-a-long-name>",
     "x", 1},
    {"<p/>a<p/>b", "a b", 2},
    /* entities */
    {"a&nbsp;&nbsp;b", "a b", 2},
    {"&nbsp;a&#160;", "a", 1},
    {"AT&amp;T", "AT&T", 1},
    {"&lt;b&gt;bold&lt;/b&gt;", "<b>bold</b>", 1},
    {"&amp;lt;", "&lt;", 1},
    {"&eacute;&#233;&#xE9;", "\xC3\xA9\xC3\xA9\xC3\xA9", 1},
    {"&#128512;", "\xF0\x9F\x98\x80", 1},
    {"&nGt;", "\xE2\x89\xAB\xE2\x83\x92", 1},
    {"&#0;&#xD800;", "\xEF\xBF\xBD\xEF\xBF\xBD", 1},
    {"R&D & &unknown; &", "R&D & &unknown; &", 4},
    {"a&#32;b&#10;c&#x3000;d", "a b c d", 4},
    {"x &lt y", "x < y", 3},
    /* < that begins no tag */
    {"a < b", "a < b", 3},
    {"1<2", "1<2", 1},
    {"i <3 u", "i <3 u", 3},
    {"a <", "a <", 2},
    {"a </", "a </", 2},
    {"<<b>x", "<x", 1},
    {"a<>b", "a<>b", 1},
    {"a</>b", "ab", 1},
    {"a</ x>b", "ab", 1},
    {"a <b", "a", 1}, /* a tag that ends with the input is dropped */
    {"a <b c='", "a", 1},
    {"a > b", "a > b", 3},
    /* comments and the like */
    {"a<!-- b -->c", "ac", 1},
    {"a<!-- > -->b", "ab", 1},
    {"a<!-->b", "ab", 1},
    {"a<!--->b", "ab", 1},
    {"a<!-- -- -->b", "ab", 1},
    {"a<!-- --!>b", "ab", 1},
    {"a<!-----> b", "a b", 2},
    {"a<!--!>b-->c", "ac", 1},
    {"a<!-- never closed <b>x</b>", "a", 1},
    {"a<!-", "a", 1},
    {"<!DOCTYPE html><html><head><title>T</title></head><body>x", "T x", 2},
    {"a<?php echo 1 ?>b", "ab", 1},
    {"a<![CDATA[x]]>b", "ab", 1}, /* browsers: a comment up to > */
    {"a<!b>c", "ac", 1},
    /* what is left out */
    {"a<script>x < y && \"</b>\"</script>b", "ab", 1},
    {"a<SCRIPT type=x>1</Script >b", "ab", 1},
    {"a<script>x</scripty></script>b", "ab", 1},
    {"a<script>x", "a", 1},
    {"a<script>x</script", "a", 1},
    {"<style>p { color: red }</style>b", "b", 1},
    {"<noscript><p>no</p></noscript>b", "b", 1},
    {"a<template><p>t</p></template>b", "ab", 1},
    {"a<template>1<template>2</template>3</template>b", "ab", 1},
    {"a<template>1<script></template></script>2</template>b", "ab", 1},
    {"a</template>b", "ab", 1},
    {"a<template>b", "a", 1},
    {"a</template><template>x</template>b</template><p>c", "ab c", 2},
    /* text without tags inside */
    {"<textarea>a <b>&amp;</b></textarea>", "a <b>&</b>", 2},
    {"<title>a <b>&amp;</title>x", "a <b>& x", 3},
    {"<xmp>a <b>&amp;</xmp>x", "a <b>&amp; x", 3},
    {"<iframe><p>&amp;</iframe>", "<p>&amp;", 1},
    {"a<plaintext>b</plaintext>&amp;", "a b</plaintext>&amp;", 2},
    {"<textarea>a</textareas>", "a</textareas>", 1},
    /* the document's end is no end */
    {"<html><body><p>a</p></body></html>after", "a after", 2},
    /* Unicode */
    {"\xC2\xA0\xE3\x80\x80"
     "a\xE2\x80\xA8\xE2\x80\x89"
     "b\xC2\x85",
     "a b", 2},
    {"\xC3\xA0\xE2\x82\xAC", "\xC3\xA0\xE2\x82\xAC", 1},
    {"a\xE2\x80\x8B"
     "b",
     "a\xE2\x80\x8B"
     "b",
     1}, /* U+200B is none */
    {"\xEF\xBB\xBFx", "\xEF\xBB\xBFx", 1},
    /* broken UTF-8 */
    {"a\xFF"
     "b\xC3",
     "a\xEF\xBF\xBD"
     "b\xEF\xBF\xBD",
     1},
    {"\xED\xA0\x80 <b>\xE2\x82</b>",
     "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD \xEF\xBF\xBD\xEF\xBF\xBD", 2},
    /* controls that are no white space stay */
    {"a\x01"
     "b",
     "a\x01"
     "b",
     1},
};

START_TEST(text)
{
    const char *html = rows[_i].html;
    size_t len;
    int words;
    const char *out = ch_html_text(pool, ch_check_copy(html, strlen(html)),
                                   strlen(html), &len, &words);

    ck_assert_str_eq(out, rows[_i].text);
    ck_assert_uint_eq(len, strlen(out));
    ck_assert_int_eq(words, rows[_i].words);
}
END_TEST

START_TEST(nul_is_dropped)
{
    size_t len;
    const char *out = ch_html_text(pool, "a\0b <i\0>c\0", 10, &len, NULL);

    ck_assert_str_eq(out, "ab c");
    ck_assert_uint_eq(len, 4);
}
END_TEST

START_TEST(word_counter_may_be_absent)
{
    size_t len;

    ck_assert_str_eq(ch_html_text(pool, "<p>x</p>", 8, &len, NULL), "x");
    ck_assert_str_eq(ch_html_text(pool, "", 0, &len, NULL), "");
    ck_assert_uint_eq(len, 0);
}
END_TEST

/* Every cut of a text with all there is: the parser may not read behind. */
START_TEST(every_cut)
{
    static const char html[] =
        "<p a='b' c=\"d\" e=f>x &amp; &#x41; &notin;<!-- c --!><br/>"
        "<textarea>&lt</textarea><script>x</script><template></template>"
        "<![CDATA[x]]></p >\xE2\x80\xA8\xF0\x9F\x98\x80";
    size_t len;
    size_t out_len;

    for (len = 0; len < sizeof(html); len++) {
        char *copy = malloc(len + (len == 0));

        memcpy(copy, html, len);
        ck_assert_ptr_nonnull(ch_html_text(pool, copy, len, &out_len, NULL));
        free(copy);
    }
}
END_TEST

/* Inputs that cost a tree builder the square of their length. Any time below
 * the test's own limit will do: the square would take hours. */
static const char *const units[] = {
    "<div>",
    "</i>",
    "<b></i>",
    "<p>",
    "<a b",
    " c=d e='f'",
    "<!--",
    "<!---",
    "&",
    "&aaaaaa",
    "&#1",
    "<",
    "</",
    "<table><tr><td>",
    "<textarea></textare",
    "<template>",
    "<script></script",
    "\xC2\xA0",
    "\xE2\x80",
    "&nGt;",
    "a ",
    "-->",
    "<svg><title>",
    "<select><option>",
    "]]>",
    "<!",
    "<?",
    "'\">",
};

#define BOMB_LEN (2 << 20)

START_TEST(bomb)
{
    size_t unit = strlen(units[_i]);
    char *html = malloc(BOMB_LEN);
    size_t len = 0;
    size_t out_len;
    const char *out;

    for (; len + unit <= BOMB_LEN; len += unit) {
        memcpy(html + len, units[_i], unit);
    }
    out = ch_html_text(pool, html, len, &out_len, NULL);
    ck_assert(ch_text_valid(out, out_len));
    free(html);
}
END_TEST

CH_SUITE_MAIN("base/html", CH_EACH(text, rows), CH_ONCE(nul_is_dropped),
              CH_ONCE(word_counter_may_be_absent), CH_ONCE(every_cut),
              CH_EACH(bomb, units))
