/*
 * JSON put together by pieces. The first error sticks, so that a writer checks once, at the end;
 * what was written by then is of no use. Commas see to themselves: one is put before a value or a
 * key unless the byte before opens a container or follows a key.
 */
#ifndef SLUICE_SRC_DIALECT_PUT_H
#define SLUICE_SRC_DIALECT_PUT_H

#include "sluice/base/buf.h"
#include "sluice/wire/json_view.h"

struct sl_put {
    struct sl_buf *to;
    int err;
};

/* Bytes as they are, no comma: brackets that close, and what the caller spells out. */
void sl_put_raw(struct sl_put *p, struct sl_slice s);
void sl_put(struct sl_put *p, const char *s);
/* A key with its colon. The literal name needs no escapes. */
void sl_put_key(struct sl_put *p, const char *name);
/* Values, with the comma they need. A verbatim value must be JSON; an open one is "{" or "[". */
void sl_put_open(struct sl_put *p, const char *bracket);
void sl_put_value(struct sl_put *p, struct sl_slice json);
void sl_put_string(struct sl_put *p, struct sl_slice text);
void sl_put_int(struct sl_put *p, int64_t value);
/* Key and value in one. */
void sl_put_member(struct sl_put *p, const char *name, struct sl_slice json);
void sl_put_member_string(struct sl_put *p, const char *name, struct sl_slice text);
void sl_put_member_int(struct sl_put *p, const char *name, int64_t value);
/* A member of another document, key and value as they stand. */
void sl_put_copy(struct sl_put *p, const struct sl_json_view *view,
                 const struct sl_json_node *member);
/* Text escaped for the inside of a string that the caller opens and closes with quotes. */
void sl_put_inner(struct sl_put *p, struct sl_slice text);

/* Whether a text that should be spliced in is one JSON value; object: and one of those. */
bool sl_put_can(struct sl_slice text, bool object);

#endif
