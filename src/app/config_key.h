/*
 * The table of configuration keys: one row a key, and everything that must agree about it (parsing,
 * bounds, default, --set, environment variable, sample file, reference) reads that row.
 */
#ifndef SLUICE_APP_CONFIG_KEY_H
#define SLUICE_APP_CONFIG_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/base/slice.h"

enum sl_config_type {
    SL_CONFIG_BOOL,
    SL_CONFIG_INTEGER,   /* uint32_t or uint64_t, by the field's size */
    SL_CONFIG_SIZE,      /* bytes; likewise */
    SL_CONFIG_DURATION,  /* milliseconds, uint32_t */
    SL_CONFIG_CHOICE,    /* an enum */
    SL_CONFIG_STRING,    /* const char *; an empty value is NULL */
    SL_CONFIG_PATH,      /* likewise, of a file or folder */
    SL_CONFIG_URL,       /* likewise, scheme://host[:port] */
    SL_CONFIG_HOSTPORT,  /* struct sl_hostport */
    SL_CONFIG_HOSTPORTS, /* struct sl_hostport_list */
    SL_CONFIG_STRINGS,   /* struct sl_string_list */
    SL_CONFIG_MAP,     /* struct sl_string_map; the values are of `choices`, where there are any */
    SL_CONFIG_LISTS,   /* struct sl_named_strings_list */
    SL_CONFIG_RECORD,  /* a struct whose fields are `members` */
    SL_CONFIG_RECORDS, /* a pointer to such structs, and their count */
    SL_CONFIG_NAMED_RECORDS, /* likewise; the name, a const char *, comes first in each */
    SL_CONFIG_TYPE_COUNT
};

struct sl_config_choice {
    const char *name; /* NULL ends the list */
    unsigned value;
};

struct sl_config_key {
    const char *path; /* "queue.max_wait": at most one section deep */
    enum sl_config_type type;
    size_t offset, size; /* of the field in struct sl_config */
    uint64_t min, max;   /* of numbers; of the number of items in lists and maps */
    const struct sl_config_choice *choices;
    const char *fallback; /* the default, as it would be written; NULL: unset, which doc explains */
    const char *example;  /* what the sample shows where there is no fallback */
    const char *doc;      /* sentences: what it does, and why one would change it */
    /* Of records: rows whose path is the member's name and whose offset is in an item. */
    const struct sl_config_key *members;
    size_t member_count, item_size;
};

struct sl_config_section {
    const char *name, *doc;
};

#define SL_CONFIG_KEY_MAX  128 /* rows, at most */
#define SL_CONFIG_PATH_MAX 64  /* bytes of a path, at most, its NUL included */

/* Rows in the order of the sample; the keys of one section stand together. */
const struct sl_config_key *sl_config_keys(size_t *count);
const struct sl_config_section *sl_config_sections(size_t *count);
/* NULL when there is no such key. */
const struct sl_config_key *sl_config_key_find(struct sl_slice path);
/* True for "queue": a name that holds keys. */
bool sl_config_is_section(struct sl_slice name);
/* The section's part of a path; empty for keys of the top level. */
struct sl_slice sl_config_key_section(const struct sl_config_key *key);
/* What follows the section in a path. */
struct sl_slice sl_config_key_leaf(const struct sl_config_key *key);
/* The key a mistyped path most likely meant, or NULL when none is near. */
const struct sl_config_key *sl_config_key_nearest(struct sl_slice path);
/* The member of a record by its name; NULL when there is none. */
const struct sl_config_key *sl_config_member_find(const struct sl_config_key *key,
                                                  struct sl_slice name);
/* The one a mistyped name most likely meant, or NULL. */
const struct sl_config_key *sl_config_member_nearest(const struct sl_config_key *key,
                                                     struct sl_slice name);
/* The key of a path into it, such as "targets[0].region"; NULL when it is none's. */
const struct sl_config_key *sl_config_key_holding(struct sl_slice path);
/* "SLUICE_QUEUE_MAX_WAIT". */
#define SL_CONFIG_VARIABLE_PREFIX "SLUICE_"
#define SL_CONFIG_VARIABLE_SIZE   (sizeof(SL_CONFIG_VARIABLE_PREFIX) + SL_CONFIG_PATH_MAX)
void sl_config_key_variable(const struct sl_config_key *key, char out[SL_CONFIG_VARIABLE_SIZE]);

#endif
