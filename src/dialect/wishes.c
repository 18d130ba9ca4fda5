/*
 * Durations are read as decimal numbers in milliseconds, rounded up, so that no one who waits a
 * little waits not at all. A timeout of nothing is none that a client could mean.
 */
#include "sluice/dialect/wishes.h"

#include "sluice/base/clock.h"

/* About 30 years; keeps sums with the clock far from overflow. */
#define TIMEOUT_MAX_MS UINT64_C(1000000000000)
/* Of a refused value, in the message. */
#define SHOWN_MAX 64

static struct sl_slice take_digits(struct sl_slice *rest) {
    size_t n = 0;
    while (n < rest->len && rest->ptr[n] >= '0' && rest->ptr[n] <= '9')
        n++;
    struct sl_slice digits = sl_slice_head(*rest, n);
    *rest = sl_slice_skip(*rest, n);
    return digits;
}

/* "1.5" → 1500000; what is finer than a millionth counts as one. False: no number, or too large. */
static bool take_millionths(struct sl_slice *rest, uint64_t *out) {
    struct sl_slice whole = take_digits(rest), fraction = SL_EMPTY;
    uint64_t value;
    if (!sl_slice_u64(whole, &value) || value > TIMEOUT_MAX_MS)
        return false;
    if (rest->len > 0 && rest->ptr[0] == '.') {
        *rest = sl_slice_skip(*rest, 1);
        fraction = take_digits(rest);
        if (fraction.len == 0)
            return false;
    }
    for (size_t i = 0; i < 6; i++)
        value = value * 10 + (i < fraction.len ? (uint64_t)(fraction.ptr[i] - '0') : 0);
    for (size_t i = 6; i < fraction.len; i++)
        if (fraction.ptr[i] != '0') {
            value++;
            break;
        }
    *out = value;
    return true;
}

/* "30s", "1500ms", "2m", "1h"; without a unit, seconds. False unless it is more than nothing. */
static bool parse_duration(struct sl_slice text, uint64_t *ms) {
    static const struct {
        struct sl_slice name;
        uint64_t ms;
    } units[] = {
        {SL_LIT(""), 1000},   {SL_LIT("s"), 1000},    {SL_LIT("ms"), 1},
        {SL_LIT("m"), 60000}, {SL_LIT("h"), 3600000},
    };
    uint64_t millionths, scaled;
    if (!take_millionths(&text, &millionths))
        return false;
    text = sl_slice_trim(text);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (!sl_slice_eq(text, units[i].name))
            continue;
        if (__builtin_mul_overflow(millionths, units[i].ms, &scaled))
            return false;
        scaled = scaled / 1000000 + (scaled % 1000000 > 0 ? 1 : 0);
        if (scaled == 0 || scaled > TIMEOUT_MAX_MS)
            return false;
        *ms = scaled;
        return true;
    }
    return false;
}

/* The ttl of "ttl=20261122T193000Z; attempt=1; max=3" from now on; 0: none. */
static uint64_t sdk_timeout(struct sl_slice value) {
    struct sl_slice rest = value, part;
    int64_t at;
    while (sl_slice_split(&rest, ';', &part)) {
        part = sl_slice_trim(part);
        if (!sl_slice_starts(part, SL_LIT("ttl=")))
            continue;
        part = sl_slice_skip(part, 4);
        if (sl_clock_parse_iso(part.ptr, part.len, &at) != SL_OK)
            return 0;
        int64_t now = sl_clock_wall_ms();
        return at > now ? (uint64_t)(at - now) : 1; /* it gives up right now */
    }
    return 0;
}

static int refuse(struct sl_decode *d, const char *header, struct sl_slice value,
                  const char *allowed) {
    d->failure = SL_FAILURE_VALIDATION;
    return sl_arena_printf(d->arena, &d->message, "%s is '%.*s'; it may be %s.", header,
                           SL_FMT(sl_slice_head(value, SHOWN_MAX)), allowed);
}

static int read_timeout(struct sl_decode *d, const struct sl_headers *headers) {
    const struct sl_header *own = sl_headers_find(headers, SL_LIT("x-sluice-timeout"));
    d->call->timeout_ms = 0;
    if (own && parse_duration(own->value, &d->call->timeout_ms))
        return SL_OK;
    if (own)
        return refuse(d, "x-sluice-timeout", own->value,
                      "a duration above 0, such as 30s or 1500ms");
    if (!parse_duration(sl_headers_get(headers, SL_LIT("x-stainless-timeout")),
                        &d->call->timeout_ms))
        d->call->timeout_ms = sdk_timeout(sl_headers_get(headers, SL_LIT("amz-sdk-request")));
    return SL_OK;
}

static int read_priority(struct sl_decode *d, const struct sl_headers *headers) {
    const struct sl_header *own = sl_headers_find(headers, SL_LIT("x-sluice-priority"));
    d->call->priority = own ? sl_class_named(own->value) : SL_CLASS_COUNT;
    if (own && d->call->priority == SL_CLASS_COUNT)
        return refuse(d, "x-sluice-priority", own->value, "interactive, normal or batch");
    return SL_OK;
}

/* "max-age=60", "max-age=\"60\"". What cannot be read counts as 0, which asks for a fresh answer.
 */
static int64_t parse_age(struct sl_slice value) {
    uint64_t age;
    if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
        value = sl_slice_of(value.ptr + 1, value.len - 2);
    if (!sl_slice_u64(value, &age))
        return 0;
    return age < INT32_MAX ? (int64_t)age : INT32_MAX; /* RFC 9111 1.2.2 */
}

static void read_directive(struct sl_call *call, struct sl_slice directive) {
    size_t equals = sl_slice_find(directive, '=');
    struct sl_slice name = sl_slice_head(directive, equals);
    if (sl_slice_ieq(name, SL_LIT("no-store")))
        call->cache.no_store = true;
    else if (sl_slice_ieq(name, SL_LIT("no-cache")))
        call->cache.no_cache = true;
    else if (sl_slice_ieq(name, SL_LIT("only-if-cached")))
        call->cache.only_if_cached = true;
    else if (sl_slice_ieq(name, SL_LIT("max-age"))) {
        int64_t age = parse_age(sl_slice_skip(directive, equals + 1));
        if (call->cache.max_age < 0 || age < call->cache.max_age)
            call->cache.max_age = age;
    }
}

static void read_cache(struct sl_call *call, const struct sl_headers *headers) {
    call->cache.no_store = call->cache.no_cache = call->cache.only_if_cached = false;
    call->cache.max_age = -1;
    for (size_t i = 0; i < headers->count; i++) {
        struct sl_slice rest = headers->items[i].value, directive;
        if (!sl_slice_ieq(headers->items[i].name, SL_LIT("cache-control")))
            continue;
        while (sl_slice_split(&rest, ',', &directive))
            read_directive(call, sl_slice_trim(directive));
    }
}

int sl_wishes_read(struct sl_decode *d, const struct sl_request_head *head) {
    read_cache(d->call, &head->headers);
    int err = read_priority(d, &head->headers);
    return err ? err : read_timeout(d, &head->headers);
}

bool sl_wishes_own_header(struct sl_slice name) {
    static const struct sl_slice prefixes[] = {SL_LIT("x-sluice-"), SL_LIT("x-stainless-")};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (sl_slice_ieq(sl_slice_head(name, prefixes[i].len), prefixes[i]))
            return true;
    return sl_slice_ieq(name, SL_LIT("cache-control"));
}
