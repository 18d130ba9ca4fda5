/* Any bytes as a credential_process: words are terminated and no longer than the line. */
#include <assert.h>

#include "sluice/base/mem.h"
#include "upstream/shellsplit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sl_shell_words words;
    if (sl_shell_split(sl_slice_of(data, size), &words) != SL_OK)
        return 0;
    size_t total = 0;
    for (size_t i = 0; i < words.count; i++)
        total += strlen(words.words[i]) + 1;
    assert(total <= size + 1);
    assert(words.count <= SL_SHELL_MAX_WORDS && !words.words[words.count]);
    sl_free(words.words);
    return 0;
}
