/*
 * What upstream's bodies tell on the way. Usage stands in different places:
 *
 *   InvokeModel               response headers; the document of some families
 *   InvokeModel stream        amazon-bedrock-invocationMetrics, inside the last chunk (base64)
 *   Converse / its stream     usage, in the document / in the metadata frame
 *   OpenAI, Anthropic         usage, in the document / in some of the events
 *
 * A frame is copied aside while it arrives, so that it can be looked into once it is whole. What
 * tells whether an answer may be given to others as well (verdict.h) stands in the same places, and
 * in the events that begin a block of content.
 *
 * SDKs take a connection that ends between two frames for success. So a stream whose last word was
 * that more follows (closing.h) counts as cut, however properly its body ended.
 */
#include "sluice/dialect/follow.h"

#include "dialect/frames.h"
#include "dialect/reading.h"
#include "dialect/usage.h"

static int on_token(void *ctx, const struct sl_json_token *token) {
    struct sl_follow *f = ctx;
    sl_verdict_token(&f->verdict, token);
    return sl_json_facts_token(&f->facts, token);
}

static void begin_document(struct sl_follow *f) {
    sl_usage_begin(&f->facts, f->fact);
    sl_json_init(&f->document, on_token, f);
    f->reading = true;
}

static enum sl_framing framing_of(int status, const struct sl_headers *headers) {
    /* Without its parameters; names of media types have no case (RFC 9110 8.3.1). */
    struct sl_slice type = sl_headers_get(headers, SL_LIT("content-type"));
    type = sl_slice_trim(sl_slice_head(type, sl_slice_find(type, ';')));
    if (status != 200)
        return SL_FRAMING_WHOLE;
    if (sl_slice_ieq(type, SL_LIT("application/vnd.amazon.eventstream")))
        return SL_FRAMING_EVENTSTREAM;
    if (sl_slice_ieq(type, SL_LIT("text/event-stream")))
        return SL_FRAMING_SSE;
    return SL_FRAMING_WHOLE;
}

int sl_follow_init(struct sl_follow *f, enum sl_operation op, int status,
                   const struct sl_headers *headers) {
    *f = (struct sl_follow){.operation = op, .usage = SL_USAGE_UNKNOWN, .line_empty = true};
    f->framing = framing_of(status, headers);
    sl_buf_init(&f->capture, SL_FOLLOW_CAPTURE_MAX);
    sl_buf_init(&f->chunk, SL_FOLLOW_CAPTURE_MAX);
    sl_usage_from_headers(&f->usage, headers);
    switch (f->framing) {
    case SL_FRAMING_EVENTSTREAM:
        sl_eventstream_scanner_init(&f->scanner);
        break;
    case SL_FRAMING_SSE:
        sl_sse_init(&f->sse, SL_FOLLOW_CAPTURE_MAX);
        break;
    case SL_FRAMING_WHOLE:
        if (status == 200 && sl_reading_wanted(op))
            begin_document(f);
        break;
    }
    return SL_OK;
}

void sl_follow_done(struct sl_follow *f) {
    sl_buf_done(&f->capture);
    sl_buf_done(&f->chunk);
    if (f->framing == SL_FRAMING_SSE)
        sl_sse_done(&f->sse);
    if (f->facts.facts)
        sl_json_facts_done(&f->facts);
    *f = (struct sl_follow){0};
}

static int on_event_token(void *ctx, const struct sl_json_token *token) {
    struct sl_follow *f = ctx;
    sl_closing_token(&f->closing, token);
    sl_verdict_token(&f->verdict, token);
    return SL_OK;
}

/* One event of a model's stream; of one that is not JSON, what can be read. */
static void read_event(struct sl_follow *f, struct sl_slice json) {
    struct sl_json_tokenizer t;
    sl_json_init(&t, on_event_token, f);
    (void)(sl_json_feed(&t, json) == SL_OK && sl_json_finish(&t) == SL_OK);
    sl_verdict_event_end(&f->verdict);
    sl_closing_event_end(&f->closing);
}

/* What it would have said may have been anything. */
static void miss_event(struct sl_follow *f) {
    f->blind = true;
    f->closing.open = false;
}

/* Keeps the frame under way aside, if it is small enough to be of interest. */
static void capture(struct sl_follow *f, struct sl_slice bytes) {
    if (!f->capture_cut && sl_buf_add(&f->capture, bytes) != SL_OK)
        f->capture_cut = true;
}

/* Only the last chunk of an InvokeModel stream has metrics, if any has. */
static void look_into_chunk(struct sl_follow *f, const struct sl_eventstream_message *message) {
    sl_buf_clear(&f->chunk);
    if (sl_frame_chunk(message, &f->chunk) != SL_OK) {
        miss_event(f);
        return;
    }
    struct sl_slice json = sl_buf_slice(&f->chunk);
    read_event(f, json);
    if (sl_slice_search(json, SL_LIT("\"amazon-bedrock-invocationMetrics\"")) < json.len) {
        sl_usage_from_json(&f->usage, json);
        f->ended = true;
    }
}

static void look_into_event(struct sl_follow *f, const struct sl_eventstream_message *message) {
    struct sl_slice type = sl_eventstream_string(message->headers, SL_LIT(":event-type"));
    bool stop = sl_slice_eq(type, SL_LIT("messageStop"));
    bool metadata = sl_slice_eq(type, SL_LIT("metadata"));
    if (sl_slice_eq(type, SL_LIT("chunk")))
        look_into_chunk(f, message);
    if (stop)
        f->ended = true;
    if (metadata)
        sl_usage_from_json(&f->usage, message->payload);
    if (stop || metadata || sl_slice_eq(type, SL_LIT("contentBlockStart")))
        sl_verdict_read(&f->verdict, message->payload);
}

