/*
 * One row a type: its shape, what it takes in words, and the function that reads one item. Numbers
 * with units are one function over a table of units.
 */
#include "app/config_value.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Longest string value: model ids and ARNs run to 2048. */
#define TEXT_MAX 4096

struct unit {
    const char *name;
    uint64_t factor;
};

/* Descending, so that an amount is written in the largest unit that divides it. */
static const struct unit size_units[] = {{"GiB", UINT64_C(1) << 30},
                                         {"GB", 1000000000},
                                         {"MiB", 1 << 20},
                                         {"MB", 1000000},
                                         {"KiB", 1 << 10},
                                         {"kB", 1000},
                                         {"KB", 1000},
                                         {"B", 1},
                                         {"", 1},
                                         {NULL, 0}};
static const struct unit time_units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000},
                                         {"s", 1000},     {"ms", 1},      {NULL, 0}};
static const struct unit plain_units[] = {{"", 1}, {NULL, 0}};

struct sl_quoted sl_quote(struct sl_slice s) {
    struct sl_quoted q;
    size_t n = 0, room = sizeof(q.text) - sizeof("\"…\"");
    q.text[n++] = '"';
    for (size_t i = 0; i < s.len && i < room; i++)
        q.text[n++] = (unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f ? '?' : s.ptr[i];
    const char *tail = s.len > room ? "…\"" : "\"";
    memcpy(q.text + n, tail, strlen(tail) + 1);
    return q;
}

SL_PRINTF(2, 3) static int refuse(struct sl_config_write *w, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(w->reason, sizeof(w->reason), fmt, args);
    va_end(args);
    return SL_E_INVALID;
}

static void *field_of(const struct sl_config_write *w) {
    return (char *)(w->item ? w->item : w->config) + w->key->offset;
}

/* Room for one more item behind an array in the arena; capacities are powers of two. */
static void *append(struct sl_config_write *w, void *items, size_t count, size_t item_size) {
    if (count & (count - 1))
        return items;
    void *grown = sl_arena_calloc(&w->config->arena, count ? 2 * count : 1, item_size);
    if (grown && count)
        memcpy(grown, items, count * item_size);
    return grown;
}

static int copy_text(struct sl_config_write *w, struct sl_slice text, const char **out) {
    struct sl_slice copy;
    if (text.len > TEXT_MAX)
        return refuse(w, "%s is longer than %d bytes", sl_quote(text).text, TEXT_MAX);
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return refuse(w, "%s holds a control character", sl_quote(text).text);
    int rc = sl_arena_copy(&w->config->arena, text, &copy);
    if (rc == 0)
        *out = copy.ptr;
    return rc;
}

static const struct unit *units_of(enum sl_config_type type) {
    return type == SL_CONFIG_SIZE       ? size_units
           : type == SL_CONFIG_DURATION ? time_units
                                        : plain_units;
}

void sl_config_amount(enum sl_config_type type, uint64_t value, char out[SL_CONFIG_AMOUNT]) {
    const struct unit *u = units_of(type);
    while (u[1].name && (value == 0 || value % u->factor))
        u++;
    snprintf(out, SL_CONFIG_AMOUNT, "%" PRIu64 "%s", value / u->factor, u->name);
}

static int check_bounds(struct sl_config_write *w, struct sl_slice text, uint64_t value) {
    char bound[SL_CONFIG_AMOUNT];
    if (value < w->key->min) {
        sl_config_amount(w->key->type, w->key->min, bound);
        return refuse(w, "%s is too small; the least is %s", sl_quote(text).text, bound);
    }
    if (value > w->key->max) {
        sl_config_amount(w->key->type, w->key->max, bound);
        return refuse(w, "%s is too large; the most is %s", sl_quote(text).text, bound);
    }
    return 0;
}

static int add_number(struct sl_config_write *w, struct sl_slice name, struct sl_slice text) {
    (void)name;
    size_t digits = 0;
    uint64_t value;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    struct sl_slice unit = sl_slice_trim(sl_slice_skip(text, digits));
    if (digits == 0)
        return refuse(w, "%s is not %s", sl_quote(text).text, sl_config_type_form(w->key->type));
    if (!sl_slice_u64(sl_slice_head(text, digits), &value))
        return refuse(w, "%s is too large", sl_quote(text).text);
    const struct unit *u = units_of(w->key->type);
    while (u->name && !sl_slice_eq(unit, sl_slice_str(u->name)))
        u++;
    /* A bare 0 needs no unit: it means the same in all of them. */
    if (!u->name && !(unit.len == 0 && value == 0))
        return refuse(w, "%s is not %s", sl_quote(text).text, sl_config_type_form(w->key->type));
    if (__builtin_mul_overflow(value, u->name ? u->factor : 1, &value))
        return refuse(w, "%s is too large", sl_quote(text).text);
    int rc = check_bounds(w, text, value);
    if (rc != 0)
        return rc;
    if (w->key->size == sizeof(uint32_t))
        *(uint32_t *)field_of(w) = (uint32_t)value;
    else
        *(uint64_t *)field_of(w) = value;
    return 0;
}

static int add_bool(struct sl_config_write *w, struct sl_slice name, struct sl_slice text) {
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"on", true},   {"true", true},   {"yes", true},
                 {"off", false}, {"false", false}, {"no", false}};
    (void)name;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (sl_slice_ieq(text, sl_slice_str(words[i].word))) {
            *(bool *)field_of(w) = words[i].value;
            return 0;
        }
    return refuse(w, "%s is not %s", sl_quote(text).text, sl_config_type_form(SL_CONFIG_BOOL));
}

