/*
 * Edits of upstream bodies: the first byte chooses operation, model and the least length of a
 * prefix. An edited body is JSON if it was, holds all of the original's bytes in their order, and
 * is signed for what it is; one that is not JSON stays as it was.
 */
#include <stdlib.h>

#include "dialect/put.h"
#include "sluice/dialect/edit.h"
#include "sluice/wire/sigv4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MAX ((size_t)1 << 20)
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static bool holds(struct sl_slice all, struct sl_slice part) {
    size_t at = 0;
    for (size_t i = 0; i < all.len && at < part.len; i++)
        at += all.ptr[i] == part.ptr[at];
    return at == part.len;
}

static void check(struct sl_call *call, struct sl_slice before) {
    struct sl_slice after;
    uint8_t hash[SL_SHA256_SIZE];
    REQUIRE(sl_chain_flatten(&call->body, SIZE_MAX, &after) == SL_OK);
    REQUIRE(sl_slice_eq(before, after) == (call->edited.len == 0));
    REQUIRE(holds(after, before));
    REQUIRE(sl_put_can(before, false) ? sl_put_can(after, false) : sl_slice_eq(before, after));
    sl_sha256_of(after, hash);
    if (!call->hash_due)
        REQUIRE(memcmp(hash, call->body_sha256, sizeof(hash)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const enum sl_operation operations[] = {SL_OP_CONVERSE, SL_OP_CONVERSE_STREAM,
                                                   SL_OP_INVOKE_MODEL, SL_OP_MESSAGES};
    static const struct sl_slice models[] = {SL_LIT("us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
                                             SL_LIT("amazon.nova-pro-v1:0")};
    struct sl_arena arena;
    if (size < 1 || size > BODY_MAX)
        return 0;
    struct sl_slice body = sl_slice_of(data + 1, size - 1);
    struct sl_call call = {
        .operation = operations[data[0] & 3], .model = models[data[0] >> 2 & 1], .max_tokens = -1};
    sl_arena_init(&arena, BODY_MAX);
    sl_chain_init(&call.body, NULL);
    REQUIRE(sl_chain_add(&call.body, body) == SL_OK);
    sl_sha256_of(body, call.body_sha256);
    REQUIRE(sl_edit_mark_prompts(&call, &arena, data[0] >> 3) == SL_OK);
    check(&call, body);
    if (data[0] & 4)
        REQUIRE(sl_edit_max_tokens(&call, &arena, 1000) == SL_OK);
    check(&call, body);
    sl_chain_done(&call.body);
    sl_arena_done(&arena);
    sl_chunk_pool_done();
    return 0;
}
