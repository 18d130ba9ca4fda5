/*
 * An INI reader that agrees with Python's configparser, because that is what reads the AWS files of
 * everybody who uses boto3 or the AWS CLI: sections, "key = value" or "key: value", full-line
 * comments with # or ;, values continued by indented lines, [DEFAULT] inherited by all sections,
 * keys without regard to case, duplicates refused.
 *
 * Not accepted: a line that is none of these, an entry before the first section. Values are raw: no
 * quotes, no interpolation, no comments behind a value.
 */
#ifndef SLUICE_UPSTREAM_INI_H
#define SLUICE_UPSTREAM_INI_H

#include "sluice/base/error.h"
#include "sluice/base/slice.h"

/* What a file of a few hundred profiles needs, many times over. */
#define SL_INI_MAX_BYTES    (1u << 20)
#define SL_INI_MAX_SECTIONS 1024
#define SL_INI_MAX_ENTRIES  8192

struct sl_ini;

/*
 * Reads a whole file's text; *out holds a copy of its own. SL_E_INVALID with a sentence that names
 * the line, SL_E_LIMIT, SL_E_NOMEM.
 */
SL_NODISCARD int sl_ini_parse(struct sl_slice text, struct sl_ini **out, char *why,
                              size_t why_size);
void sl_ini_free(struct sl_ini *ini); /* wipes what it held */

/* Sections in order of appearance; [DEFAULT] is none of them. */
size_t sl_ini_section_count(const struct sl_ini *ini);
struct sl_slice sl_ini_section_name(const struct sl_ini *ini, size_t section);

/*
 * The value of a key (lower case) in a section, or in [DEFAULT]. Lines of a continued value are
 * joined by '\n'. False if there is none. The value lives as long as the ini.
 */
bool sl_ini_get(const struct sl_ini *ini, size_t section, struct sl_slice key,
                struct sl_slice *value);
/*
 * In a value of the form "\nname = value\nname = value", the value of that name (the last one).
 * SL_E_NOTFOUND, or SL_E_INVALID for a line without '='.
 */
SL_NODISCARD int sl_ini_nested(struct sl_slice value, struct sl_slice name, struct sl_slice *out);

/*
 * Whether every value that begins on a line of its own consists of such entries, as AWS's tools
 * demand. SL_E_INVALID with a sentence that names the first that does not.
 */
SL_NODISCARD int sl_ini_check_nested(const struct sl_ini *ini, char *why, size_t why_size);

#endif
