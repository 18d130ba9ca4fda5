/*
 * The price table: rows of conf/prices.yaml, which is part of the program, and of a file that may
 * override them. Figures are read as decimal text, so that no rounding creeps into money.
 */
#include "sluice/meter/price.h"

#include <stdarg.h>
#include <stdio.h>
#include <yaml.h>

#include "sluice/base/arena.h"
#include "sluice/base/mem.h"
#include "sluice/base/table.h"
#include "sluice/core/model.h"

extern const struct sl_slice sl_prices_builtin; /* conf/prices.yaml */

#define ARENA_MAX ((size_t)8 << 20)
#define DATE_SIZE 32
#define UNSET     UINT64_MAX
#define DECIMALS  6 /* behind the point of USD per million tokens: a nano-dollar per thousand */
#define WHOLE_MAX UINT64_C(1000000000)

struct row {
    struct sl_table_node node;
    struct sl_slice model;
    struct sl_price price;
};

struct sl_prices {
    struct sl_arena arena;
    struct sl_table rows;
    char date[DATE_SIZE];
};

/* One file being read. */
struct reading {
    struct sl_prices *prices;
    yaml_document_t *document;
    const char *file;
    char *why;
    size_t why_size;
};

SL_PRINTF(3, 4)
static int refuse(struct reading *r, yaml_mark_t mark, const char *fmt, ...) {
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    snprintf(r->why, r->why_size, "%s:%zu:%zu: %s", r->file, mark.line + 1, mark.column + 1, text);
    return SL_E_INVALID;
}

static struct sl_slice text_of(const yaml_node_t *node) {
    if (node->type != YAML_SCALAR_NODE)
        return SL_EMPTY;
    return sl_slice_of(node->data.scalar.value, node->data.scalar.length);
}

static struct row *find_row(const struct sl_prices *prices, struct sl_slice model) {
    struct sl_table_node *node = sl_table_find(&prices->rows, sl_hash(model));
    for (; node; node = sl_table_find_next(node)) {
        struct row *row = (struct row *)node; /* its first field */
        if (sl_slice_eq(row->model, model))
            return row;
    }
    return NULL;
}

/* "3", "0.0825": the digits behind the point filled up to six. False: no such number. */
static bool read_usd(struct sl_slice text, uint64_t *out) {
    size_t point = sl_slice_find(text, '.');
    struct sl_slice fraction = sl_slice_skip(text, point + 1);
    uint64_t whole, part = 0;
    if (!sl_slice_u64(sl_slice_head(text, point), &whole) || whole > WHOLE_MAX ||
        fraction.len > DECIMALS)
        return false;
    if (point < text.len && !sl_slice_u64(fraction, &part))
        return false;
    for (size_t i = fraction.len; i < DECIMALS; i++)
        part *= 10;
    *out = whole * 1000000 + part;
    return true;
}

static int read_figure(struct reading *r, const yaml_node_t *name, const yaml_node_t *value,
                       struct sl_price *price) {
    const struct {
        struct sl_slice name;
        uint64_t *field;
    } fields[] = {{SL_LIT("input"), &price->input},
                  {SL_LIT("output"), &price->output},
                  {SL_LIT("cache_read"), &price->cache_read},
                  {SL_LIT("cache_write"), &price->cache_write}};
    struct sl_slice text = text_of(value);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (!sl_slice_eq(text_of(name), fields[i].name))
            continue;
        if (*fields[i].field != UNSET)
            return refuse(r, name->start_mark, "%s is there twice", fields[i].name.ptr);
        if (!read_usd(text, fields[i].field))
            return refuse(r, value->start_mark,
                          "\"%.*s\" is not USD per million tokens, as in 0.0825",
                          (int)sl_slice_head(text, 40).len, text.ptr);
        return SL_OK;
    }
    return refuse(r, name->start_mark,
                  "unknown key \"%.*s\"; a price has: input, output, cache_read, cache_write",
                  (int)sl_slice_head(text_of(name), 40).len, text_of(name).ptr);
}

static int put_row(struct sl_prices *prices, struct sl_slice model, const struct sl_price *price) {
    struct row *row = find_row(prices, model);
    if (row) {
        row->price = *price;
        return SL_OK;
    }
    row = sl_arena_calloc(&prices->arena, 1, sizeof(*row));
    if (!row)
        return SL_E_NOMEM;
    int err = sl_arena_copy(&prices->arena, model, &row->model);
    if (err)
        return err;
    row->price = *price;
    sl_table_insert(&prices->rows, &row->node, sl_hash(row->model));
    return SL_OK;
}

static int read_row(struct reading *r, const yaml_node_t *name, const yaml_node_t *value) {
    struct sl_price price = {UNSET, UNSET, UNSET, UNSET};
    if (name->type != YAML_SCALAR_NODE || value->type != YAML_MAPPING_NODE)
        return refuse(r, name->start_mark, "takes MODEL: {input: USD, output: USD}");
    for (yaml_node_pair_t *p = value->data.mapping.pairs.start; p < value->data.mapping.pairs.top;
         p++) {
        int err = read_figure(r, yaml_document_get_node(r->document, p->key),
                              yaml_document_get_node(r->document, p->value), &price);
        if (err)
            return err;
    }
    if (price.input == UNSET || price.output == UNSET)
        return refuse(r, name->start_mark, "\"%.*s\" needs input and output",
                      (int)sl_slice_head(text_of(name), 80).len, text_of(name).ptr);
    if (price.cache_read == UNSET)
        price.cache_read = price.input;
    if (price.cache_write == UNSET)
        price.cache_write = price.input;
    return put_row(r->prices, text_of(name), &price);
}

