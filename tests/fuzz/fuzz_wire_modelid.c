/* Model ids: an id and its percent-encoded form are the same id; slices stay inside the input. */
#include <assert.h>

#include "sluice/wire/modelid.h"
#include "sluice/wire/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct sl_slice part, struct sl_slice whole) {
    if (part.len > 0)
        assert(part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void check_same(struct sl_slice encoded, struct sl_slice raw) {
    struct sl_buf decoded;
    sl_buf_init(&decoded, encoded.len + 1);
    int rc = sl_uri_decode(&decoded, encoded);
    assert(rc == SL_OK);
    assert(sl_slice_eq(sl_buf_slice(&decoded), raw));
    sl_buf_done(&decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sl_slice id = sl_slice_of(data, size);
    enum sl_model_id_kind kind = sl_model_id_kind(id);
    assert(kind <= SL_MODEL_ID_OTHER);
    check_inside(sl_model_id_bare(id), id);
    check_inside(sl_model_id_region(id), id);
    if (sl_slice_find(id, '%') < id.len)
        return 0;
    struct sl_buf buf;
    sl_buf_init(&buf, 3 * size + 1);
    int rc = sl_uri_encode(&buf, id, false);
    assert(rc == SL_OK);
    struct sl_slice encoded = sl_buf_slice(&buf);
    /* A type or service with bytes that get escaped is not one of those known. */
    assert(sl_model_id_kind(encoded) == kind);
    check_same(sl_model_id_bare(encoded), sl_model_id_bare(id));
    check_same(sl_model_id_region(encoded), sl_model_id_region(id));
    sl_buf_done(&buf);
    return 0;
}
