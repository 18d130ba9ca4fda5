/*
 * The small things that every request does, each alone: ./dev bench micro (bench/micro.py runs this
 * by the clock, and under callgrind for the number of instructions, which does not depend on how
 * busy the machine is).
 *
 *   micro              every subject: a line "NAME nanoseconds"
 *   micro NAME COUNT   so many of one, and nothing else, for a profiler
 *   micro list         their names
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nghttp2/nghttp2.h>

#include "front/head.h"
#include "fuzz/memory_io.h"
#include "sluice/answer/cache.h"
#include "sluice/base/clock.h"
#include "sluice/base/mem.h"
#include "sluice/front/front.h"
#include "sluice/wire/canonical.h"
#include "sluice/wire/eventstream.h"
#include "sluice/wire/json.h"
#include "sluice/wire/sigv4.h"

#define FRAMES  64
#define ENTRIES 4096
#define ROUNDS  7
#define ROUND   (30 * SL_NS_PER_MS)

static const char conversation[] =
    "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"What is the capital of France, and "
    "since when has it been so? Answer in one sentence.\"}]},{\"role\":\"assistant\",\"content\":"
    "[{\"text\":\"Paris, since the year 987.\"}]},{\"role\":\"user\",\"content\":[{\"text\":\"And "
    "that of Portugal? Please answer in the same form as before, with the year.\"}]}],\"system\":"
    "[{\"text\":\"You are a patient teacher of history.\"}],\"inferenceConfig\":{\"maxTokens\":128,"
    "\"temperature\":0.5,\"topP\":0.9,\"stopSequences\":[\"###\"]}}";
static const char answer[] =
    "{\"metrics\":{\"latencyMs\":812},\"output\":{\"message\":{\"content\":[{\"text\":\"Lisbon, "
    "since the year 1255, when the court moved there from Coimbra.\"}],\"role\":\"assistant\"}},"
    "\"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":64,\"outputTokens\":17,\"totalTokens\":"
    "81,\"cacheReadInputTokens\":0,\"cacheWriteInputTokens\":0}}";
static const char head[] =
    "POST /model/us.meta.llama3-3-70b-instruct-v1%3A0/converse HTTP/1.1\r\n"
    "Host: gateway.example.com:8080\r\n"
    "Accept-Encoding: identity\r\n"
    "Content-Type: application/json\r\n"
    "User-Agent: Boto3/1.40.0 md/Botocore#1.40.0 ua/2.1 os/linux#6.1.0 md/arch#x86_64 "
    "lang/python#3.11.2 md/pyimpl#CPython m/Z,b,e cfg/retry-mode#standard Botocore/1.40.0\r\n"
    "X-Amz-Date: 20261122T100719Z\r\n"
    "X-Amz-Security-Token: "
    "IQoJb3JpZ2luX2VjEDIaCXVzLWVhc3QtMSJHMEUCIQDabcdefghijklmnopqrstuvwxyz\r\n"
    "Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-east-1/bedrock/aws4_request"
    ", SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="
    "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7\r\n"
    "amz-sdk-invocation-id: 8a6f7a3a-2a0f-4b3e-9d7c-0d3f2f6f5a11\r\n"
    "amz-sdk-request: attempt=1\r\n"
    "Connection: keep-alive\r\n"
    "Content-Length: 477\r\n\r\n"; /* as `conversation` has */

static uint64_t failures; /* read at the end, so that nothing is optimised away */

static void must(bool good) {
    if (good)
        return;
    fprintf(stderr, "micro: a subject failed\n");
    exit(1);
}

/* ---- SigV4 ------------------------------------------------------------------------ */