static void look_into_frame(struct sl_follow *f) {
    struct sl_eventstream_message message;
    if (f->capture_cut || sl_eventstream_decode(sl_buf_slice(&f->capture), &message) < 0) {
        f->begun = true; /* too large for an exception */
        miss_event(f);
        return;
    }
    enum sl_failure failure = sl_frame_failure(&message);
    if (failure == SL_FAILURE_NONE) {
        f->begun = true; /* as SDKs do: what is no failure is content, known to us or not */
        look_into_event(f, &message);
        return;
    }
    if (f->failure == SL_FAILURE_NONE)
        f->failure = failure;
    f->ended = true;
}

static int feed_frames(struct sl_follow *f, struct sl_slice bytes) {
    while (bytes.len > 0) {
        if (sl_eventstream_at_boundary(&f->scanner)) {
            sl_buf_clear(&f->capture);
            f->capture_cut = false;
        }
        struct sl_slice before = bytes;
        int got = sl_eventstream_scan(&f->scanner, &bytes);
        if (got < 0)
            return got;
        capture(f, sl_slice_head(before, before.len - bytes.len));
        f->seen += before.len - bytes.len;
        if (got == 1) {
            f->whole = f->seen;
            look_into_frame(f);
        }
    }
    return SL_OK;
}

static bool ends_message(const struct sl_sse_event *event) {
    return sl_slice_eq(event->data, SL_LIT("[DONE]")) ||
           sl_slice_eq(event->event, SL_LIT("message_stop")) ||
           sl_slice_eq(event->event, SL_LIT("response.completed"));
}

static int on_sse_event(void *ctx, const struct sl_sse_event *event) {
    struct sl_follow *f = ctx;
    if (sl_slice_search(event->data, SL_LIT("\"usage\"")) < event->data.len)
        sl_usage_from_json(&f->usage, event->data);
    read_event(f, event->data);
    if (ends_message(event))
        f->ended = true;
    return SL_OK;
}

/* An event ends with an empty line; what is behind the last one is not whole yet. */
static void note_event_ends(struct sl_follow *f, struct sl_slice bytes) {
    for (size_t i = 0; i < bytes.len; i++) {
        char c = bytes.ptr[i];
        bool second_of_crlf = f->after_cr && c == '\n';
        f->after_cr = c == '\r';
        if (c != '\n' && c != '\r') {
            f->line_empty = false;
            continue;
        }
        /* CRLF is one line end: its second half belongs to the event that its first one ended. */
        if (second_of_crlf ? f->whole == f->seen + i : f->line_empty)
            f->whole = f->seen + i + 1;
        f->line_empty = true;
    }
}

static int feed_sse(struct sl_follow *f, struct sl_slice bytes) {
    note_event_ends(f, bytes);
    f->seen += bytes.len;
    f->begun = true;
    /* An event too long to look into costs its facts, not the stream. */
    int err = sl_sse_feed(&f->sse, bytes, on_sse_event, f);
    if (err != SL_E_LIMIT)
        return err;
    f->blind = true;
    return SL_OK;
}

static int feed_document(struct sl_follow *f, struct sl_slice bytes) {
    f->seen += bytes.len;
    f->whole = f->seen;
    f->begun = true;
    if (f->reading && sl_json_feed(&f->document, bytes) != SL_OK)
        f->reading = false;
    return SL_OK;
}

int sl_follow_feed(struct sl_follow *f, struct sl_slice bytes) {
    switch (f->framing) {
    case SL_FRAMING_EVENTSTREAM:
        return feed_frames(f, bytes);
    case SL_FRAMING_SSE:
        return feed_sse(f, bytes);
    default:
        return feed_document(f, bytes);
    }
}

static int finish_frames(struct sl_follow *f) {
    if (!sl_eventstream_at_boundary(&f->scanner))
        return SL_E_EOF;
    bool open = f->operation == SL_OP_CONVERSE_STREAM || f->closing.open;
    return open && !f->ended ? SL_E_EOF : SL_OK;
}

/* What is behind the last event end may still say that this is the end. An event too long to look
 * into leaves unknown where the next one begins, so nothing is concluded then. */
static int finish_events(struct sl_follow *f) {
    int err = f->blind ? SL_OK : sl_sse_feed(&f->sse, SL_LIT("\n\n"), on_sse_event, f);
    if (err && err != SL_E_LIMIT)
        return err;
    if (f->closing.open && !f->ended && !f->blind)
        return SL_E_EOF;
    f->whole = f->seen;
    return SL_OK;
}

/* A document that is JSON as far as it goes, and does not go to its end, was cut on its way. */
static int finish_document(struct sl_follow *f) {
    if (!f->reading)
        return SL_OK;
    int err = sl_json_finish(&f->document);
    if (err)
        return err == SL_E_EOF && f->seen > 0 ? err : SL_OK;
    sl_usage_from_facts(&f->usage, f->fact);
    f->ended = true;
    return SL_OK;
}

int sl_follow_finish(struct sl_follow *f) {
    int err = SL_OK;
    switch (f->framing) {
    case SL_FRAMING_EVENTSTREAM:
        err = finish_frames(f);
        break;
    case SL_FRAMING_SSE:
        err = finish_events(f);
        break;
    case SL_FRAMING_WHOLE:
        err = finish_document(f);
        break;
    }
    f->storable =
        !err && f->ended && !f->blind && f->failure == SL_FAILURE_NONE && !f->verdict.spoiled;
    return err;
}
