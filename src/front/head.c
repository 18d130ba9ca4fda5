/*
 * Each rule here closes a gap between what llhttp 8.1 lets pass and what another server on the way
 * may read differently: the stuff of request smuggling. Refused are bare CR or LF as line ends,
 * line folding (RFC 9112 5.2), space before the colon, empty or odd names, control bytes in values,
 * more than one Host or Content-Length, Content-Length beside Transfer-Encoding, Transfer-Encoding
 * in HTTP/1.0 or other than exactly "chunked" (6.1), any version but 1.0 and 1.1, CONNECT,
 * targets that are not a path, and trailers that break these rules or belong in the head.
 */
#include "front/head.h"

struct reading {
    struct sl_request_head *head;
    struct sl_head_facts *facts;
    const char *why;
    unsigned hosts, lengths, codings;
};

static int refuse(struct reading *r, int status, const char *why) {
    r->why = why;
    return status;
}

/* ---- bytes ---- */

enum { TOKEN = 1, VALUE = 2, TARGET = 4, HOST = 8, ALL = 15 };

/* RFC 9110 5.6.2 (token), 5.5 (field value with obs-text); targets are visible ASCII without '#',
 * hosts what RFC 3986 3.2 allows but user information. */
static const uint8_t classes[256] = {
    ['\t'] = VALUE,
    [' '] = VALUE,
    ['!'] = ALL,
    ['"'] = VALUE | TARGET,
    ['#'] = VALUE | TOKEN,
    ['$' ... '\''] = ALL,
    ['(' ... ')'] = VALUE | TARGET | HOST,
    ['*' ... '+'] = ALL,
    [','] = VALUE | TARGET,
    ['-' ... '.'] = ALL,
    ['/'] = VALUE | TARGET,
    ['0' ... '9'] = ALL,
    [':' ... ';'] = VALUE | TARGET | HOST,
    ['<'] = VALUE | TARGET,
    ['='] = VALUE | TARGET | HOST,
    ['>' ... '@'] = VALUE | TARGET,
    ['A' ... 'Z'] = ALL,
    ['['] = VALUE | TARGET | HOST,
    ['\\'] = VALUE | TARGET,
    [']'] = VALUE | TARGET | HOST,
    ['^'] = VALUE | TARGET | TOKEN,
    ['_'] = ALL,
    ['`'] = VALUE | TARGET | TOKEN,
    ['a' ... 'z'] = ALL,
    ['{'] = VALUE | TARGET,
    ['|'] = VALUE | TARGET | TOKEN,
    ['}'] = VALUE | TARGET,
    ['~'] = ALL,
    [0x80 ... 0xff] = VALUE,
};

static bool all_of(struct sl_slice s, uint8_t class) {
    uint8_t common = class;
    for (size_t i = 0; i < s.len; i++)
        common &= classes[(uint8_t)s.ptr[i]];
    return common == class;
}

bool sl_head_is_target(struct sl_slice s) {
    return s.len > 0 && all_of(s, TARGET);
}

bool sl_head_is_host(struct sl_slice s) {
    return all_of(s, HOST);
}

/* ---- request line ---- */

static int read_version(struct reading *r, struct sl_slice version) {
    bool shaped = version.len == 8 && sl_slice_starts(version, SL_LIT("HTTP/")) &&
                  version.ptr[5] >= '0' && version.ptr[5] <= '9' && version.ptr[6] == '.' &&
                  version.ptr[7] >= '0' && version.ptr[7] <= '9';
    if (!shaped)
        return refuse(r, 400, "malformed request line");
    if (version.ptr[5] != '1' || version.ptr[7] > '1')
        return refuse(r, 505, "only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here");
    r->head->version = version.ptr[7] == '1' ? 11 : 10;
    return 0;
}

/* "http://host:port/path" to host and "/path"; RFC 9112 3.2.2. */
static int cut_absolute(struct reading *r, struct sl_slice target, size_t scheme_len) {
    struct sl_slice rest = sl_slice_skip(target, scheme_len);
    size_t end = sl_slice_find(rest, '/');
    struct sl_slice authority = sl_slice_head(rest, end);
    if (authority.len == 0 || !sl_head_is_host(authority))
        return refuse(r, 400, "malformed request target");
    r->head->authority = authority;
    r->head->target = end < rest.len ? sl_slice_skip(rest, end) : SL_LIT("/");
    return 0;
}