static void sign(uint64_t i) {
    static struct sl_sigv4_key key; /* derived once a day, as in service */
    static struct sl_buf scratch, out;
    static const struct sl_sigv4_header headers[] = {
        {SL_LIT("Content-Type"), SL_LIT("application/json")},
        {SL_LIT("Host"), SL_LIT("bedrock-runtime.us-east-1.amazonaws.com")},
        {SL_LIT("X-Amz-Date"), SL_LIT("20261122T100719Z")}};
    struct sl_sigv4_scope scope = {SL_LIT("us-east-1"), SL_LIT("bedrock"), "20261122T100719Z"};
    struct sl_sigv4_request request = {
        .method = SL_LIT("POST"),
        .path = SL_LIT("/model/us.meta.llama3-3-70b-instruct-v1%3A0/converse"),
        .headers = headers,
        .header_count = 3,
        .body_hash = SL_LIT("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")};
    char signature[SL_SIGV4_SIGNATURE_SIZE];
    (void)i;
    scratch.max = out.max = 65536;
    sl_buf_clear(&scratch);
    sl_buf_clear(&out);
    failures += sl_sigv4_sign(&key, SL_LIT("secret"), &scope, &request, &scratch, signature) != 0;
    failures +=
        sl_sigv4_authorization(&out, SL_LIT("AKIDEXAMPLE"), &scope, &request, signature) != 0;
}

static void hash_body(uint64_t i) {
    uint8_t digest[SL_SHA256_SIZE];
    (void)i;
    sl_sha256_of(sl_slice_str(conversation), digest);
    failures += digest[0] == 0 && digest[1] == 0 && digest[2] == 0;
}

/* ---- Event streams ---------------------------------------------------------------- */

static struct sl_buf frames;
static size_t frame_ends[FRAMES];

static void make_frames(void) {
    static const struct sl_eventstream_pair headers[] = {
        {SL_LIT(":event-type"), SL_LIT("contentBlockDelta")},
        {SL_LIT(":content-type"), SL_LIT("application/json")},
        {SL_LIT(":message-type"), SL_LIT("event")}};
    sl_buf_init(&frames, 1 << 20);
    for (size_t i = 0; i < FRAMES; i++) {
        must(
            sl_eventstream_encode(&frames, headers, 3,
                                  SL_LIT("{\"contentBlockIndex\":0,\"delta\":{\"text\":\" token\"},"
                                         "\"p\":\"abcdefghijklm\"}")) == SL_OK);
        frame_ends[i] = frames.len;
    }
}

static struct sl_slice frame_at(uint64_t i) {
    size_t begin = i % FRAMES ? frame_ends[i % FRAMES - 1] : 0;
    return sl_slice_of(frames.ptr + begin, frame_ends[i % FRAMES] - begin);
}

static void scan_frame(uint64_t i) {
    static struct sl_eventstream_scanner scanner;
    struct sl_slice in = frame_at(i);
    failures += sl_eventstream_scan(&scanner, &in) < 0 || in.len > 0;
}

static void decode_frame(uint64_t i) {
    struct sl_eventstream_message message;
    failures += sl_eventstream_decode(frame_at(i), &message) <= 0;
    failures += sl_eventstream_string(message.headers, SL_LIT(":event-type")).len != 17;
}

/* ---- JSON ------------------------------------------------------------------------- */

static void read_facts(uint64_t i) {
    struct sl_json_fact list[] = {{.path = "usage.inputTokens"},
                                  {.path = "usage.outputTokens"},
                                  {.path = "usage.cacheReadInputTokens"},
                                  {.path = "usage.cacheWriteInputTokens"},
                                  {.path = "stopReason"}};
    struct sl_json_facts facts;
    (void)i;
    failures += sl_json_facts_init(&facts, list, 5, 64) != 0;
    failures += sl_json_facts_feed(&facts, sl_slice_str(answer)) != 0;
    failures += sl_json_facts_finish(&facts) != 0 || list[0].integer != 64;
    sl_json_facts_done(&facts);
}

static int to_canonical(void *ctx, const struct sl_json_token *token) {
    return sl_canonical_token(ctx, token);
}

