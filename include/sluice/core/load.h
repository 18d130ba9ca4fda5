/*
 * What the input of a call consists of, as far as its bytes tell: read beside the body, used to
 * estimate its tokens before the call is made.
 */
#ifndef SLUICE_CORE_LOAD_H
#define SLUICE_CORE_LOAD_H

#include <stdbool.h>
#include <stdint.h>

struct sl_load {
    uint64_t text_bytes;     /* of decoded strings that models read */
    uint64_t image_pixels;   /* width x height summed over images whose header was understood */
    uint32_t images;         /* all of them */
    uint32_t unsized_images; /* whose dimensions are not in the body or not understood */
    uint64_t document_bytes; /* decoded from base64 */
    uint32_t documents;
    uint64_t video_bytes;
    uint32_t videos;
    uint64_t audio_bytes;
    bool elsewhere; /* part of the input is not in the body: s3Location, URL, prompt ARN */
};

#endif
