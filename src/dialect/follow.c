/*
 * What upstream's bodies tell on the way. Usage stands in different places:
 *
 *   InvokeModel               response headers; the document of some families
 *   InvokeModel stream        amazon-bedrock-invocationMetrics, inside the last chunk (base64)
 *   Converse / its stream     usage, in the document / in the metadata frame
 *   OpenAI, Anthropic         usage, in the document / in some of the events
 *
 * A frame is copied aside while it arrives, so that it can be looked into once it is whole.
 */
#include "sluice/dialect/follow.h"

#include "dialect/usage.h"

static void begin_document(struct sl_follow *f) {
    sl_usage_facts(f->fact);
    f->reading_facts =
        sl_json_facts_init(&f->facts, f->fact, SL_FOLLOW_FACTS, SL_USAGE_TEXT_MAX) == SL_OK;
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
    sl_usage_from_headers(&f->usage, headers);
    switch (f->framing) {
    case SL_FRAMING_EVENTSTREAM:
        sl_eventstream_scanner_init(&f->scanner);
        break;
    case SL_FRAMING_SSE:
        sl_sse_init(&f->sse, SL_FOLLOW_CAPTURE_MAX);
        break;
    case SL_FRAMING_WHOLE:
        if (status == 200 && sl_operation_info(op)->metered)
            begin_document(f);
        break;
    }
    return SL_OK;
}

void sl_follow_done(struct sl_follow *f) {
    sl_buf_done(&f->capture);
    if (f->framing == SL_FRAMING_SSE)
        sl_sse_done(&f->sse);
    if (f->facts.facts)
        sl_json_facts_done(&f->facts);
    *f = (struct sl_follow){0};
}

/* Keeps the frame under way aside, if it is small enough to be of interest. */
static void capture(struct sl_follow *f, struct sl_slice bytes) {
    if (!f->capture_cut && sl_buf_add(&f->capture, bytes) != SL_OK)
        f->capture_cut = true;
}

static void look_into_event(struct sl_follow *f, const struct sl_eventstream_message *message) {
    struct sl_slice type = sl_eventstream_string(message->headers, SL_LIT(":event-type"));
    if (sl_slice_eq(type, SL_LIT("messageStop")))
        f->ended = true;
    else if (sl_slice_eq(type, SL_LIT("metadata")))
        sl_usage_from_json(&f->usage, message->payload);
}

static void look_into_frame(struct sl_follow *f) {
    struct sl_eventstream_message message;
    if (f->capture_cut || sl_eventstream_decode(sl_buf_slice(&f->capture), &message) < 0) {
        f->begun = true; /* too large for an exception */
        return;
    }
    struct sl_slice kind = sl_eventstream_string(message.headers, SL_LIT(":message-type"));
    bool error = sl_slice_eq(kind, SL_LIT("error"));
    if (!error && !sl_slice_eq(kind, SL_LIT("exception"))) {
        f->begun = true; /* as SDKs do: what is no failure is content, known to us or not */
        look_into_event(f, &message);
        return;
    }
    struct sl_slice name = sl_eventstream_string(
        message.headers, error ? SL_LIT(":error-code") : SL_LIT(":exception-type"));
    if (f->failure == SL_FAILURE_NONE)
        f->failure = sl_failure_named(name);
    if (f->failure == SL_FAILURE_NONE)
        f->failure = SL_FAILURE_STREAM_ERROR; /* a name not modelled: not one to try again for */
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

static int on_sse_event(void *ctx, const struct sl_sse_event *event) {
    struct sl_follow *f = ctx;
    if (sl_slice_search(event->data, SL_LIT("\"usage\"")) < event->data.len)
        sl_usage_from_json(&f->usage, event->data);
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
    return err == SL_E_LIMIT ? SL_OK : err;
}

static int feed_document(struct sl_follow *f, struct sl_slice bytes) {
    f->seen += bytes.len;
    f->whole = f->seen;
    f->begun = true;
    if (f->reading_facts && sl_json_facts_feed(&f->facts, bytes) != SL_OK)
        f->reading_facts = false;
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
    /* SDKs take a clean end for success; only ConverseStream has an event that says it is one. */
    if (f->operation == SL_OP_CONVERSE_STREAM && !f->ended)
        return SL_E_EOF;
    struct sl_eventstream_message last;
    bool chunks = f->operation == SL_OP_INVOKE_MODEL_STREAM;
    if (chunks && !f->capture_cut && sl_eventstream_decode(sl_buf_slice(&f->capture), &last) > 0)
        sl_usage_from_chunk(&f->usage, last.payload);
    return SL_OK;
}

int sl_follow_finish(struct sl_follow *f) {
    switch (f->framing) {
    case SL_FRAMING_EVENTSTREAM:
        return finish_frames(f);
    case SL_FRAMING_SSE:
        f->whole = f->seen;
        return SL_OK;
    default:
        if (f->reading_facts && sl_json_facts_finish(&f->facts) == SL_OK)
            sl_usage_from_facts(&f->usage, f->fact);
        return SL_OK;
    }
}
