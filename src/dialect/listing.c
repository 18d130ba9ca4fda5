/* Two documents of different shape, one list: which member holds what is a table. */
#include "dialect/listing.h"

#include "sluice/core/model.h"
#include "sluice/wire/json_view.h"
#include "sluice/wire/sigv4.h"

/* Bedrock lists a few hundred models of some forty values each. */
#define NODES_MAX  (1U << 18)
#define MODELS_MAX 8192
#define ID_MAX     2048

static const struct kind {
    enum sl_operation operation;
    struct sl_slice target;
    const char *list, *id;
} kinds[SL_LISTING_CALLS] = {
    {SL_OP_LIST_FOUNDATION_MODELS, SL_LIT("/foundation-models"), "modelSummaries", "modelId"},
    {SL_OP_LIST_INFERENCE_PROFILES, SL_LIT("/inference-profiles?maxResults=1000"),
     "inferenceProfileSummaries", "inferenceProfileId"},
};

int sl_listing_call(struct sl_call *call, struct sl_arena *arena, size_t i) {
    const struct sl_operation_info *info = sl_operation_info(kinds[i].operation);
    call->operation = kinds[i].operation;
    call->plane = info->plane;
    call->framing = info->framing;
    call->method = SL_LIT("GET");
    call->target = kinds[i].target;
    call->max_tokens = -1;
    sl_sha256_of(SL_EMPTY, call->body_sha256);
    return sl_headers_add(&call->headers, arena, SL_LIT("accept"), SL_LIT("application/json"));
}

/* Served by its bare id: the listing says so, or says nothing of it. */
static bool is_on_demand(const struct sl_json_view *view, const struct sl_json_node *summary) {
    const struct sl_json_node *types = sl_json_get(view, summary, "inferenceTypesSupported");
    const struct sl_json_node *type = sl_json_child(view, types);
    for (; type; type = sl_json_next(view, type))
        if (sl_json_eq(view, type, "ON_DEMAND"))
            return true;
    return types == NULL;
}

/* An application's profile is called by its ARN: its id alone means nothing to the runtime. */
static const struct sl_json_node *id_of(const struct sl_json_view *view, const struct kind *kind,
                                        const struct sl_json_node *summary) {
    if (sl_json_eq(view, sl_json_get(view, summary, "type"), "APPLICATION"))
        return sl_json_get(view, summary, "inferenceProfileArn");
    if (kind->operation == SL_OP_LIST_FOUNDATION_MODELS && !is_on_demand(view, summary))
        return NULL;
    return sl_json_get(view, summary, kind->id);
}

static struct sl_slice provider_of(struct sl_slice id) {
    if (sl_slice_starts(id, SL_LIT("arn:")))
        return SL_LIT("application");
    id = sl_slice_skip(id, sl_model_geo_prefix(id).len);
    return sl_slice_head(id, sl_slice_find(id, '.'));
}

static bool is_listed(const struct sl_listing *listing, struct sl_slice id) {
    for (size_t i = 0; i < listing->count; i++)
        if (sl_slice_eq(listing->items[i].id, id))
            return true;
    return false;
}

static int add(struct sl_listing *listing, struct sl_arena *arena, const struct sl_json_view *view,
               const struct sl_json_node *id) {
    struct sl_buf text;
    struct sl_slice copy;
    if (!sl_json_is(id, SL_JSON_IS_STRING))
        return SL_OK;
    sl_buf_init(&text, ID_MAX);
    int err = sl_json_text(view, id, &text);
    if (!err && listing->count == MODELS_MAX)
        err = SL_E_LIMIT;
    if (!err && !is_listed(listing, sl_buf_slice(&text))) {
        err = sl_arena_copy(arena, sl_buf_slice(&text), &copy);
        if (!err)
            listing->items[listing->count++] = (struct sl_listed){copy, provider_of(copy)};
    }
    sl_buf_done(&text);
    return err;
}

static int add_all(struct sl_listing *listing, struct sl_arena *arena,
                   const struct sl_json_view *view, const struct kind *kind) {
    const struct sl_json_node *list = sl_json_get(view, sl_json_root(view), kind->list);
    size_t more = 0;
    int err = SL_OK;
    for (const struct sl_json_node *n = sl_json_child(view, list); n; n = sl_json_next(view, n))
        more++;
    struct sl_listed *items = sl_arena_calloc(arena, listing->count + more + 1, sizeof(*items));
    if (!items)
        return SL_E_NOMEM;
    if (listing->count > 0)
        memcpy(items, listing->items, listing->count * sizeof(*items));
    listing->items = items;
    for (const struct sl_json_node *n = sl_json_child(view, list); n && !err;
         n = sl_json_next(view, n))
        err = add(listing, arena, view, id_of(view, kind, n));
    return err;
}

int sl_listing_read(struct sl_listing *out, struct sl_arena *arena, const struct sl_part *parts,
                    size_t count) {
    struct sl_listing listing = {0};
    bool any = false;
    int err = SL_OK;
    for (size_t i = 0; i < count && i < SL_LISTING_CALLS && !err; i++) {
        struct sl_json_view view;
        if (parts[i].status != 200)
            continue;
        err = sl_json_view_parse(&view, parts[i].body, NODES_MAX);
        if (!err)
            err = add_all(&listing, arena, &view, &kinds[i]);
        sl_json_view_done(&view);
        any = true;
    }
    if (err == SL_E_INVALID || (!err && !any))
        return SL_E_PROTOCOL;
    if (!err)
        *out = listing;
    return err;
}
