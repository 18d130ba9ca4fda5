/*
 * The YAML file, walked as libyaml's tree of nodes. The walk goes one section deep and into the
 * items of lists, maps and records, no further, so that aliases (which libyaml resolves to the same
 * node) cannot make it grow. Anything that is not a known key is an error with its line and column.
 */
#include <stdio.h>
#include <yaml.h>

#include "app/config_load.h"

struct walk {
    struct sl_config_loader *loader;
    yaml_document_t *document;
    const char *name;                    /* of the file */
    const struct sl_config_key *key;     /* not a file: the document is this key's value… */
    const struct sl_config_place *place; /* …written here */
};

static struct sl_config_place place_at(const struct walk *w, yaml_mark_t mark) {
    if (w->place)
        return *w->place;
    return (struct sl_config_place){SL_CONFIG_FROM_FILE, w->name, mark.line + 1, mark.column + 1};
}

static struct sl_slice text_of(const yaml_node_t *node) {
    return sl_slice_of(node->data.scalar.value, node->data.scalar.length);
}

/* A plain scalar that stands for nothing: "key:" with no value, "~", "null". */
static bool is_null(const yaml_node_t *node) {
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    struct sl_slice text = text_of(node);
    return text.len == 0 || sl_slice_eq(text, SL_LIT("~")) || sl_slice_eq(text, SL_LIT("null"));
}

static const char *kind_of(const yaml_node_t *node) {
    return node->type == YAML_SCALAR_NODE     ? "a single value"
           : node->type == YAML_SEQUENCE_NODE ? "a list"
                                              : "a mapping";
}

static int wrong_kind(struct walk *w, const char *key, const yaml_node_t *node,
                      const char *wanted) {
    struct sl_config_place place = place_at(w, node->start_mark);
    return sl_config_fault(w->loader, &place, key, "is %s; it takes %s", kind_of(node), wanted);
}

/* Where a value stands, for messages: "targets[0].region". Cut when it is longer than fits. */
struct trail {
    char text[2 * SL_CONFIG_PATH_MAX];
};

/* Adds the reason of a failed write; other errors pass through. */
static int written(struct walk *w, const struct sl_config_write *write, const char *trail,
                   const yaml_node_t *node, int rc) {
    if (rc != SL_E_INVALID)
        return rc;
    struct sl_config_place place = place_at(w, node->start_mark);
    return sl_config_fault(w->loader, &place, trail, "%s", write->reason);
}

static int write_list(struct walk *w, struct sl_config_write *write, const char *trail,
                      const yaml_node_t *value) {
    int rc = sl_config_write_begin(write);
    for (yaml_node_item_t *i = value->data.sequence.items.start;
         rc == 0 && i < value->data.sequence.items.top; i++) {
        const yaml_node_t *item = yaml_document_get_node(w->document, *i);
        if (item->type != YAML_SCALAR_NODE)
            return wrong_kind(w, trail, item, "single values as items");
        rc = written(w, write, trail, item, sl_config_write_item(write, SL_EMPTY, text_of(item)));
    }
    return rc ? rc : written(w, write, trail, value, sl_config_write_end(write));
}

static int write_pairs(struct walk *w, struct sl_config_write *write, const char *trail,
                       const yaml_node_t *value) {
    int rc = sl_config_write_begin(write);
    for (yaml_node_pair_t *p = value->data.mapping.pairs.start;
         rc == 0 && p < value->data.mapping.pairs.top; p++) {
        const yaml_node_t *name = yaml_document_get_node(w->document, p->key);
        const yaml_node_t *item = yaml_document_get_node(w->document, p->value);
        if (name->type != YAML_SCALAR_NODE || item->type != YAML_SCALAR_NODE)
            return wrong_kind(w, trail, name->type != YAML_SCALAR_NODE ? name : item,
                              "single values as names and values");
        rc = written(w, write, trail, name,
                     sl_config_write_item(write, text_of(name), text_of(item)));
    }
    return rc ? rc : written(w, write, trail, value, sl_config_write_end(write));
}

/* Scalars, lists and maps: what members may be, too. */
static int write_plain(struct walk *w, struct sl_config_write *write, const char *trail,
                       const yaml_node_t *value) {
    enum sl_config_shape shape = sl_config_shape(write->key);
    if (value->type == YAML_SCALAR_NODE)
        return written(w, write, trail, value,
                       sl_config_write_text(write, is_null(value) ? SL_EMPTY : text_of(value)));
    if (shape == SL_CONFIG_LIST && value->type == YAML_SEQUENCE_NODE)
        return write_list(w, write, trail, value);
    if (shape == SL_CONFIG_PAIRS && value->type == YAML_MAPPING_NODE)
        return write_pairs(w, write, trail, value);
    return wrong_kind(w, trail, value, sl_config_type_form(write->key->type));
}

