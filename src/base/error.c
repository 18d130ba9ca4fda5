/* Names of the errors, for logs. */
#include "sluice/base/error.h"

#include <stddef.h>

const char *sl_error_name(int error) {
    static const char *const names[] = {
        "ok", "out of memory", "limit",   "invalid",  "protocol", "again",  "end of input",
        "io", "not found",     "timeout", "canceled", "denied",   "exists",
    };
    size_t index = error > 0 ? sizeof(names) : (size_t)-error;
    return index < sizeof(names) / sizeof(names[0]) ? names[index] : "unknown";
}
