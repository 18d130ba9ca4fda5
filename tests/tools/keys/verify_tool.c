/*
 * Verifies the requests given on stdin with one key, so that tests/e2e/test_verify.py can try what
 * SDKs sign. First it prints a line with the key's bearer token, access key id and secret. Then,
 * for each line of fields in hex, separated by spaces ("-": empty), method target authority
 * wall-seconds body [header-name header-value]… it prints "ok", or the exception's name. Each
 * request comes from an address of its own, since thousands of them fail.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sluice/base/mem.h"
#include "sluice/keys/keys.h"

#define LINE_MAX_BYTES (4u << 20)
#define MAX_FIELDS     512

static const uint8_t master[1][SL_KEY_MASTER_SIZE] = {"nothing secret: a tool for tests"};

static int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place. */
static bool decode(struct sl_slice *field, char *text) {
    if (sl_slice_eq(*field, SL_LIT("-"))) {
        *field = SL_EMPTY;
        return true;
    }
    for (size_t i = 0; i + 1 < field->len; i += 2) {
        int high = digit(text[i]), low = digit(text[i + 1]);
        if (high < 0 || low < 0)
            return false;
        text[i / 2] = (char)(high << 4 | low);
    }
    *field = sl_slice_of(text, field->len / 2);
    return true;
}

/* The number of fields, or 0. */
static size_t take_fields(char *line, struct sl_slice fields[MAX_FIELDS]) {
    struct sl_slice rest = sl_slice_str(line);
    size_t count = 0;
    while (count < MAX_FIELDS && sl_slice_split(&rest, ' ', &fields[count])) {
        if (!decode(&fields[count], line + (fields[count].ptr - line)))
            return 0;
        count++;
    }
    return count;
}

static int verify(struct sl_keys *keys, const struct sl_slice *fields, size_t count,
                  struct sl_proof *proof, struct sl_arena *arena) {
    const struct sl_verify_settings settings = {.skew_s = 300};
    static unsigned number;
    struct sl_request_head head = {
        .method = fields[0], .target = fields[1], .authority = fields[2]};
    uint64_t wall_s = 0;
    uint8_t sha256[SL_SHA256_SIZE];
    char address[32];
    if (!sl_slice_u64(fields[3], &wall_s))
        return SL_E_INVALID;
    for (size_t i = 5; i + 1 < count; i += 2)
        if (sl_headers_add(&head.headers, arena, fields[i], fields[i + 1]) < 0)
            return SL_E_NOMEM;
    number++;
    int len = snprintf(address, sizeof(address), "10.%u.%u.%u", number >> 16 & 255,
                       number >> 8 & 255, number & 255);
    struct sl_slice from = sl_slice_of(address, (size_t)len);
    int rc = sl_proof_head(keys, proof, &settings, &head, SL_EMPTY, from, arena, number, wall_s);
    if (rc != SL_E_AGAIN)
        return rc;
    sl_sha256_of(fields[4], sha256);
    return sl_proof_body(keys, proof, &settings, &head, sha256, from, arena, number, wall_s);
}

static int answer(struct sl_keys *keys, char *line) {
    static struct sl_slice fields[MAX_FIELDS];
    struct sl_proof proof = {0};
    struct sl_arena arena;
    sl_arena_init(&arena, 1 << 20);
    size_t count = take_fields(line, fields);
    int rc = count < 5 ? SL_E_INVALID : verify(keys, fields, count, &proof, &arena);
    if (rc == SL_OK)
        puts(proof.client ? "ok" : "no client");
    else if (rc == SL_E_DENIED)
        printf("%.*s\n", SL_FMT(sl_failure_info(proof.failure)->exception));
    else
        printf("error %d\n", rc);
    sl_proof_done(&proof);
    sl_arena_done(&arena);
    return rc;
}

int main(void) {
    struct sl_key_record record = {.id = "testtestte", .name = "test", .generation = 1};
    struct sl_key_secrets secrets;
    struct sl_keys *keys = sl_keys_new(master, 1);
    char *line = sl_alloc(LINE_MAX_BYTES);
    if (!keys || !line || sl_keys_put(keys, &record) < 0 ||
        sl_key_secrets(keys, &record, &secrets) < 0)
        return EXIT_FAILURE;
    printf("%s %s %s\n", secrets.bearer, secrets.access_key_id, secrets.secret);
    fflush(stdout);
    while (fgets(line, LINE_MAX_BYTES, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        (void)answer(keys, line);
    }
    sl_free(line);
    sl_keys_free(keys);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
