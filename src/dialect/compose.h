/*
 * What dialects share that write a body of their own for Bedrock: the client's body is kept aside
 * while it arrives (compose_begin, _body), read as a tree of slices when it is complete (_read),
 * and what was made of it becomes the call (_finish).
 *
 *   head ─▶ begin ─▶ body… ─▶ read ─▶ (dialect: Converse or InvokeModel JSON) ─▶ finish ─▶ call
 */
#ifndef SLUICE_SRC_DIALECT_COMPOSE_H
#define SLUICE_SRC_DIALECT_COMPOSE_H

#include "sluice/dialect/dialect.h"
#include "sluice/wire/json_view.h"

/* Of a body that is reshaped: values in it, and bytes (Bedrock's own maximum). */
#define SL_COMPOSE_NODES_MAX ((uint32_t)1 << 18)
#define SL_COMPOSE_BODY_MAX  ((size_t)25000000)

/* The client's body. The dialect embeds it in what d->own points at. */
struct sl_compose {
    struct sl_chain text; /* counts against the budget of the call's body */
    struct sl_json_view view;
    int broken; /* the body is not JSON, or too much of it */
};

/* Reads the head: the client's wishes, the key to rejoin by. Sets c up. */
SL_NODISCARD int sl_compose_begin(struct sl_decode *d, const struct sl_request_head *head,
                                  struct sl_compose *c);
SL_NODISCARD int sl_compose_body(struct sl_decode *d, struct sl_compose *c, struct sl_slice bytes);
/* The body is over: c->view is ready, its root is an object; else d->failure is set. */
SL_NODISCARD int sl_compose_read(struct sl_decode *d, struct sl_compose *c);
void sl_compose_done(struct sl_compose *c);

/*
 * The model that a client's name leads to: an alias, else the name itself, with the region's
 * geography before it where the bare id is not served. *model lives in d->arena.
 */
SL_NODISCARD int sl_compose_model(struct sl_decode *d, struct sl_slice name,
                                  struct sl_slice *model);

/* Converse, ConverseStream, InvokeModel, InvokeModelWithResponseStream or CountTokens of `model`
 * with `body`: fills d->call and d->ask. A body of Converse's for a model that Converse does not
 * serve is sent in the model's own form (reach.h). May refuse. */
SL_NODISCARD int sl_compose_finish(struct sl_decode *d, enum sl_operation op, struct sl_slice model,
                                   const struct sl_buf *body);

/* The same for one of several calls of a request (sl_dialect.part): no ask. */
SL_NODISCARD int sl_compose_part(const struct sl_decode *d, struct sl_arena *arena,
                                 struct sl_call *call, enum sl_operation op, struct sl_slice model,
                                 const struct sl_buf *body);

/* A refusal. Returns SL_OK, as begin, body and finish do then. */
int sl_compose_refuse(struct sl_decode *d, enum sl_failure kind, struct sl_slice message);
/* The same with a sentence made here: printf's format. SL_E_NOMEM. */
SL_NODISCARD int sl_compose_refusef(struct sl_decode *d, enum sl_failure kind, const char *fmt, ...)
    SL_PRINTF(3, 4);

#endif
