/*
 * The Authorization header's parser on the whole input. Then the input as a request: lines of
 * method, path, query and headers "name:value"; and once more cut at the byte 1 instead, so that
 * newlines get into the parts. Checked: the canonical request has exactly the lines it should,
 * and the header made from it parses.
 */
#include <assert.h>

#include "sluice/wire/sigv4.h"

#define MAX_HEADERS (SL_SIGV4_MAX_HEADERS + 4)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count(struct sl_slice s, char c) {
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += s.ptr[i] == c;
    return n;
}

static void check_inside(struct sl_slice part, struct sl_slice whole) {
    assert(part.len > 0);
    assert(part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static int fuzz_parse(struct sl_slice value) {
    struct sl_sigv4_credential c;
    int rc = sl_sigv4_parse_authorization(value, &c);
    assert(rc == SL_OK || rc == SL_E_INVALID);
    if (rc < 0)
        return rc;
    check_inside(c.access_key_id, value);
    check_inside(c.region, value);
    check_inside(c.service, value);
    check_inside(c.signed_headers, value);
    assert(c.date.len == 8 && c.signature.len == SL_SIGV4_SIGNATURE_SIZE);
    return SL_OK;
}

/* No HTTP parser lets separators through in a name; with them, names cannot be counted. */
static bool has_plain_names(const struct sl_sigv4_request *request) {
    for (size_t i = 0; i < request->header_count; i++) {
        if (count(request->headers[i].name, ';') + count(request->headers[i].name, ',') > 0)
            return false;
    }
    return true;
}

/* method, URI, query, a line a name, an empty line, the names, the hash without newline. */
static void check_lines(struct sl_slice canonical, const struct sl_sigv4_request *request,
                        struct sl_slice names) {
    size_t unique = names.len > 0 ? count(names, ';') + 1 : 0;
    assert(count(canonical, '\n') == 5 + unique);
    struct sl_slice uri;
    assert(sl_slice_split(&canonical, '\n', &uri) && sl_slice_eq(uri, request->method));
    assert(sl_slice_split(&canonical, '\n', &uri) && sl_slice_starts(uri, SL_LIT("/")));
    assert(sl_slice_search(uri, SL_LIT("//")) == uri.len);
    assert(sl_slice_search(uri, SL_LIT("/../")) == uri.len);
    assert(sl_slice_ends(canonical, request->body_hash));
}

static void fuzz_sign(const struct sl_sigv4_request *request) {
    const struct sl_sigv4_scope scope = {
        .region = SL_LIT("us-east-1"), .service = SL_LIT("bedrock"), .date = "20150830T123600Z"};
    struct sl_sigv4_key key = {.valid = false};
    struct sl_buf canonical, names, scratch;
    char signature[SL_SIGV4_SIGNATURE_SIZE];
    sl_buf_init(&canonical, 1 << 20);
    sl_buf_init(&names, 1 << 20);
    sl_buf_init(&scratch, 1 << 20);
    int rc = sl_sigv4_canonical(&canonical, request);
    int signed_rc = sl_sigv4_sign(&key, SL_LIT("s"), &scope, request, &scratch, signature);
    assert(rc == signed_rc);
    if (rc == SL_OK) {
        rc = sl_sigv4_signed_headers(&names, request);
        assert(rc == SL_OK);
        rc = sl_sigv4_authorization(&scratch, SL_LIT("AKID"), &scope, request, signature);
        assert(rc == SL_OK);
        rc = fuzz_parse(sl_buf_slice(&scratch));
        if (has_plain_names(request)) {
            check_lines(sl_buf_slice(&canonical), request, sl_buf_slice(&names));
            assert((rc == SL_OK) == (request->header_count > 0));
        }
    } else {
        assert(canonical.len == 0);
    }
    sl_buf_done(&canonical);
    sl_buf_done(&names);
    sl_buf_done(&scratch);
    sl_sigv4_key_done(&key);
}

static void fuzz_request(struct sl_slice text) {
    static struct sl_sigv4_header headers[MAX_HEADERS];
    struct sl_sigv4_request request = {
        .method = SL_EMPTY, .headers = headers, .body_hash = SL_LIT("UNSIGNED-PAYLOAD")};
    struct sl_slice line;
    if (!sl_slice_split(&text, '\n', &request.method) ||
        !sl_slice_split(&text, '\n', &request.path) || !sl_slice_split(&text, '\n', &request.query))
        return;
    while (request.header_count < MAX_HEADERS && sl_slice_split(&text, '\n', &line)) {
        /* From the second byte, so that ":authority" is a name. */
        size_t colon = 1 + sl_slice_find(sl_slice_skip(line, 1), ':');
        headers[request.header_count++] =
            (struct sl_sigv4_header){sl_slice_head(line, colon), sl_slice_skip(line, colon + 1)};
    }
    fuzz_sign(&request);
}

/* Five parts, one header: parts that are not there are empty. */
static void fuzz_parts(struct sl_slice text) {
    struct sl_sigv4_header header = {SL_EMPTY, SL_EMPTY};
    struct sl_sigv4_request request = {
        .headers = &header, .header_count = 1, .body_hash = SL_LIT("UNSIGNED-PAYLOAD")};
    struct sl_slice *const parts[] = {&request.method, &request.path, &request.query, &header.name,
                                      &header.value};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (!sl_slice_split(&text, '\x01', parts[i]))
            *parts[i] = SL_EMPTY;
    }
    fuzz_sign(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sl_slice input = sl_slice_of(data, size);
    (void)fuzz_parse(input);
    if (size <= 1 << 16) {
        fuzz_request(input);
        fuzz_parts(input);
    }
    return 0;
}
