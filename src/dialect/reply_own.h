/*
 * Between the reader (reply.c: bytes to JSON, order of events) and the shapes of answers
 * (reply_*.c: JSON to events). A shape says what it finds; the reader sees to START coming first,
 * to dense block numbers and to blocks that end before others begin.
 */
#ifndef SLUICE_SRC_DIALECT_REPLY_OWN_H
#define SLUICE_SRC_DIALECT_REPLY_OWN_H

#include "dialect/frames.h"
#include "sluice/core/model.h"
#include "sluice/dialect/reply.h"
#include "sluice/wire/json_view.h"

/* Values in one answer's document, or in one event of a stream. */
#define SL_REPLY_NODES_MAX ((uint32_t)1 << 18)

struct sl_reply_shape {
    int (*document)(struct sl_reply_reader *r, const struct sl_json_view *view);
    /* One event: the frame's type and payload, or "chunk" and the JSON that was inside it. */
    int (*event)(struct sl_reply_reader *r, const struct sl_json_view *view, struct sl_slice type);
};

struct sl_reply_reader {
    int (*on_event)(void *ctx, const struct sl_reply_event *event);
    void *ctx;
    const struct sl_reply_shape *shape;
    enum sl_family family;
    bool framed, chunked;    /* a stream of frames; their JSON is inside `chunk` events */
    struct sl_frames frames; /* of a stream */
    struct sl_buf document;
    struct sl_json_view view;          /* of the document */
    struct sl_buf text, id, name, raw; /* decoded, for the event under way */
    bool started, stopped, failed;
    bool open;        /* a block is */
    uint32_t index;   /* its number, or that of the next one */
    int64_t upstream; /* upstream's number for it */
    enum sl_reply_block block;
    struct sl_usage usage; /* as far as known */
};

extern const struct sl_reply_shape sl_reply_converse, sl_reply_nova, sl_reply_claude,
    sl_reply_plain;

/* raw: see SL_REPLY_START. Only the first counts. */
int sl_reply_start(struct sl_reply_reader *r, struct sl_slice raw);
/* Begins a block, after ending the one that may be open. tool: names it; NULL members are fine. */
struct sl_reply_block_start {
    enum sl_reply_block block;
    int64_t upstream;
    const struct sl_json_node *id, *name; /* strings of a tool's block */
    struct sl_slice raw;
};
int sl_reply_block(struct sl_reply_reader *r, const struct sl_json_view *view,
                   const struct sl_reply_block_start *start);
/* As above unless a block of that kind and number is open already. */
int sl_reply_need(struct sl_reply_reader *r, enum sl_reply_block block, int64_t upstream);
int sl_reply_block_end(struct sl_reply_reader *r);
/* A piece of the open block, decoded from a string node; nothing where there is none or "". */
int sl_reply_piece(struct sl_reply_reader *r, enum sl_reply_kind kind,
                   const struct sl_json_view *view, const struct sl_json_node *node);
/* The same from text at hand. */
int sl_reply_text(struct sl_reply_reader *r, enum sl_reply_kind kind, struct sl_slice text);
/* Ends the open block. sequence: a string node, or NULL. */
int sl_reply_stop(struct sl_reply_reader *r, const struct sl_json_view *view,
                  struct sl_slice reason, const struct sl_json_node *sequence, struct sl_slice raw);
/* Says r->usage. */
int sl_reply_usage(struct sl_reply_reader *r, struct sl_slice raw);

#endif
