/*
 * Events of a reply as an Anthropic message: whole, or as the stream of events that SDKs put
 * together again. Both are written by the same steps (a block opens, gets pieces, closes), so that
 * they say the same.
 *
 * How many tokens went in is known only at the end, so message_start says none and message_delta,
 * which SDKs let overwrite it, says all.
 */
#include "dialect/anthropic.h"
#include "dialect/frames.h"
#include "sluice/base/list.h"
#include "sluice/base/mem.h"
#include "sluice/dialect/reply.h"
#include "sluice/wire/sse.h"

enum part { PART_NONE, PART_TEXT, PART_THINKING, PART_REDACTED, PART_TOOL };

struct message {
    struct sl_encoder base;
    const struct sl_ask *ask;
    struct sl_reply_reader *reader;
    struct sl_buf *out; /* of the call under way */
    struct sl_buf data; /* one event; or the content of the document so far */
    struct sl_buf signature, stop_reason, stop_sequence;
    struct sl_usage usage;
    enum part open;
    size_t input_start; /* of the open tool's input, in data */
    uint32_t index;     /* of the open block, or the next one */
    bool started, stopped, ended, failed;
};

static int ignore(void *ctx, const struct sl_json_token *token) {
    (void)ctx, (void)token;
    return SL_OK;
}

bool sl_anthropic_is_json(struct sl_slice text) {
    struct sl_json_tokenizer tokenizer;
    sl_json_init(&tokenizer, ignore, NULL);
    return sl_json_feed(&tokenizer, text) == SL_OK && sl_json_finish(&tokenizer) == SL_OK;
}

static struct message *of_base(struct sl_encoder *base) {
    return SL_CONTAINER(base, struct message, base);
}

static bool streams(const struct message *m) {
    return !m->base.whole;
}

static struct sl_put fresh(struct message *m) {
    sl_buf_clear(&m->data);
    return (struct sl_put){&m->data, SL_OK};
}

static int send(struct message *m, const char *event, const struct sl_put *p) {
    return p->err ? p->err : sl_sse_encode(m->out, sl_slice_str(event), sl_buf_slice(&m->data));
}

static void put_id(struct sl_put *p, const char *id) {
    sl_put_key(p, "id");
    sl_put(p, "\"msg_");
    for (; id && *id; id++)
        if (*id != '-')
            sl_put_raw(p, sl_slice_of(id, 1));
    sl_put(p, "\"");
}

static void put_usage(struct sl_put *p, const struct sl_usage *usage) {
    const struct {
        const char *name;
        int64_t value;
    } rows[] = {
        {"input_tokens", usage->input},
        {"cache_creation_input_tokens", usage->cache_write},
        {"cache_read_input_tokens", usage->cache_read},
        {"output_tokens", usage->output},
    };
    sl_put_key(p, "usage");
    sl_put_open(p, "{");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        sl_put_member_int(p, rows[i].name, rows[i].value > 0 ? rows[i].value : 0);
    sl_put(p, "}");
}

static void put_stop(struct sl_put *p, const struct message *m) {
    sl_put_member_string(p, "stop_reason", sl_buf_slice(&m->stop_reason));
    if (m->stop_sequence.len > 0)
        sl_put_member_string(p, "stop_sequence", sl_buf_slice(&m->stop_sequence));
    else
        sl_put_member(p, "stop_sequence", SL_LIT("null"));
}

/* The members that a message begins with. */
static void put_head(struct sl_put *p, const struct message *m) {
    put_id(p, m->ask->id);
    sl_put_member(p, "type", SL_LIT("\"message\""));
    sl_put_member(p, "role", SL_LIT("\"assistant\""));
    sl_put_member_string(p, "model", m->ask->model);
}

