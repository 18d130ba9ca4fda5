/* What the files of OpenAI's dialect share. */
#ifndef SLUICE_SRC_DIALECT_OPENAI_H
#define SLUICE_SRC_DIALECT_OPENAI_H

#include "dialect/compose.h"
#include "dialect/put.h"

/* Bodies made here: the client's strings, and what is said around them. */
#define SL_OPENAI_BODY_MAX (2 * SL_COMPOSE_BODY_MAX)

enum sl_openai_kind {
    SL_OPENAI_NONE,
    SL_OPENAI_CHAT,
    SL_OPENAI_RESPONSES,
    SL_OPENAI_EMBEDDINGS,
    SL_OPENAI_MODELS, /* all, or the one named in the path */
};

/* ask->own: what answering takes of the request. On the heap, since it may quote much of it; freed
 * when the exchange is over. */
struct sl_openai_ask {
    enum sl_openai_kind kind;
    bool include_usage; /* of a chat's stream */
    bool base64;        /* embeddings */
    const struct sl_dialect_settings *settings;
    struct sl_buf json_tool; /* the tool whose input is the content (JSON schema); empty: none */
    struct sl_buf ignored;   /* fields of the request that had no effect: "a, b" */
    struct sl_buf wanted;    /* the model that /v1/models/{id} names */
    struct sl_buf echo;      /* responses: members that the answer repeats, with commas */
};

/* In a response's encrypted_content stands what the model wants back: what it signed its reasoning
 * with, or, behind this, reasoning that nobody else can read. Neither holds a colon (base64). */
#define SL_OPENAI_REDACTED "redacted:"

/* A conversation in Converse's words, as it is put together: one message at a time, blocks of the
 * same role in a row in one message. */
struct sl_talk {
    struct sl_decode *d;
    const struct sl_json_view *view;
    struct sl_openai_ask *ask;
    struct sl_buf messages, system, scratch;
    struct sl_put put, system_put; /* to messages, system */
    char role;                     /* of the message under way: 'u', 'a', or 0 */
    bool tools;                    /* tools were used */
    bool unsigned_tools;           /* by turns whose reasoning is not known */
};

void sl_talk_init(struct sl_talk *t, struct sl_decode *d, const struct sl_json_view *view,
                  struct sl_openai_ask *ask);
void sl_talk_done(struct sl_talk *t);
/* The first failure of memory, if there was one. */
SL_NODISCARD int sl_talk_error(const struct sl_talk *t);
/* Each appends a block to a message of that role; nodes are the client's strings. What cannot be
 * said in Converse's words is refused (d->failure). */
void sl_talk_text(struct sl_talk *t, char role, const struct sl_json_node *text);
void sl_talk_system(struct sl_talk *t, const struct sl_json_node *text);
void sl_talk_instruct(struct sl_talk *t, const char *text);
/* url: "data:image/png;base64,…". */
void sl_talk_image(struct sl_talk *t, char role, const struct sl_json_node *url);
/* data: base64, or a data URL; name: the file's. */
void sl_talk_file(struct sl_talk *t, const struct sl_json_node *data,
                  const struct sl_json_node *name);
void sl_talk_reasoning(struct sl_talk *t, const struct sl_json_node *text,
                       const struct sl_json_node *signature);
/* What the model said of its reasoning to itself alone: base64. */
void sl_talk_redacted(struct sl_talk *t, struct sl_slice data);
/* arguments: a string that holds a JSON object, which is spliced in as it stands. */
void sl_talk_tool_use(struct sl_talk *t, const struct sl_json_node *id,
                      const struct sl_json_node *name, const struct sl_json_node *arguments);
/* content: a string, or parts of text and images, of either API. */
void sl_talk_tool_result(struct sl_talk *t, const struct sl_json_node *id,
                         const struct sl_json_node *content);
/* A message's content: a string, or parts. */
void sl_talk_content(struct sl_talk *t, char role, const struct sl_json_node *content);
/* Writes "messages" and "system" into an open object. */
void sl_talk_put(struct sl_talk *t, struct sl_put *p);

