/* Tests of api/import_*: what exports of other products hold, oddities
 * included, comes out in one form. */
#include "ch_check.h"

#include <apr_strings.h>

#include "api/import.h"

static ch_import_talk_t talk;

static const char *read_as(const char *text, ch_import_e format)
{
    const ch_json_t *value = ch_json_parse_mended(pool, text, strlen(text),
                                                  CH_IMPORT_DEPTH_MAX);

    ck_assert_ptr_nonnull(value);
    return ch_import_read(pool, value, format, &talk);
}

/* A text in which ' stands for ". */
static const char *json(const char *text)
{
    char *out = apr_pstrdup(pool, text), *at;

    for (at = out; *at; at++) {
        *at = *at == '\'' ? '"' : *at;
    }
    return out;
}

/* "role:content|…" */
static const char *said(void)
{
    const char *out = "";
    int i;

    for (i = 0; i < talk.messages->nelts; i++) {
        const ch_import_message_t *message =
            &APR_ARRAY_IDX(talk.messages, i, ch_import_message_t);

        out = apr_pstrcat(pool, out, i ? "|" : "", message->role, ":",
                          message->content, NULL);
    }
    return out;
}

static const ch_import_message_t *message_at(int index)
{
    ck_assert_int_lt(index, talk.messages->nelts);
    return &APR_ARRAY_IDX(talk.messages, index, ch_import_message_t);
}

/* --- ChatGPT: trees --------------------------------------------------- */

#define TALK(current, nodes)                                                  \
    "{'id':'c1','title':'T','current_node':" current ",'mapping':{" nodes "}}"
#define NODE(id, parent, children, message)                                   \
    "'" id "':{'id':'" id "','parent':" parent ",'children':[" children       \
    "],'message':" message "}"
#define SAYS(role, text, more)                                                \
    "{'author':{'role':'" role "'},'content':{'content_type':'text',"         \
    "'parts':['" text "']}" more "}"
#define USER(text) SAYS("user", text, "")
#define BOT(text) SAYS("assistant", text, "")
#define AT(seconds) ",'create_time':" seconds

#define ROOT NODE("root", "null", "'a'", "null")

static const struct {
    const char *in, *out;
} trees[] = {
    /* a way without branches; the root says nothing */
    { TALK("'b'", ROOT "," NODE("a", "'root'", "'b'", USER("q")) ","
           NODE("b", "'a'", "", BOT("r"))),
      "user:q|assistant:r" },
    /* an answer that was asked for again: the branch that is current */
    { TALK("'b2'", ROOT "," NODE("a", "'root'", "'b','b2'", USER("q")) ","
           NODE("b", "'a'", "", BOT("old")) ","
           NODE("b2", "'a'", "", BOT("new"))),
      "user:q|assistant:new" },
    { TALK("'b'", ROOT "," NODE("a", "'root'", "'b','b2'", USER("q")) ","
           NODE("b", "'a'", "", BOT("old")) ","
           NODE("b2", "'a'", "", BOT("new"))),
      "user:q|assistant:old" },
    /* a current_node that is gone: the newest leaf, wherever it stands */
    { TALK("'gone'", NODE("a", "null", "'b','c'", USER("q")) ","
           NODE("b", "'a'", "", SAYS("assistant", "newer", AT("20.5"))) ","
           NODE("c", "'a'", "", SAYS("assistant", "older", AT("10")))),
      "user:q|assistant:newer" },
    /* the newest node of all is no leaf */
    { TALK("null", NODE("a", "null", "'b'", SAYS("user", "q", AT("99"))) ","
           NODE("b", "'a'", "", SAYS("assistant", "r", AT("5")))),
      "user:q|assistant:r" },
    /* no times either: down by the last child that is there */
    { TALK("7", NODE("a", "null", "'b','c','gone',5", USER("q")) ","
           NODE("c", "'a'", "'d'", BOT("1")) ","
           NODE("d", "'c'", "", USER("2")) ","
           NODE("b", "'a'", "", BOT("no"))),
      "user:q|assistant:1|user:2" },
    /* circles: of parents, of children, of everything */
    { TALK("'b'", NODE("a", "'b'", "", USER("q")) ","
           NODE("b", "'a'", "", BOT("r"))),
      "user:q|assistant:r" },
    { TALK("'a'", NODE("a", "'a'", "'a'", USER("alone"))), "user:alone" },
    { TALK("null", NODE("a", "'b'", "'b'", USER("q")) ","
           NODE("b", "'a'", "'a'", BOT("r"))),
      "user:q|assistant:r" },
    { TALK("null", NODE("a", "null", "'b'", USER("q")) ","
           NODE("b", "'a'", "'c'", BOT("r")) ","
           NODE("c", "'b'", "'b'", USER("s"))),
      "user:q|assistant:r|user:s" },
    /* a parent that is not there ends the way; nodes that are no objects */
    { TALK("'b'", NODE("a", "'gone'", "'b'", USER("q")) ","
           NODE("b", "'a'", "", BOT("r")) ",'x':null,'y':[1],'z':'b'"),
      "user:q|assistant:r" },
    { TALK("null", "'x':null," NODE("a", "7", "'x'", USER("q"))), "user:q" },
};

