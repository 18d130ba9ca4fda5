/* The sources of credentials, one row each; credwalk.c puts them in order. */
#ifndef SLUICE_UPSTREAM_SOURCES_H
#define SLUICE_UPSTREAM_SOURCES_H

#include "upstream/credwalk.h"

extern const struct sl_credsource sl_source_bearer;
extern const struct sl_credsource sl_source_environment;
extern const struct sl_credsource sl_source_role;
extern const struct sl_credsource sl_source_web_identity;
extern const struct sl_credsource sl_source_sso;
extern const struct sl_credsource sl_source_credentials_file;
extern const struct sl_credsource sl_source_login;
extern const struct sl_credsource sl_source_process;
extern const struct sl_credsource sl_source_config_file;
extern const struct sl_credsource sl_source_container;
extern const struct sl_credsource sl_source_imds;

/* Keys of one kind of file for a profile: what a role's self-reference and both files share. */
bool sl_profile_has_keys(const struct sl_credctx *ctx, struct sl_slice profile);

#endif
