/* Optimal string alignment with three rows: the swap of neighbours looks two rows back. */
#include "app/nearest.h"

#include <stdint.h>

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static bool same(char a, char b) {
    return sl_ascii_lower(a) == sl_ascii_lower(b);
}

size_t sl_edit_distance(struct sl_slice a, struct sl_slice b) {
    size_t rows[3][SL_NEAREST_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    if (a.len > SL_NEAREST_MAX || b.len > SL_NEAREST_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b.len; j++)
        last[j] = before[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t cost = same(a.ptr[i - 1], b.ptr[j - 1]) ? 0 : 1;
            now[j] = least(last[j - 1] + cost, least(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && same(a.ptr[i - 1], b.ptr[j - 2]) &&
                same(a.ptr[i - 2], b.ptr[j - 1]))
                now[j] = least(now[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[b.len];
}

bool sl_is_near(struct sl_slice name, size_t distance) {
    return distance <= (name.len < 6 ? 1 : name.len / 3);
}