/* The choice of that name, or NULL and a reason. */
static const struct sl_config_choice *choose(struct sl_config_write *w, struct sl_slice text) {
    char list[128] = "";
    size_t n = 0;
    for (const struct sl_config_choice *c = w->key->choices; c->name; c++) {
        if (sl_slice_eq(text, sl_slice_str(c->name)))
            return c;
        int wrote = snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "", c->name);
        n += (size_t)wrote < sizeof(list) - n ? (size_t)wrote : 0;
    }
    (void)refuse(w, "%s is none of: %s", sl_quote(text).text, list);
    return NULL;
}

static int add_choice(struct sl_config_write *w, struct sl_slice name, struct sl_slice text) {
    const struct sl_config_choice *choice = choose(w, text);
    (void)name;
    if (!choice)
        return SL_E_INVALID;
    memcpy(field_of(w), &choice->value, sizeof(choice->value));
    return 0;
}

static int add_string(struct sl_config_write *w, struct sl_slice name, struct sl_slice text) {
    const char *copy = NULL;
    (void)name;
    int rc = copy_text(w, text, &copy);
    if (rc == 0)
        *(const char **)field_of(w) = copy;
    return rc;
}

static int add_url(struct sl_config_write *w, struct sl_slice name, struct sl_slice text) {
    size_t scheme = sl_slice_search(text, SL_LIT("://"));
    struct sl_slice authority = sl_slice_skip(text, scheme + 3);
    struct sl_slice kind = sl_slice_head(text, scheme);
    if ((!sl_slice_eq(kind, SL_LIT("http")) && !sl_slice_eq(kind, SL_LIT("https"))) ||
        authority.len == 0)
        return refuse(w, "%s is not %s", sl_quote(text).text, sl_config_type_form(SL_CONFIG_URL));
    for (size_t i = 0; i < authority.len; i++)
        if (strchr("/?#@ ", authority.ptr[i]))
            return refuse(w, "%s goes on behind host and port", sl_quote(text).text);
    return add_string(w, name, text);
}

