/* Dimensions of images from the first bytes of their files (PNG, JPEG, GIF, WebP), fed in pieces.
 */
#ifndef SLUICE_WIRE_IMAGE_H
#define SLUICE_WIRE_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/base/slice.h"

struct sl_image_probe {
    uint8_t held[32];
    uint32_t have, skip; /* skip: bytes of a JPEG segment to pass over */
    uint8_t state;
    uint32_t width, height;
};

void sl_image_probe_init(struct sl_image_probe *p);
/* True when no more bytes are wanted: dimensions are known, or never will be (both 0). */
bool sl_image_probe_feed(struct sl_image_probe *p, struct sl_slice bytes);

#endif
