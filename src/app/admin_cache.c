#include "app/admin_cache.h"

#include <stdio.h>

#include "sluice/meter/price.h"
#include "sluice/wire/uri.h"

/* Models told apart on the page; the rest is summed up. */
#define MODELS_MAX 64
/* Entries looked at for the table of models: a bounded step. */
#define LOOK_MAX 4096

struct by_model {
    struct sl_slice model;
    uint64_t entries, bytes, hits;
    int64_t saved;
};

static struct by_model *row_for(struct by_model rows[], size_t *count, struct sl_slice model) {
    for (size_t i = 0; i < *count; i++)
        if (sl_slice_eq(rows[i].model, model))
            return &rows[i];
    if (*count == MODELS_MAX)
        return &rows[MODELS_MAX - 1];
    bool last = *count == MODELS_MAX - 1;
    rows[*count] = (struct by_model){.model = last ? SL_LIT("(other)") : model};
    return &rows[(*count)++];
}

static size_t collect(struct sl_cache *cache, struct by_model rows[], bool *all) {
    size_t count = 0, looked = 0;
    struct sl_kept *kept = NULL;
    while (looked++ < LOOK_MAX && (kept = sl_cache_behind(cache, kept)) != NULL) {
        struct by_model *row = row_for(rows, &count, kept->meta.model);
        row->entries++;
        row->bytes += kept->size;
        row->hits += kept->hits;
        if (kept->meta.cost > 0)
            row->saved += kept->meta.cost * (int64_t)kept->hits;
    }
    *all = !kept;
    return count;
}

static int print_models(struct sl_buf *out, const struct by_model rows[], size_t count) {
    int err = SL_OK;
    for (size_t i = 0; !err && i < count; i++) {
        err = sl_buf_add_str(out, i ? ",{\"model\":" : "{\"model\":");
        if (!err)
            err = sl_buf_add_json(out, rows[i].model);
        if (!err)
            err =
                sl_buf_printf(out, ",\"entries\":%llu,\"bytes\":%llu,\"hits\":%llu,\"saved_usd\":",
                              (unsigned long long)rows[i].entries,
                              (unsigned long long)rows[i].bytes, (unsigned long long)rows[i].hits);
        if (!err)
            err = sl_money_print(out, rows[i].saved);
        if (!err)
            err = sl_buf_add_byte(out, '}');
    }
    return err;
}

static int print(const struct sl_admin_cache *page, struct sl_buf *out) {
    struct sl_cache_stats s = sl_cache_stats(sl_flow_cache(page->flow));
    const struct sl_metrics *m = page->metrics;
    struct by_model rows[MODELS_MAX];
    bool all;
    size_t count = collect(sl_flow_cache(page->flow), rows, &all);
    int err = sl_buf_printf(
        out,
        "{\"entries\":%llu,\"bytes\":%llu,\"max_bytes\":%llu,\"hits\":%llu,\"misses\":%llu,"
        "\"joins\":%llu,\"refused\":%llu,\"evicted\":%llu,\"expired\":%llu,"
        "\"saved_input_tokens\":%llu,\"saved_output_tokens\":%llu,\"saved_usd\":",
        (unsigned long long)s.entries, (unsigned long long)s.bytes, (unsigned long long)s.max_bytes,
        (unsigned long long)s.hits, (unsigned long long)s.misses, (unsigned long long)m->joins,
        (unsigned long long)s.refused, (unsigned long long)s.evicted, (unsigned long long)s.expired,
        (unsigned long long)m->saved_input_tokens, (unsigned long long)m->saved_output_tokens);
    if (!err)
        err = sl_money_print(out, (int64_t)m->saved_nano_usd);
    if (!err)
        err = sl_buf_printf(out, ",\"models_complete\":%s,\"models\":[", all ? "true" : "false");
    if (!err)
        err = print_models(out, rows, count);
    return err ? err : sl_buf_add_str(out, "]}\n");
}

static int digest_of(struct sl_slice hex, uint8_t out[SL_DIGEST_SIZE]) {
    if (hex.len != 2 * SL_DIGEST_SIZE)
        return SL_E_INVALID;
    for (size_t i = 0; i < hex.len; i++) {
        char c = sl_ascii_lower(hex.ptr[i]);
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return SL_E_INVALID;
        out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] << 4 | digit : digit);
    }
    return SL_OK;
}

static void purge(const struct sl_admin_cache *page, const struct sl_admin_request *request,
                  struct sl_admin_reply *reply) {
    struct sl_cache_match match = {0};
    uint8_t digest[SL_DIGEST_SIZE];
    struct sl_slice value;
    struct sl_buf model;
    bool named = false;
    sl_buf_init(&model, 2048);
    if (sl_admin_query(request, "key", &value)) {
        named = digest_of(value, digest) == SL_OK;
        match.digest = digest;
    } else if (sl_admin_query(request, "model", &value)) {
        named = sl_uri_decode(&model, value) == SL_OK && model.len > 0;
        match.model = sl_buf_slice(&model);
    } else if (sl_admin_query(request, "tenant", &value)) {
        named = match.by_tenant = sl_slice_u64(value, &match.tenant);
    } else if (sl_admin_query(request, "all", &value)) {
        named = sl_slice_eq(value, SL_LIT("true"));
    }
    if (named)
        sl_admin_check(reply, sl_buf_printf(&reply->body, "{\"purged\":%zu}\n",
                                            sl_cache_purge(sl_flow_cache(page->flow), &match)));
    else
        sl_admin_fail(reply, 400,
                      "say what to purge: key=HEX, model=ID, tenant=NUMBER or all=true");
    sl_buf_done(&model);
}

static void on_cache(void *ctx, const struct sl_admin_request *request,
                     struct sl_admin_reply *reply) {
    const struct sl_admin_cache *page = ctx;
    if (sl_slice_eq(request->method, SL_LIT("DELETE")))
        purge(page, request, reply);
    else
        sl_admin_check(reply, print(page, &reply->body));
}

const struct sl_admin_row sl_admin_cache_rows[] = {
    {"/admin/cache", SL_ADMIN_GET | SL_ADMIN_DELETE, on_cache, false},
    {0},
};
