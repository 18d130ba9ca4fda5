#include "upstream/credset.h"

#include <cjson/cJSON.h>
#include <openssl/mem.h>
#include <stdio.h>

#include "sluice/base/clock.h"
#include "sluice/base/mem.h"

#define JSON_MAX_BYTES (1u << 20)

static bool is_plain(struct sl_slice s, char lowest) {
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < lowest || s.ptr[i] > '~')
            return false;
    return true;
}

static int check(const struct sl_credentials *f, char *why, size_t why_size) {
    const char *bad = NULL;
    bool bearer = f->bearer.len > 0;
    if (!bearer && f->access_key_id.len == 0)
        bad = "the access key id is empty";
    else if (!bearer && f->secret.len == 0)
        bad = "the secret access key is empty";
    else if (!is_plain(f->access_key_id, '!'))
        bad = "the access key id holds a space, a line break or another byte that it cannot have";
    else if (!is_plain(f->secret, '!'))
        bad =
            "the secret access key holds a space, a line break or another byte that it cannot have";
    else if (!is_plain(f->session_token, '!'))
        bad = "the session token holds a space, a line break or another byte that it cannot have";
    else if (!is_plain(f->bearer, '!'))
        bad = "the bearer token holds a space, a line break or another byte that it cannot have";
    else if (f->access_key_id.len + f->secret.len + f->session_token.len + f->bearer.len >
             SL_CREDSET_MAX_BYTES)
        bad = "the credentials are longer than any that AWS gives";
    if (!bad)
        return SL_OK;
    snprintf(why, why_size, "%s", bad);
    return SL_E_INVALID;
}

int sl_credset_new(const struct sl_credentials *fields, bool fixed, struct sl_credset **out,
                   char *why, size_t why_size) {
    int rc = check(fields, why, why_size);
    if (rc < 0)
        return rc;
    size_t size = fields->access_key_id.len + fields->secret.len + fields->session_token.len +
                  fields->bearer.len;
    struct sl_credset *set = sl_alloc(sizeof(*set) + size);
    if (!set) {
        snprintf(why, why_size, "out of memory");
        return SL_E_NOMEM;
    }
    sl_list_init(&set->link);
    set->view = *fields;
    set->fixed = fixed;
    set->size = size;
    char *at = set->bytes;
    struct sl_slice *parts[] = {&set->view.access_key_id, &set->view.secret,
                                &set->view.session_token, &set->view.bearer};
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        if (parts[i]->len)
            memcpy(at, parts[i]->ptr, parts[i]->len);
        parts[i]->ptr = at;
        at += parts[i]->len;
    }
    *out = set;
    return SL_OK;
}

void sl_credset_free(struct sl_credset *set) {
    if (!set)
        return;
    sl_list_remove(&set->link);
    OPENSSL_cleanse(set->bytes, set->size);
    sl_free(set);
}

int sl_credset_parse_date(struct sl_slice text, int64_t *wall_ms) {
    char utc[40];
    int64_t offset_ms = 0;
    /* "±HH:MM" or "±HHMM" behind a time; the sign of a date stands before its 'T'. */
    size_t time = sl_slice_find(text, 'T');
    struct sl_slice zone = sl_slice_skip(text, time);
    while (zone.len && zone.ptr[0] != '+' && zone.ptr[0] != '-')
        zone = sl_slice_skip(zone, 1);
    if (zone.len == 0)
        return sl_clock_parse_iso(text.ptr, text.len, wall_ms);
    bool colon = zone.len == 6 && zone.ptr[3] == ':';
    uint64_t hours, minutes;
    if ((!colon && zone.len != 5) || !sl_slice_u64(sl_slice_of(zone.ptr + 1, 2), &hours) ||
        !sl_slice_u64(sl_slice_of(zone.ptr + (colon ? 4 : 3), 2), &minutes) || hours > 23 ||
        minutes > 59 || text.len - zone.len + 1 > sizeof(utc))
        return SL_E_INVALID;
    offset_ms = (int64_t)(hours * 60 + minutes) * 60000;
    size_t len = text.len - zone.len;
    memcpy(utc, text.ptr, len);
    utc[len] = 'Z';
    int64_t at;
    int rc = sl_clock_parse_iso(utc, len + 1, &at);
    if (rc < 0)
        return rc;
    *wall_ms = zone.ptr[0] == '+' ? at - offset_ms : at + offset_ms;
    return SL_OK;
}

