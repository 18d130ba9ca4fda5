/*
 * Reads a body as it arrives, without a tree: says whether it is JSON, and for bodies too large for
 * a tree gathers what an ask needs by the names of keys alone (which are the same in all shapes):
 * text, attachments, the limit, the model, the wish to stream. Constant memory, no long call.
 */
#ifndef SIM_SCAN_H
#define SIM_SCAN_H

#include "sim/ask.h"
#include "sluice/wire/json.h"

enum sl_sim_scan_role {
    SL_SIM_SCAN_OTHER,
    SL_SIM_SCAN_TEXT,
    SL_SIM_SCAN_BLOB,
    SL_SIM_SCAN_LIMIT,
    SL_SIM_SCAN_MODEL,
    SL_SIM_SCAN_STREAM
};

struct sl_sim_scan {
    struct sl_json_tokenizer tokenizer;
    char key[24]; /* of the value under way; longer ones match nothing */
    size_t key_len;
    enum sl_sim_scan_role role;
    char number[20];
    size_t number_len;
    char model[256];
    size_t model_len;
    uint64_t digest, bytes, words;
    uint32_t blobs;
    int64_t max_tokens;
    bool begun, in_word, in_value, stream, object;
};

void sl_sim_scan_init(struct sl_sim_scan *scan);
SL_NODISCARD int sl_sim_scan_feed(struct sl_sim_scan *scan, struct sl_slice in);
/* 0 when the body was one JSON object, SL_E_INVALID or SL_E_EOF. */
SL_NODISCARD int sl_sim_scan_finish(struct sl_sim_scan *scan);
struct sl_slice sl_sim_scan_model(const struct sl_sim_scan *scan);
/* Fills the ask, whose model is set, with what was gathered. */
void sl_sim_scan_ask(const struct sl_sim_scan *scan, struct sl_sim_ask *ask);

#endif