static int on_start(struct message *m) {
    static const struct sl_usage none = {0, 0, 0, 0};
    m->started = true;
    if (!streams(m))
        return SL_OK;
    struct sl_put p = fresh(m);
    sl_put(&p, "{\"type\":\"message_start\",\"message\":{");
    put_head(&p, m);
    sl_put(&p, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null");
    put_usage(&p, &none);
    sl_put(&p, "}}");
    return send(m, "message_start", &p);
}

/* {"type":"content_block_start","index":N,"content_block": */
static struct sl_put begin_event(struct message *m, const char *type, const char *member) {
    struct sl_put p = fresh(m);
    sl_put(&p, "{\"type\":\"");
    sl_put(&p, type);
    sl_put(&p, "\"");
    sl_put_member_int(&p, "index", m->index);
    if (member)
        sl_put_key(&p, member);
    return p;
}

/* The block's beginning; in a document its first string stays open for the pieces to come. */
static void put_block(struct sl_put *p, const struct message *m, enum part part,
                      const struct sl_reply_event *event) {
    sl_put_open(p, "{");
    if (part == PART_TEXT)
        sl_put(p, "\"type\":\"text\",\"text\":\"");
    else if (part == PART_THINKING)
        sl_put(p, "\"type\":\"thinking\",\"thinking\":\"");
    else if (part == PART_REDACTED)
        sl_put(p, "\"type\":\"redacted_thinking\",\"data\":\"");
    else {
        sl_put(p, "\"type\":\"tool_use\"");
        sl_put_member_string(p, "id", event->tool_id);
        sl_put_member_string(p, "name", event->tool_name);
        sl_put_key(p, "input");
    }
    if (!streams(m))
        return;
    if (part == PART_THINKING)
        sl_put(p, "\",\"signature\":\"\"}}");
    else if (part == PART_TEXT)
        sl_put(p, "\"}}");
    else if (part == PART_TOOL)
        sl_put(p, "{}}}");
}

static int open_block(struct message *m, enum part part, const struct sl_reply_event *event) {
    struct sl_put p;
    m->open = part;
    sl_buf_clear(&m->signature);
    if (streams(m))
        p = begin_event(m, "content_block_start", "content_block");
    else
        p = (struct sl_put){&m->data, SL_OK};
    put_block(&p, m, part, event);
    m->input_start = m->data.len;
    if (!streams(m) || p.err)
        return p.err;
    if (part == PART_REDACTED) { /* has no deltas: it comes whole */
        sl_put_inner(&p, event->text);
        sl_put(&p, "\"}}");
    }
    return send(m, "content_block_start", &p);
}

static int close_block(struct message *m) {
    struct sl_put p = {&m->data, SL_OK};
    enum part part = m->open;
    if (part == PART_NONE)
        return SL_OK;
    m->open = PART_NONE;
    if (streams(m)) {
        p = begin_event(m, "content_block_stop", NULL);
        m->index++;
        sl_put(&p, "}");
        return send(m, "content_block_stop", &p);
    }
    m->index++;
    if (part == PART_TOOL) {
        bool whole = sl_anthropic_is_json(sl_slice_skip(sl_buf_slice(&m->data), m->input_start));
        if (!whole)
            m->data.len = m->input_start;
        sl_put(&p, whole ? "}" : "{}}");
    } else if (part == PART_THINKING) {
        sl_put(&p, "\"");
        sl_put_member_string(&p, "signature", sl_buf_slice(&m->signature));
        sl_put(&p, "}");
    } else
        sl_put(&p, "\"}");
    return p.err;
}

/* How a piece of each kind is told: the delta's type and member. */
static const struct {
    enum part part;
    const char *delta;
} pieces[] = {
    [SL_REPLY_TEXT] = {PART_TEXT, "{\"type\":\"text_delta\",\"text\":"},
    [SL_REPLY_REASONING] = {PART_THINKING, "{\"type\":\"thinking_delta\",\"thinking\":"},
    [SL_REPLY_SIGNATURE] = {PART_THINKING, "{\"type\":\"signature_delta\",\"signature\":"},
    [SL_REPLY_TOOL_INPUT] = {PART_TOOL, "{\"type\":\"input_json_delta\",\"partial_json\":"},
};

/* A piece in the document: behind what is there, with the block's end still to come. */
static int keep_piece(struct message *m, const struct sl_reply_event *event) {
    struct sl_put p = {&m->data, SL_OK};
    if (event->kind == SL_REPLY_SIGNATURE)
        return sl_buf_add(&m->signature, event->text);
    if (event->kind == SL_REPLY_TOOL_INPUT)
        sl_put_raw(&p, event->text);
    else
        sl_put_inner(&p, event->text);
    return p.err;
}

static int on_piece(struct message *m, const struct sl_reply_event *event) {
    enum part part = pieces[event->kind].part;
    int err = SL_OK;
    if (m->open != part) { /* reasoning shows only now of which kind it is */
        err = close_block(m);
        if (!err)
            err = open_block(m, part, event);
    }
    if (err || !streams(m))
        return err ? err : keep_piece(m, event);
    struct sl_put p = begin_event(m, "content_block_delta", "delta");
    sl_put(&p, pieces[event->kind].delta);
    sl_put_string(&p, event->text);
    sl_put(&p, "}}");
    return send(m, "content_block_delta", &p);
}

static int on_redacted(struct message *m, const struct sl_reply_event *event) {
    int err = close_block(m);
    if (!err)
        err = open_block(m, PART_REDACTED, event);
    if (!err && !streams(m))
        err = keep_piece(m, event);
    return err ? err : close_block(m);
}

static int on_block(struct message *m, const struct sl_reply_event *event) {
    int err = close_block(m);
    if (!err && event->block == SL_BLOCK_TEXT)
        err = open_block(m, PART_TEXT, event);
    if (!err && event->block == SL_BLOCK_TOOL)
        err = open_block(m, PART_TOOL, event);
    return err;
}

/* Converse's reasons in Anthropic's words; those not named here have the same name. */
static struct sl_slice stop_reason(struct sl_slice reason) {
    static const struct {
        struct sl_slice converse, anthropic;
    } rows[] = {
        {SL_LIT("guardrail_intervened"), SL_LIT("refusal")},
        {SL_LIT("content_filtered"), SL_LIT("refusal")},
        {SL_LIT("malformed_model_output"), SL_LIT("end_turn")},
        {SL_LIT("malformed_tool_use"), SL_LIT("end_turn")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (sl_slice_eq(rows[i].converse, reason))
            return rows[i].anthropic;
    return reason;
}

static int on_stop(struct message *m, const struct sl_reply_event *event) {
    int err = close_block(m);
    m->stopped = true;
    if (!err)
        err = sl_buf_add(&m->stop_reason, stop_reason(event->stop_reason));
    return err ? err : sl_buf_add(&m->stop_sequence, event->stop_sequence);
}

/* The stream's last words, once the reason and the usage are known. */
static int end_stream(struct message *m) {
    if (!streams(m) || m->ended || !m->stopped)
        return SL_OK;
    m->ended = true;
    struct sl_put p = fresh(m);
    sl_put(&p, "{\"type\":\"message_delta\",\"delta\":{");
    put_stop(&p, m);
    sl_put(&p, "}");
    put_usage(&p, &m->usage);
    sl_put(&p, "}");
    int err = send(m, "message_delta", &p);
    return err ? err
               : sl_sse_encode(m->out, SL_LIT("message_stop"),
                               SL_LIT("{\"type\":\"message_stop\"}"));
}

static int on_event(void *ctx, const struct sl_reply_event *event) {
    struct message *m = ctx;
    switch (event->kind) {
    case SL_REPLY_START:
        return on_start(m);
    case SL_REPLY_BLOCK:
        return on_block(m, event);
    case SL_REPLY_TEXT:
    case SL_REPLY_REASONING:
    case SL_REPLY_SIGNATURE:
    case SL_REPLY_TOOL_INPUT:
        return on_piece(m, event);
    case SL_REPLY_REDACTED:
        return on_redacted(m, event);
    case SL_REPLY_BLOCK_END:
        return close_block(m);
    case SL_REPLY_STOP:
        return on_stop(m, event);
    case SL_REPLY_USAGE:
        m->usage = event->usage;
        return end_stream(m);
    case SL_REPLY_EXCEPTION:
        m->failed = m->ended = true;
        return streams(m)
                   ? sl_anthropic_error_event(m->out, event->failure, event->text, m->ask->id)
                   : SL_E_PROTOCOL;
    case SL_REPLY_OTHER: /* what Anthropic's messages have no word for */
        break;
    }
    return SL_OK;
}

static int feed(struct sl_encoder *base, struct sl_slice bytes, struct sl_buf *out) {
    struct message *m = of_base(base);
    m->out = out;
    return sl_reply_reader_feed(m->reader, bytes);
}

static int finish(struct sl_encoder *base, struct sl_buf *out) {
    struct message *m = of_base(base);
    m->out = out;
    int err = sl_reply_reader_finish(m->reader);
    if (err || streams(m))
        return err ? err : end_stream(m);
    if (!m->stopped)
        return SL_E_PROTOCOL;
    struct sl_put p = {out, SL_OK};
    sl_put_raw(&p, SL_LIT("{"));
    put_head(&p, m);
    sl_put(&p, ",\"content\":[");
    sl_put_raw(&p, sl_buf_slice(&m->data));
    sl_put(&p, "]");
    put_stop(&p, m);
    put_usage(&p, &m->usage);
    sl_put(&p, "}");
    return p.err;
}

static int broken(struct sl_encoder *base, enum sl_failure kind, struct sl_slice message,
                  struct sl_buf *out) {
    struct message *m = of_base(base);
    if (!streams(m))
        return SL_E_NOTFOUND;
    if (m->failed)
        return SL_OK; /* upstream's own words were passed on */
    m->failed = true;
    return sl_anthropic_error_event(out, kind, message, m->ask->id);
}

static void message_free(struct sl_encoder *base) {
    struct message *m = of_base(base);
    sl_reply_reader_free(m->reader);
    sl_buf_done(&m->data);
    sl_buf_done(&m->signature);
    sl_buf_done(&m->stop_reason);
    sl_buf_done(&m->stop_sequence);
    sl_free(m);
}

static const struct sl_encoder_ops ops = {feed, finish, broken, message_free};

int sl_anthropic_encoder_new(const struct sl_ask *ask, const struct sl_source *source,
                             struct sl_arena *arena, struct sl_encoder **out) {
    bool supported = true;
    struct message *m = sl_calloc(1, sizeof(*m));
    if (!m)
        return SL_E_NOMEM;
    m->base.ops = &ops;
    m->base.whole = !ask->stream;
    m->ask = ask;
    m->usage = SL_USAGE_UNKNOWN;
    sl_buf_init(&m->data, SL_ANSWER_MAX);
    sl_buf_init(&m->signature, SL_ANSWER_MAX);
    sl_buf_init(&m->stop_reason, SL_ANSWER_MAX);
    sl_buf_init(&m->stop_sequence, SL_ANSWER_MAX);
    m->reader = sl_reply_reader_new(source, on_event, m, &supported);
    int err = m->reader   ? sl_anthropic_head(&m->base.head, arena, ask)
              : supported ? SL_E_NOMEM
                          : SL_E_NOTFOUND;
    if (err)
        message_free(&m->base);
    else
        *out = &m->base;
    return err;
}
