/*
 * Loading: the sources are applied in the order of their precedence, each key remembers who wrote
 * it last, and the rules run over the whole. The first fault ends it; nothing half-made gets out.
 */
#include "sluice/app/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/config_load.h"
#include "app/nearest.h"
#include "sluice/base/buf.h"
#include "sluice/base/mem.h"

/* All strings of a configuration: the file's own maximum, with room for copies and arrays. */
#define ARENA_MAX (4 * SL_CONFIG_FILE_MAX)

struct sl_config_place *sl_config_place_of(struct sl_config_loader *loader,
                                           const struct sl_config_key *key) {
    size_t count;
    return &loader->places[key - sl_config_keys(&count)];
}

/* "sluice.yaml:3:7: ", "SLUICE_LISTEN: ", "--set: "; a default has no place. */
static size_t print_place(struct sl_config_loader *l, const struct sl_config_place *place,
                          const char *key) {
    char variable[SL_CONFIG_VARIABLE_SIZE];
    const struct sl_config_key *row = key ? sl_config_key_holding(sl_slice_str(key)) : NULL;
    int n = 0;
    if (place->origin == SL_CONFIG_FROM_FILE) {
        n = snprintf(l->why, l->why_size, "%s:%zu:%zu: ", place->name, place->line, place->column);
    } else if (place->origin == SL_CONFIG_FROM_ENVIRONMENT && row) {
        sl_config_key_variable(row, variable);
        n = snprintf(l->why, l->why_size, "%s in the environment: ", variable);
    } else if (place->origin == SL_CONFIG_FROM_COMMAND) {
        n = snprintf(l->why, l->why_size, "%s: ", place->name);
    }
    return n < 0 ? 0 : (size_t)n;
}

/* "--listen" says which key it is; "--set" does not. */
static bool names_key(const struct sl_config_place *place, const char *key) {
    return place->origin == SL_CONFIG_FROM_COMMAND &&
           sl_slice_ends(sl_slice_str(key), sl_slice_skip(sl_slice_str(place->name), 2));
}

int sl_config_fault(struct sl_config_loader *l, const struct sl_config_place *place,
                    const char *key, const char *fmt, ...) {
    va_list args;
    size_t n = print_place(l, place, key);
    if (key && !names_key(place, key) && n < l->why_size) {
        int wrote = snprintf(l->why + n, l->why_size - n, "%s: ", key);
        n += wrote < 0 ? 0 : (size_t)wrote;
    }
    va_start(args, fmt);
    if (n < l->why_size)
        vsnprintf(l->why + n, l->why_size - n, fmt, args);
    va_end(args);
    return SL_E_INVALID;
}

/* What the section that a path stands in holds, for those who guess. */
static void list_section(struct sl_slice section, char *out, size_t size) {
    size_t count, n = 0;
    const struct sl_config_key *keys = sl_config_keys(&count);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        if (!sl_slice_eq(sl_config_key_section(&keys[i]), section))
            continue;
        int wrote = snprintf(out + n, size - n, "%s%.*s", n ? ", " : "",
                             SL_FMT(sl_config_key_leaf(&keys[i])));
        n += wrote > 0 && (size_t)wrote < size - n ? (size_t)wrote : 0;
    }
}

/* The section that a mistyped top-level name most likely meant, or NULL. */
static const char *nearest_section(struct sl_slice name) {
    size_t count, best_distance = SIZE_MAX;
    const struct sl_config_section *sections = sl_config_sections(&count);
    const char *best = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t distance = sl_edit_distance(name, sl_slice_str(sections[i].name));
        if (sl_is_near(name, distance) && distance < best_distance) {
            best_distance = distance;
            best = sections[i].name;
        }
    }
    return best;
}

int sl_config_unknown(struct sl_config_loader *l, const struct sl_config_place *place,
                      struct sl_slice path) {
    char names[512];
    struct sl_slice section = sl_slice_head(path, sl_slice_find(path, '.'));
    bool known = sl_config_is_section(section);
    list_section(known ? section : SL_EMPTY, names, sizeof(names));
    if (known && section.len == path.len)
        return sl_config_fault(l, place, NULL, "%s is a section; it holds: %s", sl_quote(path).text,
                               names);
    const struct sl_config_key *key = sl_config_key_nearest(path);
    if (key)
        return sl_config_fault(l, place, NULL, "unknown key %s; the nearest is \"%s\"",
                               sl_quote(path).text, key->path);
    const char *meant = known ? NULL : nearest_section(section);
    if (meant)
        return sl_config_fault(l, place, NULL, "unknown key %s; the nearest section is \"%s\"",
                               sl_quote(path).text, meant);
    return sl_config_fault(l, place, NULL, "unknown key %s; %s: %s", sl_quote(path).text,
                           known ? "the section holds" : "keys outside of sections are", names);
}

/* One text for one key, from anywhere but the file. */
static int apply_text(struct sl_config_loader *l, const struct sl_config_key *key,
                      struct sl_config_place place, struct sl_slice text) {
    struct sl_config_write write = {.config = l->config, .key = key};
    *sl_config_place_of(l, key) = place;
    if (sl_config_shape(key) > SL_CONFIG_PAIRS && sl_slice_trim(text).len > 0)
        return sl_config_apply_flow(l, key, &place, text);
    int rc = sl_config_write_text(&write, text);
    return rc == SL_E_INVALID ? sl_config_fault(l, &place, key->path, "%s", write.reason) : rc;
}

