/*
 * What fetch's files share: fetch.c owns the states and the turn, fetch_setup.c turns a request
 * into curl's options, fetch_reply.c takes what curl delivers, fetch_error.c says what went wrong.
 *
 * A fetch and its easy handle are one object, pooled: an easy handle keeps its options between uses
 * and only what differs is set again. State is list membership:
 *
 *   SPARE ──▶ RUNNING ──▶ ENDED ──▶ REPORTING ──▶ SPARE
 *      │        ▲  │                              ▲
 *      └▶ QUEUED┘  └──▶ DROPPED ──────────────────┘
 *
 * QUEUED and DROPPED exist because curl refuses to add or remove transfers inside its callbacks:
 * they last only until curl returns.
 */
#ifndef SLUICE_SRC_IO_FETCH_IMPL_H
#define SLUICE_SRC_IO_FETCH_IMPL_H

#include <assert.h>
#include <curl/curl.h>

#include "io/fetch_poll.h"
#include "io/proxy.h"
#include "sluice/base/buf.h"
#include "sluice/io/fetch.h"

/* A response head larger than this is refused: Bedrock's are below 2 KB. */
#define SL_FETCH_HEAD_MAX 65536
/* Header lines of a response. */
#define SL_FETCH_LINES_MAX 512
/* Target and headers of a request. */
#define SL_FETCH_REQUEST_MAX 262144
/* A body in several chunks up to this size is gathered, so that it leaves with its head in one
 * write; the copy is cheaper than the second write. Held per pooled handle. */
#define SL_FETCH_GATHER_MAX 16384
/* curl copies a body below this into one buffer with the head (its MAX_INITIAL_POST_SIZE) the
 * moment the request is sent, and never looks at it again. Larger ones are read through a callback,
 * so that a cancelled fetch's body is not touched. */
#define SL_FETCH_INLINE_MAX 65536
/* Easy handles kept for reuse (about 5 KB each, and what they gathered). */
#define SL_FETCH_SPARES_MAX 256

struct sl_fetch_origin {
    struct sl_list link; /* on the client's list */
    uint64_t id;         /* never used twice, so that a pooled handle knows whose options it has */
    CURLU *url;
    char *authority;
    char *ca_file;      /* NULL: the system's */
    const char *proxy;  /* owned by the client; NULL: none */
    bool tls, absolute; /* absolute: plain HTTP over an HTTP proxy, which wants the whole URL */
};

enum sl_fetch_state {
    SL_FETCH_SPARE,
    SL_FETCH_QUEUED,
    SL_FETCH_RUNNING,
    SL_FETCH_DROPPED,
    SL_FETCH_ENDED,
    SL_FETCH_REPORTING,
    SL_FETCH_STATES
};

/* What one fetch may hand up in one turn, but for curl's last read: at 10 ns a byte, half a
 * millisecond. */
#define SL_FETCH_TURN_BYTES 32768

struct sl_fetch_client {
    struct sl_loop *loop;
    CURLM *multi;
    struct sl_fetch_polls polls;
    struct sl_turn_hook transfers, send;
    struct sl_timer timer; /* curl's next timeout */
    uint64_t timer_at;     /* when curl wants to be run; the timer may be set for earlier */
    bool due;              /* curl wants to be run now */
    bool fired;            /* on_head or on_data was called */
    int depth;             /* calls into curl that may call back */
    struct sl_list lists[SL_FETCH_STATES];
    struct sl_list resumes; /* running ones to be resumed in the turn */
    struct sl_list origins;
    uint32_t spares;
    uint64_t origin_ids;
    struct sl_fetch_stats stats;
    struct sl_proxies proxies;
    char *user_agent;
    const char *ca_default; /* libcurl's own string */
};

/* What an easy handle has been told, so that it is told only what differs. */
struct sl_fetch_options {
    uint64_t origin_id;
    bool no_proxy, custom_method;
    uint32_t connect_ms;
    long upload_buffer;
};

struct sl_fetch {
    struct sl_list link, resume_link;
    enum sl_fetch_state state;
    struct sl_fetch_client *client;
    CURL *easy;
    struct sl_fetch_options options;

    struct sl_fetch_events events;
    void *ctx;

    /* The request. */
    struct curl_slist header; /* one node: all header lines */
    struct sl_buf header_text, target, gathered;
    const struct sl_chain *body;
    struct sl_chain_cursor cursor;
    uint64_t body_len;

    /* Progress. */
    enum sl_fetch_phase phase; /* SEND until the head is there */
    bool opened;               /* a connection was made for it */
    bool retried;              /* curl wanted to send it again, which is refused */
    uint64_t turn;             /* when it last had bytes */
    size_t turn_bytes;         /* how many in that turn */
    bool paused;               /* as the caller wishes */
    bool held;                 /* curl was told to pause */
    uint64_t started_at, active_at;
    uint64_t first_byte, idle, total; /* ns; SL_NEVER: no limit */
    struct sl_timer timer;

    /* The response. */
    struct sl_buf head;
    size_t lines;
    struct sl_fetch_header *headers;
    size_t header_cap;

    struct sl_fetch_result result;
    int refused; /* why a callback of ours told curl to stop; 0: it did not */
    char why[CURL_ERROR_SIZE];
};

/* fetch_setup.c: an easy handle, and all options of one request. After an error the fetch can only
 * be freed. */
SL_NODISCARD struct sl_fetch *sl_fetch_new(struct sl_fetch_client *client);
void sl_fetch_free(struct sl_fetch *fetch);
SL_NODISCARD int sl_fetch_setup(struct sl_fetch *fetch, const struct sl_fetch_request *request);

/* fetch_reply.c: curl's callbacks for header lines and body bytes. */
size_t sl_fetch_on_header(char *line, size_t size, size_t count, void *ctx);
size_t sl_fetch_on_body(char *bytes, size_t size, size_t count, void *ctx);

/* fetch_error.c */
void sl_fetch_explain(struct sl_fetch *fetch, CURLcode code);
/* How far it came, by curl's account where ours does not say. */
enum sl_fetch_phase sl_fetch_progress(const struct sl_fetch *fetch);
/* Makes a callback's refusal the fetch's result. why is a sentence. */
void sl_fetch_refuse(struct sl_fetch *fetch, int error, const char *why);

#endif
