/*
 * From a request to curl's options. Half of what libcurl spends on a small request is its printf
 * engine joining header lines, so all of them travel as one list node with line ends inside; the
 * nodes behind it only switch off headers that curl would add.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "io/fetch_impl.h"
#include "sluice/base/mem.h"

/* A header that curl finds here with an empty value is neither added nor sent. */
static char no_content_type[] = "Content-Type:", no_accept[] = "Accept:", no_expect[] = "Expect:";
static struct curl_slist suppress[] = {
    {no_content_type, &suppress[1]}, {no_accept, &suppress[2]}, {no_expect, NULL}};

/*
 * curl sends a request again, silently, when a kept-alive connection dies before the first byte of
 * its answer. The second look at this callback, and the socket such a second try would open, are
 * where that is stopped.
 */
static int on_prereq(void *ctx, char *remote, char *local, int remote_port, int local_port) {
    (void)remote, (void)local, (void)remote_port, (void)local_port;
    struct sl_fetch *f = ctx;
    if (f->phase >= SL_FETCH_SEND) {
        f->retried = true;
        return CURL_PREREQFUNC_ABORT;
    }
    if (f->state == SL_FETCH_DROPPED)
        return CURL_PREREQFUNC_ABORT;
    f->phase = SL_FETCH_SEND;
    f->active_at = f->client->loop->now;
    f->client->stats.connections_made += f->opened;
    return CURL_PREREQFUNC_OK;
}

static curl_socket_t on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)purpose;
    struct sl_fetch *f = ctx;
    if (f->phase >= SL_FETCH_SEND) {
        f->retried = true;
        return CURL_SOCKET_BAD;
    }
    f->phase = SL_FETCH_CONNECT;
    f->opened = true;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    address->protocol);
    if (fd >= 0 && sl_fetch_polls_opened(&f->client->polls, fd) < 0) {
        close(fd);
        return CURL_SOCKET_BAD;
    }
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* The connection outlives the fetch that opened it: ctx is the client. */
static int on_close(void *ctx, curl_socket_t fd) {
    struct sl_fetch_client *client = ctx;
    sl_fetch_polls_release(&client->polls, fd);
    return close(fd);
}

static size_t on_read(char *out, size_t size, size_t count, void *ctx) {
    struct sl_fetch *f = ctx;
    if (f->state == SL_FETCH_DROPPED)
        return CURL_READFUNC_ABORT;
    size_t room = size * count, taken = 0;
    struct sl_slice piece;
    while (taken < room && sl_chain_peek(f->body, &f->cursor, &piece, 1) == 1) {
        piece = sl_slice_head(piece, room - taken);
        memcpy(out + taken, piece.ptr, piece.len);
        sl_chain_advance(f->body, &f->cursor, piece.len);
        taken += piece.len;
    }
    f->active_at = f->client->loop->now;
    return taken;
}

/* Rewinding is the first step of sending again. */
static int on_seek(void *ctx, curl_off_t offset, int origin) {
    (void)offset, (void)origin;
    struct sl_fetch *f = ctx;
    f->retried = true;
    return CURL_SEEKFUNC_FAIL;
}

/* The options that hold for every request. */
static bool set_up_easy(struct sl_fetch *f) {
    CURL *e = f->easy;
    return curl_easy_setopt(e, CURLOPT_PRIVATE, f) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           /* else a cancel while a name is looked up waits for the resolver's thread */
           curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_ERRORBUFFER, f->why) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
           /* given, even if empty, so that curl does not search the environment each time */
           curl_easy_setopt(e, CURLOPT_NOPROXY, "") == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_prereq) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PREREQDATA, f) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, f) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, on_close) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, f->client) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_READDATA, f) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_SEEKDATA, f) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, sl_fetch_on_header) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HEADERDATA, f) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, sl_fetch_on_body) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEDATA, f) == CURLE_OK;
}

struct sl_fetch *sl_fetch_new(struct sl_fetch_client *client) {
    struct sl_fetch *f = sl_calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->client = client;
    sl_list_init(&f->link);
    sl_list_init(&f->resume_link);
    sl_buf_init(&f->header_text, SL_FETCH_REQUEST_MAX);
    sl_buf_init(&f->target, SL_FETCH_REQUEST_MAX);
    sl_buf_init(&f->gathered, SL_FETCH_GATHER_MAX);
    sl_buf_init(&f->head, SL_FETCH_HEAD_MAX);
    f->easy = curl_easy_init();
    if (f->easy && set_up_easy(f))
        return f;
    sl_fetch_free(f);
    return NULL;
}

void sl_fetch_free(struct sl_fetch *f) {
    curl_easy_cleanup(f->easy);
    sl_buf_done_secret(&f->header_text);
    sl_buf_done(&f->target);
    sl_buf_done(&f->gathered);
    sl_buf_done(&f->head);
    sl_free(f->headers);
    sl_free(f);
}