START_TEST(walks_trees)
{
    ck_assert_ptr_null(read_as(json(trees[_i].in), CH_IMPORT_AUTO));
    ck_assert_str_eq(said(), trees[_i].out);
    ck_assert_int_eq(talk.shape, CH_IMPORT_CHATGPT);
    ck_assert_str_eq(talk.source_id, "c1");
    ck_assert_str_eq(talk.provider, "openai");
}
END_TEST

/* --- ChatGPT: messages ------------------------------------------------ */

#define CONTENT(role, content)                                                \
    "{'author':{'role':'" role "'},'content':{" content "}}"

#define MARK(kind, fields) "\\ue200" kind "\\ue202" fields "\\ue201"
#define CITE MARK("cite", "turn0search1")
#define CITE2 MARK("cite", "turn0search2\\ue202turn1view0")
#define REFERS(list) ",'metadata':{'content_references':[" list "]}"

/* Each stands between a question and an answer. */
static const struct {
    const char *in, *out;
} messages[] = {
    { "null", NULL },
    { "7", NULL },
    { "{}", NULL },
    { "{'author':null,'content':null}", NULL },
    { SAYS("system", "You are", ""), NULL },
    { SAYS("critic", "Hm", ""), NULL },
    { SAYS("assistant", "x", ",'weight':0.0"), NULL },
    { SAYS("assistant", "x", ",'weight':0"), NULL },
    { SAYS("assistant", "x", ",'weight':1.0"), "assistant:x" },
    { SAYS("user", "x",
           ",'metadata':{'is_visually_hidden_from_conversation':true}"),
      NULL },
    { SAYS("user", "x",
           ",'metadata':{'is_visually_hidden_from_conversation':false}"),
      "user:x" },
    { SAYS("user", "", ""), NULL },
    { SAYS("user", " \\n\\t\\u00a0 ", ""), NULL },
    { SAYS("tool", "42", ""), "tool:42" },
    { CONTENT("user", "'content_type':'text','parts':['a','','b',null,7]"),
      "user:a\nb" },
    { CONTENT("user", "'content_type':'text','parts':'a'"), NULL },
    { CONTENT("user",
              "'content_type':'multimodal_text','parts':[{'content_type':"
              "'image_asset_pointer','asset_pointer':'file://1','text':'no'},"
              "'What is it?',{'content_type':'audio_transcription',"
              "'text':'spoken'},{'content_type':'text','text':'written'},"
              "{'content_type':'real_time_user_audio_video_asset_pointer',"
              "'audio_asset_pointer':{'format':'wav'}},[],{'text':'plain'}]"),
      "user:What is it?\nspoken\nwritten\nplain" },
    { CONTENT("user", "'content_type':'multimodal_text','parts':"
                      "[{'content_type':'image_asset_pointer'}]"),
      NULL },
    { CONTENT("assistant", "'content_type':'code','language':'python',"
                           "'text':'print(1)'"),
      "assistant:print(1)" },
    { CONTENT("tool", "'content_type':'execution_output','text':'1'"),
      "tool:1" },
    { CONTENT("tool", "'content_type':'tether_quote','url':'u',"
                      "'text':'quoted','title':'t'"),
      "tool:quoted" },
    { CONTENT("tool", "'content_type':'tether_browsing_display',"
                      "'result':'found','summary':null"),
      "tool:found" },
    { CONTENT("user", "'content_type':'user_editable_context',"
                      "'user_profile':'p','text':'no'"),
      NULL },
    { CONTENT("assistant", "'content_type':'model_editable_context',"
                           "'text':'no'"),
      NULL },
    { CONTENT("assistant", "'content_type':'thoughts','thoughts':[],"
                           "'text':'no'"),
      NULL },
    { CONTENT("assistant", "'content_type':'reasoning_recap',"
                           "'content':'Thought','text':'no'"),
      NULL },
    { CONTENT("assistant", "'content_type':'new_thing','text':'new'"),
      "assistant:new" },
    { CONTENT("assistant", "'content_type':'new_thing','parts':['new']"),
      "assistant:new" },
    { CONTENT("assistant", "'content_type':'new_thing','data':1"), NULL },
    { CONTENT("assistant", "'parts':['untyped']"), "assistant:untyped" },
    /* marks for ChatGPT's own pages: what it says of them, or what they say
     * themselves, or nothing */
    { SAYS("assistant", "It is. " CITE " Yes" CITE2 ".",
           REFERS("{'matched_text':'" CITE "','alt':'([A](https://a.org))'},"
                  "{'matched_text':'" CITE2 "','alt':null},7")),
      "assistant:It is. ([A](https://a.org)) Yes." },
    { SAYS("assistant", "One " CITE ", two " CITE2 "\\n" CITE, ""),
      "assistant:One, two\n" },
    { SAYS("assistant", CITE, ""), NULL },
    { SAYS("assistant",
           MARK("entity", "[\\'people\\',\\'Ada \\\\\\'A.\\\\\\' L.\\',0]")
           "!", ""),
      "assistant:Ada \"A.\" L.!" },
    { SAYS("assistant", MARK("url", "A\\ue202https://a.org/?b"), ""),
      "assistant:[A](https://a.org/?b)" },
    { SAYS("assistant",
           "\\ue203Known\\ue204\\ue206 and " MARK("image_group", "{}"), ""),
      "assistant:Known and" },
    { SAYS("assistant", "\\ue203Known\\ue204\\ue206",
           REFERS("{'matched_text':'\\ue203','alt':null},"
                  "{'matched_text':'\\ue206','alt':' (A)'}")),
      "assistant:Known (A)" },
    { CONTENT("assistant", "'parts':['a " CITE "',{'text':'b'}]"),
      "assistant:a\nb" },
    { SAYS("tool", "see " MARK("filecite", "turn0file0"), ""), "tool:see" },
    /* what only looks like them: icons, what a user writes, no end */
    { SAYS("assistant", "\\ue203 \\ue204 \\ue210 \\ue200x", ""),
      "assistant:\xEE\x88\x83 \xEE\x88\x84 \xEE\x88\x90 \xEE\x88\x80x" },
    { SAYS("user", "What is " CITE "?", ""),
      "user:What is \xEE\x88\x80"
      "cite\xEE\x88\x82turn0search1\xEE\x88\x81?" },
    { SAYS("assistant", "\\ue200cite\\ue202turn " CITE "", ""),
      "assistant:\xEE\x88\x80" "cite\xEE\x88\x82turn" },
    { SAYS("assistant", "\\ue200\\ue201\\ue202\\ue200a\\ue201", ""),
      "assistant:\xEE\x88\x80\xEE\x88\x81\xEE\x88\x82\xEE\x88\x80"
      "a\xEE\x88\x81" },
    /* not more than what it says of them, a few times over */
    { SAYS("assistant", CITE CITE CITE CITE CITE CITE,
           REFERS("{'matched_text':'" CITE "','alt':'ab'}")),
      "assistant:abababab" },
    /* what the API takes in no text goes out of it */
    { CONTENT("user", "'parts':['a\\u0000b\\u0007c\\td\\r\\ne\\u007ff']"),
      "user:abc\td\r\nef" },
    { CONTENT("user", "'parts':['\\u0000\\u0001']"), NULL },
};