static void canonical_key(uint64_t i) {
    struct sl_canonical *c = sl_canonical_new();
    struct sl_json_tokenizer t;
    uint8_t digest[32];
    (void)i;
    must(c != NULL);
    sl_json_init(&t, to_canonical, c);
    failures += sl_json_feed(&t, sl_slice_str(conversation)) != 0 || sl_json_finish(&t) != 0;
    failures += sl_canonical_finish(c, NULL, 0, digest) != 0;
    sl_canonical_free(c);
}

/* ---- HTTP/1 ----------------------------------------------------------------------- */

static void parse_head(uint64_t i) {
    struct sl_request_head parsed = {0};
    struct sl_head_facts facts;
    struct sl_arena arena;
    const char *why;
    (void)i;
    sl_arena_init(&arena, 65536);
    failures += sl_head_read(sl_slice_str(head), 100, &arena, &parsed, &facts, &why) != 0;
    sl_arena_done(&arena);
}

/* ---- A request through the front, and its answer -------------------------------------- */

/* Both of one client whose connection is kept: what it sends again and again. */
static struct sl_conn *client;
static struct sl_buf asked;
static size_t ids[2]; /* HTTP/2: where its frames name their stream */
static uint64_t answered;

static void *on_request(void *server, struct sl_stream *stream,
                        const struct sl_request_head *request) {
    (void)server;
    failures += request->headers.count < 8;
    return stream;
}

static void on_body(void *x, struct sl_slice bytes) {
    (void)x;
    failures += bytes.len != sizeof(conversation) - 1;
}

static void on_body_end(void *x) {
    static struct sl_header headers[] = {{SL_LIT("Content-Type"), SL_LIT("application/json")}};
    struct sl_response_head response = {
        .status = 200, .headers = {headers, 1, 1}, .content_length = sizeof(answer) - 1};
    failures += sl_stream_respond(x, &response) != SL_OK;
}

static void on_fault(void *x, int status, const char *why) {
    (void)x, (void)status, (void)why;
    failures++;
}

static size_t peek(void *x, struct sl_slice *out, size_t max, bool *end) {
    (void)x, (void)max;
    out[0] = sl_slice_str(answer);
    *end = true;
    return 1;
}

static void advance(void *x, size_t n) {
    (void)x;
    failures += n != sizeof(answer) - 1;
}

static void on_close(void *x, enum sl_close_reason reason) {
    (void)x;
    answered += reason == SL_CLOSE_DONE;
}

static void open_front(const char *alpn) {
    static const struct sl_front_handler handler = {.on_request = on_request,
                                                    .on_body = on_body,
                                                    .on_body_end = on_body_end,
                                                    .on_fault = on_fault,
                                                    .peek = peek,
                                                    .advance = advance,
                                                    .on_close = on_close};
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    char why[64];
    memory_init();
    struct sl_front *front = sl_front_new(&memory.loop, &limits, &handler, NULL);
    must(front && sl_front_listen(front, "192.0.2.1", 80, NULL, why, sizeof(why)));
    client = memory_connect(alpn);
    sl_buf_init(&asked, 65536);
}

/* A turn: the request is read, its answer written. */
static void ask(void) {
    uint64_t before = answered;
    memory_send(client, asked.ptr, asked.len);
    (void)memory_round();
    failures += answered != before + 1;
    client->in.len = client->in.at = client->out.len = 0;
}

static void open_h1(void) {
    open_front("http/1.1");
    must(sl_buf_add_str(&asked, head) == SL_OK);
    must(sl_buf_add_str(&asked, conversation) == SL_OK);
}

static void ask_h1(uint64_t i) {
    (void)i;
    ask();
}

static void add_frame(uint8_t type, uint8_t flags, const void *payload, size_t len) {
    const uint8_t header[] = {0, (uint8_t)(len >> 8), (uint8_t)len, type, flags, 0, 0, 0, 0};
    must(sl_buf_add(&asked, sl_slice_of(header, sizeof(header))) == SL_OK);
    must(sl_buf_add(&asked, sl_slice_of(payload, len)) == SL_OK);
}

