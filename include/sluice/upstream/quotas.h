/*
 * An account's quotas for Bedrock in one region, as the Service Quotas API lists them
 * (ListServiceQuotas for "bedrock"; IAM action servicequotas:ListServiceQuotas).
 *
 * The API names quotas in words, "Cross-region model inference tokens per minute for Meta Llama 3.3
 * 70B Instruct", so a table of names leads back to model ids. What it does not know is left out:
 * such a model's limits are learned.
 */
#ifndef SLUICE_UPSTREAM_QUOTAS_H
#define SLUICE_UPSTREAM_QUOTAS_H

#include "sluice/base/buf.h"
#include "sluice/core/quota.h"
#include "sluice/io/loop.h"
#include "sluice/upstream/target.h"

/* ---- the list ---- */

enum sl_quota_kind { SL_QUOTA_RPM, SL_QUOTA_TPM, SL_QUOTA_TPD, SL_QUOTA_KINDS };

struct sl_quota_row {
    struct sl_slice model; /* base id, its version left out; static */
    enum sl_channel channel;
    enum sl_quota_kind kind;
    uint64_t value;
};
/* A zeroed one is empty. */
struct sl_quota_rows {
    struct sl_quota_row *items;
    size_t count, cap;
};
void sl_quota_rows_done(struct sl_quota_rows *rows);
/* One quota by the name and value of the API; one that is of no use here is left out. SL_E_NOMEM,
 * SL_E_LIMIT. */
SL_NODISCARD int sl_quota_rows_add(struct sl_quota_rows *rows, struct sl_slice name,
                                   uint64_t value);
/* One page of the API's answer. Appends its NextToken, if there is one. SL_E_INVALID: no such page.
 */
SL_NODISCARD int sl_quota_rows_add_page(struct sl_quota_rows *rows, struct sl_slice json,
                                        struct sl_buf *next_token);
/* The limits of a model, in any form of its id. False: the list has none; *out is all 0. */
bool sl_quota_rows_find(const struct sl_quota_rows *rows, struct sl_slice model,
                        enum sl_channel channel, struct sl_quota_limits *out);
/* As lines of text, for a cache on disk: "cross-region tpm 600000 meta.llama3-3-70b-instruct". */
SL_NODISCARD int sl_quota_rows_save(const struct sl_quota_rows *rows, struct sl_buf *out);
/* Adds what _save wrote; models that are not known (any more) are left out. SL_E_INVALID on a line
 * of another form, rows then holding those before it. */
SL_NODISCARD int sl_quota_rows_parse(struct sl_quota_rows *rows, struct sl_slice text);

/* ---- asking for it ---- */

struct sl_quota_ask;

struct sl_quota_answer {
    int error;       /* 0: rows is complete. Else of the attempt, SL_E_DENIED when not permitted,
                        SL_E_PROTOCOL for another refusal or an answer that makes no sense */
    int status;      /* of the page that failed; 0: none came */
    const char *why; /* a sentence; valid during the call */
    struct sl_quota_rows *rows; /* may be taken over: copy the struct and zero the original */
};

/*
 * Asks for all pages, one after the other. on_done comes once, from the loop, unless cancelled; the
 * ask is freed behind it. NULL: out of memory, or the target has no such endpoint
 * (sl_target_endpoint of SL_PLANE_QUOTAS tells).
 */
SL_NODISCARD struct sl_quota_ask *
sl_quota_ask_start(struct sl_loop *loop, struct sl_target *target,
                   void (*on_done)(void *ctx, const struct sl_quota_answer *answer), void *ctx);
/* Not from inside on_done. Before the target is freed. */
void sl_quota_ask_cancel(struct sl_quota_ask *ask);

#endif
