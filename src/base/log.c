/* One write per line, so that lines of several threads or processes do not mix. */
#include "sluice/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "sluice/base/buf.h"
#include "sluice/base/clock.h"

#define MAX_LINE 8192

static enum sl_log_level threshold = SL_LOG_INFO;
static enum sl_log_format shape = SL_LOG_TEXT;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void sl_log_setup(enum sl_log_level level, enum sl_log_format format) {
    threshold = level;
    shape = format;
}

/* A line that is too long is cut: what fits is still news. */
static void add(struct sl_buf *line, struct sl_slice s) {
    size_t room = line->max - 1 - line->len;
    if (sl_buf_add(line, sl_slice_head(s, room)) != SL_OK)
        return;
}

static void add_number(struct sl_buf *line, int64_t number) {
    char space[24];
    struct sl_buf text = {.ptr = space, .cap = sizeof(space), .max = sizeof(space)};
    uint64_t magnitude = number < 0 ? -(uint64_t)number : (uint64_t)number;
    if ((number >= 0 || sl_buf_add_byte(&text, '-') == SL_OK) &&
        sl_buf_add_u64(&text, magnitude) == SL_OK)
        add(line, sl_buf_slice(&text));
}

static void add_quoted(struct sl_buf *line, struct sl_slice s) {
    if (sl_buf_add_json(line, s) != SL_OK)
        add(line, SL_LIT("\"(cut)\""));
}

static bool is_plain(struct sl_slice s) {
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] == '"' || s.ptr[i] == '=' || s.ptr[i] == 0x7f)
            return false;
    return s.len > 0;
}

static void add_field(struct sl_buf *line, const struct sl_log_field *field) {
    bool json = shape == SL_LOG_JSON;
    add(line, json ? SL_LIT(",\"") : SL_LIT(" "));
    add(line, sl_slice_str(field->key));
    add(line, json ? SL_LIT("\":") : SL_LIT("="));
    if (field->type == SL_FIELD_NUMBER)
        add_number(line, field->number);
    else if (!json && is_plain(field->text))
        add(line, field->text);
    else
        add_quoted(line, field->text);
}

static void begin(struct sl_buf *line, enum sl_log_level level, const char *area,
                  struct sl_slice message) {
    char date[SL_ISO_DATE_SIZE];
    sl_clock_iso_date(sl_clock_wall_ms(), date);
    if (shape == SL_LOG_JSON) {
        add(line, SL_LIT("{\"time\":\""));
        add(line, sl_slice_str(date));
        add(line, SL_LIT("\",\"level\":\""));
        add(line, sl_slice_str(level_names[level]));
        add(line, SL_LIT("\",\"area\":\""));
        add(line, sl_slice_str(area));
        add(line, SL_LIT("\",\"message\":"));
        add_quoted(line, message);
        return;
    }
    add(line, sl_slice_str(date));
    add(line, SL_LIT(" "));
    add(line, sl_slice_str(level_names[level]));
    add(line, SL_LIT(" "));
    add(line, sl_slice_str(area));
    add(line, SL_LIT(": "));
    add(line, message);
}

static void finish(struct sl_buf *line) {
    add(line, shape == SL_LOG_JSON ? SL_LIT("}") : SL_EMPTY);
    if (sl_buf_add_byte(line, '\n') == SL_OK) {
        /* Where stderr does not take it, there is nowhere to say so. */
        ssize_t written = write(STDERR_FILENO, line->ptr, line->len);
        (void)written;
    }
}

void sl_log_record(enum sl_log_level level, const char *area, const char *event,
                   const struct sl_log_field *fields, size_t count) {
    if (level < threshold)
        return;
    char space[MAX_LINE];
    struct sl_buf line = {.ptr = space, .cap = sizeof(space), .max = sizeof(space)};
    begin(&line, level, area, sl_slice_str(event));
    for (size_t i = 0; i < count; i++)
        if (fields[i].type == SL_FIELD_NUMBER || fields[i].text.ptr)
            add_field(&line, &fields[i]);
    finish(&line);
}

void sl_log(enum sl_log_level level, const char *area, const char *fmt, ...) {
    if (level < threshold)
        return;
    char text[2048];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (len < 0)
        return;
    size_t size = (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;
    char space[MAX_LINE];
    struct sl_buf line = {.ptr = space, .cap = sizeof(space), .max = sizeof(space)};
    begin(&line, level, area, sl_slice_of(text, size));
    finish(&line);
}