/* The fields of `head`, as HTTP/2 has them. */
static size_t fields_of(nghttp2_nv *fields, size_t max, char *names) {
    static const struct sl_slice pseudo[][2] = {
        {SL_LIT(":method"), SL_LIT("POST")},
        {SL_LIT(":scheme"), SL_LIT("http")},
        {SL_LIT(":path"), SL_LIT("/model/us.meta.llama3-3-70b-instruct-v1%3A0/converse")},
        {SL_LIT(":authority"), SL_LIT("gateway.example.com:8080")}};
    struct sl_slice rest = sl_slice_str(head), line;
    size_t count = 0;
    for (; count < 4; count++)
        fields[count] = (nghttp2_nv){(uint8_t *)(uintptr_t)pseudo[count][0].ptr,
                                     (uint8_t *)(uintptr_t)pseudo[count][1].ptr,
                                     pseudo[count][0].len, pseudo[count][1].len, 0};
    sl_slice_split(&rest, '\n', &line);
    while (count < max && sl_slice_split(&rest, '\n', &line) && line.len > 1) {
        size_t colon = sl_slice_find(line, ':');
        struct sl_slice value = sl_slice_trim(sl_slice_skip(line, colon + 1));
        struct sl_slice name = sl_slice_of(names, colon);
        for (size_t i = 0; i < colon; i++)
            *names++ = sl_ascii_lower(line.ptr[i]);
        bool hop = sl_slice_eq(name, SL_LIT("host")) || sl_slice_eq(name, SL_LIT("connection")) ||
                   sl_slice_eq(name, SL_LIT("content-length"));
        if (!hop)
            fields[count++] =
                (nghttp2_nv){(uint8_t *)(uintptr_t)name.ptr, (uint8_t *)(uintptr_t)value.ptr,
                             name.len, value.len - 1, 0};
    }
    return count;
}

/* The second request of a connection is all in the table of the first. */
static void make_request(nghttp2_hd_deflater *deflater) {
    nghttp2_nv fields[32];
    uint8_t block[4096];
    char names[1024];
    size_t count = fields_of(fields, 32, names);
    ssize_t len = nghttp2_hd_deflate_hd(deflater, block, sizeof(block), fields, count);
    must(len > 0);
    ids[0] = asked.len + 5;
    add_frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, block, (size_t)len);
    ids[1] = asked.len + 5;
    add_frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, conversation, sizeof(conversation) - 1);
}

static void ask_h2(uint64_t i) {
    uint32_t id = 2 * (uint32_t)i + 3;
    for (size_t frame = 0; frame < 2; frame++)
        for (size_t byte = 0; byte < 4; byte++)
            asked.ptr[ids[frame] + byte] = (char)(uint8_t)(id >> (24 - 8 * byte));
    ask();
}

