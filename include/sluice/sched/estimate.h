/*
 * Estimates of a call's input tokens before it is made, learned per model from what Bedrock
 * reports: text by a ratio of tokens to bytes, images by their pixels with a cap, documents, video
 * and audio by cost per byte, and a mean for what is not in the body. Integers only; bounded
 * memory.
 */
#ifndef SLUICE_SCHED_ESTIMATE_H
#define SLUICE_SCHED_ESTIMATE_H

#include "sluice/base/buf.h"
#include "sluice/core/load.h"

/* One model's. Embed; plain data. */
struct sl_estimator {
    uint64_t text_ratio;     /* tokens per 2^20 bytes */
    uint64_t document_ratio; /* likewise */
    uint64_t video_ratio, audio_ratio;
    uint64_t image_ratio;  /* tokens per 2^20 pixels */
    uint64_t image_cap;    /* tokens an image costs at most */
    uint64_t image_tokens; /* of an image of unknown size */
    uint64_t mean;         /* whole input, for what is elsewhere */
    uint64_t samples;
    /* Error of the estimates: sum of |estimate - actual| and of actual, halved together now and
     * then. */
    uint64_t error_sum, actual_sum;
    /* Output lengths, log-scale histogram (32 bins), for the learned p99. */
    uint32_t output_bins[32];
};

/* Starting values: 1 token for 4 bytes of text, and the published formulas for images. */
void sl_estimator_init(struct sl_estimator *e);
/* Input tokens expected. Saturates at 2^40. */
uint64_t sl_estimate_input(const struct sl_estimator *e, const struct sl_load *load);
/* What it turned out to be (input + cache read + cache write), and the output's length. */
void sl_estimator_learn(struct sl_estimator *e, const struct sl_load *load, uint64_t estimated,
                        uint64_t actual_input, uint64_t output);
/* The output length that 99 % of calls stayed below, with a quarter to spare, at least `floor`; 0
 * before 100 samples. */
uint64_t sl_estimate_output_p99(const struct sl_estimator *e, uint64_t floor);
/* Mean relative error in parts per million. */
uint32_t sl_estimator_error(const struct sl_estimator *e);
SL_NODISCARD int sl_estimator_save(const struct sl_estimator *e, struct sl_buf *out);
SL_NODISCARD int sl_estimator_restore(struct sl_estimator *e, struct sl_slice line);

#endif
