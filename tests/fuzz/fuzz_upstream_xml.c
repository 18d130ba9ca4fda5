/* Any bytes as an answer of STS: texts stay within their maximum and within the document. */
#include <assert.h>

#include "upstream/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FIELDS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[FIELDS][2] = {
        {"Credentials", "AccessKeyId"}, {"Error", "Code"}, {"a", "b"}};
    struct sl_buf texts[FIELDS];
    struct sl_xml_field fields[FIELDS];
    for (size_t i = 0; i < FIELDS; i++) {
        sl_buf_init(&texts[i], 256);
        fields[i] = (struct sl_xml_field){names[i][0], names[i][1], &texts[i], false};
    }
    int rc = sl_xml_read(sl_slice_of(data, size), fields, FIELDS);
    assert(rc < 0 || size > 3); /* the shortest document is "<a/>" */
    for (size_t i = 0; i < FIELDS; i++) {
        assert(texts[i].len <= 256 && texts[i].len <= size);
        assert(fields[i].found || texts[i].len == 0);
        sl_buf_done(&texts[i]);
    }
    return 0;
}
