/*
 * HTTP messages as all rooms see them, whichever version carried them: heads of
 * slices into an arena, with the bytes of names and values as they came.
 */
#ifndef SLUICE_CORE_MESSAGE_H
#define SLUICE_CORE_MESSAGE_H

#include <stdint.h>

#include "sluice/base/arena.h"
#include "sluice/base/slice.h"

struct sl_header {
    struct sl_slice name, value; /* value without surrounding white space */
};

/* Headers in order of arrival, duplicates kept. */
struct sl_headers {
    struct sl_header *items;
    size_t count, cap;
};

#define SL_LENGTH_UNKNOWN INT64_C(-1)

struct sl_request_head {
    struct sl_slice method;    /* "POST"; case as sent */
    struct sl_slice authority; /* Host or :authority, as sent; may be empty on HTTP/1.0 */
    struct sl_slice target;    /* origin form, "/path?query", never decoded */
    struct sl_headers headers; /* without pseudo headers; HTTP/1.1 includes Host */
    int64_t content_length;    /* or SL_LENGTH_UNKNOWN (chunked, or HTTP/2 without it) */
    int version;               /* 10, 11, 20 */
    bool has_body;             /* a body, maybe empty, follows */
};

struct sl_response_head {
    int status;
    struct sl_headers headers; /* end-to-end headers only */
    int64_t content_length;    /* of the body that follows, or SL_LENGTH_UNKNOWN */
};

/* Appends; the slices are kept, not copied. SL_E_NOMEM. */
SL_NODISCARD int sl_headers_add(struct sl_headers *h, struct sl_arena *arena, struct sl_slice name,
                                struct sl_slice value);
/* Copies name and value into the arena first. */
SL_NODISCARD int sl_headers_add_copy(struct sl_headers *h, struct sl_arena *arena,
                                     struct sl_slice name, struct sl_slice value);
/* First header of that name (any case), or NULL. */
const struct sl_header *sl_headers_find(const struct sl_headers *h, struct sl_slice name);
/* Its value, or the empty slice. */
struct sl_slice sl_headers_get(const struct sl_headers *h, struct sl_slice name);
/*
 * True for headers that end at each hop (RFC 9110 7.6.1): Connection, Keep-Alive, Proxy-Connection,
 * Proxy-Authenticate, Proxy-Authorization, TE, Trailer, Transfer-Encoding, Upgrade, HTTP2-Settings,
 * and those named in the message's Connection headers.
 */
bool sl_header_is_hop_by_hop(const struct sl_headers *all, struct sl_slice name);
/* The path part of a target (before '?'), and the query (behind it, may be empty). */
struct sl_slice sl_target_path(struct sl_slice target);
struct sl_slice sl_target_query(struct sl_slice target);

#endif
