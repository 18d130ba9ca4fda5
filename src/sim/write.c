#include "sim/write.h"

#include <assert.h>
#include <stdint.h>

#include "sluice/base/clock.h"

void sl_sim_out_init(struct sl_sim_out *out, size_t max) {
    sl_buf_init(&out->buf, max);
    out->error = 0;
}

void sl_sim_out_done(struct sl_sim_out *out) {
    sl_buf_done(&out->buf);
}

void sl_sim_out_reset(struct sl_sim_out *out) {
    sl_buf_clear(&out->buf);
    out->error = 0;
}

/* Writes one argument; returns 0 or the error. */
static int put_argument(struct sl_buf *buf, char kind, va_list *args) {
    switch (kind) {
    case 's':
        return sl_buf_add_json(buf, va_arg(*args, struct sl_slice));
    case 'r':
        return sl_buf_add(buf, va_arg(*args, struct sl_slice));
    case 'd':
        return sl_buf_printf(buf, "%lld", (long long)va_arg(*args, int64_t));
    case 'b':
        return sl_buf_add_str(buf, va_arg(*args, int) ? "true" : "false");
    default:
        assert(false && "unknown conversion in a template");
        return SL_E_INVALID;
    }
}

void sl_sim_vput(struct sl_sim_out *out, const char *template, va_list args) {
    va_list rest;
    va_copy(rest, args);
    while (*template && !out->error) {
        size_t plain = strcspn(template, "'%");
        out->error = sl_buf_add(&out->buf, sl_slice_of(template, plain));
        template += plain;
        if (out->error || !*template)
            break;
        if (*template ++ == '\'')
            out->error = sl_buf_add_byte(&out->buf, '"');
        else
            out->error = put_argument(&out->buf, *template ++, &rest);
    }
    va_end(rest);
}

void sl_sim_put(struct sl_sim_out *out, const char *template, ...) {
    va_list args;
    va_start(args, template);
    sl_sim_vput(out, template, args);
    va_end(args);
}

void sl_sim_put_base64(struct sl_sim_out *out, struct sl_slice bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes.len && !out->error; i += 3) {
        size_t have = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t group = 0;
        for (size_t j = 0; j < 3; j++)
            group = group << 8 | (j < have ? (uint8_t)bytes.ptr[i + j] : 0u);
        char quad[4];
        for (size_t j = 0; j < 4; j++)
            quad[j] = j <= have ? digits[group >> (18 - 6 * j) & 63] : '=';
        out->error = sl_buf_add(&out->buf, sl_slice_of(quad, 4));
    }
}

void sl_sim_put_date(struct sl_sim_out *out, int64_t wall_ms) {
    char text[SL_ISO_DATE_SIZE];
    sl_clock_iso_date(wall_ms, text);
    sl_sim_put(out, "%s", sl_slice_str(text));
}
