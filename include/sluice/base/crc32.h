/* The checksum of event-stream frames and of snapshots: against accidents, not against attackers.
 */
#ifndef SLUICE_BASE_CRC32_H
#define SLUICE_BASE_CRC32_H

#include <stdint.h>

#include "sluice/base/slice.h"

uint32_t sl_crc32(uint32_t crc, struct sl_slice s); /* zlib's polynomial; start with 0 */

#endif
