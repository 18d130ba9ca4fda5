/*
 * What a request asks for, in one form for all body shapes: how much prompt (its tokens), which
 * prompt (a digest of roles and texts, so that the same question gives the same answer whatever
 * the operation), and the parameters that an answer heeds.
 *
 * Tokens are counted by a stated rule: four bytes of text are one, rounded up over the whole
 * prompt; an image, document or video is 1,600.
 */
#ifndef SIM_ASK_H
#define SIM_ASK_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "sim/models.h"
#include "sim/refuse.h"

#define SL_SIM_BYTES_PER_TOKEN  4
#define SL_SIM_TOKENS_PER_IMAGE 1600
#define SL_SIM_MAX_TOOLS        64
#define SL_SIM_MAX_STOPS        16
#define SL_SIM_MAX_CACHE_POINTS 4
#define SL_SIM_MAX_TEXTS        96      /* of one embedding request; Cohere's own limit */
#define SL_SIM_MAX_WORDS        16384   /* that a prompt may ask for */
#define SL_SIM_MAX_TREE         1048576 /* larger bodies get no tree, see large.h */

struct sl_sim_tool {
    struct sl_slice name;
    const cJSON *schema; /* of its input; NULL: none given */
};

enum sl_sim_choice { SL_SIM_CHOICE_AUTO, SL_SIM_CHOICE_NONE, SL_SIM_CHOICE_ANY };

struct sl_sim_cache_point {
    uint64_t digest; /* of the prompt up to here */
    uint64_t tokens;
    uint32_t ttl_s;
};

/* Slices point into the request's JSON tree or the arena: valid until the plan is made. */
struct sl_sim_ask {
    struct sl_arena *arena;
    struct sl_sim_refusal *no;
    const struct sl_sim_model *model;

    uint64_t digest, bytes, words;
    uint32_t images;
    uint64_t asked_words;      /* "… 300 words" in the last turn; 0: not said */
    struct sl_slice mentioned; /* the tool that the last turn names; empty: none */
    bool blocked;              /* a text holds BLOCKME */
    bool answered;             /* the last turn brings a tool's result */

    int64_t max_tokens; /* -1: not said */
    struct sl_slice stops[SL_SIM_MAX_STOPS];
    size_t stop_count;
    struct sl_sim_tool tools[SL_SIM_MAX_TOOLS];
    size_t tool_count;
    enum sl_sim_choice choice;
    struct sl_slice chosen; /* the one tool that must be used; empty: none */
    struct sl_sim_cache_point cache[SL_SIM_MAX_CACHE_POINTS];
    size_t cache_count;
    bool stream, stream_usage;     /* what OpenAI's and Anthropic's bodies say */
    struct sl_slice tier, latency; /* asked for; empty: not */
    bool thinks;
    bool guarded; /* a guardrail is named */

    struct sl_slice texts[SL_SIM_MAX_TEXTS]; /* to embed */
    size_t text_count;
    uint32_t dimensions;
    bool typed; /* embeddings by type were asked for */
};

void sl_sim_ask_init(struct sl_sim_ask *ask, struct sl_arena *arena, struct sl_sim_refusal *no,
                     const struct sl_sim_model *model);
/* Starts a message; what the turn before mentioned is forgotten. */
void sl_sim_ask_turn(struct sl_sim_ask *ask, struct sl_slice role);
void sl_sim_ask_text(struct sl_sim_ask *ask, struct sl_slice text);
void sl_sim_ask_image(struct sl_sim_ask *ask, const cJSON *image);
void sl_sim_ask_cache_point(struct sl_sim_ask *ask, struct sl_slice ttl);
/* These refuse what passes the limits. */
SL_NODISCARD int sl_sim_ask_tool(struct sl_sim_ask *ask, struct sl_slice name,
                                 struct sl_slice description, const cJSON *schema);
/* An array of strings, or one string; NULL is fine. */
SL_NODISCARD int sl_sim_ask_stops(struct sl_sim_ask *ask, const cJSON *stops);
/* Tokens of the prompt, at least 1. */
uint64_t sl_sim_ask_tokens(const struct sl_sim_ask *ask);
/* What the call may give at most: max_tokens, or the model's maximum. */
int64_t sl_sim_ask_limit(const struct sl_sim_ask *ask);
uint64_t sl_sim_tokens_of(uint64_t bytes);
/* Continues a digest (FNV-1a, 64 bits) over the bytes. */
uint64_t sl_sim_digest(uint64_t digest, struct sl_slice s);
#define SL_SIM_DIGEST_BEGIN UINT64_C(0xcbf29ce484222325)
/* Spreads a digest's bits: neighbouring inputs give unrelated outputs (splitmix64). */
uint64_t sl_sim_mix(uint64_t x);

/* ---- Reading JSON trees ---- */
const cJSON *sl_sim_get(const cJSON *object, const char *key);
/* The string's bytes; empty where there is none. */
struct sl_slice sl_sim_string(const cJSON *value);
struct sl_slice sl_sim_get_string(const cJSON *object, const char *key);
/* Saturated and cut towards zero; `otherwise` where it is no number. */
int64_t sl_sim_get_int(const cJSON *object, const char *key, int64_t otherwise);

/* What a family's schema says of a top-level key. */
struct sl_sim_key {
    const char *name;
    enum sl_sim_key_type {
        SL_SIM_KEY_ANY,
        SL_SIM_KEY_STRING,
        SL_SIM_KEY_NUMBER,
        SL_SIM_KEY_INTEGER,
        SL_SIM_KEY_ARRAY,
        SL_SIM_KEY_OBJECT,
        SL_SIM_KEY_BOOLEAN
    } type;
    bool required;
    double min, max; /* equal: unbounded */
};
/*
 * Checks a body against its keys and refuses as Bedrock does ("Malformed input request: #: required
 * key [prompt] not found, …"). Keys that are not listed are refused too.
 */
SL_NODISCARD int sl_sim_check_keys(struct sl_sim_ask *ask, const cJSON *body,
                                   const struct sl_sim_key *keys, size_t count);

#endif
