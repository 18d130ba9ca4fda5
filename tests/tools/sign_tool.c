/*
 * Signs what stdin asks for, one JSON object a line, so that tests/e2e/test_signing.py can hold
 * Sluice's signer against botocore's. In:
 *     {"method","path","query","headers":[[name,value]…],"body_base64" or "body_hash",
 *      "access_key_id","secret","region","service","date"}
 * Out, a line each: {"canonical","signed_headers","signature","authorization"}, or {"error"}.
 * The key and the scratch live across lines, as they do in the gateway.
 */
#include <cjson/cJSON.h>
#include <openssl/base64.h>
#include <stdio.h>

#include "sluice/base/mem.h"
#include "sluice/wire/sigv4.h"

#define LINE_MAX_BYTES (8u << 20) /* a body of 1 MB in base64, with room */
#define TEXT_MAX_BYTES (1u << 20)
#define OUT_MAX_BYTES  (4u << 20)
#define HEX_SIZE       ((size_t)2 * SL_SHA256_SIZE)

struct job {
    struct sl_sigv4_request request;
    struct sl_sigv4_scope scope;
    struct sl_sigv4_header headers[SL_SIGV4_MAX_HEADERS];
    struct sl_slice access_key_id, secret;
    char body_hash[HEX_SIZE];
};

static struct sl_slice text_of(const cJSON *object, const char *name) {
    return sl_slice_str(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name)));
}

/* Reads up to the next newline. SL_E_EOF at the end, SL_E_LIMIT and SL_E_NOMEM as sl_buf_add. */
static int read_line(struct sl_buf *line) {
    static char chunk[1 << 16];
    sl_buf_clear(line);
    while (fgets(chunk, sizeof(chunk), stdin)) {
        int rc = sl_buf_add_str(line, chunk);
        if (rc < 0)
            return rc;
        if (line->ptr[line->len - 1] == '\n')
            return SL_OK;
    }
    return line->len > 0 ? SL_OK : SL_E_EOF;
}

static int hash_base64(struct sl_slice encoded, char out[HEX_SIZE]) {
    uint8_t digest[SL_SHA256_SIZE];
    size_t size = encoded.len / 4 * 3 + 3;
    struct sl_buf hex;
    sl_buf_init(&hex, HEX_SIZE);
    uint8_t *body = sl_alloc(size);
    int rc = body ? SL_OK : SL_E_NOMEM;
    if (rc == SL_OK &&
        !EVP_DecodeBase64(body, &size, size, (const uint8_t *)encoded.ptr, encoded.len))
        rc = SL_E_INVALID;
    if (rc == SL_OK) {
        sl_sha256_of(sl_slice_of(body, size), digest);
        rc = sl_buf_add_hex(&hex, digest, sizeof(digest));
    }
    if (rc == SL_OK)
        memcpy(out, hex.ptr, hex.len);
    sl_buf_done(&hex);
    sl_free(body);
    return rc;
}

static int read_headers(struct job *job, const cJSON *list) {
    const cJSON *pair;
    size_t count = 0;
    cJSON_ArrayForEach(pair, list) {
        if (count == SL_SIGV4_MAX_HEADERS)
            return SL_E_LIMIT;
        job->headers[count++] = (struct sl_sigv4_header){
            .name = sl_slice_str(cJSON_GetStringValue(cJSON_GetArrayItem(pair, 0))),
            .value = sl_slice_str(cJSON_GetStringValue(cJSON_GetArrayItem(pair, 1))),
        };
    }
    job->request.headers = job->headers;
    job->request.header_count = count;
    return SL_OK;
}

