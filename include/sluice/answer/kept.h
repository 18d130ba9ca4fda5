/*
 * A kept answer: complete, immutable, in one block of memory (head, body, meta), shared by
 * reference count. Readers attach to it as to any answer.
 */
#ifndef SLUICE_ANSWER_KEPT_H
#define SLUICE_ANSWER_KEPT_H

#include "sluice/answer/answer.h"
#include "sluice/base/table.h"
#include "sluice/core/call.h"
#include "sluice/core/usage.h"

#define SL_DIGEST_SIZE 32

/* When a stretch of a streamed answer had arrived, for a replay at the recorded pace. */
struct sl_pace {
    uint64_t upto; /* bytes of the body */
    uint32_t ms;   /* since the head */
};

/* What is known of an answer beside its bytes. Slices are copied by _new. */
struct sl_kept_meta {
    uint8_t digest[SL_DIGEST_SIZE];
    uint64_t tenant;
    struct sl_slice model; /* that served it */
    enum sl_operation operation;
    enum sl_framing framing;
    struct sl_usage usage;
    int64_t cost;        /* nano-dollars; negative: unknown */
    uint64_t stored_at;  /* wall clock, ms */
    uint64_t expires_at; /* likewise */
    const struct sl_pace *pace;
    size_t pace_count;
};

struct sl_kept {
    struct sl_answer answer; /* DONE */
    struct sl_kept_meta meta;
    uint32_t refs;
    size_t size; /* of the block, as the allocator counts it */
    uint64_t hits;
    /* The cache's. */
    struct sl_table_node node;
    struct sl_list link; /* in its segment, by use */
    struct sl_list age;  /* among all, by arrival */
    uint64_t serial;     /* of its arrival */
    uint32_t walk;       /* the last that came by */
    uint8_t segment;
    bool indexed;
};

/* A copy of a DONE answer, with one reference. Headers that belong to one delivery only
 * (x-amzn-requestid, date, latency) are left out. NULL: out of memory. */
SL_NODISCARD struct sl_kept *sl_kept_new(const struct sl_answer *answer,
                                         const struct sl_kept_meta *meta);
/* From parts, as a snapshot brings them. */
SL_NODISCARD struct sl_kept *sl_kept_from(const struct sl_response_head *head, struct sl_slice body,
                                          const struct sl_kept_meta *meta);
void sl_kept_hold(struct sl_kept *kept);
void sl_kept_release(struct sl_kept *kept); /* frees with the last reference; NULL is fine */

#endif
