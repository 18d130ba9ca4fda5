/*
 * Locations in S3: a line with the prefix that was granted, then a request's body. Whatever way the
 * body is cut, the verdict is one; and where another parser of JSON sees a location beyond the
 * prefix, it is refused.
 */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "flow/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

struct verdict {
    bool outside, unreadable;
};

static struct verdict scan(struct sl_slice prefix, struct sl_slice body, size_t piece) {
    static struct sl_grants_scan s;
    sl_grants_begin(&s, prefix);
    for (; body.len > 0; body = sl_slice_skip(body, piece))
        sl_grants_feed(&s, sl_slice_head(body, piece));
    struct verdict v = {s.outside, s.unreadable};
    sl_grants_done(&s);
    return v;
}

static bool is_granted(const char *uri, struct sl_slice prefix) {
    size_t len = strlen(uri);
    if (prefix.len == 0 || len < prefix.len || memcmp(uri, prefix.ptr, prefix.len) != 0)
        return false;
    return len == prefix.len || uri[prefix.len] == '/' || prefix.ptr[prefix.len - 1] == '/';
}

static bool names_another(const cJSON *value, struct sl_slice prefix, bool location) {
    const cJSON *item;
    if (cJSON_IsString(value))
        return location && strncasecmp(value->valuestring, "s3://", 5) == 0 &&
               !is_granted(value->valuestring, prefix);
    cJSON_ArrayForEach(item, value) {
        bool named =
            item->string && (!strcmp(item->string, "uri") || !strcmp(item->string, "s3Uri"));
        if (names_another(item, prefix, named))
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sl_slice body = sl_slice_of(data, size), prefix;
    if (size == 0 || !sl_slice_split(&body, '\n', &prefix) || body.len == 0)
        return 0;
    struct verdict whole = scan(prefix, body, SIZE_MAX), bytes = scan(prefix, body, 1);
    REQUIRE(whole.outside == bytes.outside && whole.unreadable == bytes.unreadable);
    /* A NUL ends cJSON's strings, not ours. */
    if (memmem(body.ptr, body.len, "\\u0000", 6) || memchr(body.ptr, '\0', body.len))
        return 0;
    cJSON *tree = cJSON_ParseWithLength(body.ptr, body.len);
    if (tree && names_another(tree, prefix, false))
        REQUIRE(whole.outside || whole.unreadable);
    cJSON_Delete(tree);
    return 0;
}
