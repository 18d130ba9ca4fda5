/*
 * The shared files of AWS's tools, ~/.aws/config and ~/.aws/credentials, as one map of profiles the
 * way botocore merges them: "[profile x]" and "[default]" of the config file, each overlaid key by
 * key with "[x]" of the credentials file. A missing file is an empty one; a broken file is an
 * error. Source: botocore configloader.py, session.py (full_config).
 */
#ifndef SLUICE_UPSTREAM_PROFILE_H
#define SLUICE_UPSTREAM_PROFILE_H

#include "sluice/base/buf.h"
#include "sluice/base/slice.h"

struct sl_profiles;

/* As of sl_credentials_settings: environment by name, NULL where unset. */
typedef const char *(*sl_getenv)(const char *name);

/*
 * Reads both files now (AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE or below ~/.aws). On failure
 * an error and a sentence that names file and line.
 */
SL_NODISCARD int sl_profiles_load(sl_getenv env, struct sl_profiles **out, char *why,
                                  size_t why_size);
void sl_profiles_free(struct sl_profiles *profiles); /* wipes */

/* Which of the files to look into. */
enum sl_profile_file {
    SL_PROFILE_MERGED,      /* credentials file first, then config file */
    SL_PROFILE_CREDENTIALS, /* sections by their plain name */
    SL_PROFILE_CONFIG
};
bool sl_profiles_has(const struct sl_profiles *profiles, struct sl_slice name);
/* The value lives as long as the profiles. False where there is none; an empty value is one. */
bool sl_profiles_get(const struct sl_profiles *profiles, enum sl_profile_file file,
                     struct sl_slice name, const char *key, struct sl_slice *value);
/* [services NAME] of the config file: "service = \n key = value". False where there is none. */
bool sl_profiles_service(const struct sl_profiles *profiles, struct sl_slice services,
                         const char *service, struct sl_slice key, struct sl_slice *value);

/*
 * Reads a small file (at most SL_SMALL_FILE_MAX bytes) synchronously: tokens and configuration are
 * local, and smaller than one page as a rule. buf is filled from its start. SL_E_NOTFOUND if it is
 * no regular file, SL_E_IO, SL_E_LIMIT, SL_E_NOMEM.
 */
#define SL_SMALL_FILE_MAX (1u << 20)
SL_NODISCARD int sl_small_file_read(const char *path, struct sl_buf *buf);

#endif