static int read_models(struct reading *r, const yaml_node_t *models) {
    if (models->type != YAML_MAPPING_NODE)
        return refuse(r, models->start_mark, "models takes MODEL: {input: USD, output: USD} lines");
    for (yaml_node_pair_t *p = models->data.mapping.pairs.start; p < models->data.mapping.pairs.top;
         p++) {
        int err = read_row(r, yaml_document_get_node(r->document, p->key),
                           yaml_document_get_node(r->document, p->value));
        if (err)
            return err;
    }
    return SL_OK;
}

static int read_root(struct reading *r, const yaml_node_t *root) {
    if (root->type != YAML_MAPPING_NODE)
        return refuse(r, root->start_mark, "the file takes `date` and `models`");
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top;
         p++) {
        const yaml_node_t *name = yaml_document_get_node(r->document, p->key);
        const yaml_node_t *value = yaml_document_get_node(r->document, p->value);
        int err = SL_OK;
        if (sl_slice_eq(text_of(name), SL_LIT("models")))
            err = read_models(r, value);
        else if (sl_slice_eq(text_of(name), SL_LIT("date")))
            snprintf(r->prices->date, sizeof(r->prices->date), "%.*s",
                     SL_FMT(sl_slice_head(text_of(value), DATE_SIZE - 1)));
        else
            err = refuse(r, name->start_mark, "unknown key \"%.*s\"; the file takes date, models",
                         (int)sl_slice_head(text_of(name), 40).len, text_of(name).ptr);
        if (err)
            return err;
    }
    return SL_OK;
}

static int read_yaml(struct reading *r, struct sl_slice text) {
    yaml_parser_t parser;
    yaml_document_t document;
    if (!yaml_parser_initialize(&parser))
        return SL_E_NOMEM;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.ptr, text.len);
    int err;
    if (!yaml_parser_load(&parser, &document)) {
        err = parser.error == YAML_MEMORY_ERROR
                  ? SL_E_NOMEM
                  : refuse(r, parser.problem_mark, "this is not YAML: %s", parser.problem);
    } else {
        r->document = &document;
        const yaml_node_t *root = yaml_document_get_root_node(&document);
        err = root ? read_root(r, root) : SL_OK;
        yaml_document_delete(&document);
        r->document = NULL;
    }
    yaml_parser_delete(&parser);
    return err;
}

static struct sl_prices *new_table(void) {
    struct sl_prices *prices = sl_calloc(1, sizeof(*prices));
    if (!prices || sl_table_init(&prices->rows) != SL_OK) {
        sl_free(prices);
        return NULL;
    }
    sl_arena_init(&prices->arena, ARENA_MAX);
    return prices;
}

struct sl_prices *sl_prices_new(struct sl_slice text, const char *file, char *why,
                                size_t why_size) {
    char date[DATE_SIZE];
    struct sl_prices *prices = new_table();
    struct reading builtin = {prices, NULL, "conf/prices.yaml", why, why_size};
    struct reading own = {prices, NULL, file, why, why_size};
    int err = prices ? read_yaml(&builtin, sl_prices_builtin) : SL_E_NOMEM;
    if (!err && text.len > 0) {
        memcpy(date, prices->date, sizeof(date));
        err = read_yaml(&own, text);
        memcpy(prices->date, date, sizeof(date)); /* of the built-in figures, as told */
    }
    if (!err)
        return prices;
    if (err != SL_E_INVALID)
        snprintf(why, why_size, "%s: %s while reading the prices", file ? file : "prices",
                 sl_error_name(err));
    sl_prices_free(prices);
    return NULL;
}

void sl_prices_free(struct sl_prices *prices) {
    if (!prices)
        return;
    sl_table_done(&prices->rows);
    sl_arena_done(&prices->arena);
    sl_free(prices);
}

bool sl_prices_find(const struct sl_prices *prices, struct sl_slice model, struct sl_price *out) {
    struct sl_slice base = sl_model_base(model), geography = sl_model_geo_prefix(model);
    const struct row *row = find_row(prices, model);
    if (!row && geography.len > 0) /* an ARN's profile id: geography and base stand together */
        row = find_row(prices, sl_slice_of(geography.ptr, geography.len + base.len));
    if (!row)
        row = find_row(prices, base);
    if (row)
        *out = row->price;
    return row != NULL;
}

int64_t sl_price_cost(const struct sl_price *price, const struct sl_usage *usage) {
    const struct {
        int64_t tokens;
        uint64_t price;
    } parts[] = {{usage->input, price->input},
                 {usage->output, price->output},
                 {usage->cache_read, price->cache_read},
                 {usage->cache_write, price->cache_write}};
    unsigned __int128 total = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (parts[i].tokens > 0)
            total += (unsigned __int128)(uint64_t)parts[i].tokens * parts[i].price;
    total = (total + 500) / 1000;
    return total > INT64_MAX ? INT64_MAX : (int64_t)total;
}

int sl_money_print(struct sl_buf *out, int64_t nano_usd) {
    char fraction[10] = ".";
    uint64_t amount = nano_usd < 0 ? 0 - (uint64_t)nano_usd : (uint64_t)nano_usd;
    uint64_t rest = amount % 1000000000;
    size_t len = sizeof(fraction);
    for (size_t i = sizeof(fraction) - 1; i > 0; i--, rest /= 10)
        fraction[i] = (char)('0' + rest % 10);
    while (len > 1 && fraction[len - 1] == '0')
        len--;
    int err = nano_usd < 0 ? sl_buf_add_byte(out, '-') : SL_OK;
    if (!err)
        err = sl_buf_add_u64(out, amount / 1000000000);
    return err || len == 1 ? err : sl_buf_add(out, sl_slice_of(fraction, len));
}

const char *sl_prices_date(const struct sl_prices *prices) {
    return prices->date;
}