static int unknown_member(struct walk *w, const struct sl_config_key *key, const char *trail,
                          const yaml_node_t *name) {
    char names[256] = "";
    size_t n = 0;
    struct sl_config_place place = place_at(w, name->start_mark);
    const struct sl_config_key *near = sl_config_member_nearest(key, text_of(name));
    if (near)
        return sl_config_fault(w->loader, &place, trail, "unknown key %s; the nearest is \"%s\"",
                               sl_quote(text_of(name)).text, near->path);
    for (size_t i = 0; i < key->member_count; i++) {
        int wrote =
            snprintf(names + n, sizeof(names) - n, "%s%s", n ? ", " : "", key->members[i].path);
        n += wrote > 0 && (size_t)wrote < sizeof(names) - n ? (size_t)wrote : 0;
    }
    return sl_config_fault(w->loader, &place, trail, "unknown key %s; it holds: %s",
                           sl_quote(text_of(name)).text, names);
}

/* The members of one record, each at most once. */
static int write_members(struct walk *w, struct sl_config_write *write, const char *trail,
                         void *item, const yaml_node_t *value) {
    uint64_t seen = 0;
    int rc = 0;
    if (value->type != YAML_MAPPING_NODE)
        return wrong_kind(w, trail, value, "a mapping of keys to values");
    for (yaml_node_pair_t *p = value->data.mapping.pairs.start;
         rc == 0 && p < value->data.mapping.pairs.top; p++) {
        const yaml_node_t *name = yaml_document_get_node(w->document, p->key);
        if (name->type != YAML_SCALAR_NODE)
            return wrong_kind(w, trail, name, "names as keys");
        const struct sl_config_key *key = sl_config_member_find(write->key, text_of(name));
        if (!key)
            return unknown_member(w, write->key, trail, name);
        uint64_t bit = UINT64_C(1) << (key - write->key->members);
        struct sl_config_place place = place_at(w, name->start_mark);
        if (seen & bit)
            return sl_config_fault(w->loader, &place, trail, "%s is there twice", key->path);
        seen |= bit;
        struct trail below;
        snprintf(below.text, sizeof(below.text), "%s.%s", trail, key->path);
        struct sl_config_write member = {.config = write->config, .key = key, .item = item};
        rc = write_plain(w, &member, below.text, yaml_document_get_node(w->document, p->value));
    }
    return rc;
}

static int write_several(struct walk *w, struct sl_config_write *write, const yaml_node_t *value) {
    size_t index = 0;
    int rc = 0;
    for (yaml_node_item_t *i = value->data.sequence.items.start;
         rc == 0 && i < value->data.sequence.items.top; i++) {
        const yaml_node_t *node = yaml_document_get_node(w->document, *i);
        void *item;
        struct trail trail;
        snprintf(trail.text, sizeof(trail.text), "%s[%zu]", write->key->path, index++);
        rc = written(w, write, write->key->path, node,
                     sl_config_write_record(write, SL_EMPTY, &item));
        if (rc == 0)
            rc = write_members(w, write, trail.text, item, node);
    }
    return rc;
}

/* A name with its record, or with its list. */
static int write_named(struct walk *w, struct sl_config_write *write, const yaml_node_t *name,
                       const yaml_node_t *value) {
    void *item;
    struct trail trail;
    if (name->type != YAML_SCALAR_NODE || text_of(name).len == 0)
        return wrong_kind(w, write->key->path, name, "names");
    snprintf(trail.text, sizeof(trail.text), "%s[%.*s]", write->key->path, SL_FMT(text_of(name)));
    int rc = written(w, write, write->key->path, name,
                     sl_config_write_record(write, text_of(name), &item));
    if (rc != 0)
        return rc;
    if (sl_config_shape(write->key) == SL_CONFIG_NAMED)
        return write_members(w, write, trail.text, item, value);
    struct sl_config_write list = {
        .config = write->config, .key = write->key->members, .item = item};
    return write_plain(w, &list, trail.text, value);
}

/* A value of any shape, for a key of the table. */
static int write_value(struct walk *w, const struct sl_config_key *key, const yaml_node_t *value) {
    struct sl_config_write write = {.config = w->loader->config, .key = key};
    enum sl_config_shape shape = sl_config_shape(key);
    yaml_node_type_t wanted = shape == SL_CONFIG_SEVERAL ? YAML_SEQUENCE_NODE : YAML_MAPPING_NODE;
    if (shape <= SL_CONFIG_PAIRS || is_null(value))
        return write_plain(w, &write, key->path, value);
    if (value->type != wanted)
        return wrong_kind(w, key->path, value, sl_config_type_form(key->type));
    int rc = sl_config_write_begin(&write);
    if (rc == 0 && shape == SL_CONFIG_ONE) {
        void *item;
        rc = sl_config_write_record(&write, SL_EMPTY, &item);
        return rc ? rc : write_members(w, &write, key->path, item, value);
    }
    if (rc == 0 && shape == SL_CONFIG_SEVERAL)
        rc = write_several(w, &write, value);
    else
        for (yaml_node_pair_t *p = value->data.mapping.pairs.start;
             rc == 0 && p < value->data.mapping.pairs.top; p++)
            rc = write_named(w, &write, yaml_document_get_node(w->document, p->key),
                             yaml_document_get_node(w->document, p->value));
    return rc ? rc : written(w, &write, key->path, value, sl_config_write_end(&write));
}

