/*
 * A presigned query: the parts of an Authorization header as parameters. They are decoded into the
 * arena and put together as that header, so that there is one reader of both. Each may stand once:
 * with two, signer and verifier could take different ones.
 */
#include "keys/verify.h"
#include "sluice/wire/uri.h"

#define LONGEST_S 604800 /* 7 days */
#define VALUE_MAX 65536  /* the front's bound on a whole head is below it */

enum { ALGORITHM, CREDENTIAL, DATE, EXPIRES, SIGNED_HEADERS, SIGNATURE, COUNT };

static const struct sl_slice names[COUNT] = {
    [ALGORITHM] = SL_LIT("X-Amz-Algorithm"), [CREDENTIAL] = SL_LIT("X-Amz-Credential"),
    [DATE] = SL_LIT("X-Amz-Date"),           [EXPIRES] = SL_LIT("X-Amz-Expires"),
    [SIGNATURE] = SL_LIT("X-Amz-Signature"), [SIGNED_HEADERS] = SL_LIT("X-Amz-SignedHeaders"),
};

/* COUNT: it is none of them. */
static size_t index_of(struct sl_slice parameter) {
    struct sl_slice name = sl_slice_head(parameter, sl_slice_find(parameter, '='));
    size_t i = 0;
    while (i < COUNT && !sl_slice_eq(name, names[i]))
        i++;
    return i;
}

bool sl_presigned(struct sl_slice query) {
    struct sl_slice part;
    while (sl_slice_split(&query, '&', &part)) {
        size_t i = index_of(part);
        if (i == ALGORITHM || i == SIGNATURE)
            return true;
    }
    return false;
}

/* The query as it was signed: without the one parameter that could not be. */
static int without_signature(struct sl_arena *arena, struct sl_slice query, struct sl_slice *out) {
    char *text = sl_arena_alloc(arena, query.len + 1);
    size_t len = 0;
    struct sl_slice part;
    if (!text)
        return SL_E_NOMEM;
    while (sl_slice_split(&query, '&', &part)) {
        if (index_of(part) == SIGNATURE)
            continue;
        memcpy(text + len, part.ptr, part.len);
        len += part.len;
        text[len++] = '&';
    }
    *out = sl_slice_of(text, len > 0 ? len - 1 : 0);
    return SL_OK;
}

static bool is_visible(struct sl_slice s) {
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
            return false;
    return true;
}

static int decode(struct sl_arena *arena, struct sl_slice value, struct sl_slice *out) {
    struct sl_buf buf;
    sl_buf_init(&buf, VALUE_MAX);
    int rc = sl_uri_decode(&buf, value);
    if (rc == SL_OK && !is_visible(sl_buf_slice(&buf)))
        rc = SL_E_INVALID;
    if (rc == SL_OK)
        rc = sl_arena_copy(arena, sl_buf_slice(&buf), out);
    sl_buf_done(&buf);
    return rc;
}

/* SL_E_EXISTS: one of them stands twice. */
static int take_parameters(struct sl_arena *arena, struct sl_slice query, struct sl_slice *values) {
    struct sl_slice part;
    while (sl_slice_split(&query, '&', &part)) {
        size_t i = index_of(part);
        if (i == COUNT)
            continue;
        if (values[i].ptr)
            return SL_E_EXISTS;
        int rc = decode(arena, sl_slice_skip(part, names[i].len + 1), &values[i]);
        if (rc < 0)
            return rc;
    }
    return SL_OK;
}

static int read_credential(struct sl_proof_look *look, const struct sl_slice *values) {
    struct sl_slice header;
    int rc = sl_arena_printf(
        look->arena, &header, "AWS4-HMAC-SHA256 Credential=%.*s,SignedHeaders=%.*s,Signature=%.*s",
        SL_FMT(values[CREDENTIAL]), SL_FMT(values[SIGNED_HEADERS]), SL_FMT(values[SIGNATURE]));
    return rc < 0 ? rc : sl_sigv4_parse_authorization(header, &look->proof->credential);
}

int sl_presigned_read(struct sl_proof_look *look, struct sl_verify_claim *claim) {
    struct sl_slice query = sl_target_query(look->head->target);
    struct sl_slice values[COUNT] = {{NULL, 0}};
    int rc = take_parameters(look->arena, query, values);
    if (rc == SL_E_NOMEM)
        return rc;
    if (rc < 0)
        return sl_proof_refuse(look, SL_FAILURE_INCOMPLETE_SIGNATURE,
                               "AWS query-string parameters must be percent-encoded, and each may "
                               "stand once. Re-examine the query-string parameters.");
    for (size_t i = 0; i < COUNT; i++)
        if (values[i].len == 0)
            return sl_proof_refuse(look, SL_FAILURE_INCOMPLETE_SIGNATURE,
                                   "AWS query-string parameters must include '%.*s'. Re-examine "
                                   "the query-string parameters.",
                                   SL_FMT(names[i]));
    if (!sl_slice_eq(values[ALGORITHM], SL_LIT("AWS4-HMAC-SHA256")))
        return sl_proof_refuse(look, SL_FAILURE_INCOMPLETE_SIGNATURE,
                               "Unsupported AWS 'algorithm': '%.*s'.", SL_FMT(values[ALGORITHM]));
    if (!sl_slice_u64(values[EXPIRES], &claim->expires_s) || claim->expires_s == 0 ||
        claim->expires_s > LONGEST_S)
        return sl_proof_refuse(look, SL_FAILURE_INCOMPLETE_SIGNATURE,
                               "X-Amz-Expires must be a number of seconds from 1 to %d.",
                               LONGEST_S);
    rc = read_credential(look, values);
    if (rc == SL_E_INVALID)
        return sl_proof_refuse(look, SL_FAILURE_INCOMPLETE_SIGNATURE,
                               "Credential must have exactly 5 slash-delimited elements, e.g. "
                               "keyid/date/region/service/term, and Signature 64 hex digits.");
    claim->presigned = true;
    claim->date = values[DATE];
    return rc < 0 ? rc : without_signature(look->arena, query, &look->proof->query);
}
