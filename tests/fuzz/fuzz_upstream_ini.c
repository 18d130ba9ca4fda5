/* Any bytes as a shared config file: what is accepted must be consistent. */
#include <assert.h>

#include "upstream/ini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct sl_slice keys[] = {{"k", 1}, {"region", 6}, {"aws_access_key_id", 17}};
    struct sl_ini *ini = NULL;
    char why[128];
    if (sl_ini_parse(sl_slice_of(data, size), &ini, why, sizeof(why)) != SL_OK) {
        assert(!ini && why[0]);
        return 0;
    }
    for (size_t i = 0; i < sl_ini_section_count(ini); i++) {
        struct sl_slice value, name = sl_ini_section_name(ini, i);
        assert(name.len > 0 && name.len < size);
        for (size_t k = 0; k < sizeof(keys) / sizeof(*keys); k++) {
            if (!sl_ini_get(ini, i, keys[k], &value))
                continue;
            assert(value.len < size);
            /* A value is stripped at both ends, but for the line break of a nested one. */
            assert(value.len == 0 || value.ptr[value.len - 1] != '\n');
        }
    }
    if (sl_ini_check_nested(ini, why, sizeof(why)) != SL_OK)
        assert(why[0]);
    sl_ini_free(ini);
    return 0;
}
