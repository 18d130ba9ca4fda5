/*
 * GET /v1/models, and one of them by its id: from Bedrock's listings, and the aliases of the
 * configuration. Ids of models have no slash, but those of application profiles, which are ARNs,
 * do.
 */
#include "dialect/listing.h"
#include "dialect/openai.h"

static void put_model(struct sl_put *p, struct sl_slice id, struct sl_slice owner) {
    sl_put_open(p, "{");
    sl_put_member_string(p, "id", id);
    sl_put(p, ",\"object\":\"model\",\"created\":0");
    sl_put_member_string(p, "owned_by", owner);
    sl_put(p, "}");
}

static struct sl_slice alias_at(const struct sl_dialect_settings *settings, size_t i) {
    return settings->alias_at ? settings->alias_at(settings->alias_ctx, i) : SL_EMPTY;
}

static void put_list(struct sl_put *p, const struct sl_dialect_settings *settings,
                     const struct sl_listing *listing) {
    struct sl_slice name;
    sl_put(p, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; (name = alias_at(settings, i)).len > 0; i++)
        put_model(p, name, SL_LIT("alias"));
    for (size_t i = 0; i < listing->count; i++)
        put_model(p, listing->items[i].id, listing->items[i].provider);
    sl_put(p, "]}");
}

static bool put_one(struct sl_put *p, const struct sl_dialect_settings *settings,
                    const struct sl_listing *listing, struct sl_slice wanted) {
    struct sl_slice name;
    for (size_t i = 0; (name = alias_at(settings, i)).len > 0; i++)
        if (sl_slice_eq(name, wanted)) {
            put_model(p, name, SL_LIT("alias"));
            return true;
        }
    for (size_t i = 0; i < listing->count; i++)
        if (sl_slice_eq(listing->items[i].id, wanted)) {
            put_model(p, wanted, listing->items[i].provider);
            return true;
        }
    return false;
}

int sl_openai_models_join(const struct sl_ask *ask, struct sl_arena *arena,
                          const struct sl_part *parts, size_t count, struct sl_response_head *head,
                          struct sl_buf *out) {
    const struct sl_openai_ask *own = ask->own;
    struct sl_slice wanted = sl_buf_slice(&own->wanted), message;
    struct sl_listing listing;
    struct sl_put p = {.to = out};
    int err = sl_listing_read(&listing, arena, parts, count);
    if (err)
        return err;
    if (wanted.len == 0) {
        put_list(&p, own->settings, &listing);
        return p.err;
    }
    if (put_one(&p, own->settings, &listing, wanted))
        return p.err;
    head->status = sl_openai_status(SL_FAILURE_NOT_FOUND);
    err = sl_arena_printf(arena, &message, "The model '%.*s' does not exist here.",
                          SL_FMT(sl_slice_head(wanted, 256)));
    return err ? err : sl_openai_error_body(out, SL_FAILURE_NOT_FOUND, message, NULL);
}