static bool set_origin(struct sl_fetch *f, const struct sl_fetch_origin *origin, bool no_proxy) {
    struct sl_fetch_options *have = &f->options;
    if (have->origin_id == origin->id && have->no_proxy == no_proxy)
        return true;
    const char *proxy = origin->proxy && !no_proxy ? origin->proxy : "";
    /* A URL left from the last transfer would be what curl goes by. */
    if (curl_easy_setopt(f->easy, CURLOPT_URL, NULL) != CURLE_OK ||
        curl_easy_setopt(f->easy, CURLOPT_CURLU, origin->url) != CURLE_OK ||
        curl_easy_setopt(f->easy, CURLOPT_PROXY, proxy) != CURLE_OK ||
        curl_easy_setopt(f->easy, CURLOPT_CAINFO,
                         origin->ca_file ? origin->ca_file : f->client->ca_default) != CURLE_OK)
        return false;
    have->origin_id = origin->id;
    have->no_proxy = no_proxy;
    return true;
}

static bool set_target(struct sl_fetch *f, const struct sl_fetch_request *r) {
    bool absolute = r->origin->absolute && !r->no_proxy;
    struct sl_slice scheme = absolute ? SL_LIT("http://") : SL_EMPTY;
    struct sl_slice authority = absolute ? sl_slice_str(r->origin->authority) : SL_EMPTY;
    struct sl_slice old = sl_buf_slice(&f->target);
    if (old.len == scheme.len + authority.len + r->target.len && old.len > 0 &&
        sl_slice_starts(old, scheme) && sl_slice_ends(old, r->target) &&
        sl_slice_starts(sl_slice_skip(old, scheme.len), authority))
        return true;
    sl_buf_clear(&f->target);
    return sl_buf_add(&f->target, scheme) == SL_OK && sl_buf_add(&f->target, authority) == SL_OK &&
           sl_buf_add(&f->target, r->target) == SL_OK && sl_buf_terminate(&f->target) == SL_OK &&
           curl_easy_setopt(f->easy, CURLOPT_REQUEST_TARGET, f->target.ptr) == CURLE_OK;
}

/* A line end or NUL inside would make another header of what follows. */
static bool is_one_line(struct sl_slice s) {
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == '\r' || s.ptr[i] == '\n' || s.ptr[i] == '\0')
            return false;
    return true;
}

/* A space or control byte would end the target, and what follows be taken for something else. */
static bool is_target(struct sl_slice s) {
    if (s.len == 0 || s.ptr[0] != '/')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] <= ' ' || s.ptr[i] == 0x7f)
            return false;
    return true;
}

/* Headers that are made here, from the origin and the body. */
static bool is_own(struct sl_slice name) {
    switch (name.len) {
    case 4:
        return sl_slice_ieq(name, SL_LIT("Host"));
    case 6:
        return sl_slice_ieq(name, SL_LIT("Expect"));
    case 14:
        return sl_slice_ieq(name, SL_LIT("Content-Length"));
    case 17:
        return sl_slice_ieq(name, SL_LIT("Transfer-Encoding"));
    default:
        return false;
    }
}

static int add_line(struct sl_buf *out, struct sl_slice name, struct sl_slice value) {
    if (name.len == 0 || !is_one_line(name) || !is_one_line(value))
        return SL_E_INVALID;
    int rc = sl_buf_reserve(out, name.len + value.len + 5);
    if (rc < 0)
        return rc;
    char *p = out->ptr + out->len;
    if (out->len > 0) {
        *p++ = '\r';
        *p++ = '\n';
    }
    memcpy(p, name.ptr, name.len);
    p += name.len;
    *p++ = ':';
    *p++ = ' ';
    if (value.len > 0)
        memcpy(p, value.ptr, value.len);
    out->len = (size_t)(p + value.len - out->ptr);
    return SL_OK;
}

static int set_headers(struct sl_fetch *f, const struct sl_fetch_request *r) {
    struct sl_buf *text = &f->header_text;
    bool has_agent = f->client->user_agent == NULL;
    size_t lines = 0, value_len = 0;
    sl_buf_clear(text);
    for (size_t i = 0; i < r->header_count; i++) {
        const struct sl_fetch_header *h = &r->headers[i];
        if (is_own(h->name))
            continue;
        int rc = add_line(text, h->name, h->value);
        if (rc < 0)
            return rc;
        lines++;
        value_len += h->value.len;
        has_agent = has_agent || sl_slice_ieq(h->name, SL_LIT("User-Agent"));
    }
    if (!has_agent) {
        int rc = add_line(text, SL_LIT("User-Agent"), sl_slice_str(f->client->user_agent));
        if (rc < 0)
            return rc;
        lines++;
        value_len++;
    }
    if (lines == 1 && value_len == 0) {
        /* "Name: " alone would switch the header off; "Name;" is how curl wants it. */
        text->len--;
        text->ptr[text->len - 1] = ';';
    }
    int rc = sl_buf_terminate(text);
    if (rc < 0)
        return rc;
    f->header = (struct curl_slist){text->ptr, suppress};
    return curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, lines ? &f->header : suppress) == CURLE_OK
               ? SL_OK
               : SL_E_NOMEM;
}

