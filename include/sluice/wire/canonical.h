/*
 * A digest of what a JSON document means, taken as its bytes arrive: equal for documents that
 * differ in white space, member order or escapes only, different for all others. Numbers compare as
 * their text, strings as decoded bytes (U+0000 included).
 *
 * An object's digest is that of its members' digests in sorted order, so members are remembered
 * until their object ends: at most SL_CANONICAL_MEMBERS over all open objects, and no key twice in
 * one. No tree, no copy of the document.
 */
#ifndef SLUICE_WIRE_CANONICAL_H
#define SLUICE_WIRE_CANONICAL_H

#include "sluice/wire/json.h"
#include "sluice/wire/sigv4.h"

#define SL_CANONICAL_MEMBERS 4096

struct sl_canonical;

SL_NODISCARD struct sl_canonical *sl_canonical_new(void); /* NULL: out of memory */
void sl_canonical_free(struct sl_canonical *c);
/* One token of the document, as the tokenizer gave it. SL_E_INVALID: a key repeats; SL_E_LIMIT: too
 * many members; both sticky. */
SL_NODISCARD int sl_canonical_token(struct sl_canonical *c, const struct sl_json_token *token);
/* The document is complete. Top-level members named in `without` do not count (what a gateway
 * removes or sets itself, such as "stream"). */
SL_NODISCARD int sl_canonical_finish(struct sl_canonical *c, const struct sl_slice *without,
                                     size_t count, uint8_t digest[32]);

#endif
