/*
 * The YAML file, walked as libyaml's tree of nodes. The walk goes one section deep and into the
 * items of lists and maps, no further, so that aliases (which libyaml resolves to the same node)
 * cannot make it grow. Anything that is not a known key is an error with its line and column.
 */
#include <stdio.h>
#include <yaml.h>

#include "app/config_load.h"

struct walk {
    struct sl_config_loader *loader;
    yaml_document_t *document;
    const char *name;
};

static struct sl_config_place place_at(const struct walk *w, yaml_mark_t mark) {
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

/* Adds the reason of a failed write; other errors pass through. */
static int written(struct walk *w, const struct sl_config_write *write, const yaml_node_t *node,
                   int rc) {
    if (rc != SL_E_INVALID)
        return rc;
    struct sl_config_place place = place_at(w, node->start_mark);
    return sl_config_fault(w->loader, &place, write->key->path, "%s", write->reason);
}

static int write_list(struct walk *w, struct sl_config_write *write, const yaml_node_t *value) {
    int rc = 0;
    sl_config_write_begin(write);
    for (yaml_node_item_t *i = value->data.sequence.items.start;
         rc == 0 && i < value->data.sequence.items.top; i++) {
        const yaml_node_t *item = yaml_document_get_node(w->document, *i);
        if (item->type != YAML_SCALAR_NODE)
            return wrong_kind(w, write->key->path, item, "single values as items");
        rc = written(w, write, item, sl_config_write_item(write, SL_EMPTY, text_of(item)));
    }
    return rc ? rc : written(w, write, value, sl_config_write_end(write));
}

static int write_pairs(struct walk *w, struct sl_config_write *write, const yaml_node_t *value) {
    int rc = 0;
    sl_config_write_begin(write);
    for (yaml_node_pair_t *p = value->data.mapping.pairs.start;
         rc == 0 && p < value->data.mapping.pairs.top; p++) {
        const yaml_node_t *name = yaml_document_get_node(w->document, p->key);
        const yaml_node_t *item = yaml_document_get_node(w->document, p->value);
        if (name->type != YAML_SCALAR_NODE || item->type != YAML_SCALAR_NODE)
            return wrong_kind(w, write->key->path, name->type != YAML_SCALAR_NODE ? name : item,
                              "single values as names and values");
        rc = written(w, write, name, sl_config_write_item(write, text_of(name), text_of(item)));
    }
    return rc ? rc : written(w, write, value, sl_config_write_end(write));
}

static int write_key(struct walk *w, const struct sl_config_key *key, const yaml_node_t *name,
                     const yaml_node_t *value) {
    struct sl_config_place here = place_at(w, name->start_mark);
    struct sl_config_place *place = sl_config_place_of(w->loader, key);
    if (place->origin == SL_CONFIG_FROM_FILE)
        return sl_config_fault(w->loader, &here, key->path, "is there twice, first on line %zu",
                               place->line);
    *place = here;
    struct sl_config_write write = {.config = w->loader->config, .key = key};
    enum sl_config_shape shape = sl_config_shape(key);
    if (value->type == YAML_SCALAR_NODE)
        return written(w, &write, value,
                       sl_config_write_text(&write, is_null(value) ? SL_EMPTY : text_of(value)));
    if (shape == SL_CONFIG_LIST && value->type == YAML_SEQUENCE_NODE)
        return write_list(w, &write, value);
    if (shape == SL_CONFIG_PAIRS && value->type == YAML_MAPPING_NODE)
        return write_pairs(w, &write, value);
    return wrong_kind(w, key->path, value, sl_config_type_form(key->type));
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
    if (!root || is_null(root))
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
    return sl_config_fault(w->loader, &place, NULL, "this is not YAML: %s%s%s", parser->problem,
                           parser->context ? " " : "", parser->context ? parser->context : "");
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

int sl_config_apply_yaml(struct sl_config_loader *loader, const char *name, struct sl_slice text) {
    struct walk w = {.loader = loader, .name = name};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return SL_E_NOMEM;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.ptr, text.len);
    int rc = next_document(&w, &parser, true);
    if (rc > 0)
        rc = next_document(&w, &parser, false);
    yaml_parser_delete(&parser);
    return rc;
}
