/*
 * A Bedrock for benches: Converse and ConverseStream with answers made once at the start, after a
 * fixed time, and nothing else. It checks no signature and keeps no quota, so that what is measured
 * is what stands in front of it. `GET /count` says how many calls it has answered.
 *
 *   upstream [--port N] [--latency MS] [--frames N] [--gap MS]
 *
 * A stream is a head, messageStart and the first delta in one write, then a frame each gap. The
 * first delta's text is "first-token", the last one's "last-token".
 *
 * A connection does one thing at a time: it reads a head and skips the body, waits, writes; what
 * was read beyond that request stays in `in` until it is its turn.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "sluice/base/buf.h"
#include "sluice/base/mem.h"

#define IN_MAX     65536
#define FRAMES_MAX 100000
#define OUT_MAX    ((size_t)64 << 20)

enum answer { ANSWER_NONE, ANSWER_CONVERSE, ANSWER_STREAM, ANSWER_COUNT, ANSWER_UNKNOWN };

static struct { uint64_t port, latency, frames, gap; } options = {.frames = 200, .gap = 20};

static struct sl_buf document, missing, stream; /* whole responses */
static size_t *ends;                            /* of each piece of the stream; frames - 1 pieces */
static size_t pieces;
static uint64_t answered;

struct conn {
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_write_t write;
    int open_handles;
    bool reading_body, writing, closing;
    enum answer answer;
    uint64_t body_left;
    size_t piece, have;
    char count[96];
    char in[IN_MAX];
};

static void must(int rc) {
    if (rc == 0)
        return;
    fprintf(stderr, "upstream: error %d\n", rc);
    exit(1);
}

/* ---- answers, made once ---- */

static uint32_t crc_of(const char *bytes, size_t len) {
    uint32_t crc = ~UINT32_C(0);
    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned char)bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
    }
    return ~crc;
}

