/*
 * Shows what Sluice makes of event streams, so that tests/e2e/test_eventstream.py can hold it
 * against botocore. stdin has one stream a line, in hexadecimal; each gives one line of JSON.
 *
 *   decode   {"messages":[{"headers":[{"name","type","value"}…],"payload"}…],"verdict"}
 *            bytes, UUIDs and payloads in hexadecimal; verdict: ok, incomplete, error
 *   splits   {"frames","verdict"} of the frame scanner, after it has come to the same result with
 *            single bytes, with every split in two, and with the decoder; else the verdict names
 *            the split that differs
 */
#include <stdio.h>

#include "sluice/wire/eventstream.h"

#define STREAM_MAX_BYTES (64u << 20)
#define OUT_MAX_BYTES    (256u << 20)

struct result {
    unsigned frames;
    uint64_t frame_bytes;
    const char *verdict;
};

static int hex_value(int c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One line's bytes. SL_E_EOF behind the last line, SL_E_INVALID for what is no hexadecimal. */
static int read_stream(struct sl_buf *out) {
    int c = getc_unlocked(stdin);
    if (c == EOF)
        return SL_E_EOF;
    for (sl_buf_clear(out); c != '\n'; c = getc_unlocked(stdin)) {
        int high = hex_value(c), low = hex_value(getc_unlocked(stdin));
        if (high < 0 || low < 0)
            return SL_E_INVALID;
        int rc = sl_buf_add_byte(out, (char)(high << 4 | low));
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int add_hex(struct sl_buf *out, struct sl_slice s) {
    int rc = sl_buf_add_byte(out, '"');
    if (rc == 0)
        rc = sl_buf_add_hex(out, (const uint8_t *)s.ptr, s.len);
    return rc != 0 ? rc : sl_buf_add_byte(out, '"');
}

static int add_value(struct sl_buf *out, const struct sl_eventstream_header *h) {
    switch (h->type) {
    case SL_HEADER_TRUE:
    case SL_HEADER_FALSE:
        return sl_buf_add_str(out, h->integer != 0 ? "true" : "false");
    case SL_HEADER_STRING:
        return sl_buf_add_json(out, h->bytes);
    case SL_HEADER_BYTES:
    case SL_HEADER_UUID:
        return add_hex(out, h->bytes);
    default:
        return sl_buf_printf(out, "%lld", (long long)h->integer);
    }
}

static int add_message(struct sl_buf *out, const struct sl_eventstream_message *m, bool first) {
    struct sl_slice rest = m->headers;
    struct sl_eventstream_header h;
    int rc = sl_buf_add_str(out, first ? "{\"headers\":[" : ",{\"headers\":[");
    const char *comma = "";
    while (rc == 0 && sl_eventstream_next_header(&rest, &h) == 1) {
        rc = sl_buf_printf(out, "%s{\"type\":%d,\"name\":", comma, (int)h.type);
        if (rc == 0)
            rc = sl_buf_add_json(out, h.name);
        if (rc == 0)
            rc = sl_buf_add_str(out, ",\"value\":");
        if (rc == 0)
            rc = add_value(out, &h);
        if (rc == 0)
            rc = sl_buf_add_byte(out, '}');
        comma = ",";
    }
    if (rc == 0)
        rc = sl_buf_add_str(out, "],\"payload\":");
    if (rc == 0)
        rc = add_hex(out, m->payload);
    return rc != 0 ? rc : sl_buf_add_byte(out, '}');
}

static const char *verdict_of(int64_t rc, size_t left) {
    if (rc != SL_E_AGAIN)
        return "error";
    return left == 0 ? "ok" : "incomplete";
}

static int show_decoded(struct sl_slice in, struct sl_buf *out) {
    struct sl_eventstream_message m;
    int64_t n = 0;
    int rc = sl_buf_add_str(out, "{\"messages\":[");
    bool first = true;
    while (rc == 0 && (n = sl_eventstream_decode(in, &m)) > 0) {
        if (sl_eventstream_check_headers(m.headers) != 0) {
            n = SL_E_PROTOCOL;
            break;
        }
        rc = add_message(out, &m, first);
        in = sl_slice_skip(in, (size_t)n);
        first = false;
    }
    return rc != 0 ? rc : sl_buf_printf(out, "],\"verdict\":\"%s\"}", verdict_of(n, in.len));
}

static struct result decode_frames(struct sl_slice in) {
    struct sl_eventstream_message m;
    struct result r = {0};
    int64_t n;
    for (; (n = sl_eventstream_decode(in, &m)) > 0; in = sl_slice_skip(in, (size_t)n)) {
        r.frames++;
        r.frame_bytes += (uint64_t)n;
    }
    r.verdict = verdict_of(n, in.len);
    return r;
}

/* The scanner's view of the stream in pieces: `first` bytes, then `piece` at a time. */
static struct result scan_frames(struct sl_slice in, size_t first, size_t piece) {
    struct sl_eventstream_scanner s;
    struct result r = {0};
    sl_eventstream_scanner_init(&s);
    for (size_t n = first; in.len > 0; n = piece) {
        struct sl_slice part = sl_slice_head(in, n);
        in = sl_slice_skip(in, n);
        while (part.len > 0) {
            int rc = sl_eventstream_scan(&s, &part);
            if (rc < 0) {
                r.verdict = "error";
                return r;
            }
            r.frames += rc == 1;
            r.frame_bytes += rc == 1 ? s.total : 0;
        }
    }
    r.verdict = sl_eventstream_at_boundary(&s) ? "ok" : "incomplete";
    return r;
}

static bool same(struct result a, struct result b) {
    return a.frames == b.frames && a.frame_bytes == b.frame_bytes && a.verdict[0] == b.verdict[0];
}

static int show_splits(struct sl_slice in, struct sl_buf *out) {
    struct result want = decode_frames(in);
    if (!same(scan_frames(in, 1, 1), want))
        return sl_buf_add_str(out, "{\"verdict\":\"single bytes differ\"}");
    for (size_t cut = 0; cut <= in.len; cut++)
        if (!same(scan_frames(in, cut, in.len), want))
            return sl_buf_printf(out, "{\"verdict\":\"split at %zu differs\"}", cut);
    return sl_buf_printf(out, "{\"frames\":%u,\"verdict\":\"%s\"}", want.frames, want.verdict);
}

int main(int argc, char **argv) {
    int (*show)(struct sl_slice in, struct sl_buf * out) = NULL;
    if (argc == 2 && strcmp(argv[1], "decode") == 0)
        show = show_decoded;
    if (argc == 2 && strcmp(argv[1], "splits") == 0)
        show = show_splits;
    if (!show) {
        fprintf(stderr, "usage: eventstream_tool decode|splits\n");
        return 2;
    }
    struct sl_buf in, out;
    sl_buf_init(&in, STREAM_MAX_BYTES);
    sl_buf_init(&out, OUT_MAX_BYTES);
    int rc;
    while ((rc = read_stream(&in)) == 0) {
        sl_buf_clear(&out);
        rc = show(sl_buf_slice(&in), &out);
        if (rc != 0)
            break;
        printf("%.*s\n", SL_FMT(sl_buf_slice(&out)));
    }
    if (rc != SL_E_EOF)
        fprintf(stderr, "eventstream_tool: %s\n", sl_error_name(rc));
    sl_buf_done(&in);
    sl_buf_done(&out);
    return rc == SL_E_EOF ? 0 : 1;
}