static int apply_defaults(struct sl_config_loader *l) {
    size_t count;
    const struct sl_config_key *keys = sl_config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        struct sl_config_place place = {.origin = SL_CONFIG_FROM_DEFAULT};
        int rc =
            keys[i].fallback ? apply_text(l, &keys[i], place, sl_slice_str(keys[i].fallback)) : 0;
        if (rc != 0)
            return rc;
    }
    struct sl_config *c = l->config;
    c->upstream.name = "default";
    c->upstream.weight = 1;
    c->simulator.access_key_id = SL_SIM_ACCESS_KEY_ID;
    c->simulator.secret = SL_SIM_SECRET;
    c->simulator.bearer = SL_SIM_BEARER;
    return 0;
}

/* The whole file; SL_E_LIMIT beyond the buffer's maximum, SL_E_IO with errno. */
static int read_file(const char *name, struct sl_buf *out) {
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return SL_E_IO;
    int rc;
    ssize_t n = 0;
    do {
        out->len += (size_t)n;
        rc = sl_buf_reserve(out, 4096);
    } while (rc == 0 && (n = read(fd, out->ptr + out->len, out->cap - out->len)) > 0);
    if (rc == 0 && n < 0)
        rc = SL_E_IO;
    int error = errno;
    close(fd);
    errno = error;
    return rc;
}

static int apply_file(struct sl_config_loader *l) {
    const struct sl_config_source *source = l->source;
    struct sl_buf content;
    const char *name = source->file ? source->file : "configuration";
    if (source->text.ptr)
        return sl_config_apply_yaml(l, name, source->text);
    if (!source->file)
        return 0;
    sl_buf_init(&content, SL_CONFIG_FILE_MAX);
    int rc = read_file(name, &content);
    if (rc == 0)
        rc = sl_config_apply_yaml(l, name, sl_buf_slice(&content));
    else if (rc == SL_E_IO)
        snprintf(l->why, l->why_size, "%s: cannot be read: %s", name, strerror(errno));
    else if (rc == SL_E_LIMIT)
        snprintf(l->why, l->why_size, "%s: is larger than %zu bytes: this is no configuration",
                 name, SL_CONFIG_FILE_MAX);
    sl_buf_done(&content);
    return rc;
}

/*
 * A variable that is no key but nearly one is a mistake. One that is far from all keys is somebody
 * else's: Kubernetes puts SLUICE_PORT and SLUICE_SERVICE_HOST beside a service named "sluice".
 */
static int stray_variable(struct sl_config_loader *l, struct sl_slice name) {
    char variable[SL_CONFIG_VARIABLE_SIZE];
    size_t count;
    const struct sl_config_key *keys = sl_config_keys(&count);
    if (sl_slice_eq(name, SL_LIT("SLUICE_CONFIG")))
        return 0;
    struct sl_slice tail = sl_slice_skip(name, sizeof(SL_CONFIG_VARIABLE_PREFIX) - 1);
    for (size_t i = 0; i < count; i++) {
        sl_config_key_variable(&keys[i], variable);
        struct sl_slice known = sl_slice_skip(sl_slice_str(variable), name.len - tail.len);
        if (!sl_is_near(tail, sl_edit_distance(tail, known)))
            continue;
        snprintf(l->why, l->why_size,
                 "%s in the environment: unknown variable; the nearest is \"%s\"",
                 sl_quote(name).text, variable);
        return SL_E_INVALID;
    }
    return 0;
}

static int apply_variable(struct sl_config_loader *l, struct sl_slice name, struct sl_slice value) {
    char variable[SL_CONFIG_VARIABLE_SIZE];
    size_t count;
    const struct sl_config_key *keys = sl_config_keys(&count);
    for (size_t i = 0; i < count; i++) {
        sl_config_key_variable(&keys[i], variable);
        struct sl_config_place place = {.origin = SL_CONFIG_FROM_ENVIRONMENT};
        if (sl_slice_eq(name, sl_slice_str(variable)))
            return apply_text(l, &keys[i], place, value);
    }
    return stray_variable(l, name);
}

static int apply_environment(struct sl_config_loader *l) {
    int rc = 0;
    for (const char *const *e = l->source->environment; e && *e && rc == 0; e++) {
        struct sl_slice entry = sl_slice_str(*e);
        size_t equals = sl_slice_find(entry, '=');
        if (sl_slice_starts(entry, SL_LIT(SL_CONFIG_VARIABLE_PREFIX)) && equals < entry.len)
            rc = apply_variable(l, sl_slice_head(entry, equals), sl_slice_skip(entry, equals + 1));
    }
    return rc;
}

static int apply_overrides(struct sl_config_loader *l) {
    for (size_t i = 0; i < l->source->override_count; i++) {
        const struct sl_config_override *o = &l->source->overrides[i];
        struct sl_config_place place = {.origin = SL_CONFIG_FROM_COMMAND, .name = o->option};
        const struct sl_config_key *key = sl_config_key_find(o->path);
        int rc = key ? apply_text(l, key, place, o->value) : sl_config_unknown(l, &place, o->path);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int sl_config_load(const struct sl_config_source *source, struct sl_config **out, char *why,
                   size_t why_size) {
    static int (*const steps[])(struct sl_config_loader *) = {
        apply_defaults, apply_file, apply_environment, apply_overrides, sl_config_apply_rules,
    };
    struct sl_config_loader loader = {.source = source, .why = why, .why_size = why_size};
    int rc = 0;
    loader.config = sl_calloc(1, sizeof(*loader.config));
    if (!loader.config)
        rc = SL_E_NOMEM;
    else
        sl_arena_init(&loader.config->arena, ARENA_MAX);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && rc == 0; i++)
        rc = steps[i](&loader);
    if (rc == SL_E_NOMEM)
        snprintf(why, why_size, "out of memory while reading the configuration");
    if (rc != 0)
        sl_config_free(loader.config);
    else
        *out = loader.config;
    return rc;
}

void sl_config_free(struct sl_config *config) {
    if (!config)
        return;
    sl_arena_done(&config->arena);
    sl_free(config);
}
