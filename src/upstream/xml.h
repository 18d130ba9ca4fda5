/*
 * Reads single elements out of a small XML answer of AWS STS: the text of an element with a given
 * name whose parent has a given name. Prefixes and attributes are not looked at.
 *
 * Not accepted: a DOCTYPE (so no entities but the five of XML and character references), CDATA,
 * depth above SL_XML_MAX_DEPTH, unbalanced tags, text behind the root.
 */
#ifndef SLUICE_UPSTREAM_XML_H
#define SLUICE_UPSTREAM_XML_H

#include "sluice/base/buf.h"

/* STS answers are 5 deep. */
#define SL_XML_MAX_DEPTH 16

struct sl_xml_field {
    const char *parent, *name;
    struct sl_buf *text; /* set by the caller; the first such element's text is appended */
    bool found;          /* result */
};

/*
 * Reads the whole document. SL_E_INVALID when it is not well-formed in the sense above, SL_E_LIMIT
 * (a text's maximum), SL_E_NOMEM.
 */
SL_NODISCARD int sl_xml_read(struct sl_slice document, struct sl_xml_field *fields, size_t count);

#endif