static bool is_host(struct sl_slice host) {
    for (size_t i = 0; i < host.len; i++) {
        char c = sl_ascii_lower(host.ptr[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_'))
            return false;
    }
    return host.len > 0 && host.len < 254;
}

static bool is_ipv6(struct sl_slice host) {
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (host.len >= sizeof(text))
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1;
}

static int read_hostport(struct sl_config_write *w, struct sl_slice text, struct sl_hostport *out) {
    uint64_t port;
    size_t colon = text.len;
    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    struct sl_slice host = sl_slice_head(text, colon ? colon - 1 : 0);
    if (colon == 0 || !sl_slice_u64(sl_slice_skip(text, colon), &port) || port > UINT16_MAX)
        return refuse(w, "%s is not %s", sl_quote(text).text,
                      sl_config_type_form(SL_CONFIG_HOSTPORT));
    if (host.len == 0)
        return refuse(w, "%s names no host: write 0.0.0.0:%u for every address of this machine",
                      sl_quote(text).text, (unsigned)port);
    bool bracketed = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    if (bracketed)
        host = sl_slice_of(host.ptr + 1, host.len - 2);
    else if (is_ipv6(host))
        return refuse(w, "%s: an IPv6 address stands in brackets, as in [::1]:8080",
                      sl_quote(text).text);
    if (bracketed ? !is_ipv6(host) : !is_host(host))
        return refuse(w, "%s is neither a host name nor an address", sl_quote(host).text);
    struct sl_hostport read = {.port = (uint16_t)port};
    int rc = copy_text(w, host, &read.host);
    if (rc == 0)
        *out = read;
    return rc;
}

static int add_hostport(struct sl_config_write *w, struct sl_slice name, struct sl_slice text) {
    (void)name;
    return read_hostport(w, text, field_of(w));
}

static int add_to_hostports(struct sl_config_write *w, struct sl_slice name, struct sl_slice text) {
    struct sl_hostport_list *list = field_of(w);
    struct sl_hostport address;
    (void)name;
    int rc = read_hostport(w, text, &address);
    if (rc != 0)
        return rc;
    struct sl_hostport *items = append(w, list->items, list->count, sizeof(*items));
    if (!items)
        return SL_E_NOMEM;
    items[list->count] = address;
    *list = (struct sl_hostport_list){items, list->count + 1};
    return 0;
}

static int add_to_strings(struct sl_config_write *w, struct sl_slice name, struct sl_slice text) {
    struct sl_string_list *list = field_of(w);
    const char *copy;
    (void)name;
    if (text.len == 0)
        return refuse(w, "holds an empty item");
    int rc = copy_text(w, text, &copy);
    if (rc != 0)
        return rc;
    const char **items = append(w, list->items, list->count, sizeof(*items));
    if (!items)
        return SL_E_NOMEM;
    items[list->count] = copy;
    *list = (struct sl_string_list){items, list->count + 1};
    return 0;
}

static int add_to_map(struct sl_config_write *w, struct sl_slice name, struct sl_slice text) {
    struct sl_string_map *map = field_of(w);
    struct sl_string_pair pair;
    if (name.len == 0 || text.len == 0)
        return refuse(w, "%s needs a name and a value", sl_quote(name.len ? name : text).text);
    for (size_t i = 0; i < map->count; i++)
        if (sl_slice_eq(name, sl_slice_str(map->items[i].name)))
            return refuse(w, "%s is there twice", sl_quote(name).text);
    if (w->key->choices && !choose(w, text))
        return SL_E_INVALID;
    int rc = copy_text(w, name, &pair.name);
    if (rc == 0)
        rc = copy_text(w, text, &pair.value);
    if (rc != 0)
        return rc;
    struct sl_string_pair *items = append(w, map->items, map->count, sizeof(*items));
    if (!items)
        return SL_E_NOMEM;
    items[map->count] = pair;
    *map = (struct sl_string_map){items, map->count + 1};
    return 0;
}

/* Records are written member by member, as YAML. */
static int add_to_records(struct sl_config_write *w, struct sl_slice name, struct sl_slice text) {
    (void)name;
    return refuse(w, "%s is not %s", sl_quote(text).text, sl_config_type_form(w->key->type));
}

struct type_info {
    enum sl_config_shape shape;
    int (*add)(struct sl_config_write *w, struct sl_slice name, struct sl_slice text);
    const char *form;
};

static const struct type_info types[SL_CONFIG_TYPE_COUNT] = {
    [SL_CONFIG_BOOL] = {SL_CONFIG_SCALAR, add_bool, "on or off (also true, false, yes, no)"},
    [SL_CONFIG_INTEGER] = {SL_CONFIG_SCALAR, add_number, "a whole number"},
    [SL_CONFIG_SIZE] = {SL_CONFIG_SCALAR, add_number,
                        "a size: bytes, or a number with kB, MB, GB, KiB, MiB or GiB, as in "
                        "512MiB"},
    [SL_CONFIG_DURATION] = {SL_CONFIG_SCALAR, add_number,
                            "a duration: a number with ms, s, m, h or d, as in 30s"},
    [SL_CONFIG_CHOICE] = {SL_CONFIG_SCALAR, add_choice, "one of the words listed"},
    [SL_CONFIG_STRING] = {SL_CONFIG_SCALAR, add_string, "text"},
    [SL_CONFIG_PATH] = {SL_CONFIG_SCALAR, add_string, "a path"},
    [SL_CONFIG_URL] = {SL_CONFIG_SCALAR, add_url, "an address such as https://HOST[:PORT]"},
    [SL_CONFIG_HOSTPORT] = {SL_CONFIG_SCALAR, add_hostport, "HOST:PORT, as in 127.0.0.1:8080"},
    [SL_CONFIG_HOSTPORTS] = {SL_CONFIG_LIST, add_to_hostports, "HOST:PORT, or a list of them"},
    [SL_CONFIG_STRINGS] = {SL_CONFIG_LIST, add_to_strings, "a list of texts"},
    [SL_CONFIG_MAP] = {SL_CONFIG_PAIRS, add_to_map, "names with a value each"},
    [SL_CONFIG_LISTS] = {SL_CONFIG_GROUPS, add_to_records,
                         "names with a list each, as in {a: [b, c]}"},
    [SL_CONFIG_RECORD] = {SL_CONFIG_ONE, add_to_records, "a mapping, as in {a: 1, b: 2}"},
    [SL_CONFIG_RECORDS] = {SL_CONFIG_SEVERAL, add_to_records,
                           "a list of mappings, as in [{a: 1}, {a: 2}]"},
    [SL_CONFIG_NAMED_RECORDS] = {SL_CONFIG_NAMED, add_to_records,
                                 "names with a mapping each, as in {x: {a: 1}}"},
};

enum sl_config_shape sl_config_shape(const struct sl_config_key *key) {
    return types[key->type].shape;
}

const char *sl_config_type_form(enum sl_config_type type) {
    return types[type].form;
}

/* Every list and map starts with a pointer and a count. */
struct items {
    void *items;
    size_t count;
};
_Static_assert(sizeof(struct items) == sizeof(struct sl_hostport_list) &&
                   sizeof(struct items) == sizeof(struct sl_string_list) &&
                   sizeof(struct items) == sizeof(struct sl_string_map) &&
                   sizeof(struct items) == sizeof(struct sl_named_strings_list) &&
                   sizeof(struct items) == sizeof(struct sl_target_list) &&
                   sizeof(struct items) == sizeof(((struct sl_target_settings *)0)->profiles) &&
                   sizeof(struct items) == sizeof(struct sl_model_limits_list),
               "lists and maps share one layout");

static struct items items_of(const struct sl_config_write *w) {
    struct items items;
    memcpy(&items, field_of(w), sizeof(items));
    return items;
}

/* Fields that are {items, count}. */
static bool holds_items(const struct sl_config_write *w) {
    enum sl_config_shape shape = types[w->key->type].shape;
    return shape != SL_CONFIG_SCALAR && shape != SL_CONFIG_ONE;
}

static int write_defaults(struct sl_config_write *w, void *item) {
    int rc = 0;
    for (size_t i = 0; i < w->key->member_count && rc == 0; i++) {
        struct sl_config_write member = {
            .config = w->config, .key = &w->key->members[i], .item = item};
        if (member.key->fallback)
            rc = sl_config_write_text(&member, sl_slice_str(member.key->fallback));
    }
    return rc;
}

int sl_config_write_begin(struct sl_config_write *w) {
    w->reason[0] = '\0';
    if (types[w->key->type].shape == SL_CONFIG_ONE) {
        memset(field_of(w), 0, w->key->size);
        return write_defaults(w, field_of(w));
    }
    if (holds_items(w))
        memset(field_of(w), 0, sizeof(struct items));
    return 0;
}

/* The name that begins a named record. */
static const char *name_of(const struct sl_config_write *w, struct items items, size_t index) {
    const char *name;
    memcpy(&name, (const char *)items.items + index * w->key->item_size, sizeof(name));
    return name;
}

int sl_config_write_record(struct sl_config_write *w, struct sl_slice name, void **item) {
    enum sl_config_shape shape = types[w->key->type].shape;
    if (shape == SL_CONFIG_ONE) {
        *item = field_of(w);
        return 0;
    }
    struct items items = items_of(w);
    const char *copy = NULL;
    if (items.count >= w->key->max)
        return refuse(w, "holds more than %" PRIu64 " items", w->key->max);
    bool named = shape != SL_CONFIG_SEVERAL;
    for (size_t i = 0; named && i < items.count; i++)
        if (sl_slice_eq(name, sl_slice_str(name_of(w, items, i))))
            return refuse(w, "%s is there twice", sl_quote(name).text);
    int rc = named ? copy_text(w, name, &copy) : 0;
    if (rc != 0)
        return rc;
    items.items = append(w, items.items, items.count, w->key->item_size);
    if (!items.items)
        return SL_E_NOMEM;
    void *last = (char *)items.items + items.count++ * w->key->item_size;
    memset(last, 0, w->key->item_size);
    if (named)
        memcpy(last, &copy, sizeof(copy));
    memcpy(field_of(w), &items, sizeof(items));
    *item = last;
    return write_defaults(w, last);
}

int sl_config_write_item(struct sl_config_write *w, struct sl_slice name, struct sl_slice value) {
    if (holds_items(w) && items_of(w).count >= w->key->max)
        return refuse(w, "holds more than %" PRIu64 " items", w->key->max);
    return types[w->key->type].add(w, name, value);
}

int sl_config_write_end(struct sl_config_write *w) {
    if (holds_items(w) && items_of(w).count < w->key->min)
        return refuse(w, "needs at least %" PRIu64, w->key->min);
    return 0;
}

/* An empty text unsets what may be unset, so that --set can take back what the file says. */
static int clear(struct sl_config_write *w) {
    bool text = w->key->type == SL_CONFIG_STRING || w->key->type == SL_CONFIG_PATH ||
                w->key->type == SL_CONFIG_URL;
    if (!text || w->key->fallback)
        return refuse(w, "needs a value; leave the key out for its default");
    *(const char **)field_of(w) = NULL;
    return 0;
}

int sl_config_write_text(struct sl_config_write *w, struct sl_slice text) {
    enum sl_config_shape shape = types[w->key->type].shape;
    text = sl_slice_trim(text);
    int rc = sl_config_write_begin(w);
    if (rc != 0)
        return rc;
    if (shape == SL_CONFIG_SCALAR)
        return text.len ? sl_config_write_item(w, SL_EMPTY, text) : clear(w);
    struct sl_slice item;
    if (shape > SL_CONFIG_PAIRS && text.len > 0)
        return types[w->key->type].add(w, SL_EMPTY, text);
    while (text.len > 0 && sl_slice_split(&text, ',', &item)) {
        struct sl_slice name = SL_EMPTY;
        item = sl_slice_trim(item);
        if (shape == SL_CONFIG_PAIRS) {
            size_t equals = sl_slice_find(item, '=');
            name = sl_slice_trim(sl_slice_head(item, equals));
            item = sl_slice_trim(sl_slice_skip(item, equals + 1));
        }
        rc = sl_config_write_item(w, name, item);
        if (rc != 0)
            return rc;
    }
    return sl_config_write_end(w);
}
