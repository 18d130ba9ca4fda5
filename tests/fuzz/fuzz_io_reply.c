/*
 * Responses of HTTP/1.1: whatever way the bytes are cut, and wherever an event says stop, the same
 * head, body and end come out. The first byte sets the size of the pieces and whether the request
 * was HEAD.
 */
#include "../unit/io/reply_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* Longer ones may differ: one read is below what a head may have, and its end is looked for. */
    if (size == 0 || size > 30000)
        return 0;
    struct sl_slice in = sl_slice_of(data + 1, size - 1);
    bool head = data[0] & 0x80;
    struct reply_log whole, cut, stopped;
    reply_log_run(&whole, in, in.len, head, false, true);
    reply_log_run(&cut, in, (data[0] & 0x7fu) + 1u, head, false, true);
    reply_log_run(&stopped, in, in.len, head, true, true);
    REQUIRE(whole.body.len <= in.len && whole.used <= in.len);
    REQUIRE(reply_log_same(&whole, &cut));
    REQUIRE(reply_log_same(&whole, &stopped));
    reply_log_done(&whole);
    reply_log_done(&cut);
    reply_log_done(&stopped);
    return 0;
}