static int read_target(struct reading *r, struct sl_slice target) {
    static const char *const schemes[] = {"http://", "https://"};
    if (!sl_head_is_target(target))
        return refuse(r, 400, "malformed request target");
    bool options = sl_slice_eq(r->head->method, SL_LIT("OPTIONS"));
    if (target.ptr[0] == '/' || (options && sl_slice_eq(target, SL_LIT("*")))) {
        r->head->target = target;
        return 0;
    }
    for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
        struct sl_slice scheme = sl_slice_str(schemes[i]);
        if (sl_slice_ieq(sl_slice_head(target, scheme.len), scheme))
            return cut_absolute(r, target, scheme.len);
    }
    return refuse(r, 400, "the request target must be a path");
}

static int read_request_line(struct reading *r, struct sl_slice line) {
    size_t first = sl_slice_find(line, ' ');
    struct sl_slice method = sl_slice_head(line, first);
    struct sl_slice rest = sl_slice_skip(line, first + 1);
    size_t second = sl_slice_find(rest, ' ');
    struct sl_slice target = sl_slice_head(rest, second);
    if (method.len == 0 || !all_of(method, TOKEN))
        return refuse(r, 400, "malformed request line");
    r->head->method = method;
    int status = read_version(r, sl_slice_skip(rest, second + 1));
    if (status)
        return status;
    if (sl_slice_eq(method, SL_LIT("CONNECT")))
        return refuse(r, 501, "CONNECT is not offered");
    return read_target(r, target);
}

/* ---- header lines ---- */

static int read_host(struct reading *r, struct sl_slice value) {
    if (r->hosts++ > 0)
        return refuse(r, 400, "more than one Host header");
    if (!sl_head_is_host(value))
        return refuse(r, 400, "malformed Host header");
    if (r->head->authority.len == 0) /* an absolute target's prevails */
        r->head->authority = value;
    return 0;
}

static int read_length(struct reading *r, struct sl_slice value) {
    uint64_t length;
    if (r->lengths++ > 0)
        return refuse(r, 400, "more than one Content-Length header");
    if (!sl_slice_u64(value, &length) || length > INT64_MAX)
        return refuse(r, 400, "malformed Content-Length header");
    r->head->content_length = (int64_t)length;
    return 0;
}

static int read_coding(struct reading *r, struct sl_slice value) {
    if (r->codings++ > 0)
        return refuse(r, 400, "more than one Transfer-Encoding header");
    if (r->head->version < 11)
        return refuse(r, 400, "Transfer-Encoding in HTTP/1.0");
    if (value.len == 0)
        return refuse(r, 400, "malformed Transfer-Encoding header");
    if (!sl_slice_ieq(value, SL_LIT("chunked")))
        return refuse(r, 501, "no transfer coding but chunked is known here");
    r->facts->chunked = true;
    return 0;
}

static int read_expect(struct reading *r, struct sl_slice value) {
    if (sl_slice_ieq(value, SL_LIT("100-continue")))
        r->facts->expects_continue = r->head->version >= 11;
    return 0;
}

/* Headers that decide how a message is read, or for whom it is. */
static const struct known {
    struct sl_slice name;
    int (*read)(struct reading *r, struct sl_slice value);
} known[] = {
    {{"host", 4}, read_host},
    {{"content-length", 14}, read_length},
    {{"transfer-encoding", 17}, read_coding},
    {{"expect", 6}, read_expect},
};

static const struct known *find_known(struct sl_slice name) {
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (name.len == known[i].name.len && sl_slice_ieq(name, known[i].name))
            return &known[i];
    return NULL;
}

static int cut_header(struct reading *r, struct sl_slice line, struct sl_header *out) {
    if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
        return refuse(r, 400, "folded header line");
    size_t colon = sl_slice_find(line, ':');
    struct sl_slice name = sl_slice_head(line, colon);
    struct sl_slice value = sl_slice_skip(line, colon + 1);
    if (colon == line.len || name.len == 0 || !all_of(name, TOKEN))
        return refuse(r, 400, "malformed header name");
    if (!all_of(value, VALUE))
        return refuse(r, 400, "control bytes in a header value");
    *out = (struct sl_header){.name = name, .value = sl_slice_trim(value)};
    return 0;
}

