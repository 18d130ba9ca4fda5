/* Questions to a configuration that take more than reading a field. Pure. */
#include "sluice/app/config.h"
#include "sluice/core/model.h"

static struct sl_slice value_of(const struct sl_string_map *map, struct sl_slice name) {
    for (size_t i = 0; i < map->count; i++)
        if (sl_slice_eq(name, sl_slice_str(map->items[i].name)))
            return sl_slice_str(map->items[i].value);
    return SL_EMPTY;
}

struct sl_slice sl_config_alias(const struct sl_config *config, struct sl_slice name) {
    return value_of(&config->models.aliases, name);
}

struct sl_slice sl_config_successor(const struct sl_config *config, struct sl_slice model) {
    return value_of(&config->models.successors, model);
}

struct sl_slice sl_config_fallback(const struct sl_config *config, struct sl_slice model,
                                   size_t i) {
    const struct sl_named_strings_list *all = &config->models.fallbacks;
    for (size_t k = 0; k < all->count; k++)
        if (sl_slice_eq(model, sl_slice_str(all->items[k].name)))
            return i < all->items[k].values.count ? sl_slice_str(all->items[k].values.items[i])
                                                  : SL_EMPTY;
    return SL_EMPTY;
}

static const struct sl_limits *limits_named(const struct sl_config *config, struct sl_slice model) {
    for (size_t i = 0; i < config->quotas.models.count; i++)
        if (sl_slice_eq(model, sl_slice_str(config->quotas.models.items[i].model)))
            return &config->quotas.models.items[i].limits;
    return NULL;
}

struct sl_limits sl_config_limits(const struct sl_config *config, struct sl_slice model) {
    const struct sl_limits *standard = &config->quotas.standard.limits;
    const struct sl_limits *own = limits_named(config, model);
    if (!own)
        own = limits_named(config, sl_model_base(model));
    if (!own)
        return *standard;
    return (struct sl_limits){.rpm = own->rpm ? own->rpm : standard->rpm,
                              .tpm = own->tpm ? own->tpm : standard->tpm,
                              .tpd = own->tpd ? own->tpd : standard->tpd,
                              .in_flight = own->in_flight ? own->in_flight : standard->in_flight};
}

enum sl_cache_when sl_config_cache_when(const struct sl_config *config, struct sl_slice model) {
    static const struct {
        struct sl_slice name;
        enum sl_cache_when when;
    } words[] = {{SL_LIT("always"), SL_CACHE_ALWAYS},
                 {SL_LIT("deterministic"), SL_CACHE_DETERMINISTIC},
                 {SL_LIT("never"), SL_CACHE_NEVER}};
    const struct sl_string_map *map = &config->cache.models;
    for (size_t i = 0; i < map->count; i++)
        if (sl_model_matches(sl_slice_str(map->items[i].name), model))
            for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++)
                if (sl_slice_eq(sl_slice_str(map->items[i].value), words[k].name))
                    return words[k].when;
    return config->cache.when;
}

bool sl_config_marks_prompts(const struct sl_config *config, struct sl_slice model) {
    const struct sl_string_list *list = &config->prompt_caching.models;
    for (size_t i = 0; i < list->count; i++)
        if (sl_model_matches(sl_slice_str(list->items[i]), model))
            return true;
    return false;
}