static void put_u32(struct sl_buf *out, size_t n) {
    const char bytes[] = {(char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n};
    must(sl_buf_add(out, sl_slice_of(bytes, sizeof(bytes))));
}

static void put_header(struct sl_buf *out, const char *name, const char *value) {
    must(sl_buf_add_byte(out, (char)strlen(name)));
    must(sl_buf_add_str(out, name));
    must(sl_buf_add_byte(out, 7)); /* a string */
    must(sl_buf_add_byte(out, 0));
    must(sl_buf_add_byte(out, (char)strlen(value)));
    must(sl_buf_add_str(out, value));
}

/* One frame, as one chunk of the response. */
static void put_frame(struct sl_buf *out, const char *event, const char *payload) {
    struct sl_buf headers, frame;
    sl_buf_init(&headers, 1024);
    sl_buf_init(&frame, 65536);
    put_header(&headers, ":event-type", event);
    put_header(&headers, ":content-type", "application/json");
    put_header(&headers, ":message-type", "event");
    put_u32(&frame, 16 + headers.len + strlen(payload));
    put_u32(&frame, headers.len);
    put_u32(&frame, crc_of(frame.ptr, frame.len));
    must(sl_buf_add(&frame, sl_buf_slice(&headers)));
    must(sl_buf_add_str(&frame, payload));
    put_u32(&frame, crc_of(frame.ptr, frame.len));
    must(sl_buf_printf(out, "%zx\r\n", frame.len));
    must(sl_buf_add(out, sl_buf_slice(&frame)));
    must(sl_buf_add_str(out, "\r\n"));
    sl_buf_done(&headers);
    sl_buf_done(&frame);
}

static void put_delta(struct sl_buf *out, uint64_t i, uint64_t count) {
    char payload[160];
    const char *text = i == 0 ? "first-token " : i + 1 == count ? "last-token" : "token ";
    snprintf(payload, sizeof(payload),
             "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"%s\"},\"p\":\"abcdefghijklm\"}", text);
    put_frame(out, "contentBlockDelta", payload);
}

/* Four frames are not deltas: the first, and three at the end. */
static void make_stream(void) {
    uint64_t deltas = options.frames - 4;
    ends = sl_calloc(deltas, sizeof(*ends));
    must(ends ? 0 : SL_E_NOMEM);
    sl_buf_init(&stream, OUT_MAX);
    must(sl_buf_add_str(&stream, "HTTP/1.1 200 OK\r\n"
                                 "Content-Type: application/vnd.amazon.eventstream\r\n"
                                 "x-amzn-RequestId: 00000000-0000-4000-8000-000000000000\r\n"
                                 "Transfer-Encoding: chunked\r\n\r\n"));
    put_frame(&stream, "messageStart", "{\"p\":\"abcdefgh\",\"role\":\"assistant\"}");
    for (uint64_t i = 0; i < deltas; i++) {
        put_delta(&stream, i, deltas);
        ends[pieces++] = stream.len;
    }
    put_frame(&stream, "contentBlockStop", "{\"contentBlockIndex\":0,\"p\":\"abc\"}");
    put_frame(&stream, "messageStop", "{\"p\":\"abcdefghij\",\"stopReason\":\"end_turn\"}");
    put_frame(&stream, "metadata",
              "{\"metrics\":{\"latencyMs\":1200},\"p\":\"abcdef\",\"usage\":{\"inputTokens\":20,"
              "\"outputTokens\":196,\"totalTokens\":216}}");
    must(sl_buf_add_str(&stream, "0\r\n\r\n"));
    ends[pieces - 1] = stream.len;
}

static void make_documents(void) {
    static const char text[] =
        "{\"metrics\":{\"latencyMs\":812},\"output\":{\"message\":{\"content\":[{\"text\":"
        "\"Because air "
        "scatters short waves of light more than long ones.\"}],\"role\":\"assistant\"}},"
        "\"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":20,\"outputTokens\":13,"
        "\"totalTokens\":33}}";
    sl_buf_init(&document, OUT_MAX);
    sl_buf_init(&missing, OUT_MAX);
    must(sl_buf_printf(&document,
                       "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                       "x-amzn-RequestId: 00000000-0000-4000-8000-000000000000\r\n"
                       "Content-Length: %zu\r\n\r\n%s",
                       sizeof(text) - 1, text));
    must(sl_buf_add_str(&missing, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
}

/* ---- a connection ---- */

static void take(struct conn *c);

static void on_closed(uv_handle_t *handle) {
    struct conn *c = handle->data;
    if (--c->open_handles == 0)
        sl_free(c);
}

static void end(struct conn *c) {
    if (c->closing)
        return;
    c->closing = true;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
    uv_close((uv_handle_t *)&c->timer, on_closed);
}

static void on_timer(uv_timer_t *timer);

static void on_written(uv_write_t *write, int status) {
    struct conn *c = write->data;
    c->writing = false;
    if (c->closing)
        return;
    if (status < 0)
        end(c);
    else if (c->answer == ANSWER_STREAM && c->piece < pieces)
        must(uv_timer_start(&c->timer, on_timer, options.gap, 0));
    else {
        c->answer = ANSWER_NONE;
        take(c);
    }
}

static void put(struct conn *c, const char *bytes, size_t len) {
    uv_buf_t buf = uv_buf_init((char *)bytes, (unsigned)len);
    c->writing = true;
    c->write.data = c;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written) != 0)
        end(c);
}

/* The wait is over: the answer, or the stream's next piece. */
static void on_timer(uv_timer_t *timer) {
    struct conn *c = timer->data;
    if (c->answer == ANSWER_STREAM) {
        size_t from = c->piece ? ends[c->piece - 1] : 0;
        put(c, stream.ptr + from, ends[c->piece++] - from);
    } else if (c->answer == ANSWER_CONVERSE) {
        put(c, document.ptr, document.len);
    } else if (c->answer == ANSWER_COUNT) {
        char digits[24];
        int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)answered);
        n = snprintf(c->count, sizeof(c->count), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s",
                     n, digits);
        put(c, c->count, (size_t)n);
    } else {
        put(c, missing.ptr, missing.len);
    }
}

static void answer(struct conn *c) {
    bool call = c->answer == ANSWER_STREAM || c->answer == ANSWER_CONVERSE;
    c->piece = 0;
    answered += call;
    if (call && options.latency > 0)
        must(uv_timer_start(&c->timer, on_timer, options.latency, 0));
    else
        on_timer(&c->timer);
}

static enum answer wanted(struct sl_slice line) {
    struct sl_slice method, path;
    if (!sl_slice_split(&line, ' ', &method) || !sl_slice_split(&line, ' ', &path))
        return ANSWER_UNKNOWN;
    if (sl_slice_eq(path, SL_LIT("/count")))
        return ANSWER_COUNT;
    static const struct sl_slice whole = SL_LIT("/converse"), streamed = SL_LIT("/converse-stream");
    if (path.len > whole.len && sl_slice_eq(sl_slice_skip(path, path.len - whole.len), whole))
        return ANSWER_CONVERSE;
    if (path.len > streamed.len &&
        sl_slice_eq(sl_slice_skip(path, path.len - streamed.len), streamed))
        return ANSWER_STREAM;
    return ANSWER_UNKNOWN;
}

