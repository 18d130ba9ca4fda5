#include "sim/refuse.h"

#include <stdarg.h>
#include <stdio.h>

int sl_sim_refuse(struct sl_sim_refusal *no, enum sl_failure kind, const char *fmt, ...) {
    no->kind = kind;
    no->message = SL_EMPTY;
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *text = len > 0 ? sl_arena_alloc(no->arena, (size_t)len + 1) : NULL;
    if (text) { /* out of memory, the kind alone must do */
        (void)vsnprintf(text, (size_t)len + 1, fmt, again);
        no->message = sl_slice_of(text, (size_t)len);
    }
    va_end(again);
    return SL_E_DENIED;
}
