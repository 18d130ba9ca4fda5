/*
 * From text to the field of a key, by its type. Pure: text in, field and arena written, or a
 * reason. Nothing here knows where the text came from.
 */
#ifndef SLUICE_APP_CONFIG_VALUE_H
#define SLUICE_APP_CONFIG_VALUE_H

#include "app/config_key.h"
#include "sluice/app/config.h"

enum sl_config_shape {
    SL_CONFIG_SCALAR,
    SL_CONFIG_LIST,
    SL_CONFIG_PAIRS,
    /* Written as YAML everywhere, on the command line too. */
    SL_CONFIG_ONE,     /* a mapping of members */
    SL_CONFIG_SEVERAL, /* a list of such mappings */
    SL_CONFIG_NAMED,   /* a mapping of names to such mappings */
    SL_CONFIG_GROUPS,  /* a mapping of names to lists */
};
enum sl_config_shape sl_config_shape(const struct sl_config_key *key);

/* Longest reason, its NUL included. */
#define SL_CONFIG_REASON 384

/* One value being written to one key of a configuration. */
struct sl_config_write {
    struct sl_config *config;
    const struct sl_config_key *key;
    void *item; /* the record that a member belongs to; NULL: the configuration itself */
    char reason[SL_CONFIG_REASON]; /* set when a function below returns SL_E_INVALID */
};

/* Forgets what lists, maps and records held (members get their defaults); does nothing for scalars.
 */
SL_NODISCARD int sl_config_write_begin(struct sl_config_write *w);
/* The whole value as one text: lists and maps as "a,b" and "a=b,c=d"; of records only the empty
 * text, which forgets them. */
SL_NODISCARD int sl_config_write_text(struct sl_config_write *w, struct sl_slice text);
/*
 * One more record, or group (name is empty where records have none), its members at their defaults;
 * for SL_CONFIG_ONE the one there is. *item is good until the next one is added. A group has one
 * member, its list.
 */
SL_NODISCARD int sl_config_write_record(struct sl_config_write *w, struct sl_slice name,
                                        void **item);
/* One more item of a list (name is empty) or map. */
SL_NODISCARD int sl_config_write_item(struct sl_config_write *w, struct sl_slice name,
                                      struct sl_slice value);
/* After the last item: there must be enough of them. */
SL_NODISCARD int sl_config_write_end(struct sl_config_write *w);

/* "a size, such as 512MiB": what the type takes, for messages and the reference. */
const char *sl_config_type_form(enum sl_config_type type);
/* A bound as it would be written: "64KiB", "10m". */
#define SL_CONFIG_AMOUNT 32
void sl_config_amount(enum sl_config_type type, uint64_t value, char out[SL_CONFIG_AMOUNT]);

/* A text of the user's for messages: cut, without control characters. */
struct sl_quoted {
    char text[80];
};
struct sl_quoted sl_quote(struct sl_slice s);

#endif