/* What both APIs say of sampling, tools and format, wherever in the request it stands. */
struct sl_openai_settings {
    struct sl_slice model; /* resolved */
    const struct sl_json_node *max_tokens, *temperature, *top_p, *stop, *effort, *service_tier;
    const struct sl_json_node *tools, *tool_choice;
    bool tools_nested;                 /* {"function":{"name",…}} (chat), or flat (responses) */
    const struct sl_json_node *format; /* response_format, or text.format */
    const struct sl_json_node *schema; /* where "name" and "schema" stand, of json_schema */
};
/* The model that the request names, resolved. May refuse. */
SL_NODISCARD int sl_openai_model(struct sl_decode *d, const struct sl_json_view *view,
                                 struct sl_slice *model);
/* The conversation is complete: its call. May refuse. */
SL_NODISCARD int sl_openai_finish_talk(struct sl_talk *t, const struct sl_openai_settings *s,
                                       bool stream);
/* Notes a field that has no effect here. */
SL_NODISCARD int sl_openai_ignore(struct sl_openai_ask *ask, const char *name);
/* Notes those of the names that are there and say something. */
SL_NODISCARD int sl_openai_ignore_all(struct sl_openai_ask *ask, const struct sl_json_view *view,
                                      const char *const *names);
/* A member that is neither absent nor null. */
const struct sl_json_node *sl_openai_get(const struct sl_json_view *view,
                                         const struct sl_json_node *object, const char *name);

/* --- requests: read the client's body, fill in the call. May refuse. */
SL_NODISCARD int sl_openai_chat_request(struct sl_decode *d, const struct sl_json_view *view);
SL_NODISCARD int sl_openai_responses_request(struct sl_decode *d, const struct sl_json_view *view);

/* --- answers */
SL_NODISCARD int sl_openai_chat_encoder(const struct sl_ask *ask, const struct sl_source *source,
                                        struct sl_arena *arena, struct sl_encoder **out);
SL_NODISCARD int sl_openai_responses_encoder(const struct sl_ask *ask,
                                             const struct sl_source *source, struct sl_arena *arena,
                                             struct sl_encoder **out);
SL_NODISCARD int sl_openai_head(struct sl_response_head *head, struct sl_arena *arena,
                                const struct sl_ask *ask);

/* --- openai_error.c */
int sl_openai_status(enum sl_failure kind);
SL_NODISCARD int sl_openai_error_body(struct sl_buf *out, enum sl_failure kind,
                                      struct sl_slice message, const char *id);
/* "data: {"error":…}" of a chat's stream. */
SL_NODISCARD int sl_openai_error_event(struct sl_buf *out, enum sl_failure kind,
                                       struct sl_slice message);
/* The error event of a response's stream, with its number there. */
SL_NODISCARD int sl_openai_response_error(struct sl_buf *out, enum sl_failure kind,
                                          struct sl_slice message, int64_t sequence);

/* --- embeddings and models: several calls for one request */
struct sl_openai_embeddings;
SL_NODISCARD int sl_openai_embeddings_request(struct sl_decode *d, const struct sl_json_view *view,
                                              struct sl_openai_embeddings **out);
SL_NODISCARD int sl_openai_embeddings_part(const struct sl_decode *d,
                                           const struct sl_openai_embeddings *e, size_t i,
                                           struct sl_arena *arena, struct sl_call *call);
SL_NODISCARD int sl_openai_embeddings_join(const struct sl_ask *ask, const struct sl_part *parts,
                                           size_t count, struct sl_buf *out);
/* For a request that is one call. */
SL_NODISCARD int sl_openai_embeddings_encoder(const struct sl_ask *ask,
                                              const struct sl_source *source,
                                              struct sl_arena *arena, struct sl_encoder **out);
SL_NODISCARD int sl_openai_models_join(const struct sl_ask *ask, struct sl_arena *arena,
                                       const struct sl_part *parts, size_t count,
                                       struct sl_response_head *head, struct sl_buf *out);

#endif
