/* One tokenizer, three readers of its tokens. Whichever cannot go on leaves the others alone. */
#include "sluice/dialect/scan.h"

static void give_up_digest(struct sl_scan *scan) {
    sl_canonical_free(scan->canonical);
    scan->canonical = NULL;
}

static int on_token(void *ctx, const struct sl_json_token *token) {
    struct sl_scan *scan = ctx;
    sl_weigh_token(&scan->weigh, token);
    if (scan->canonical && sl_canonical_token(scan->canonical, token) != 0)
        give_up_digest(scan);
    return scan->facts ? sl_json_facts_token(scan->facts, token) : 0;
}

int sl_scan_init(struct sl_scan *scan, struct sl_json_facts *facts, bool want_digest) {
    *scan = (struct sl_scan){.facts = facts};
    sl_json_init(&scan->tokenizer, on_token, scan);
    sl_weigh_init(&scan->weigh);
    if (want_digest)
        scan->canonical = sl_canonical_new();
    return want_digest && !scan->canonical ? SL_E_NOMEM : SL_OK;
}

void sl_scan_feed(struct sl_scan *scan, struct sl_slice bytes) {
    if (!scan->broken && sl_json_feed(&scan->tokenizer, bytes) != 0)
        scan->broken = true;
}

bool sl_scan_finish(struct sl_scan *scan, const struct sl_slice *without, size_t count,
                    uint8_t digest[32], bool *has_digest) {
    *has_digest = false;
    if (scan->broken || sl_json_finish(&scan->tokenizer) != 0) {
        scan->broken = true;
        return false;
    }
    if (scan->canonical)
        *has_digest = sl_canonical_finish(scan->canonical, without, count, digest) == 0;
    return true;
}

void sl_scan_done(struct sl_scan *scan) {
    give_up_digest(scan);
}