static void open_h2(void) {
    static const uint8_t wide[] = {0x7f, 0, 0, 0};
    nghttp2_hd_deflater *deflater;
    open_front("h2");
    must(nghttp2_hd_deflate_new(&deflater, 4096) == 0);
    must(sl_buf_add_str(&asked, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == SL_OK);
    add_frame(NGHTTP2_SETTINGS, 0, NULL, 0);
    add_frame(NGHTTP2_WINDOW_UPDATE, 0, wide, sizeof(wide));
    make_request(deflater);
    ask_h2(UINT64_MAX); /* stream 1 */
    sl_buf_clear(&asked);
    make_request(deflater);
    nghttp2_hd_deflate_del(deflater);
}

/* ---- The cache -------------------------------------------------------------------- */

static struct sl_cache *cache;

static void digest_of(uint64_t i, uint8_t digest[SL_DIGEST_SIZE]) {
    for (size_t at = 0; at < SL_DIGEST_SIZE; at += 8) {
        i += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
        uint64_t word = (i ^ (i >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        word = (word ^ (word >> 27)) * UINT64_C(0x94d049bb133111eb);
        memcpy(digest + at, &word, 8);
    }
}

static void keep(uint64_t i) {
    static struct sl_header headers[] = {{SL_LIT("Content-Type"), SL_LIT("application/json")}};
    struct sl_response_head response = {
        .status = 200, .headers = {headers, 1, 1}, .content_length = sizeof(answer) - 1};
    struct sl_kept_meta meta = {.model = SL_LIT("us.meta.llama3-3-70b-instruct-v1:0"),
                                .operation = SL_OP_CONVERSE,
                                .expires_at = UINT64_MAX};
    digest_of(i, meta.digest);
    struct sl_kept *kept = sl_kept_from(&response, sl_slice_str(answer), &meta);
    must(kept != NULL);
    sl_cache_put(cache, kept, 1);
}

static void make_cache(void) {
    cache = sl_cache_new(&(struct sl_cache_settings){
        .max_bytes = 4 << 20, .max_entry = 1 << 20, .eviction = SL_EVICT_LRU});
    must(cache != NULL);
    for (uint64_t i = 0; i < ENTRIES; i++)
        keep(i);
}

/* Each is one that is there: the latest few. */
static void find_kept(uint64_t i) {
    uint8_t digest[SL_DIGEST_SIZE];
    digest_of(ENTRIES - 1 - i % 256, digest);
    failures += sl_cache_find(cache, digest, 1) == NULL;
}

/* Full, so that one goes for each that comes. */
static void keep_and_evict(uint64_t i) {
    keep(ENTRIES + i);
    sl_cache_tend(cache, 1);
}

/* ---- The whole -------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(uint64_t i);
    void (*prepare)(void);
} subjects[] = {
    {"sigv4-sign", sign, NULL},
    {"sha256-body", hash_body, NULL},
    {"eventstream-scan", scan_frame, make_frames},
    {"eventstream-decode", decode_frame, make_frames},
    {"json-facts", read_facts, NULL},
    {"canonical-key", canonical_key, NULL},
    {"h1-head", parse_head, NULL},
    {"h1-request", ask_h1, open_h1},
    {"h2-request", ask_h2, open_h2},
    {"cache-find", find_kept, make_cache},
    {"cache-put-evict", keep_and_evict, make_cache},
};
#define SUBJECTS (sizeof(subjects) / sizeof(subjects[0]))

static void run(size_t which, uint64_t from, uint64_t count) {
    for (uint64_t i = from; i < from + count; i++)
        subjects[which].run(i);
}

/* Nanoseconds, the best of several rounds: what disturbs only ever adds. */
static double time_of(size_t which) {
    uint64_t count = 64, from = 0, took = 0;
    double best = 0;
    for (int round = 0; round < ROUNDS;) {
        uint64_t begun = sl_clock_monotonic();
        run(which, from, count);
        from += count;
        took = sl_clock_monotonic() - begun;
        if (round == 0 && took < ROUND) { /* still finding out how many a round takes */
            count *= 2;
            continue;
        }
        double each = (double)took / (double)count;
        best = round++ == 0 || each < best ? each : best;
    }
    return best;
}

int main(int argc, char **argv) {
    bool list = argc == 2 && strcmp(argv[1], "list") == 0;
    if (argc != 1 && argc != 3 && !list) {
        fprintf(stderr, "usage: micro [list | NAME COUNT]\n");
        return 2;
    }
    for (size_t i = 0; i < SUBJECTS; i++) {
        if (list) {
            printf("%s\n", subjects[i].name);
        } else if (argc == 1 || strcmp(argv[1], subjects[i].name) == 0) {
            if (subjects[i].prepare)
                subjects[i].prepare();
            if (argc == 3)
                run(i, 0, strtoull(argv[2], NULL, 10));
            else
                printf("%s %.1f\n", subjects[i].name, time_of(i));
        }
    }
    if (failures)
        fprintf(stderr, "micro: %llu operations failed\n", (unsigned long long)failures);
    return failures ? 1 : 0;
}
