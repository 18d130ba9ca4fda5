/*
 * How far two names are apart, so that a mistyped key, option or command is answered with the one
 * that was meant.
 */
#ifndef SLUICE_APP_NEAREST_H
#define SLUICE_APP_NEAREST_H

#include "sluice/base/slice.h"

/* Longer names are not compared: O(length²) on the stack. */
#define SL_NEAREST_MAX 64

/*
 * Insertions, deletions, substitutions and swaps of neighbours that turn a into b (optimal string
 * alignment), without regard to ASCII case. SIZE_MAX when one is longer than SL_NEAREST_MAX.
 */
size_t sl_edit_distance(struct sl_slice a, struct sl_slice b);
/* Close enough to be a slip of the fingers: at most a third of the name. */
bool sl_is_near(struct sl_slice name, size_t distance);

#endif