START_TEST(reads_messages)
{
    const char *in = apr_psprintf(
        pool, TALK("'c'", NODE("a", "null", "", USER("q")) ","
                   NODE("b", "'a'", "", "%s") ","
                   NODE("c", "'b'", "", BOT("r"))),
        messages[_i].in);
    const char *out =
        messages[_i].out
            ? apr_pstrcat(pool, "user:q|", messages[_i].out, "|assistant:r",
                          NULL)
            : "user:q|assistant:r";

    ck_assert_ptr_null(read_as(json(in), CH_IMPORT_CHATGPT));
    ck_assert_str_eq(said(), out);
}
END_TEST

START_TEST(keeps_times_and_models)
{
    ck_assert_ptr_null(read_as(
        json("{'conversation_id':'c2','title':' A\\n title ',"
             "'create_time':1700000000.123456,'default_model_slug':'auto',"
             "'current_node':'b','mapping':{"
             "'a':{'message':{'author':{'role':'user'},'create_time':1e30,"
             "'metadata':{'model_slug':'not-his'},"
             "'content':{'parts':['q']}}},"
             "'b':{'parent':'a','message':{'author':{'role':'assistant'},"
             "'create_time':1700000001,'metadata':{'model_slug':' gpt-4 '},"
             "'content':{'parts':['r']}}}}}"),
        CH_IMPORT_AUTO));
    ck_assert_str_eq(talk.title, "A  title");
    ck_assert_str_eq(talk.source_id, "c2");
    ck_assert_str_eq(talk.model, "gpt-4");
    ck_assert_str_eq(talk.created_at, "2023-11-14T22:13:20.123Z");
    ck_assert_ptr_null(message_at(0)->created_at);
    ck_assert_str_eq(message_at(1)->model, "gpt-4");
    ck_assert_str_eq(message_at(1)->created_at, "2023-11-14T22:13:21.000Z");

    ck_assert_ptr_null(read_as(
        json("{'id':'c3','default_model_slug':'auto','mapping':{"
             "'a':{'message':{'author':{'role':'user'},"
             "'content':{'parts':['q']}}}}}"),
        CH_IMPORT_AUTO));
    ck_assert_str_eq(talk.model, "auto");
}
END_TEST

