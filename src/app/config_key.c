/* Looking keys up in the table, and guessing which one was meant. */
#include "app/config_key.h"

#include <string.h>

#include "app/nearest.h"

const struct sl_config_key *sl_config_key_find(struct sl_slice path) {
    size_t count;
    const struct sl_config_key *keys = sl_config_keys(&count);
    for (size_t i = 0; i < count; i++)
        if (sl_slice_eq(path, sl_slice_str(keys[i].path)))
            return &keys[i];
    return NULL;
}

const struct sl_config_key *sl_config_key_holding(struct sl_slice path) {
    return sl_config_key_find(sl_slice_head(path, sl_slice_find(path, '[')));
}

const struct sl_config_key *sl_config_member_find(const struct sl_config_key *key,
                                                  struct sl_slice name) {
    for (size_t i = 0; i < key->member_count; i++)
        if (sl_slice_eq(name, sl_slice_str(key->members[i].path)))
            return &key->members[i];
    return NULL;
}

const struct sl_config_key *sl_config_member_nearest(const struct sl_config_key *key,
                                                     struct sl_slice name) {
    size_t best_distance = SIZE_MAX;
    const struct sl_config_key *best = NULL;
    for (size_t i = 0; i < key->member_count; i++) {
        size_t distance = sl_edit_distance(name, sl_slice_str(key->members[i].path));
        if (sl_is_near(name, distance) && distance < best_distance) {
            best_distance = distance;
            best = &key->members[i];
        }
    }
    return best;
}

bool sl_config_is_section(struct sl_slice name) {
    size_t count;
    const struct sl_config_section *sections = sl_config_sections(&count);
    for (size_t i = 0; i < count; i++)
        if (sl_slice_eq(name, sl_slice_str(sections[i].name)))
            return true;
    return false;
}

struct sl_slice sl_config_key_section(const struct sl_config_key *key) {
    struct sl_slice path = sl_slice_str(key->path);
    size_t dot = sl_slice_find(path, '.');
    return dot < path.len ? sl_slice_head(path, dot) : SL_EMPTY;
}

struct sl_slice sl_config_key_leaf(const struct sl_config_key *key) {
    struct sl_slice path = sl_slice_str(key->path);
    size_t dot = sl_slice_find(path, '.');
    return dot < path.len ? sl_slice_skip(path, dot + 1) : path;
}

static struct sl_slice after_last_dot(struct sl_slice path) {
    for (size_t i = path.len; i > 0; i--)
        if (path.ptr[i - 1] == '.')
            return sl_slice_skip(path, i);
    return path;
}

/*
 * A key is meant by its whole path, or by its last part under the wrong section ("region" for
 * "upstream.region"), which counts one more.
 */
const struct sl_config_key *sl_config_key_nearest(struct sl_slice path) {
    size_t count, best_distance = SIZE_MAX;
    const struct sl_config_key *keys = sl_config_keys(&count), *best = NULL;
    struct sl_slice leaf = after_last_dot(path);
    for (size_t i = 0; i < count; i++) {
        size_t whole = sl_edit_distance(path, sl_slice_str(keys[i].path));
        size_t last = sl_edit_distance(leaf, sl_config_key_leaf(&keys[i]));
        size_t distance = SIZE_MAX;
        if (sl_is_near(path, whole))
            distance = whole;
        if (sl_is_near(leaf, last) && last + 1 < distance)
            distance = last + 1;
        if (distance < best_distance) {
            best_distance = distance;
            best = &keys[i];
        }
    }
    return best;
}

void sl_config_key_variable(const struct sl_config_key *key, char out[SL_CONFIG_VARIABLE_SIZE]) {
    size_t n = sizeof(SL_CONFIG_VARIABLE_PREFIX) - 1;
    memcpy(out, SL_CONFIG_VARIABLE_PREFIX, n);
    for (const char *c = key->path; *c && n + 1 < SL_CONFIG_VARIABLE_SIZE; c++)
        out[n++] = *c == '.' ? '_' : (*c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c);
    out[n] = '\0';
}
