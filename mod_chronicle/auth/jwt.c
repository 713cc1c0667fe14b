/* Signs and verifies access tokens. */
#include "auth/jwt.h"

#include <string.h>

#include "base/json.h"
#include "base/jsonw.h"
#include "base/seal.h"
#include "base/uuid.h"

#define TOKEN_MAX 4096
#define TOKEN_DEPTH_MAX 8
#define JSON_MAX TOKEN_MAX
#define SIGN_ROOM 512

/* The three parts between the dots. */
typedef struct {
    ch_bytes_t head;
    ch_bytes_t body;
    ch_bytes_t mac;
    size_t signed_len; /* head, dot, body */
} parts_t;

/* The key word and a string value, the comma before all but the first. */
static void put_str(ch_buf_t *json, const char *lead, const char *value)
{
    ch_buf_puts(json, lead);
    ch_jsonw_cstr(json, value);
}

static void put_int(ch_buf_t *json, const char *lead, apr_int64_t value)
{
    ch_buf_puts(json, lead);
    ch_jsonw_int(json, value);
}

const char *ch_jwt_sign(apr_pool_t *pool, const ch_jwt_key_t *key,
                        const ch_claims_t *claims)
{
    ch_buf_t *json = ch_buf_make(pool, SIGN_ROOM, JSON_MAX);
    ch_buf_t *token = ch_buf_make(pool, SIGN_ROOM * 2, TOKEN_MAX);
    unsigned char mac[CH_SHA256_LEN];

    put_str(json, "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":", key->kid);
    ch_buf_putc(json, '}');
    ch_buf_puts(token, ch_seal_b64url(pool, json->data, json->len));
    ch_buf_putc(token, '.');
    json->len = 0;
    put_str(json, "{\"iss\":", CH_JWT_ISSUER);
    put_str(json, ",\"aud\":", CH_JWT_AUDIENCE);
    put_str(json, ",\"sub\":", claims->sub);
    put_str(json, ",\"email\":", claims->email);
    put_str(json, ",\"role\":", claims->role);
    put_str(json, ",\"sid\":", claims->sid);
    put_int(json, ",\"iat\":", claims->iat);
    put_int(json, ",\"nbf\":", claims->nbf);
    put_int(json, ",\"exp\":", claims->exp);
    ch_buf_putc(json, '}');
    ch_buf_puts(token, ch_seal_b64url(pool, json->data, json->len));
    ch_seal_hmac(key->secret, key->len, token->data, token->len, mac);
    ch_buf_putc(token, '.');
    ch_buf_puts(token, ch_seal_b64url(pool, mac, sizeof(mac)));
    return ch_buf_cstr(token);
}

static int split(const char *token, size_t len, parts_t *parts)
{
    const char *end = token + len;
    const char *first = memchr(token, '.', len);
    const char *second;

    if (len > TOKEN_MAX || first == NULL) {
        return 0;
    }
    second = memchr(first + 1, '.', (size_t)(end - first - 1));
    if (second == NULL) {
        return 0;
    }
    parts->head.data = token;
    parts->head.len = (size_t)(first - token);
    parts->body.data = first + 1;
    parts->body.len = (size_t)(second - first - 1);
    parts->mac.data = second + 1;
    parts->mac.len = (size_t)(end - second - 1);
    parts->signed_len = (size_t)(second - token);
    return 1;
}

/* A part's JSON object, NULL if it is none. */
static const ch_json_t *object_of(apr_pool_t *pool, ch_bytes_t part)
{
    const ch_json_t *json;
    size_t len;
    unsigned char *text =
        ch_seal_b64url_decode(pool, part.data, part.len, &len);

    if (text == NULL ||
        ch_json_parse(pool, (const char *)text, len, TOKEN_DEPTH_MAX, &json) !=
            NULL ||
        ch_json_type(json) != CH_JSON_OBJECT) {
        return NULL;
    }
    return json;
}

/* A string member without NUL bytes (the parser takes none), else NULL. */
static const char *str_of(const ch_json_t *object, const char *key)
{
    const ch_json_t *value = ch_json_get(object, key);

    if (value == NULL || ch_json_type(value) != CH_JSON_STRING) {
        return NULL;
    }
    return ch_json_string(value, NULL);
}

static int is_str(const ch_json_t *object, const char *key, const char *want)
{
    const char *value = str_of(object, key);

    return value != NULL && strcmp(value, want) == 0;
}

/* A time claim in whole seconds that are not absurd; 0 if it is none. */
static int seconds_of(const ch_json_t *object, const char *key,
                      apr_int64_t *out)
{
    const ch_json_t *value = ch_json_get(object, key);

    if (value == NULL || ch_json_type(value) != CH_JSON_INT) {
        return 0;
    }
    *out = ch_json_int(value);
    return *out >= 0;
}

/* The key that the header names, if the header is one that we would make. */
static const ch_jwt_key_t *key_of(const ch_json_t *head,
                                  const ch_jwt_key_t *keys, int count)
{
    int i;

    if (head == NULL || !is_str(head, "alg", "HS256") ||
        (ch_json_get(head, "typ") != NULL && !is_str(head, "typ", "JWT")) ||
        ch_json_get(head, "crit") != NULL) {
        return NULL;
    }
    for (i = 0; i < count; i++) {
        if (is_str(head, "kid", keys[i].kid)) {
            return &keys[i];
        }
    }
    return NULL;
}

static int mac_fits(apr_pool_t *pool, const ch_jwt_key_t *key,
                    const char *token, const parts_t *parts)
{
    unsigned char mac[CH_SHA256_LEN];
    size_t len;
    unsigned char *given =
        ch_seal_b64url_decode(pool, parts->mac.data, parts->mac.len, &len);

    if (given == NULL) {
        return 0;
    }
    ch_seal_hmac(key->secret, key->len, token, parts->signed_len, mac);
    return ch_seal_equal(given, len, mac, sizeof(mac));
}

/* A UUID member in lower case, else NULL: these go into SQL as uuid. */
static const char *uuid_of(apr_pool_t *pool, const ch_json_t *object,
                           const char *key)
{
    const char *text = str_of(object, key);
    char *out = apr_palloc(pool, CH_UUID_LEN + 1);

    if (text == NULL || !ch_uuid_parse(text, strlen(text), out)) {
        return NULL;
    }
    return out;
}

static ch_jwt_e check_claims(apr_pool_t *pool, const ch_json_t *body,
                             apr_int64_t now, ch_claims_t *claims)
{
    ch_claims_t found;

    if (body == NULL || !is_str(body, "iss", CH_JWT_ISSUER) ||
        !is_str(body, "aud", CH_JWT_AUDIENCE)) {
        return CH_JWT_BAD;
    }
    found.sub = uuid_of(pool, body, "sub");
    found.sid = uuid_of(pool, body, "sid");
    found.email = str_of(body, "email");
    found.role = str_of(body, "role");
    if (found.sub == NULL || found.sid == NULL || found.email == NULL ||
        found.role == NULL || !seconds_of(body, "iat", &found.iat) ||
        !seconds_of(body, "nbf", &found.nbf) ||
        !seconds_of(body, "exp", &found.exp) ||
        found.iat > now + CH_JWT_SKEW_SECONDS ||
        found.nbf > now + CH_JWT_SKEW_SECONDS) {
        return CH_JWT_BAD;
    }
    *claims = found;
    return found.exp > now ? CH_JWT_GOOD : CH_JWT_EXPIRED;
}

ch_jwt_e ch_jwt_verify(apr_pool_t *pool, const ch_jwt_key_t *keys, int count,
                       ch_bytes_t token, apr_int64_t now,
                       ch_claims_t *claims)
{
    const ch_jwt_key_t *key;
    parts_t parts;

    if (!split(token.data, token.len, &parts)) {
        return CH_JWT_BAD;
    }
    key = key_of(object_of(pool, parts.head), keys, count);
    /* Nothing in the body is looked at before the MAC vouches for it. */
    if (key == NULL || !mac_fits(pool, key, token.data, &parts)) {
        return CH_JWT_BAD;
    }
    return check_claims(pool, object_of(pool, parts.body), now, claims);
}
