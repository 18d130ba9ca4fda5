/* The sample file and the reference, written from the table. Pure. */
#ifndef SLUICE_APP_CONFIG_DOC_H
#define SLUICE_APP_CONFIG_DOC_H

#include "sluice/base/buf.h"

/* Room enough for either. */
#define SL_CONFIG_DOC_MAX ((size_t)256 << 10)

/* conf/sluice.yaml: every key with its documentation, commented out at its default. */
SL_NODISCARD int sl_config_write_sample(struct sl_buf *out);
/* conf/REFERENCE.md. */
SL_NODISCARD int sl_config_write_reference(struct sl_buf *out);

#endif
