/*
 * What the parts of loading share: the configuration under construction and, for each key, where
 * its value came from, so that a message can point at it even when the fault shows only later.
 */
#ifndef SLUICE_APP_CONFIG_LOAD_H
#define SLUICE_APP_CONFIG_LOAD_H

#include "app/config_key.h"
#include "app/config_value.h"
#include "sluice/app/config.h"

/* Later ones win. */
enum sl_config_origin {
    SL_CONFIG_FROM_DEFAULT,
    SL_CONFIG_FROM_FILE,
    SL_CONFIG_FROM_ENVIRONMENT,
    SL_CONFIG_FROM_COMMAND,
};

struct sl_config_place {
    enum sl_config_origin origin;
    const char *name;    /* of the file, or the option; unused for variables */
    size_t line, column; /* in a file, from 1 */
};

struct sl_config_loader {
    struct sl_config *config;
    const struct sl_config_source *source;
    struct sl_config_place places[SL_CONFIG_KEY_MAX]; /* by index in the table */
    char *why;
    size_t why_size;
};

struct sl_config_place *sl_config_place_of(struct sl_config_loader *loader,
                                           const struct sl_config_key *key);
/* Writes "PLACE: KEY: …" to why; returns SL_E_INVALID. key may be NULL. */
int sl_config_fault(struct sl_config_loader *loader, const struct sl_config_place *place,
                    const char *key, const char *fmt, ...) SL_PRINTF(4, 5);
/* As sl_config_fault, for a path that is no key: names the nearest one. */
int sl_config_unknown(struct sl_config_loader *loader, const struct sl_config_place *place,
                      struct sl_slice path);

/* config_yaml.c: applies a file's content, named `name` in messages. */
SL_NODISCARD int sl_config_apply_yaml(struct sl_config_loader *loader, const char *name,
                                      struct sl_slice text);
/* The same for one key's value, written as YAML on a command line or in a variable: `place`. */
SL_NODISCARD int sl_config_apply_flow(struct sl_config_loader *loader,
                                      const struct sl_config_key *key,
                                      const struct sl_config_place *place, struct sl_slice text);
/* config_rules.c: what one key demands of another, and defaults that depend on others. */
SL_NODISCARD int sl_config_apply_rules(struct sl_config_loader *loader);

#endif