/* --- Claude ----------------------------------------------------------- */

#define CLAUDE(list) "{'uuid':'u1','name':'N','chat_messages':[" list "]}"

static const struct {
    const char *in, *out;
} claude[] = {
    { CLAUDE("{'sender':'human','text':'q'},{'sender':'assistant',"
             "'text':'r'}"),
      "user:q|assistant:r" },
    /* text is there: blocks are not read */
    { CLAUDE("{'sender':'human','text':'q','content':[{'type':'text',"
             "'text':'other'}]}"),
      "user:q" },
    /* it is not, or is blank: the text blocks */
    { CLAUDE("{'sender':'assistant','text':' ','content':["
             "{'type':'thinking','thinking':'t','text':'no'},"
             "{'type':'text','text':'a'},"
             "{'type':'tool_use','name':'n','input':{},'text':'no'},"
             "{'type':'tool_result','content':[{'type':'text',"
             "'text':'no'}]},7,null,{'type':'text','text':''},"
             "{'type':'text','text':'b'}]}"),
      "assistant:a\nb" },
    /* what the app could not show */
    { CLAUDE("{'sender':'assistant','text':'A\\n```\\nThis block is not "
             "supported on your current device yet.\\n```\\nB','content':["
             "{'type':'text','text':'A'},{'type':'tool_use'},"
             "{'type':'text','text':'B'}]}"),
      "assistant:A\nB" },
    { CLAUDE("{'sender':'human','text':'see','attachments':["
             "{'file_name':'a.txt','extracted_content':'inside'},"
             "{'file_name':'b.png'},{'extracted_content':'nameless'}]}"),
      "user:see\n\na.txt\ninside\n\nnameless" },
    { CLAUDE("{'sender':'human','text':'','attachments':["
             "{'file_name':'a.txt','extracted_content':'inside'}],"
             "'files':[{'file_name':'c.png'}]}"),
      "user:a.txt\ninside" },
    /* nothing said, nobody, others */
    { CLAUDE("{'sender':'human','text':'q'},{'sender':'human','text':''},"
             "{'sender':'human','text':'','files':[{'file_name':'x'}]},"
             "{'text':'x'},{'sender':'robot','text':'x'},null,7,'x',[],{},"
             "{'sender':7,'text':'x'},{'sender':'assistant','text':7},"
             "{'sender':'assistant','text':null,'content':'x'}"),
      "user:q" },
};

START_TEST(reads_claude)
{
    ck_assert_ptr_null(read_as(json(claude[_i].in), CH_IMPORT_AUTO));
    ck_assert_str_eq(said(), claude[_i].out);
    ck_assert_int_eq(talk.shape, CH_IMPORT_CLAUDE);
    ck_assert_str_eq(talk.title, "N");
    ck_assert_str_eq(talk.source_id, "u1");
    ck_assert_str_eq(talk.provider, "anthropic");
    ck_assert_ptr_null(talk.created_at);
}
END_TEST