static void read_head(struct conn *c, struct sl_slice head) {
    static const struct sl_slice length = SL_LIT("content-length:");
    struct sl_slice line;
    bool first = true;
    c->body_left = 0;
    for (; sl_slice_split(&head, '\n', &line); first = false) {
        if (first)
            c->answer = wanted(line);
        else if (sl_slice_ieq(sl_slice_head(line, length.len), length))
            c->body_left = strtoull(line.ptr + length.len, NULL, 10);
    }
}

static void drop(struct conn *c, size_t n) {
    memmove(c->in, c->in + n, c->have - n);
    c->have -= n;
}

/* As much of what was read as there is to do now. */
static void take(struct conn *c) {
    if (!c->reading_body) {
        const char *blank = memmem(c->in, c->have, "\r\n\r\n", 4);
        if (!blank) {
            if (c->have == IN_MAX)
                end(c);
            return;
        }
        size_t len = (size_t)(blank - c->in) + 4;
        read_head(c, sl_slice_of(c->in, len));
        drop(c, len);
        c->reading_body = true;
    }
    size_t n = c->body_left < c->have ? (size_t)c->body_left : c->have;
    drop(c, n);
    c->body_left -= n;
    if (c->body_left > 0)
        return;
    c->reading_body = false;
    answer(c);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf) {
    struct conn *c = handle->data;
    (void)size;
    *buf = uv_buf_init(c->in + c->have, (unsigned)(IN_MAX - c->have));
}

static void on_read(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buf) {
    struct conn *c = tcp->data;
    (void)buf;
    if (n < 0) {
        end(c);
        return;
    }
    c->have += (size_t)n;
    bool busy = c->answer != ANSWER_NONE && !c->reading_body;
    if (!busy)
        take(c);
}

static void on_connection(uv_stream_t *server, int status) {
    struct conn *c = status == 0 ? sl_calloc(1, sizeof(*c)) : NULL;
    if (!c)
        return;
    c->tcp.data = c->timer.data = c;
    c->open_handles = 2;
    must(uv_tcp_init(server->loop, &c->tcp));
    must(uv_timer_init(server->loop, &c->timer));
    if (uv_accept(server, (uv_stream_t *)&c->tcp) != 0 || uv_tcp_nodelay(&c->tcp, 1) != 0 ||
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0)
        end(c);
}

/* ---- the whole ---- */

static void on_signal(uv_signal_t *signal, int number) {
    (void)number;
    uv_stop(signal->loop);
}

static bool read_options(int argc, char **argv) {
    const struct {
        const char *name;
        uint64_t *value;
    } known[] = {{"--port", &options.port},
                 {"--latency", &options.latency},
                 {"--frames", &options.frames},
                 {"--gap", &options.gap}};
    for (int i = 1; i < argc; i += 2) {
        bool found = false;
        for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
            if (strcmp(argv[i], known[k].name) == 0)
                found = argv[i + 1] && sl_slice_u64(sl_slice_str(argv[i + 1]), known[k].value);
        if (!found)
            return false;
    }
    return options.port < 65536 && options.frames >= 6 && options.frames <= FRAMES_MAX;
}

int main(int argc, char **argv) {
    static uv_loop_t loop;
    static uv_tcp_t server;
    static uv_signal_t signal;
    struct sockaddr_in at;
    int len = sizeof(at);
    if (!read_options(argc, argv)) {
        fprintf(stderr, "usage: upstream [--port N] [--latency MS] [--frames N] [--gap MS]\n");
        return 2;
    }
    make_documents();
    make_stream();
    must(uv_loop_init(&loop));
    must(uv_tcp_init(&loop, &server));
    must(uv_ip4_addr("127.0.0.1", (int)options.port, &at));
    must(uv_tcp_bind(&server, (const struct sockaddr *)&at, 0));
    must(uv_listen((uv_stream_t *)&server, 4096, on_connection));
    must(uv_tcp_getsockname(&server, (struct sockaddr *)&at, &len));
    must(uv_signal_init(&loop, &signal));
    must(uv_signal_start(&signal, on_signal, SIGTERM));
    fprintf(stderr, "ready upstream=127.0.0.1:%u\n", ntohs(at.sin_port));
    must(uv_run(&loop, UV_RUN_DEFAULT) < 0);
    return 0;
}
