/*
 * Documents that hold credentials: the first byte chooses JSON of a process, of a container or of
 * instance metadata, XML of STS, a date, a URL. What is taken can stand in a header; what is
 * refused is refused with a sentence.
 */
#include <assert.h>

#include "sluice/base/mem.h"
#include "upstream/credset.h"
#include "upstream/sts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_value(struct sl_slice value) {
    for (size_t i = 0; i < value.len; i++)
        assert((unsigned char)value.ptr[i] > ' ' && value.ptr[i] != 0x7f);
}

static void check_set(int rc, struct sl_credset *set, const char *why) {
    assert((rc == SL_OK) == (set != NULL));
    assert((rc == SL_OK) == (why[0] == '\0'));
    if (!set)
        return;
    check_value(set->view.access_key_id);
    check_value(set->view.secret);
    check_value(set->view.session_token);
    sl_credset_free(set);
}

static void check_url(struct sl_slice text) {
    struct sl_url url;
    if (sl_url_split(text, &url) != SL_OK)
        return;
    assert(url.host.len > 0 && url.target.len > 0 && url.target.ptr[0] == '/');
    assert(sl_slice_starts(text, url.origin) && url.origin.len > url.host.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct sl_credset_json forms[] = {
        {"a process", "SessionToken", true, false},
        {"a container", "Token", false, true},
        {"instance metadata", "Token", false, true},
    };
    struct sl_credset *set = NULL;
    char why[256] = "";
    if (size < 1)
        return 0;
    struct sl_slice text = sl_slice_of(data + 1, size - 1);
    int64_t ms = -1;
    int rc;
    switch (data[0] % 6) {
    case 3:
        rc = sl_sts_read(text, "sts", &set, why, sizeof(why));
        check_set(rc, set, why);
        break;
    case 4:
        if (sl_credset_parse_date(text, &ms) != SL_OK)
            assert(ms == -1);
        break;
    case 5:
        check_url(text);
        break;
    default:
        rc = sl_credset_from_json(&forms[data[0] % 6], text, &set, why, sizeof(why));
        check_set(rc, set, why);
    }
    return 0;
}
