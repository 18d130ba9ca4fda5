/*
 * The binary event-stream framing of AWS (application/vnd.amazon.eventstream).
 * Pure. Big-endian:
 *
 *   u32 total | u32 header bytes | u32 CRC32 of the first 8 | headers | payload | u32 CRC32 of all
 * before
 *
 * Source: Smithy, "Amazon Event Stream"; limits as botocore enforces them
 * (payload ≤ 24 MiB, headers ≤ 128 KiB).
 */
#ifndef SLUICE_WIRE_EVENTSTREAM_H
#define SLUICE_WIRE_EVENTSTREAM_H

#include <stdint.h>

#include "sluice/base/buf.h"
#include "sluice/base/crc32.h"
#include "sluice/base/slice.h"

#define SL_EVENTSTREAM_PRELUDE     12
#define SL_EVENTSTREAM_OVERHEAD    16
#define SL_EVENTSTREAM_MAX_HEADERS 131072   /* 128 KiB */
#define SL_EVENTSTREAM_MAX_PAYLOAD 25165824 /* 24 MiB */

struct sl_eventstream_message {
    struct sl_slice frame;   /* the whole message, as it came */
    struct sl_slice headers; /* undecoded */
    struct sl_slice payload;
};

enum sl_eventstream_type {
    SL_HEADER_TRUE,
    SL_HEADER_FALSE,
    SL_HEADER_INT8,
    SL_HEADER_INT16,
    SL_HEADER_INT32,
    SL_HEADER_INT64,
    SL_HEADER_BYTES,
    SL_HEADER_STRING,
    SL_HEADER_TIMESTAMP,
    SL_HEADER_UUID,
};

struct sl_eventstream_header {
    struct sl_slice name;
    enum sl_eventstream_type type;
    int64_t integer;       /* bool, int*, timestamp */
    struct sl_slice bytes; /* bytes, string, uuid */
};

/*
 * Finds frame boundaries in a stream that arrives in any pieces, without keeping payloads:
 * the bytes themselves live elsewhere (a chain); this follows along and checks both CRCs.
 */
struct sl_eventstream_scanner {
    uint32_t total, header_len; /* of the frame under way; valid once 12 bytes are in */
    uint32_t have;              /* bytes of it seen */
    uint32_t crc;
    uint8_t prelude[SL_EVENTSTREAM_PRELUDE], trailer[4];
};
void sl_eventstream_scanner_init(struct sl_eventstream_scanner *s);
/*
 * Consumes from *in up to the end of the frame under way at most. Returns 1 when that
 * frame is complete (its length is s->total; the next call starts the next frame), 0 when more is
 * needed (*in is then empty), SL_E_PROTOCOL on a bad length or CRC (final).
 */
SL_NODISCARD int sl_eventstream_scan(struct sl_eventstream_scanner *s, struct sl_slice *in);
/* True between frames: an end of input here is clean. */
bool sl_eventstream_at_boundary(const struct sl_eventstream_scanner *s);

/*
 * Decodes one message from the start of `in`: bytes consumed, SL_E_AGAIN when it is not all
 * there, SL_E_PROTOCOL when malformed (lengths, CRCs; headers are checked by the walk below).
 */
SL_NODISCARD int64_t sl_eventstream_decode(struct sl_slice in, struct sl_eventstream_message *out);
/* Walks headers: 1 and *out, 0 at the end, SL_E_PROTOCOL. Moves *rest on. */
SL_NODISCARD int sl_eventstream_next_header(struct sl_slice *rest,
                                            struct sl_eventstream_header *out);
/* Checks every header, duplicates included. SL_E_NOMEM is possible beyond 32 headers. */
SL_NODISCARD int sl_eventstream_check_headers(struct sl_slice headers);
/* The string value of a header, or the empty slice. */
struct sl_slice sl_eventstream_string(struct sl_slice headers, struct sl_slice name);

/*
 * Builds a frame whose headers are all strings. SL_E_INVALID for an empty name, SL_E_LIMIT for what
 * does not fit into a header, a frame or the buffer.
 */
struct sl_eventstream_pair {
    struct sl_slice name, value;
};
SL_NODISCARD int sl_eventstream_encode(struct sl_buf *out,
                                       const struct sl_eventstream_pair *headers, size_t count,
                                       struct sl_slice payload);
/* An exception frame as Bedrock sends it: :message-type exception, {"message":…}. */
SL_NODISCARD int sl_eventstream_exception(struct sl_buf *out, struct sl_slice exception_type,
                                          struct sl_slice message);

#endif
