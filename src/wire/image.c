/*
 * Each state wants so many bytes in `held` and then looks at them. PNG, GIF and WebP have their
 * dimensions at a fixed place in the first 30 bytes; a JPEG is a chain of segments, passed over by
 * their lengths until the one that begins the frame.
 *
 * Sources: PNG (RFC 2083 11.2.1), GIF89a specification 17 and 18, WebP container (RFC 9649),
 * VP8 (RFC 6386 9.1), JPEG (ITU-T T.81 B.1, B.2.2).
 */
#include "sluice/wire/image.h"

enum state { SIGNATURE, PNG, GIF, WEBP, JPEG_MARKER, JPEG_LENGTH, JPEG_FRAME, OVER };

static const uint8_t wanted[] = {
    [SIGNATURE] = 2,   [PNG] = 24,        [GIF] = 10,       [WEBP] = 30,
    [JPEG_MARKER] = 2, [JPEG_LENGTH] = 2, [JPEG_FRAME] = 7,
};

static uint32_t big(const uint8_t *p, size_t bytes) {
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | p[i];
    return value;
}

static uint32_t little(const uint8_t *p, size_t bytes) {
    uint32_t value = 0;
    while (bytes-- > 0)
        value = value << 8 | p[bytes];
    return value;
}

static bool has(const struct sl_image_probe *p, size_t at, struct sl_slice text) {
    return memcmp(p->held + at, text.ptr, text.len) == 0;
}

static void next(struct sl_image_probe *p, enum state state) {
    p->state = (uint8_t)state;
    p->have = 0;
}

/* Known, or, with a dimension of 0, never. */
static void end(struct sl_image_probe *p, uint32_t width, uint32_t height) {
    next(p, OVER);
    if (width > 0 && height > 0) {
        p->width = width;
        p->height = height;
    }
}

static void give_up(struct sl_image_probe *p) {
    end(p, 0, 0);
}

static void on_signature(struct sl_image_probe *p) {
    if (has(p, 0, SL_LIT("\xff\xd8"))) {
        next(p, JPEG_MARKER);
        return;
    }
    /* The others are looked at from their first byte. */
    if (has(p, 0, SL_LIT("\x89P")))
        p->state = PNG;
    else if (has(p, 0, SL_LIT("GI")))
        p->state = GIF;
    else if (has(p, 0, SL_LIT("RI")))
        p->state = WEBP;
    else
        give_up(p);
}

static void on_png(struct sl_image_probe *p) {
    if (has(p, 0, SL_LIT("\x89PNG\r\n\x1a\n")) && has(p, 12, SL_LIT("IHDR")))
        end(p, big(p->held + 16, 4), big(p->held + 20, 4));
    else
        give_up(p);
}

static void on_gif(struct sl_image_probe *p) {
    if (has(p, 0, SL_LIT("GIF87a")) || has(p, 0, SL_LIT("GIF89a")))
        end(p, little(p->held + 6, 2), little(p->held + 8, 2));
    else
        give_up(p);
}

static void on_webp(struct sl_image_probe *p) {
    const uint8_t *data = p->held + 20; /* of the first chunk */
    if (!has(p, 0, SL_LIT("RIFF")) || !has(p, 8, SL_LIT("WEBP"))) {
        give_up(p);
    } else if (has(p, 12, SL_LIT("VP8X"))) {
        end(p, little(data + 4, 3) + 1, little(data + 7, 3) + 1);
    } else if (has(p, 12, SL_LIT("VP8L")) && data[0] == 0x2f) {
        uint32_t bits = little(data + 1, 4);
        end(p, (bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1);
    } else if (has(p, 12, SL_LIT("VP8 ")) && has(p, 23, SL_LIT("\x9d\x01\x2a"))) {
        end(p, little(data + 6, 2) & 0x3fff, little(data + 8, 2) & 0x3fff);
    } else {
        give_up(p);
    }
}

static bool begins_frame(uint8_t marker) {
    bool tables = marker == 0xc4 || marker == 0xc8 || marker == 0xcc; /* DHT, JPG, DAC */
    return marker >= 0xc0 && marker <= 0xcf && !tables;
}

static void on_jpeg_marker(struct sl_image_probe *p) {
    uint8_t marker = p->held[1];
    if (p->held[0] != 0xff || marker == 0)
        give_up(p);
    else if (marker == 0xff)
        p->have = 1; /* a fill byte: the marker is yet to come */
    else if (begins_frame(marker))
        next(p, JPEG_FRAME);
    else if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7))
        next(p, JPEG_MARKER); /* stands alone */
    else if (marker >= 0xd8 && marker <= 0xda)
        give_up(p); /* an image in the image, the end, or its data */
    else
        next(p, JPEG_LENGTH);
}

static void on_jpeg_length(struct sl_image_probe *p) {
    uint32_t length = big(p->held, 2); /* with these two bytes */
    if (length < 2) {
        give_up(p);
        return;
    }
    p->skip = length - 2;
    next(p, JPEG_MARKER);
}

static void look(struct sl_image_probe *p) {
    switch ((enum state)p->state) {
    case SIGNATURE:
        on_signature(p);
        break;
    case PNG:
        on_png(p);
        break;
    case GIF:
        on_gif(p);
        break;
    case WEBP:
        on_webp(p);
        break;
    case JPEG_MARKER:
        on_jpeg_marker(p);
        break;
    case JPEG_LENGTH:
        on_jpeg_length(p);
        break;
    case JPEG_FRAME: /* length, precision, lines, samples a line */
        end(p, big(p->held + 5, 2), big(p->held + 3, 2));
        break;
    case OVER:
        break;
    }
}

void sl_image_probe_init(struct sl_image_probe *p) {
    *p = (struct sl_image_probe){.state = SIGNATURE};
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

bool sl_image_probe_feed(struct sl_image_probe *p, struct sl_slice bytes) {
    while (bytes.len > 0 && p->state != OVER) {
        size_t n = least(p->skip, bytes.len);
        p->skip -= (uint32_t)n;
        bytes = sl_slice_skip(bytes, n);
        n = least(wanted[p->state] - p->have, bytes.len);
        if (n == 0)
            continue;
        memcpy(p->held + p->have, bytes.ptr, n);
        p->have += (uint32_t)n;
        bytes = sl_slice_skip(bytes, n);
        if (p->have == wanted[p->state])
            look(p);
    }
    return p->state == OVER;
}
