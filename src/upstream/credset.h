/*
 * A set of credentials with its strings in one block, wiped when freed. Values are checked when it
 * is made: what would break a header (spaces, line breaks from a badly made secret) is refused with
 * a sentence, before anything is signed with it.
 */
#ifndef SLUICE_UPSTREAM_CREDSET_H
#define SLUICE_UPSTREAM_CREDSET_H

#include "sluice/base/list.h"
#include "sluice/upstream/credentials.h"

/* Session tokens are some 1 kB; AWS promises no maximum. */
#define SL_CREDSET_MAX_BYTES 32768

struct sl_credset {
    struct sl_list link; /* the owner's */
    struct sl_credentials view;
    bool fixed; /* fetching again gives the same: environment */
    size_t size;
    char bytes[];
};

/* Copies the fields. SL_E_INVALID, SL_E_NOMEM, with a sentence that holds no secret. */
SL_NODISCARD int sl_credset_new(const struct sl_credentials *fields, bool fixed,
                                struct sl_credset **out, char *why, size_t why_size);
void sl_credset_free(struct sl_credset *set);

/* RFC 3339 with any offset ("…Z", "…+02:00", "…-0700"). */
SL_NODISCARD int sl_credset_parse_date(struct sl_slice text, int64_t *wall_ms);

/* The JSON documents of credential processes, container endpoints and instance metadata. */
struct sl_credset_json {
    const char *source;
    const char *token_key;           /* "SessionToken", "Token" */
    bool needs_version_1;            /* "Version": 1 must be there */
    bool needs_token_and_expiration; /* else both are optional */
};
/* SL_E_INVALID with a sentence for a document that is not such; it quotes Code and Message. */
SL_NODISCARD int sl_credset_from_json(const struct sl_credset_json *form, struct sl_slice document,
                                      struct sl_credset **out, char *why, size_t why_size);

#endif