/* The whole text must be one object. */
static cJSON *parse_object(struct sl_slice document) {
    const char *end = NULL;
    if (document.len == 0 || document.len > JSON_MAX_BYTES)
        return NULL;
    cJSON *json = cJSON_ParseWithLengthOpts(document.ptr, document.len, &end, 0);
    if (!json)
        return NULL;
    while (end < document.ptr + document.len && strchr(" \t\r\n", *end) && *end)
        end++;
    if (end == document.ptr + document.len && cJSON_IsObject(json))
        return json;
    cJSON_Delete(json);
    return NULL;
}

/* cJSON frees without wiping. */
static void delete_object(cJSON *json) {
    cJSON *item;
    cJSON_ArrayForEach(item, json) if (cJSON_IsString(item))
        OPENSSL_cleanse(item->valuestring, strlen(item->valuestring));
    cJSON_Delete(json);
}

static struct sl_slice text_of(const cJSON *json, const char *key) {
    return sl_slice_str(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key)));
}

static int read_fields(const struct sl_credset_json *form, const cJSON *json,
                       struct sl_credentials *fields, char *why, size_t why_size) {
    struct sl_slice expiration = text_of(json, "Expiration"), code = text_of(json, "Code"),
                    message = text_of(json, "Message");
    *fields = (struct sl_credentials){.access_key_id = text_of(json, "AccessKeyId"),
                                      .secret = text_of(json, "SecretAccessKey"),
                                      .session_token = text_of(json, form->token_key),
                                      .bearer = SL_EMPTY,
                                      .expires_ms = INT64_MAX,
                                      .source = form->source};
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(json, "Version");
    const char *missing = fields->access_key_id.len == 0      ? "AccessKeyId"
                          : fields->secret.len == 0           ? "SecretAccessKey"
                          : !form->needs_token_and_expiration ? NULL
                          : fields->session_token.len == 0    ? form->token_key
                          : expiration.len == 0               ? "Expiration"
                                                              : NULL;
    if (form->needs_version_1 && !(cJSON_IsNumber(version) && version->valuedouble == 1.0)) {
        snprintf(why, why_size, "its answer has no \"Version\": 1");
        return SL_E_INVALID;
    }
    if (missing) {
        snprintf(why, why_size, "its answer has no %s%s%.*s%s%.*s", missing,
                 code.len ? "; it says " : "", SL_FMT(sl_slice_head(code, 64)),
                 message.len ? ": " : "", SL_FMT(sl_slice_head(message, 200)));
        return SL_E_INVALID;
    }
    if (expiration.len && sl_credset_parse_date(expiration, &fields->expires_ms) < 0) {
        snprintf(why, why_size, "its answer's Expiration is no date: \"%.*s\"",
                 SL_FMT(sl_slice_head(expiration, 40)));
        return SL_E_INVALID;
    }
    return SL_OK;
}

int sl_credset_from_json(const struct sl_credset_json *form, struct sl_slice document,
                         struct sl_credset **out, char *why, size_t why_size) {
    cJSON *json = parse_object(document);
    if (!json) {
        snprintf(why, why_size, "its answer is not a JSON object");
        return SL_E_INVALID;
    }
    struct sl_credentials fields;
    int rc = read_fields(form, json, &fields, why, why_size);
    if (rc == SL_OK)
        rc = sl_credset_new(&fields, false, out, why, why_size);
    delete_object(json);
    return rc;
}
