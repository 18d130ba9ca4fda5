/*
 * The description of the API, and a page to try it from. The page is one file; its policy allows
 * just the script and the style that it holds, by their hashes, and requests to this gateway.
 */
#include <openssl/base64.h>

#include "dialect/rest.h"
#include "sluice/wire/sigv4.h"

/* "sha256-…" of what stands between two tags. */
static int add_hash(struct sl_buf *out, struct sl_slice page, struct sl_slice open,
                    struct sl_slice close) {
    uint8_t digest[SL_SHA256_SIZE], text[4 * (SL_SHA256_SIZE + 2) / 3 + 1];
    struct sl_slice inner = sl_slice_skip(page, sl_slice_search(page, open) + open.len);
    inner = sl_slice_head(inner, sl_slice_search(inner, close));
    sl_sha256_of(inner, digest);
    size_t len = EVP_EncodeBlock(text, digest, sizeof(digest));
    return sl_buf_printf(out, "'sha256-%.*s'", (int)len, (const char *)text);
}

static int add_policy(struct sl_headers *headers, struct sl_arena *arena, struct sl_slice page) {
    struct sl_buf policy;
    struct sl_slice copy = SL_EMPTY;
    sl_buf_init(&policy, 1024);
    int err = sl_buf_add_str(&policy, "default-src 'none'; script-src ");
    if (!err)
        err = add_hash(&policy, page, SL_LIT("<script>"), SL_LIT("</script>"));
    if (!err)
        err = sl_buf_add_str(&policy, "; style-src ");
    if (!err)
        err = add_hash(&policy, page, SL_LIT("<style>"), SL_LIT("</style>"));
    if (!err)
        err = sl_buf_add_str(&policy, "; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                                      "frame-ancestors 'none'");
    if (!err)
        err = sl_arena_copy(arena, sl_buf_slice(&policy), &copy);
    sl_buf_done(&policy);
    return err ? err : sl_headers_add(headers, arena, SL_LIT("Content-Security-Policy"), copy);
}

int sl_rest_page(enum sl_rest_kind kind, struct sl_arena *arena, struct sl_response_head *head,
                 struct sl_buf *out) {
    bool docs = kind == SL_REST_DOCS;
    struct sl_slice page = docs ? sl_rest_docs : sl_rest_openapi;
    const struct sl_header rows[] = {
        {SL_LIT("Content-Type"),
         docs ? SL_LIT("text/html; charset=utf-8") : SL_LIT("application/json")},
        {SL_LIT("Cache-Control"), SL_LIT("no-cache")},
        {SL_LIT("X-Content-Type-Options"), SL_LIT("nosniff")},
        {SL_LIT("Referrer-Policy"), SL_LIT("no-referrer")},
    };
    int err = SL_OK;
    *head = (struct sl_response_head){.status = 200, .content_length = (int64_t)page.len};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && !err; i++)
        err = sl_headers_add(&head->headers, arena, rows[i].name, rows[i].value);
    if (!err && docs)
        err = add_policy(&head->headers, arena, page);
    return err ? err : sl_buf_add(out, page);
}