START_TEST(keeps_claude_times)
{
    ck_assert_ptr_null(read_as(
        json("{'uuid':'u','name':'','model':'claude-3',"
             "'created_at':'2024-05-01T10:00:00.123456+02:00',"
             "'chat_messages':[{'sender':'human','text':'q',"
             "'created_at':'2024-05-01T08:00:01Z'},{'sender':'human',"
             "'text':'r','created_at':'yesterday'},{'sender':'human',"
             "'text':'s','created_at':'1970-01-01T00:00:00Z'}]}"),
        CH_IMPORT_CLAUDE));
    ck_assert_str_eq(talk.title, CH_IMPORT_UNTITLED);
    ck_assert_str_eq(talk.model, "claude-3");
    ck_assert_str_eq(talk.created_at, "2024-05-01T08:00:00.123Z");
    ck_assert_str_eq(message_at(0)->created_at, "2024-05-01T08:00:01.000Z");
    ck_assert_ptr_null(message_at(1)->created_at);
    ck_assert_ptr_null(message_at(2)->created_at);
}
END_TEST

/* --- titles, ids, limits ---------------------------------------------- */

#define WITH(members)                                                         \
    "{" members "'chat_messages':[{'sender':'human','text':'q'}]}"

static const struct {
    const char *in, *title;
} titles[] = {
    { WITH(""), CH_IMPORT_UNTITLED },
    { WITH("'name':null,"), CH_IMPORT_UNTITLED },
    { WITH("'name':7,"), CH_IMPORT_UNTITLED },
    { WITH("'name':'',"), CH_IMPORT_UNTITLED },
    { WITH("'name':' \\u2003\\n\\u0000 ',"), CH_IMPORT_UNTITLED },
    { WITH("'name':'a\\u0000\\u001bb',"), "ab" },
};

START_TEST(makes_titles)
{
    ck_assert_ptr_null(read_as(json(titles[_i].in), CH_IMPORT_AUTO));
    ck_assert_str_eq(talk.title, titles[_i].title);
}
END_TEST

/* A text of `count` times `what`. */
static const char *times(const char *what, size_t count)
{
    size_t len = strlen(what), i;
    char *out = apr_palloc(pool, len * count + 1);

    for (i = 0; i < count; i++) {
        memcpy(out + i * len, what, len);
    }
    out[len * count] = '\0';
    return out;
}

START_TEST(cuts_titles)
{
    const char *in = apr_pstrcat(pool, "{'name':'", times("\xC3\xA4", 199),
                                 " b", "','chat_messages':[{'sender':"
                                 "'human','text':'q'}]}", NULL);

    ck_assert_ptr_null(read_as(json(in), CH_IMPORT_AUTO));
    ck_assert_str_eq(talk.title, times("\xC3\xA4", 199));
}
END_TEST

static const char *content_of(const char *text)
{
    const char *in = apr_pstrcat(pool, "{'chat_messages':[{'sender':'human',"
                                 "'text':'", text, "'}]}", NULL);

    ck_assert_ptr_null(read_as(json(in), CH_IMPORT_AUTO));
    return message_at(0)->content;
}

START_TEST(cuts_contents)
{
    const char *most = times("\xE2\x82\xAC", CH_IMPORT_CONTENT_MAX);

    ck_assert_str_eq(content_of(most), most);
    ck_assert_str_eq(content_of(apr_pstrcat(pool, most, "x", NULL)),
                     apr_pstrcat(pool,
                                 times("\xE2\x82\xAC",
                                       CH_IMPORT_CONTENT_MAX - 1),
                                 "\xE2\x80\xA6", NULL));
}
END_TEST

START_TEST(makes_ids)
{
    const char *one, *same;

    ck_assert_ptr_null(read_as(json(WITH("")), CH_IMPORT_AUTO));
    one = talk.source_id;
    ck_assert_uint_eq(strlen(one), 64);
    ck_assert_ptr_null(read_as(json(WITH("'name':'x',")), CH_IMPORT_AUTO));
    same = talk.source_id;
    ck_assert_str_eq(one, same);
    ck_assert_ptr_null(read_as(
        json(WITH("'created_at':'2024-01-01T00:00:00Z',")), CH_IMPORT_AUTO));
    ck_assert_str_ne(one, talk.source_id);
    ck_assert_ptr_null(read_as(
        json("{'chat_messages':[{'sender':'assistant','text':'q'}]}"),
        CH_IMPORT_AUTO));
    ck_assert_str_ne(one, talk.source_id);
    /* where one text ends and the next begins is a part of it */
    ck_assert_ptr_null(read_as(
        json("{'chat_messages':[{'sender':'human','text':'ab'},"
             "{'sender':'human','text':'c'}]}"), CH_IMPORT_AUTO));
    one = talk.source_id;
    ck_assert_ptr_null(read_as(
        json("{'chat_messages':[{'sender':'human','text':'a'},"
             "{'sender':'human','text':'bc'}]}"), CH_IMPORT_AUTO));
    ck_assert_str_ne(one, talk.source_id);
}
END_TEST