static bool gather(struct sl_fetch *f) {
    struct sl_chain_cursor cursor = f->cursor;
    struct sl_slice piece;
    sl_buf_clear(&f->gathered);
    while (sl_chain_peek(f->body, &cursor, &piece, 1) == 1) {
        if (sl_buf_add(&f->gathered, piece) < 0)
            return false;
        sl_chain_advance(f->body, &cursor, piece.len);
    }
    return true;
}

static bool set_body(struct sl_fetch *f) {
    const char *fields = "";
    if (f->body_len > 0) {
        struct sl_slice first;
        size_t n = sl_chain_peek(f->body, &f->cursor, &first, 1);
        assert(n == 1);
        (void)n;
        fields = NULL;
        if (first.len == f->body_len && f->body_len < SL_FETCH_INLINE_MAX) {
            fields = first.ptr;
        } else if (f->body_len <= SL_FETCH_GATHER_MAX) {
            if (!gather(f))
                return false;
            fields = f->gathered.ptr;
        }
    }
    /* Over TLS, 16 KB keep a small head and body in one record; a large body wants fewer writes. */
    long upload = f->body_len < SL_FETCH_INLINE_MAX ? 16384 : 65536;
    if (f->options.upload_buffer != upload) {
        if (curl_easy_setopt(f->easy, CURLOPT_UPLOAD_BUFFERSIZE, upload) != CURLE_OK)
            return false;
        f->options.upload_buffer = upload;
    }
    return curl_easy_setopt(f->easy, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(f->easy, CURLOPT_POSTFIELDS, fields) == CURLE_OK &&
           curl_easy_setopt(f->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)f->body_len) ==
               CURLE_OK;
}

/* PUT, PATCH and POST say their length even if it is 0 (RFC 9110 8.6); others only with a body. */
static bool set_method(struct sl_fetch *f, struct sl_slice method) {
    static const char *const with_body[] = {"POST", "PUT", "PATCH"};
    char custom[32];
    if (method.len == 0 || method.len >= sizeof(custom) || !is_one_line(method))
        return false;
    bool has_body = f->body_len > 0;
    for (size_t i = 0; i < sizeof(with_body) / sizeof(with_body[0]); i++)
        has_body = has_body || sl_slice_eq(method, sl_slice_str(with_body[i]));
    bool head = !has_body && sl_slice_eq(method, SL_LIT("HEAD"));
    bool plain = head || sl_slice_eq(method, has_body ? SL_LIT("POST") : SL_LIT("GET"));
    if (!plain || f->options.custom_method) {
        memcpy(custom, method.ptr, method.len);
        custom[method.len] = '\0';
        if (curl_easy_setopt(f->easy, CURLOPT_CUSTOMREQUEST, plain ? NULL : custom) != CURLE_OK)
            return false;
        f->options.custom_method = !plain;
    }
    if (has_body)
        return set_body(f);
    return head ? curl_easy_setopt(f->easy, CURLOPT_NOBODY, 1L) == CURLE_OK
                : curl_easy_setopt(f->easy, CURLOPT_HTTPGET, 1L) == CURLE_OK;
}

static bool set_connect_limit(struct sl_fetch *f, uint32_t connect_ms) {
    if (f->options.connect_ms == connect_ms)
        return true;
    if (curl_easy_setopt(f->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms) != CURLE_OK)
        return false;
    f->options.connect_ms = connect_ms;
    return true;
}

static uint64_t limit(uint32_t ms) {
    return ms ? ms * SL_NS_PER_MS : SL_NEVER;
}

int sl_fetch_setup(struct sl_fetch *f, const struct sl_fetch_request *r) {
    f->body = r->body;
    f->body_len = r->body ? sl_chain_len(r->body) : 0;
    f->cursor = (struct sl_chain_cursor){.offset = r->body ? r->body->begin : 0};
    f->phase = SL_FETCH_RESOLVE;
    f->opened = f->retried = f->paused = f->held = false;
    f->started_at = f->active_at = f->client->loop->now;
    f->first_byte = limit(r->first_byte_ms);
    f->idle = limit(r->idle_ms);
    f->total = limit(r->total_ms);
    sl_buf_clear(&f->head);
    f->lines = 0;
    f->refused = 0;
    f->why[0] = '\0';
    if (!is_target(r->target))
        return SL_E_INVALID;
    int rc = set_headers(f, r);
    if (rc < 0)
        return rc;
    return set_origin(f, r->origin, r->no_proxy) && set_target(f, r) && set_method(f, r->method) &&
                   set_connect_limit(f, r->connect_ms)
               ? SL_OK
               : SL_E_NOMEM;
}
