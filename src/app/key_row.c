/* Each wish has one reader; all of them stand in a table, so that a message can name its wish. */
#include "app/key_row.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "app/config_value.h"
#include "app/span.h"
#include "sluice/base/clock.h"
#include "sluice/base/rand.h"

/* Beyond the year 9000 no date can be written. */
#define LATEST UINT64_C(221845000000)

SL_PRINTF(3, 4) static int refuse(char *why, size_t size, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, size, fmt, args);
    va_end(args);
    return SL_E_INVALID;
}

/* ---- Words ------------------------------------------------------------------------ */

/* "2027-01-31": until that day is over, UTC. */
static bool read_day_end(struct sl_slice text, uint64_t *wall_s) {
    if (!sl_span_read_day(text, wall_s))
        return false;
    *wall_s += 86400;
    return true;
}

static bool is_printable(struct sl_slice s) {
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f)
            return false;
    return true;
}

/* ---- Wishes ----------------------------------------------------------------------- */

/* What a reader needs; `is` names what the wish should have been when it returns false. */
struct reading {
    struct sl_db_key *row;
    uint64_t wall_s;
    const char *is;
};

static bool keep(char *out, size_t size, struct sl_slice text) {
    if (text.len >= size || !is_printable(text))
        return false;
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    return true;
}

static bool read_name(struct reading *r, struct sl_slice text) {
    r->is = "1 to 64 bytes without control characters";
    return text.len > 0 && text.len <= SL_CLIENT_NAME_MAX &&
           keep(r->row->name, sizeof(r->row->name), text);
}

static bool read_models(struct reading *r, struct sl_slice text) {
    struct sl_slice rest = text, pattern;
    size_t count = 0;
    r->is = "up to 64 model ids with commas between, '*' for any text, such as "
            "us.anthropic.*,amazon.nova-lite-v1:0";
    while (sl_slice_split(&rest, ',', &pattern))
        if (sl_slice_trim(pattern).len == 0 || ++count > SL_KEY_LIST_MAX)
            return false;
    return keep(r->row->models, sizeof(r->row->models), text);
}

static bool read_priority(struct reading *r, struct sl_slice text) {
    r->is = "interactive, normal or batch";
    r->row->priority = (int)sl_class_named(text);
    return r->row->priority < SL_CLASS_COUNT;
}

static bool read_count(struct reading *r, struct sl_slice text, uint64_t *out) {
    r->is = "a whole number; 0 is no limit";
    return sl_slice_u64(text, out) && *out <= INT64_MAX;
}

static bool read_rpm(struct reading *r, struct sl_slice text) {
    return read_count(r, text, &r->row->rpm);
}

static bool read_tpm(struct reading *r, struct sl_slice text) {
    return read_count(r, text, &r->row->tpm);
}

static bool read_expires(struct reading *r, struct sl_slice text) {
    uint64_t seconds;
    r->is = "a time from now, such as 90d or 12h, or the last day, such as 2027-01-31; it must "
            "not be over";
    if (sl_span_read(text, &seconds))
        r->row->expires_at = r->wall_s + seconds;
    else if (!read_day_end(text, &r->row->expires_at))
        return false;
    return r->row->expires_at > r->wall_s && r->row->expires_at <= LATEST;
}

/* By enum sl_cache_when. */
static const struct sl_slice cache_words[] = {SL_LIT(""), SL_LIT("never"), SL_LIT("deterministic"),
                                              SL_LIT("always")};

static bool read_cache(struct reading *r, struct sl_slice text) {
    r->is = "always, deterministic or never";
    for (int i = SL_CACHE_NEVER; i <= SL_CACHE_ALWAYS; i++)
        if (sl_slice_eq(text, cache_words[i])) {
            r->row->cache = i;
            return true;
        }
    return false;
}

static bool read_operations(struct reading *r, struct sl_slice text) {
    uint64_t bits;
    r->is = "some of async-invoke, listings and s3, with commas between";
    return sl_key_operations(text, &bits) == SL_OK &&
           keep(r->row->operations, sizeof(r->row->operations), text);
}

static bool read_s3_prefix(struct reading *r, struct sl_slice text) {
    r->is = "where objects may be read and written, such as s3://bucket/folder/";
    return sl_slice_starts(text, SL_LIT("s3://")) &&
           keep(r->row->s3_prefix, sizeof(r->row->s3_prefix), text);
}

static bool read_subject(struct reading *r, struct sl_slice text) {
    r->is = "a client certificate's subject of up to 255 bytes, such as CN=app,O=Example";
    return keep(r->row->subject, sizeof(r->row->subject), text);
}

static const struct {
    const char *name;
    size_t offset;
    bool (*read)(struct reading *r, struct sl_slice text);
} wishes[] = {
    {"name", offsetof(struct sl_key_wish, name), read_name},
    {"models", offsetof(struct sl_key_wish, models), read_models},
    {"priority", offsetof(struct sl_key_wish, priority), read_priority},
    {"rpm", offsetof(struct sl_key_wish, rpm), read_rpm},
    {"tpm", offsetof(struct sl_key_wish, tpm), read_tpm},
    {"expires", offsetof(struct sl_key_wish, expires), read_expires},
    {"cache", offsetof(struct sl_key_wish, cache), read_cache},
    {"operations", offsetof(struct sl_key_wish, operations), read_operations},
    {"s3-prefix", offsetof(struct sl_key_wish, s3_prefix), read_s3_prefix},
    {"subject", offsetof(struct sl_key_wish, subject), read_subject},
};

