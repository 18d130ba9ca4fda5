/*
 * A plan as a stream. A walk cuts it into steps (start, deltas, ends …); a shape turns each step
 * into its JSON events; the emitter wraps those into frames or server-sent events. Nothing is
 * kept but the position: frames are made when the client can take them.
 */
#ifndef SIM_STREAM_H
#define SIM_STREAM_H

#include "sim/generate.h"
#include "sim/write.h"

enum sl_sim_step_kind {
    SL_SIM_STEP_START,
    SL_SIM_STEP_BLOCK, /* a block begins */
    SL_SIM_STEP_DELTA,
    SL_SIM_STEP_BLOCK_END,
    SL_SIM_STEP_STOP, /* why it stopped */
    SL_SIM_STEP_END,  /* usage */
    SL_SIM_STEP_DONE, /* nothing more */
};

struct sl_sim_step {
    enum sl_sim_step_kind kind;
    size_t index; /* of the block */
    const struct sl_sim_block *block;
    struct sl_slice piece; /* of its text */
    bool first;            /* the first delta of the answer */
    uint64_t tokens;       /* of output up to here */
};

struct sl_sim_walk {
    const struct sl_sim_plan *plan;
    enum sl_sim_step_kind next;
    size_t index, offset;
    uint64_t bytes; /* of text given so far, all blocks */
    bool begun;     /* a delta was given */
};
void sl_sim_walk_init(struct sl_sim_walk *walk, const struct sl_sim_plan *plan);
void sl_sim_walk_next(struct sl_sim_walk *walk, struct sl_sim_step *out);
/* At least half of the text was given, or there is none. */
bool sl_sim_walk_midway(const struct sl_sim_walk *walk);

/* What encoders know; slices live as long as the exchange. */
struct sl_sim_reply {
    const struct sl_sim_plan *plan;
    const struct sl_sim_model *model;
    struct sl_slice model_id;      /* as the request names it */
    struct sl_slice request_id;    /* a UUID */
    struct sl_slice tier, latency; /* service tier and latency asked for; empty: none */
    bool stream_usage;             /* OpenAI's stream_options.include_usage */
    bool guarded;
    int64_t wall_ms;              /* when the request came */
    int64_t latency_ms, first_ms; /* until the end, until the first content */
};

enum sl_sim_framing { SL_SIM_FRAMING_CONVERSE, SL_SIM_FRAMING_CHUNK, SL_SIM_FRAMING_SSE };

struct sl_sim_emitter {
    enum sl_sim_framing framing;
    struct sl_sim_out *out; /* frames are appended here */
    struct sl_sim_out json; /* the event under way */
    const struct sl_sim_reply *reply;
    bool named; /* each event is the one member, of its name, of an object (Nova) */
    uint64_t frames;
};
void sl_sim_emitter_init(struct sl_sim_emitter *e, enum sl_sim_framing framing,
                         struct sl_sim_out *out, const struct sl_sim_reply *reply);
void sl_sim_emitter_done(struct sl_sim_emitter *e);
/* One event, an object. `event` names it; NULL: SSE without an event line. */
void sl_sim_emit(struct sl_sim_emitter *e, const char *event, const char *template, ...);
/* The last one: a chunk gets amazon-bedrock-invocationMetrics added. */
void sl_sim_emit_last(struct sl_sim_emitter *e, const char *event, const char *template, ...);
/* An exception frame, or an error event in SSE. */
void sl_sim_emit_exception(struct sl_sim_emitter *e, enum sl_failure kind, struct sl_slice message);

#endif
