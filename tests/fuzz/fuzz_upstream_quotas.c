/*
 * Quotas: the first byte chooses a page of the API, its name and words alone, or lines of the cache
 * on disk. What was read can be written, and is then read as the same; and each row is found by its
 * model.
 */
#include <assert.h>
#include <string.h>

#include "sluice/core/model.h"
#include "sluice/upstream/quotas.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT_MAX ((size_t)4 << 20)

static void check_same(const struct sl_quota_rows *a, const struct sl_quota_rows *b) {
    assert(a->count == b->count);
    for (size_t i = 0; i < a->count; i++) {
        const struct sl_quota_row *x = &a->items[i], *y = &b->items[i];
        assert(sl_slice_eq(x->model, y->model) && x->channel == y->channel && x->kind == y->kind &&
               x->value == y->value);
    }
}

static void check_rows(const struct sl_quota_rows *rows) {
    struct sl_quota_rows again = {0};
    struct sl_quota_limits limits;
    struct sl_buf text;
    sl_buf_init(&text, TEXT_MAX);
    int rc = sl_quota_rows_save(rows, &text);
    assert(rc == SL_OK);
    rc = sl_quota_rows_parse(&again, sl_buf_slice(&text));
    assert(rc == SL_OK);
    check_same(rows, &again);
    for (size_t i = 0; i < rows->count && i < 100; i++) {
        bool found =
            sl_quota_rows_find(rows, rows->items[i].model, rows->items[i].channel, &limits);
        assert(found);
    }
    sl_quota_rows_done(&again);
    sl_buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sl_quota_rows rows = {0};
    struct sl_buf token;
    if (size < 1)
        return 0;
    struct sl_slice text = sl_slice_of(data + 1, size - 1), line;
    sl_buf_init(&token, 4096);
    if (data[0] % 3 == 0) {
        int rc = sl_quota_rows_add_page(&rows, text, &token);
        assert(rc == SL_OK || rc == SL_E_INVALID || rc == SL_E_LIMIT || rc == SL_E_NOMEM);
    } else if (data[0] % 3 == 1) {
        while (text.len > 0 && sl_slice_split(&text, '\n', &line)) {
            int rc = sl_quota_rows_add(&rows, line, 1 + data[0]);
            assert(rc == SL_OK || rc == SL_E_LIMIT);
        }
    } else {
        int rc = sl_quota_rows_parse(&rows, text);
        assert(rc == SL_OK || rc == SL_E_INVALID || rc == SL_E_LIMIT);
    }
    check_rows(&rows);
    sl_quota_rows_done(&rows);
    sl_buf_done(&token);
    return 0;
}
