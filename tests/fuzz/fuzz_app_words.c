/*
 * Words of the operator's: fields of a key, of `usage`, spans and days, separated by NUL. What is
 * taken makes a row that the keys take too; what is refused is refused with a sentence.
 */
#include <assert.h>
#include <string.h>

#include "app/key_row.h"
#include "app/span.h"
#include "app/usage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS    12
#define TEXT_MAX 4096
#define WALL_S   UINT64_C(1795342039)

static void check_key(const struct sl_db_key *row) {
    static const uint8_t master[1][SL_KEY_MASTER_SIZE] = {"a master secret for fuzzing ...."};
    struct sl_key_record record = {.name = row->name,
                                   .subject = row->subject,
                                   .generation = row->generation,
                                   .overlap_until = row->overlap_until,
                                   .created_at = row->created_at,
                                   .expires_at = row->expires_at,
                                   .priority = (enum sl_class)row->priority,
                                   .cache = (enum sl_cache_when)row->cache,
                                   .models = row->models,
                                   .operations = row->operations,
                                   .s3_prefix = row->s3_prefix};
    memcpy(record.id, row->id, sizeof(record.id));
    struct sl_keys *keys = sl_keys_new(master, 1);
    assert(keys);
    int rc = sl_keys_put(keys, &record);
    assert(rc == SL_OK);
    sl_keys_free(keys);
}

static void check_row(const char *const words[WORDS]) {
    struct sl_key_wish wish = {words[0], words[1], words[2], words[3], words[4],
                               words[5], words[6], words[7], words[8], words[9]};
    struct sl_db_key row;
    struct sl_buf json;
    char why[512] = "";
    int rc = sl_key_row_make(&row, &wish, WALL_S, why, sizeof(why));
    assert(rc == SL_OK || (rc == SL_E_INVALID && why[0]));
    if (rc != SL_OK)
        return;
    check_key(&row);
    sl_buf_init(&json, 1 << 20);
    rc = sl_key_row_json(&json, &row, NULL, WALL_S);
    assert(rc == SL_OK && json.len > 0 && memchr(json.ptr, '\n', json.len) == NULL);
    sl_buf_done(&json);
    rc = sl_key_row_rotate(&row, words[10], WALL_S, why, sizeof(why));
    assert(rc == SL_OK || (rc == SL_E_INVALID && why[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *words[WORDS] = {NULL};
    char text[TEXT_MAX + 1], why[512] = "";
    struct sl_usage_wish wish;
    uint64_t seconds;
    if (size > TEXT_MAX)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    char *at = text;
    for (size_t i = 0; i < WORDS && at < text + size; i++) {
        words[i] = *at ? at : NULL;
        at += strlen(at) + 1;
    }
    check_row(words);
    int rc = sl_usage_wish(&wish, words[0], words[1], WALL_S * 1000, why, sizeof(why));
    assert(rc == SL_OK || why[0]);
    (void)sl_span_read(sl_slice_of(data, size), &seconds);
    if (sl_span_read_day(sl_slice_of(data, size), &seconds))
        assert(seconds % 86400 == 0);
    return 0;
}
