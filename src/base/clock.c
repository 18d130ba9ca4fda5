/* Clocks and dates. The calendar is computed here: gmtime takes a lock and knows time zones. */
#include "sluice/base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "sluice/base/error.h"

static uint64_t read_clock(clockid_t id) {
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * SL_NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t sl_clock_monotonic(void) {
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t sl_clock_thread_cpu(void) {
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

int64_t sl_clock_wall_ms(void) {
    return (int64_t)(read_clock(CLOCK_REALTIME) / SL_NS_PER_MS);
}

struct civil {
    int year, month, day, hour, minute, second, ms, weekday;
};

/* Days since 1970-01-01 to a date and back: Howard Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms". */
static int64_t days_from_civil(int64_t y, int m, int d) {
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static struct civil civil_of(int64_t wall_ms) {
    int64_t days = wall_ms / 86400000, ms = wall_ms % 86400000;
    if (ms < 0) {
        ms += 86400000;
        days--;
    }
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int month = (int)(mp < 10 ? mp + 3 : mp - 9);
    return (struct civil){
        .year = (int)(yoe + era * 400 + (month <= 2)),
        .month = month,
        .day = (int)(doy - (153 * mp + 2) / 5 + 1),
        .hour = (int)(ms / 3600000),
        .minute = (int)(ms / 60000 % 60),
        .second = (int)(ms / 1000 % 60),
        .ms = (int)(ms % 1000),
        .weekday = (int)(((days % 7) + 11) % 7), /* 1970-01-01 was a Thursday; 0: Sunday */
    };
}

static char *put_digits(char *out, int value, int width) {
    for (int i = width - 1; i >= 0; i--, value /= 10)
        out[i] = (char)('0' + value % 10);
    return out + width;
}

void sl_clock_amz_date(int64_t wall_ms, char out[SL_AMZ_DATE_SIZE]) {
    struct civil c = civil_of(wall_ms);
    char *p = put_digits(out, c.year, 4);
    p = put_digits(p, c.month, 2);
    p = put_digits(p, c.day, 2);
    *p++ = 'T';
    p = put_digits(p, c.hour, 2);
    p = put_digits(p, c.minute, 2);
    p = put_digits(p, c.second, 2);
    *p++ = 'Z';
    *p = '\0';
}

void sl_clock_iso_date(int64_t wall_ms, char out[SL_ISO_DATE_SIZE]) {
    struct civil c = civil_of(wall_ms);
    char *p = put_digits(out, c.year, 4);
    *p++ = '-';
    p = put_digits(p, c.month, 2);
    *p++ = '-';
    p = put_digits(p, c.day, 2);
    *p++ = 'T';
    p = put_digits(p, c.hour, 2);
    *p++ = ':';
    p = put_digits(p, c.minute, 2);
    *p++ = ':';
    p = put_digits(p, c.second, 2);
    *p++ = '.';
    p = put_digits(p, c.ms, 3);
    *p++ = 'Z';
    *p = '\0';
}

void sl_clock_http_date(int64_t wall_ms, char out[SL_HTTP_DATE_SIZE]) {
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct civil c = civil_of(wall_ms);
    snprintf(out, SL_HTTP_DATE_SIZE, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
             days + 3 * c.weekday, (unsigned)c.day % 100, months + 3 * (c.month - 1),
             (unsigned)c.year % 10000, (unsigned)c.hour % 100, (unsigned)c.minute % 100,
             (unsigned)c.second % 100);
}

struct scanner {
    const char *p, *end;
    bool ok;
};

static int take_digits(struct scanner *s, int width) {
    int value = 0;
    for (; width > 0; width--, s->p++) {
        if (s->p == s->end || *s->p < '0' || *s->p > '9') {
            s->ok = false;
            return 0;
        }
        value = value * 10 + (*s->p - '0');
    }
    return value;
}

static bool take(struct scanner *s, char c) {
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

static int take_milliseconds(struct scanner *s) {
    int ms = 0, scale = 100;
    if (!take(s, '.'))
        return 0;
    for (; s->p != s->end && *s->p >= '0' && *s->p <= '9'; s->p++, scale /= 10)
        ms += (*s->p - '0') * scale;
    return ms;
}

static bool take_utc(struct scanner *s) {
    if (take(s, 'Z') || s->p == s->end)
        return true;
    return take(s, '+') && take_digits(s, 2) == 0 && (take(s, ':'), take_digits(s, 2) == 0);
}

int sl_clock_parse_iso(const char *text, size_t len, int64_t *wall_ms) {
    struct scanner s = {text, text + len, true};
    int year = take_digits(&s, 4);
    take(&s, '-');
    int month = take_digits(&s, 2);
    take(&s, '-');
    int day = take_digits(&s, 2);
    s.ok = s.ok && take(&s, 'T');
    int hour = take_digits(&s, 2);
    take(&s, ':');
    int minute = take_digits(&s, 2);
    take(&s, ':');
    int second = take_digits(&s, 2);
    int ms = take_milliseconds(&s);
    s.ok = s.ok && take_utc(&s) && s.p == s.end;
    if (!s.ok || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
        second > 60)
        return SL_E_INVALID;
    *wall_ms = days_from_civil(year, month, day) * 86400000 + hour * 3600000 + minute * 60000 +
               second * 1000 + ms;
    return SL_OK;
}
