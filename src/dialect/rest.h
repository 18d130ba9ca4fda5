/* What the files of the REST dialect share. */
#ifndef SLUICE_SRC_DIALECT_REST_H
#define SLUICE_SRC_DIALECT_REST_H

#include "dialect/put.h"
#include "sluice/dialect/dialect.h"
#include "sluice/dialect/sessions.h"

/* A request's body: this is an API for prompts, not for media. */
#define SL_REST_BODY_MAX ((size_t)1 << 20)

enum sl_rest_kind {
    SL_REST_NONE,
    SL_REST_INVOKE,
    SL_REST_CHAT,
    SL_REST_FORGET, /* DELETE /chat/{session} */
    SL_REST_MODELS,
    SL_REST_OPENAPI,
    SL_REST_DOCS,
};

/* ask->own: what answering takes of the request. On the heap, since prompts may be large; freed
 * when the exchange is over. */
struct sl_rest_ask {
    enum sl_rest_kind kind;
    const struct sl_dialect_settings *settings;
    struct sl_session_turn turn;           /* of a chat, from finish on */
    struct sl_buf prompt, system, session; /* decoded */
};

/* The embedded pages. */
extern const struct sl_slice sl_rest_openapi, sl_rest_docs;

/* --- rest_body.c: the request as Converse's body. The document is d's; may refuse. */
SL_NODISCARD int sl_rest_compose(struct sl_decode *d, const struct sl_json_view *view,
                                 struct sl_rest_ask *own);

/* --- rest_encode.c */
SL_NODISCARD int sl_rest_encoder(const struct sl_ask *ask, const struct sl_source *source,
                                 struct sl_arena *arena, struct sl_encoder **out);
SL_NODISCARD int sl_rest_error_body(struct sl_buf *out, enum sl_failure kind,
                                    struct sl_slice message, const char *id);
SL_NODISCARD int sl_rest_error_event(struct sl_buf *out, enum sl_failure kind,
                                     struct sl_slice message);

/* --- rest_pages.c: /openapi.json and /docs */
SL_NODISCARD int sl_rest_page(enum sl_rest_kind kind, struct sl_arena *arena,
                              struct sl_response_head *head, struct sl_buf *out);

#endif
