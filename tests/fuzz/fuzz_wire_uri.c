/* Percent-encoding: what encodes comes back, what decodes encodes to one form. */
#include <assert.h>

#include "sluice/wire/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(struct sl_slice s, bool keep_slash) {
    struct sl_buf encoded, decoded;
    sl_buf_init(&encoded, 3 * s.len + 1);
    sl_buf_init(&decoded, s.len + 1);
    int rc = sl_uri_encode(&encoded, s, keep_slash);
    assert(rc == SL_OK);
    assert(encoded.len >= s.len && encoded.len <= 3 * s.len);
    for (size_t i = 0; i < encoded.len; i++)
        assert(encoded.ptr[i] > ' ' && encoded.ptr[i] < 0x7f);
    rc = sl_uri_decode(&decoded, sl_buf_slice(&encoded));
    assert(rc == SL_OK);
    assert(sl_slice_eq(sl_buf_slice(&decoded), s));
    sl_buf_done(&encoded);
    sl_buf_done(&decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sl_slice s = sl_slice_of(data, size);
    struct sl_buf decoded;
    sl_buf_init(&decoded, size + 1);
    int rc = sl_uri_decode(&decoded, s);
    assert(rc == SL_OK || (rc == SL_E_INVALID && decoded.len == 0));
    assert(decoded.len <= size);
    check_round_trip(s, true);
    check_round_trip(s, false);
    check_round_trip(sl_buf_slice(&decoded), false);
    sl_buf_done(&decoded);
    return 0;
}