START_TEST(keeps_ids_that_fit)
{
    const char *fits = times("x", CH_IMPORT_ID_MAX);
    const char *in = apr_pstrcat(pool, "{'uuid':'", fits, "',", NULL);
    const char *rest = "'chat_messages':[{'sender':'human','text':'q'}]}";

    ck_assert_ptr_null(read_as(json(apr_pstrcat(pool, in, rest, NULL)),
                               CH_IMPORT_AUTO));
    ck_assert_str_eq(talk.source_id, fits);
    in = apr_pstrcat(pool, "{'uuid':'x", fits, "',", rest, NULL);
    ck_assert_ptr_null(read_as(json(in), CH_IMPORT_AUTO));
    ck_assert_uint_eq(strlen(talk.source_id), 64);
    ck_assert_ptr_null(read_as(json(WITH("'uuid':'a\\u0000b',")),
                               CH_IMPORT_AUTO));
    ck_assert_uint_eq(strlen(talk.source_id), 64);
    ck_assert_ptr_null(read_as(json(WITH("'uuid':'',")), CH_IMPORT_AUTO));
    ck_assert_uint_eq(strlen(talk.source_id), 64);
}
END_TEST

static const char *many(size_t count)
{
    const char *list = times("{'sender':'human','text':'q'},", count);

    return json(apr_pstrcat(pool, "{'chat_messages':[", list, "null]}",
                            NULL));
}

START_TEST(has_limits)
{
    ck_assert_ptr_null(read_as(many(CH_IMPORT_MESSAGES_MAX),
                               CH_IMPORT_AUTO));
    ck_assert_int_eq(talk.messages->nelts, CH_IMPORT_MESSAGES_MAX);
    ck_assert_str_eq(read_as(many(CH_IMPORT_MESSAGES_MAX + 1),
                             CH_IMPORT_AUTO),
                     "has more than 5000 messages");
    ck_assert_str_eq(talk.title, CH_IMPORT_UNTITLED);
}
END_TEST

/* --- faults ----------------------------------------------------------- */

static const struct {
    const char *in;
    ch_import_e format;
    const char *out;
} faulty[] = {
    { "7", CH_IMPORT_AUTO, "unrecognised shape" },
    { "null", CH_IMPORT_AUTO, "unrecognised shape" },
    { "[]", CH_IMPORT_CHATGPT, "unrecognised shape" },
    { "'mapping'", CH_IMPORT_AUTO, "unrecognised shape" },
    { "{}", CH_IMPORT_AUTO, "unrecognised shape" },
    { "{'mapping':[]}", CH_IMPORT_AUTO, "unrecognised shape" },
    { "{'chat_messages':{}}", CH_IMPORT_AUTO, "unrecognised shape" },
    { WITH(""), CH_IMPORT_CHATGPT, "unrecognised shape" },
    { TALK("'a'", NODE("a", "null", "", USER("q"))), CH_IMPORT_CLAUDE,
      "unrecognised shape" },
    { "{'mapping':{}}", CH_IMPORT_AUTO, "has no messages" },
    { "{'chat_messages':[]}", CH_IMPORT_AUTO, "has no messages" },
    { "{'mapping':{'a':null}}", CH_IMPORT_CHATGPT, "has no messages" },
    { TALK("'a'", NODE("a", "null", "", SAYS("system", "x", ""))),
      CH_IMPORT_AUTO, "has no messages" },
};

START_TEST(says_what_is_wrong)
{
    ck_assert_str_eq(read_as(json(faulty[_i].in), faulty[_i].format),
                     faulty[_i].out);
}
END_TEST

CH_SUITE_MAIN("api/import", CH_EACH(walks_trees, trees),
              CH_EACH(reads_messages, messages),
              CH_ONCE(keeps_times_and_models), CH_EACH(reads_claude, claude),
              CH_ONCE(keeps_claude_times), CH_EACH(makes_titles, titles),
              CH_ONCE(cuts_titles), CH_ONCE(cuts_contents),
              CH_ONCE(makes_ids), CH_ONCE(keeps_ids_that_fit),
              CH_ONCE(has_limits), CH_EACH(says_what_is_wrong, faulty))
