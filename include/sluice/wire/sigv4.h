/*
 * AWS Signature Version 4 for services that sign the path as it is on the wire,
 * encoded once more (all but S3). Pure: the date is passed in.
 * Source: AWS General Reference, "Create a signed AWS API request"; botocore's
 * auth.py is the judge in tests.
 *
 * Canonical request:
 *     METHOD \n canonical URI \n canonical query \n
 *     name:value\n … \n signed;names \n hex(SHA-256(body))
 */
#ifndef SLUICE_WIRE_SIGV4_H
#define SLUICE_WIRE_SIGV4_H

#include "sluice/base/buf.h"
#include "sluice/base/clock.h"
#include "sluice/base/slice.h"

#define SL_SHA256_SIZE 32
/* Length of the lower-case hex signature. */
#define SL_SIGV4_SIGNATURE_SIZE 64
/*
 * Sorted on the stack, so that signing allocates nothing: SL_E_LIMIT beyond. AWS clients
 * sign about ten headers, and Bedrock's queries have a handful of parameters.
 */
#define SL_SIGV4_MAX_HEADERS 128
#define SL_SIGV4_MAX_QUERY   128
/* AWS's secrets have 40 bytes. */
#define SL_SIGV4_MAX_SECRET 256

struct sl_sigv4_header {
    struct sl_slice name, value; /* any case and spacing; canonicalised here */
};

struct sl_sigv4_request {
    struct sl_slice method;
    struct sl_slice path;  /* as emitted on the wire, before '?'; empty means "/" */
    struct sl_slice query; /* as emitted, behind '?' */
    const struct sl_sigv4_header
        *headers; /* exactly those to be signed, any order, duplicates allowed */
    size_t header_count;
    struct sl_slice body_hash; /* 64 hex digits, or "UNSIGNED-PAYLOAD" and the like */
};

struct sl_sigv4_scope {
    struct sl_slice region, service;
    char date[SL_AMZ_DATE_SIZE]; /* "20150830T123600Z" */
};

/*
 * The signing key of one day, region and service, kept between calls; derived anew
 * (4 HMACs) only when one of them or the secret changed. Holds a secret: wipe with _done.
 */
struct sl_sigv4_key {
    uint8_t key[SL_SHA256_SIZE];
    uint8_t inputs[SL_SHA256_SIZE]; /* digest of what it was derived from */
    bool valid;
};

/*
 * Appends the canonical request. SL_E_INVALID on what could forge a line of it or that no
 * HTTP parser lets through: a path without leading '/', a newline outside of header values,
 * a header name that is empty or holds spaces or control characters.
 */
SL_NODISCARD int sl_sigv4_canonical(struct sl_buf *out, const struct sl_sigv4_request *request);
/* Appends "a;b;c": names in lower case, sorted, unique. */
SL_NODISCARD int sl_sigv4_signed_headers(struct sl_buf *out,
                                         const struct sl_sigv4_request *request);
/*
 * Signs: derives or reuses *key, writes 64 hex digits to signature. scratch is used and
 * cleared (kept between calls, it spares allocations). SL_E_INVALID also on a malformed date.
 */
SL_NODISCARD int sl_sigv4_sign(struct sl_sigv4_key *key, struct sl_slice secret,
                               const struct sl_sigv4_scope *scope,
                               const struct sl_sigv4_request *request, struct sl_buf *scratch,
                               char signature[SL_SIGV4_SIGNATURE_SIZE]);
/* Appends the value of the Authorization header for that signature. */
SL_NODISCARD int sl_sigv4_authorization(struct sl_buf *out, struct sl_slice access_key_id,
                                        const struct sl_sigv4_scope *scope,
                                        const struct sl_sigv4_request *request,
                                        const char signature[SL_SIGV4_SIGNATURE_SIZE]);
void sl_sigv4_key_done(struct sl_sigv4_key *key);

/* An Authorization header taken apart; slices into the input. */
struct sl_sigv4_credential {
    struct sl_slice access_key_id, date /* YYYYMMDD */, region, service;
    struct sl_slice signed_headers; /* "a;b;c" */
    struct sl_slice signature;
};
/* SL_E_INVALID when it is not a complete AWS4-HMAC-SHA256 header. */
SL_NODISCARD int sl_sigv4_parse_authorization(struct sl_slice value,
                                              struct sl_sigv4_credential *out);

/* SHA-256 in steps, so that a body is hashed as it arrives. */
struct sl_sha256 {
    uint64_t opaque[16];
};
void sl_sha256_init(struct sl_sha256 *h);
void sl_sha256_update(struct sl_sha256 *h, struct sl_slice s);
/* Wipes the state: init before the next use. */
void sl_sha256_final(struct sl_sha256 *h, uint8_t out[SL_SHA256_SIZE]);
void sl_sha256_of(struct sl_slice s, uint8_t out[SL_SHA256_SIZE]);
void sl_hmac_sha256(struct sl_slice key, struct sl_slice message, uint8_t out[SL_SHA256_SIZE]);

#endif
