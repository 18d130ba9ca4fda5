#include "app/span.h"

#include <stdio.h>
#include <string.h>

#include "sluice/base/clock.h"
#include "sluice/base/error.h"

#define HOUR 3600
#define DAY  (24 * HOUR)
#define WEEK (7 * DAY)
/* Beyond the year 9000 no date can be written. */
#define LONGEST UINT64_C(221845000000)

bool sl_span_read(struct sl_slice text, uint64_t *seconds) {
    static const struct {
        char unit;
        uint64_t factor;
    } units[] = {{'h', HOUR}, {'d', DAY}, {'w', WEEK}};
    uint64_t count;
    if (sl_slice_eq(text, SL_LIT("0"))) {
        *seconds = 0;
        return true;
    }
    if (text.len < 2 || !sl_slice_u64(sl_slice_head(text, text.len - 1), &count) ||
        count > LONGEST / WEEK)
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (text.ptr[text.len - 1] == units[i].unit) {
            *seconds = count * units[i].factor;
            return true;
        }
    return false;
}

bool sl_span_read_day(struct sl_slice text, uint64_t *wall_s) {
    char moment[SL_ISO_DATE_SIZE], back[SL_ISO_DATE_SIZE];
    int64_t ms;
    if (text.len != 10)
        return false;
    int len = snprintf(moment, sizeof(moment), "%.*sT00:00:00Z", SL_FMT(text));
    if (sl_clock_parse_iso(moment, (size_t)len, &ms) != SL_OK || ms < 0)
        return false;
    sl_clock_iso_date(ms, back);
    if (memcmp(moment, back, 10) != 0)
        return false;
    *wall_s = (uint64_t)ms / 1000;
    return true;
}
