/* Which answers have two shapes, and the head that goes with each. */
#include "dialect/bedrock_encode.h"

#include "sluice/dialect/dialect.h"

static bool is_stream(enum sl_operation op) {
    return op == SL_OP_CONVERSE_STREAM || op == SL_OP_INVOKE_MODEL_STREAM;
}

static enum sl_operation other_shape(enum sl_operation op) {
    switch (op) {
    case SL_OP_CONVERSE:
        return SL_OP_CONVERSE_STREAM;
    case SL_OP_CONVERSE_STREAM:
        return SL_OP_CONVERSE;
    case SL_OP_INVOKE_MODEL:
        return SL_OP_INVOKE_MODEL_STREAM;
    case SL_OP_INVOKE_MODEL_STREAM:
        return SL_OP_INVOKE_MODEL;
    default:
        return SL_OP_NONE;
    }
}

bool sl_bedrock_convertible(enum sl_operation op, struct sl_slice model) {
    if (op == SL_OP_CONVERSE || op == SL_OP_CONVERSE_STREAM)
        return true;
    if (op != SL_OP_INVOKE_MODEL && op != SL_OP_INVOKE_MODEL_STREAM)
        return false;
    switch (sl_model_family(model)) {
    case SL_FAMILY_CLAUDE:
    case SL_FAMILY_LLAMA2:
    case SL_FAMILY_LLAMA3:
    case SL_FAMILY_LLAMA4:
        return true;
    default:
        return false;
    }
}

/* Headers that say how the body of upstream's shape is to be read. */
static bool describes_body(struct sl_slice name) {
    static const struct sl_slice names[] = {SL_LIT("content-type"), SL_LIT("content-length"),
                                            SL_LIT("x-amzn-bedrock-content-type")};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (sl_slice_ieq(names[i], name))
            return true;
    return false;
}

int sl_bedrock_head(struct sl_response_head *to, const struct sl_source *source,
                    struct sl_arena *arena, bool stream, bool invoke) {
    *to = (struct sl_response_head){.status = 200, .content_length = SL_LENGTH_UNKNOWN};
    int err = sl_headers_add(&to->headers, arena, SL_LIT("Content-Type"),
                             stream ? SL_LIT("application/vnd.amazon.eventstream")
                                    : SL_LIT("application/json"));
    if (!err && stream && invoke)
        err = sl_headers_add(&to->headers, arena, SL_LIT("X-Amzn-Bedrock-Content-Type"),
                             SL_LIT("application/json"));
    for (size_t i = 0; !err && source->head && i < source->head->headers.count; i++) {
        const struct sl_header *h = &source->head->headers.items[i];
        bool count = stream && sl_slice_ends(h->name, SL_LIT("-token-count")); /* not on streams */
        if (!count && !describes_body(h->name))
            err = sl_headers_add_copy(&to->headers, arena, h->name, h->value);
    }
    return err;
}

int sl_bedrock_encoder(const struct sl_ask *ask, const struct sl_source *source,
                       struct sl_arena *arena, struct sl_encoder **out) {
    *out = NULL;
    if (ask->operation == source->operation)
        return SL_OK;
    if (ask->operation != other_shape(source->operation) ||
        !sl_bedrock_convertible(source->operation, source->model))
        return SL_E_NOTFOUND;
    bool stream = is_stream(ask->operation);
    bool converse = ask->operation == SL_OP_CONVERSE || ask->operation == SL_OP_CONVERSE_STREAM;
    return converse ? sl_converse_encoder(stream, source, arena, out)
                    : sl_invoke_encoder(stream, source, arena, out);
}