static int write_key(struct walk *w, const struct sl_config_key *key, const yaml_node_t *name,
                     const yaml_node_t *value) {
    struct sl_config_place here = place_at(w, name->start_mark);
    struct sl_config_place *place = sl_config_place_of(w->loader, key);
    if (place->origin == SL_CONFIG_FROM_FILE)
        return sl_config_fault(w->loader, &here, key->path, "is there twice, first on line %zu",
                               place->line);
    *place = here;
    return write_value(w, key, value);
}

/* "section.name", for lookup; cut where it is longer than any key, which then is not found. */
static struct sl_slice join(struct sl_slice section, struct sl_slice name,
                            char path[2 * SL_CONFIG_PATH_MAX]) {
    size_t n = 0;
    section = sl_slice_head(section, SL_CONFIG_PATH_MAX - 2);
    if (section.len) {
        memcpy(path, section.ptr, section.len);
        n = section.len;
        path[n++] = '.';
    }
    name = sl_slice_head(name, SL_CONFIG_PATH_MAX);
    memcpy(path + n, name.ptr, name.len);
    return sl_slice_of(path, n + name.len);
}

static int walk_mapping(struct walk *w, struct sl_slice section, const yaml_node_t *mapping);

static int walk_pair(struct walk *w, struct sl_slice section, const yaml_node_t *name,
                     const yaml_node_t *value) {
    char buffer[2 * SL_CONFIG_PATH_MAX];
    struct sl_config_place place = place_at(w, name->start_mark);
    if (name->type != YAML_SCALAR_NODE)
        return sl_config_fault(w->loader, &place, NULL, "a key is %s; it must be a name",
                               kind_of(name));
    struct sl_slice path = join(section, text_of(name), buffer);
    const struct sl_config_key *key = sl_config_key_find(path);
    if (key)
        return write_key(w, key, name, value);
    if (section.len || !sl_config_is_section(path))
        return sl_config_unknown(w->loader, &place, path);
    if (is_null(value))
        return 0;
    if (value->type == YAML_MAPPING_NODE)
        return walk_mapping(w, text_of(name), value);
    return sl_config_fault(w->loader, &place, NULL, "%s is %s; it is a section that holds keys",
                           sl_quote(path).text, kind_of(value));
}

static int walk_mapping(struct walk *w, struct sl_slice section, const yaml_node_t *mapping) {
    for (yaml_node_pair_t *p = mapping->data.mapping.pairs.start;
         p < mapping->data.mapping.pairs.top; p++) {
        int rc = walk_pair(w, section, yaml_document_get_node(w->document, p->key),
                           yaml_document_get_node(w->document, p->value));
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int walk_document(struct walk *w) {
    const yaml_node_t *root = yaml_document_get_root_node(w->document);
    if (w->key)
        return write_value(w, w->key, root);
    if (is_null(root))
        return 0;
    if (root->type == YAML_MAPPING_NODE)
        return walk_mapping(w, SL_EMPTY, root);
    struct sl_config_place place = place_at(w, root->start_mark);
    return sl_config_fault(w->loader, &place, NULL, "the file is %s; it takes KEY: VALUE lines",
                           kind_of(root));
}

static int not_yaml(struct walk *w, const yaml_parser_t *parser) {
    struct sl_config_place place = place_at(w, parser->problem_mark);
    if (parser->error == YAML_MEMORY_ERROR)
        return SL_E_NOMEM;
    return sl_config_fault(w->loader, &place, w->key ? w->key->path : NULL,
                           "this is not YAML: %s%s%s", parser->problem, parser->context ? " " : "",
                           parser->context ? parser->context : "");
}

/* Loads one document and walks it. 1: walked; 0: the stream has ended. */
static int next_document(struct walk *w, yaml_parser_t *parser, bool first) {
    yaml_document_t document;
    if (!yaml_parser_load(parser, &document))
        return not_yaml(w, parser);
    const yaml_node_t *root = yaml_document_get_root_node(&document);
    w->document = &document;
    int rc = root ? 1 : 0;
    if (root && !first) {
        struct sl_config_place place = place_at(w, root->start_mark);
        rc = sl_config_fault(w->loader, &place, NULL, "a second document (---) in the file");
    } else if (root) {
        int walked = walk_document(w);
        rc = walked ? walked : 1;
    }
    yaml_document_delete(&document);
    w->document = NULL;
    return rc;
}

static int parse(struct walk *w, struct sl_slice text) {
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return SL_E_NOMEM;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.ptr, text.len);
    int rc = next_document(w, &parser, true);
    if (rc > 0)
        rc = next_document(w, &parser, false);
    yaml_parser_delete(&parser);
    return rc;
}

int sl_config_apply_yaml(struct sl_config_loader *loader, const char *name, struct sl_slice text) {
    struct walk w = {.loader = loader, .name = name};
    return parse(&w, text);
}

int sl_config_apply_flow(struct sl_config_loader *loader, const struct sl_config_key *key,
                         const struct sl_config_place *place, struct sl_slice text) {
    struct walk w = {.loader = loader, .key = key, .place = place};
    return parse(&w, text);
}