int sl_key_row_make(struct sl_db_key *row, const struct sl_key_wish *wish, uint64_t wall_s,
                    char *why, size_t why_size) {
    struct sl_db_key made = {.generation = 1, .created_at = wall_s, .priority = SL_CLASS_NORMAL};
    struct reading r = {.row = &made, .wall_s = wall_s};
    uint8_t random[SL_KEY_ID_BYTES];
    if (!wish->name)
        return refuse(why, why_size, "a key needs a name");
    for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
        const char *text =
            *(const char *const *)(const void *)((const char *)wish + wishes[i].offset);
        if (text && !wishes[i].read(&r, sl_slice_str(text)))
            return refuse(why, why_size, "%s %s is not %s", wishes[i].name,
                          sl_quote(sl_slice_str(text)).text, r.is);
    }
    sl_rand_bytes(random, sizeof(random));
    sl_key_id(random, made.id);
    *row = made;
    return SL_OK;
}

int sl_key_row_rotate(struct sl_db_key *row, const char *overlap, uint64_t wall_s, char *why,
                      size_t why_size) {
    uint64_t seconds;
    if (!sl_span_read(sl_slice_str(overlap), &seconds))
        return refuse(why, why_size,
                      "overlap %s is not how long the former secrets stay valid, such as 7d, 12h "
                      "or 0",
                      sl_quote(sl_slice_str(overlap)).text);
    if (row->revoked_at)
        return refuse(why, why_size, "%s is revoked: make a new key",
                      sl_quote(sl_slice_str(row->name)).text);
    if (row->generation >= SL_KEY_GENERATION_MAX)
        return refuse(why, why_size, "%s cannot be rotated any more: make a new key",
                      sl_quote(sl_slice_str(row->name)).text);
    row->generation++;
    row->overlap_until = seconds ? wall_s + seconds : 0;
    return SL_OK;
}

/* ---- Out -------------------------------------------------------------------------- */

const char *sl_key_row_state(const struct sl_db_key *row, uint64_t wall_s) {
    return row->revoked_at                                ? "revoked"
           : row->expires_at && row->expires_at <= wall_s ? "expired"
                                                          : "live";
}

void sl_key_row_date(uint64_t wall_s, char out[SL_ISO_DATE_SIZE]) {
    out[0] = '\0';
    if (wall_s > 0 && wall_s <= LATEST)
        sl_clock_iso_date((int64_t)wall_s * 1000, out);
}

/* `,"name":"text"`, or null where text is empty. */
static int add_text(struct sl_buf *out, const char *name, struct sl_slice text) {
    int rc = sl_buf_printf(out, ",\"%s\":", name);
    if (rc < 0)
        return rc;
    return text.len > 0 ? sl_buf_add_json(out, text) : sl_buf_add_str(out, "null");
}

static int add_date(struct sl_buf *out, const char *name, uint64_t wall_s) {
    char date[SL_ISO_DATE_SIZE];
    sl_key_row_date(wall_s, date);
    return add_text(out, name, sl_slice_str(date));
}

static int add_secrets(struct sl_buf *out, const struct sl_key_secrets *secrets) {
    int rc = add_text(out, "bearer_token", sl_slice_str(secrets->bearer));
    if (rc == SL_OK)
        rc = add_text(out, "aws_access_key_id", sl_slice_str(secrets->access_key_id));
    if (rc == SL_OK)
        rc = add_text(out, "aws_secret_access_key", sl_slice_str(secrets->secret));
    return rc;
}

int sl_key_row_json(struct sl_buf *out, const struct sl_db_key *row,
                    const struct sl_key_secrets *secrets, uint64_t wall_s) {
    const struct {
        const char *name;
        struct sl_slice text;
    } texts[] = {
        {"name", sl_slice_str(row->name)},
        {"state", sl_slice_str(sl_key_row_state(row, wall_s))},
        {"priority", sl_class_name((enum sl_class)row->priority)},
        {"cache", cache_words[row->cache > 0 && row->cache <= SL_CACHE_ALWAYS ? row->cache : 0]},
        {"models", sl_slice_str(row->models)},
        {"operations", sl_slice_str(row->operations)},
        {"s3_prefix", sl_slice_str(row->s3_prefix)},
        {"subject", sl_slice_str(row->subject)},
    };
    const struct {
        const char *name;
        uint64_t at;
    } dates[] = {{"created_at", row->created_at},
                 {"expires_at", row->expires_at},
                 {"revoked_at", row->revoked_at},
                 {"overlap_until", row->overlap_until}};
    int rc = sl_buf_printf(
        out, "{\"id\":\"%s\",\"generation\":%" PRIu32 ",\"rpm\":%" PRIu64 ",\"tpm\":%" PRIu64,
        row->id, row->generation, row->rpm, row->tpm);
    for (size_t i = 0; rc == SL_OK && i < sizeof(texts) / sizeof(texts[0]); i++)
        rc = add_text(out, texts[i].name, texts[i].text);
    for (size_t i = 0; rc == SL_OK && i < sizeof(dates) / sizeof(dates[0]); i++)
        rc = add_date(out, dates[i].name, dates[i].at);
    if (rc == SL_OK && secrets)
        rc = add_secrets(out, secrets);
    return rc == SL_OK ? sl_buf_add_byte(out, '}') : rc;
}
