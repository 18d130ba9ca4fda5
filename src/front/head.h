/*
 * The head of an HTTP/1 request, read strictly. llhttp frames messages; this decides whether a head
 * is one that every hop must read alike, and gives its parts.
 */
#ifndef SLUICE_SRC_FRONT_HEAD_H
#define SLUICE_SRC_FRONT_HEAD_H

#include "sluice/base/arena.h"
#include "sluice/core/message.h"

/* What only the connection cares about. */
struct sl_head_facts {
    bool chunked;
    bool expects_continue; /* RFC 9110 10.1.1 */
};

/*
 * Reads `raw`, a whole head with its empty line, which must outlive *head; items come from the
 * arena. Empty lines before the request line are skipped (RFC 9112 2.2). 0, or the status to answer
 * with and a literal in *why; *head then holds what was understood before. A head that is not whole
 * is read as far as it goes: without a fault in its complete lines the answer is 400.
 */
int sl_head_read(struct sl_slice raw, size_t max_headers, struct sl_arena *arena,
                 struct sl_request_head *head, struct sl_head_facts *facts, const char **why);

/* A line of the trailer section (RFC 9112 7.1.2) with its end; the empty one ends it. As above. */
int sl_head_trailer(struct sl_slice line, const char **why);

/* What HTTP/2 is held to as well: a target of visible ASCII without '#'; a host that names no user
 * and no second host. */
bool sl_head_is_target(struct sl_slice s);
bool sl_head_is_host(struct sl_slice s);

/* What is left behind empty lines. */
struct sl_slice sl_head_skip_empty(struct sl_slice raw);

#endif