static int read_header(struct reading *r, struct sl_slice line, struct sl_header *out) {
    int status = cut_header(r, line, out);
    const struct known *what = status ? NULL : find_known(out->name);
    return what ? what->read(r, out->value) : status;
}

/* What only all headers together tell. */
static int check_whole(struct reading *r) {
    if (r->head->version >= 11 && r->hosts == 0)
        return refuse(r, 400, "no Host header");
    if (r->codings > 0 && r->lengths > 0)
        return refuse(r, 400, "Content-Length beside Transfer-Encoding");
    if (r->lengths == 0)
        r->head->content_length = r->facts->chunked ? SL_LENGTH_UNKNOWN : 0;
    r->head->has_body = r->facts->chunked || r->head->content_length > 0;
    return 0;
}

/* ---- lines ---- */

/* Takes a line off *rest, without its CRLF. False: no complete line is left. A line that ends in
 * a bare LF comes with *bare set. */
static bool next_line(struct sl_slice *rest, struct sl_slice *line, bool *bare) {
    size_t end = sl_slice_find(*rest, '\n');
    if (end == rest->len)
        return false;
    *bare = end == 0 || rest->ptr[end - 1] != '\r';
    *line = sl_slice_head(*rest, *bare ? end : end - 1);
    *rest = sl_slice_skip(*rest, end + 1);
    return true;
}

static size_t count_lines(struct sl_slice raw) {
    size_t lines = 0;
    for (size_t end; (end = sl_slice_find(raw, '\n')) < raw.len; raw = sl_slice_skip(raw, end + 1))
        lines++;
    return lines;
}

struct sl_slice sl_head_skip_empty(struct sl_slice raw) {
    while (sl_slice_starts(raw, SL_LIT("\r\n")))
        raw = sl_slice_skip(raw, 2);
    return sl_slice_eq(raw, SL_LIT("\r")) ? SL_EMPTY : raw;
}

static int read_lines(struct reading *r, struct sl_slice raw, size_t max_headers,
                      struct sl_arena *arena) {
    struct sl_headers *headers = &r->head->headers;
    struct sl_slice line;
    bool bare;
    bool first = true;
    size_t lines = count_lines(raw);
    if (lines == 0)
        return refuse(r, 400, "malformed request line");
    headers->cap = lines < max_headers ? lines : max_headers;
    headers->items = sl_arena_alloc(arena, headers->cap * sizeof(*headers->items));
    if (!headers->items)
        return refuse(r, 503, "out of memory");
    while (next_line(&raw, &line, &bare)) {
        if (bare)
            return refuse(r, 400, "a line that does not end in CR LF");
        if (line.len == 0)
            return first ? refuse(r, 400, "malformed request line") : check_whole(r);
        if (!first && headers->count == max_headers)
            return refuse(r, 431, "too many headers");
        int status = first ? read_request_line(r, line)
                           : read_header(r, line, &headers->items[headers->count]);
        if (status)
            return status;
        headers->count += !first;
        first = false;
    }
    return refuse(r, 400, "malformed request");
}

int sl_head_read(struct sl_slice raw, size_t max_headers, struct sl_arena *arena,
                 struct sl_request_head *head, struct sl_head_facts *facts, const char **why) {
    *head = (struct sl_request_head){
        .method = SL_EMPTY, .authority = SL_EMPTY, .target = SL_EMPTY, .version = 11};
    *facts = (struct sl_head_facts){0};
    struct reading r = {.head = head, .facts = facts};
    int status = read_lines(&r, sl_head_skip_empty(raw), max_headers, arena);
    if (status)
        *why = r.why;
    return status;
}

int sl_head_trailer(struct sl_slice line, const char **why) {
    struct reading r = {0};
    struct sl_header trailer;
    bool ends = line.len > 1 && line.ptr[line.len - 2] == '\r' && line.ptr[line.len - 1] == '\n';
    line = sl_slice_head(line, ends ? line.len - 2 : 0);
    int status = ends ? 0 : refuse(&r, 400, "a line that does not end in CR LF");
    if (!status && line.len > 0)
        status = cut_header(&r, line, &trailer);
    if (!status && line.len > 0 && find_known(trailer.name))
        status = refuse(&r, 400, "a trailer that belongs in the head");
    if (status)
        *why = r.why;
    return status;
}