/* Fills the job with slices into the document. */
static int read_job(struct job *job, const cJSON *json) {
    struct sl_slice date = text_of(json, "date");
    if (date.len != SL_AMZ_DATE_SIZE - 1)
        return SL_E_INVALID;
    memcpy(job->scope.date, date.ptr, date.len);
    job->scope.date[date.len] = '\0';
    job->scope.region = text_of(json, "region");
    job->scope.service = text_of(json, "service");
    job->access_key_id = text_of(json, "access_key_id");
    job->secret = text_of(json, "secret");
    job->request.method = text_of(json, "method");
    job->request.path = text_of(json, "path");
    job->request.query = text_of(json, "query");
    job->request.body_hash = text_of(json, "body_hash");
    int rc = read_headers(job, cJSON_GetObjectItemCaseSensitive(json, "headers"));
    if (rc < 0 || job->request.body_hash.len > 0)
        return rc;
    job->request.body_hash = sl_slice_of(job->body_hash, sizeof(job->body_hash));
    return hash_base64(text_of(json, "body_base64"), job->body_hash);
}

static int add_member(struct sl_buf *out, const char *lead, struct sl_slice value) {
    int rc = sl_buf_add_str(out, lead);
    return rc < 0 ? rc : sl_buf_add_json(out, value);
}

struct signer {
    struct sl_sigv4_key key;
    struct sl_buf scratch, canonical, names, authorization, out;
};

/* Leaves the answer's line in signer->out. */
static int sign(struct signer *s, const struct job *job) {
    char signature[SL_SIGV4_SIGNATURE_SIZE];
    int rc;
    sl_buf_clear(&s->canonical);
    sl_buf_clear(&s->names);
    sl_buf_clear(&s->authorization);
    if ((rc = sl_sigv4_canonical(&s->canonical, &job->request)) < 0 ||
        (rc = sl_sigv4_signed_headers(&s->names, &job->request)) < 0 ||
        (rc = sl_sigv4_sign(&s->key, job->secret, &job->scope, &job->request, &s->scratch,
                            signature)) < 0 ||
        (rc = sl_sigv4_authorization(&s->authorization, job->access_key_id, &job->scope,
                                     &job->request, signature)) < 0)
        return rc;
    if ((rc = add_member(&s->out, "{\"canonical\":", sl_buf_slice(&s->canonical))) < 0 ||
        (rc = add_member(&s->out, ",\"signed_headers\":", sl_buf_slice(&s->names))) < 0 ||
        (rc = add_member(&s->out, ",\"signature\":", sl_slice_of(signature, sizeof(signature)))) <
            0 ||
        (rc = add_member(&s->out, ",\"authorization\":", sl_buf_slice(&s->authorization))) < 0)
        return rc;
    return sl_buf_add_str(&s->out, "}");
}

static void answer(struct signer *s, struct sl_slice line) {
    static struct job job;
    cJSON *json = cJSON_ParseWithLength(line.ptr, line.len);
    sl_buf_clear(&s->out);
    int rc = json ? read_job(&job, json) : SL_E_INVALID;
    if (rc == SL_OK)
        rc = sign(s, &job);
    if (rc == SL_OK)
        printf("%.*s\n", SL_FMT(sl_buf_slice(&s->out)));
    else
        printf("{\"error\":\"%s\"}\n", sl_error_name(rc));
    cJSON_Delete(json);
}

int main(void) {
    struct signer signer = {.key = {.valid = false}};
    struct sl_buf line;
    int rc;
    sl_buf_init(&line, LINE_MAX_BYTES);
    sl_buf_init(&signer.scratch, TEXT_MAX_BYTES);
    sl_buf_init(&signer.canonical, TEXT_MAX_BYTES);
    sl_buf_init(&signer.names, TEXT_MAX_BYTES);
    sl_buf_init(&signer.authorization, TEXT_MAX_BYTES);
    sl_buf_init(&signer.out, OUT_MAX_BYTES);
    while ((rc = read_line(&line)) == SL_OK)
        answer(&signer, sl_buf_slice(&line));
    if (rc != SL_E_EOF)
        fprintf(stderr, "sign_tool: cannot read a line: %s\n", sl_error_name(rc));
    sl_buf_done(&line);
    sl_buf_done(&signer.scratch);
    sl_buf_done(&signer.canonical);
    sl_buf_done(&signer.names);
    sl_buf_done(&signer.authorization);
    sl_buf_done(&signer.out);
    sl_sigv4_key_done(&signer.key);
    return rc == SL_E_EOF && fflush(stdout) == 0 ? 0 : 1;
}
