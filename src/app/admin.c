/* A table of pages; each makes its whole body at once. Bodies of requests are not looked at. */
#include "app/admin.h"

#include "sluice/base/mem.h"

#define PAGE_MAX 65536

struct sl_admin {
    struct sl_admin_settings settings;
    struct sl_front *front;
    const char *address;
};

struct page {
    struct sl_stream *stream;
    struct sl_buf body;
    size_t sent;
};

typedef int (*page_fn)(struct sl_admin *admin, struct sl_buf *body);

static int page_healthz(struct sl_admin *admin, struct sl_buf *body) {
    (void)admin;
    return sl_buf_add_str(body, "ok\n") == SL_OK ? 200 : 500;
}

static int page_readyz(struct sl_admin *admin, struct sl_buf *body) {
    const char *why = admin->settings.not_ready(admin->settings.ctx);
    if (sl_buf_add_str(body, why ? why : "ready") != SL_OK || sl_buf_add_byte(body, '\n') != SL_OK)
        return 500;
    return why ? 503 : 200;
}

static int page_metrics(struct sl_admin *admin, struct sl_buf *body) {
    admin->settings.measure(admin->settings.ctx, admin->settings.metrics);
    return sl_metrics_render(admin->settings.metrics, body) == SL_OK ? 200 : 500;
}

static const struct {
    struct sl_slice path;
    bool open; /* without the token */
    page_fn make;
} pages[] = {
    {SL_LIT("/healthz"), true, page_healthz},
    {SL_LIT("/readyz"), true, page_readyz},
    {SL_LIT("/metrics"), false, page_metrics},
};

static bool has_token(const struct sl_admin *admin, const struct sl_request_head *head) {
    struct sl_slice value = sl_headers_get(&head->headers, SL_LIT("authorization"));
    struct sl_slice scheme = SL_LIT("Bearer ");
    return value.len > scheme.len && sl_slice_ieq(sl_slice_head(value, scheme.len), scheme) &&
           sl_slice_eq_secret(sl_slice_trim(sl_slice_skip(value, scheme.len)),
                              sl_slice_str(admin->settings.token));
}

static int refuse(struct sl_buf *body, int status, const char *why) {
    return sl_buf_add_str(body, why) == SL_OK ? status : 500;
}

static int answer(struct sl_admin *admin, const struct sl_request_head *head, struct sl_buf *body) {
    struct sl_slice path = sl_target_path(head->target);
    if (!sl_guard_allows(head, NULL, 0))
        return refuse(body, 403, "The admin port answers to an IP address or localhost only.\n");
    bool known = has_token(admin, head);
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (!sl_slice_eq(path, pages[i].path))
            continue;
        if (!sl_slice_eq(head->method, SL_LIT("GET")) && !sl_slice_eq(head->method, SL_LIT("HEAD")))
            return refuse(body, 405, "This page is read with GET.\n");
        if (pages[i].open || known)
            return pages[i].make(admin, body);
    }
    if (!known)
        return refuse(body, 401, "Send the token of STATE/admin.token: Authorization: Bearer …\n");
    return refuse(body, 404, "There is no such page: try /metrics, /healthz, /readyz.\n");
}

static struct page *new_page(struct sl_stream *stream) {
    struct page *page = sl_calloc(1, sizeof(*page));
    if (!page)
        return NULL;
    page->stream = stream;
    sl_buf_init(&page->body, PAGE_MAX);
    return page;
}

static void send_page(struct page *page, int status) {
    struct sl_header headers[] = {
        {SL_LIT("Content-Type"), SL_LIT("text/plain; charset=utf-8")},
        {SL_LIT("Cache-Control"), SL_LIT("no-store")},
        {SL_LIT("WWW-Authenticate"), SL_LIT("Bearer")},
    };
    struct sl_response_head head = {.status = status,
                                    .headers = {headers, status == 401 ? 3 : 2, 3},
                                    .content_length = (int64_t)page->body.len};
    if (sl_stream_respond(page->stream, &head) != SL_OK)
        sl_stream_abort(page->stream);
}

static void *on_request(void *server, struct sl_stream *stream,
                        const struct sl_request_head *head) {
    struct page *page = new_page(stream);
    if (page)
        send_page(page, answer(server, head, &page->body));
    return page;
}

static void *on_malformed(void *server, struct sl_stream *stream,
                          const struct sl_request_head *head, int status, const char *why) {
    struct page *page = new_page(stream);
    (void)server;
    (void)head;
    if (page)
        send_page(page, refuse(&page->body, status, why));
    return page;
}

static void on_body(void *x, struct sl_slice bytes) {
    (void)x;
    (void)bytes;
}

static void on_body_end(void *x) {
    (void)x;
}

static void on_fault(void *x, int status, const char *why) {
    (void)x;
    (void)status;
    (void)why;
}

static size_t peek(void *x, struct sl_slice *out, size_t max, bool *end) {
    struct page *page = x;
    (void)max;
    *end = true;
    *out = sl_slice_skip(sl_buf_slice(&page->body), page->sent);
    return out->len > 0 ? 1 : 0;
}

static void advance(void *x, size_t n) {
    struct page *page = x;
    page->sent += n;
}

static void on_close(void *x, enum sl_close_reason reason) {
    struct page *page = x;
    (void)reason;
    sl_buf_done(&page->body);
    sl_free(page);
}

static const struct sl_front_handler handler = {
    .on_request = on_request,
    .on_malformed = on_malformed,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_fault = on_fault,
    .peek = peek,
    .advance = advance,
    .on_close = on_close,
};

struct sl_admin *sl_admin_new(struct sl_loop *loop, const struct sl_admin_settings *settings,
                              const char *host, uint16_t port, char *why, size_t why_size) {
    /* Nobody uploads anything here, and a few people look at a time. */
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.body_bytes = PAGE_MAX;
    limits.connections = 64;
    struct sl_admin *admin = sl_calloc(1, sizeof(*admin));
    if (!admin)
        return NULL;
    admin->settings = *settings;
    admin->front = sl_front_new(loop, &limits, &handler, admin);
    if (admin->front)
        admin->address = sl_front_listen(admin->front, host, port, NULL, why, why_size);
    if (admin->address)
        return admin;
    sl_admin_free(admin);
    return NULL;
}

const char *sl_admin_address(const struct sl_admin *admin) {
    return admin->address;
}

void sl_admin_free(struct sl_admin *admin) {
    if (!admin)
        return;
    if (admin->front)
        sl_front_free(admin->front);
    sl_free(admin);
}
