/*
 * The text is copied once and read in place: names and values are slices of that copy, keys are
 * lowered where they stand, and a continuation line is moved up to the value that it continues,
 * which never needs more room than the line break and the indentation it replaces.
 *
 *   role_arn =  arn:aws…\n   more\n      before
 *   role_arn =  arn:aws…\nmore           after: the value is one slice
 *
 * So secrets live in one block, which is wiped when it is freed.
 */
#include "upstream/ini.h"

#include <openssl/mem.h>
#include <stdio.h>

#include "sluice/base/mem.h"

#define NO_SECTION      SIZE_MAX
#define DEFAULT_SECTION (SIZE_MAX - 1) /* inherited by all others, listed among none */

struct entry {
    size_t section;
    struct sl_slice key, value;
};

struct sl_ini {
    char *text;
    size_t text_len;
    struct sl_slice *sections;
    size_t section_count, section_cap;
    struct entry *entries;
    size_t entry_count, entry_cap;
};

/* Where the reader stands. */
struct reader {
    struct sl_ini *ini;
    size_t section;
    struct entry *open; /* the entry that an indented line would continue */
    size_t blank_lines; /* seen since its last line */
    size_t indent;      /* of the last line that was no continuation */
    size_t line;
    char *why;
    size_t why_size;
};

/* What Python's str.strip() takes off, as far as it is ASCII. */
static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

static struct sl_slice strip(struct sl_slice s) {
    while (s.len && is_space(s.ptr[0]))
        s = sl_slice_skip(s, 1);
    while (s.len && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static int refuse(struct reader *r, const char *what) {
    snprintf(r->why, r->why_size, "line %zu %s", r->line, what);
    return SL_E_INVALID;
}

/* Doubles an array that is full. */
static int make_room(void **items, size_t count, size_t *cap, size_t size, size_t max) {
    if (count < *cap)
        return SL_OK;
    if (count >= max)
        return SL_E_LIMIT;
    size_t wanted = *cap ? *cap * 2 : 16;
    void *bigger = sl_realloc(*items, wanted * size);
    if (!bigger)
        return SL_E_NOMEM;
    *items = bigger;
    *cap = wanted;
    return SL_OK;
}

static int open_section(struct reader *r, struct sl_slice name) {
    struct sl_ini *ini = r->ini;
    r->open = NULL;
    if (sl_slice_eq(name, SL_LIT("DEFAULT"))) {
        r->section = DEFAULT_SECTION;
        return SL_OK;
    }
    for (size_t i = 0; i < ini->section_count; i++)
        if (sl_slice_eq(ini->sections[i], name))
            return refuse(r, "opens a section that was there already");
    int rc = make_room((void **)&ini->sections, ini->section_count, &ini->section_cap,
                       sizeof(*ini->sections), SL_INI_MAX_SECTIONS);
    if (rc < 0)
        return rc;
    r->section = ini->section_count;
    ini->sections[ini->section_count++] = name;
    return SL_OK;
}

static struct entry *find_entry(const struct sl_ini *ini, size_t section, struct sl_slice key) {
    /* Entries of a section stand together, the latest section last. */
    for (size_t i = ini->entry_count; i-- > 0;)
        if (ini->entries[i].section == section && sl_slice_eq(ini->entries[i].key, key))
            return &ini->entries[i];
    return NULL;
}

static int add_entry(struct reader *r, struct sl_slice line) {
    struct sl_ini *ini = r->ini;
    size_t colon = sl_slice_find(line, ':'), equals = sl_slice_find(line, '=');
    size_t at = colon < equals ? colon : equals;
    struct sl_slice key = strip(sl_slice_head(line, at));
    if (at == line.len || key.len == 0)
        return refuse(r, "is neither a section nor an entry (key = value)");
    for (size_t i = 0; i < key.len; i++)
        ini->text[(size_t)(key.ptr - ini->text) + i] = sl_ascii_lower(key.ptr[i]);
    if (find_entry(ini, r->section, key))
        return refuse(r, "repeats a key of its section");
    int rc = make_room((void **)&ini->entries, ini->entry_count, &ini->entry_cap,
                       sizeof(*ini->entries), SL_INI_MAX_ENTRIES);
    if (rc < 0)
        return rc;
    r->open = &ini->entries[ini->entry_count++];
    *r->open = (struct entry){r->section, key, strip(sl_slice_skip(line, at + 1))};
    r->blank_lines = 0;
    return SL_OK;
}

static void continue_entry(struct reader *r, struct sl_slice line) {
    char *end = r->ini->text + (r->open->value.ptr - r->ini->text) + r->open->value.len;
    size_t breaks = r->blank_lines + 1;
    memset(end, '\n', breaks);
    memmove(end + breaks, line.ptr, line.len);
    r->open->value.len += breaks + line.len;
    r->blank_lines = 0;
}

static int take_line(struct reader *r, struct sl_slice raw) {
    struct sl_slice line = strip(raw);
    r->line++;
    if (line.len == 0) {
        r->blank_lines++;
        return SL_OK;
    }
    if (line.ptr[0] == '#' || line.ptr[0] == ';')
        return SL_OK;
    size_t indent = (size_t)(line.ptr - raw.ptr);
    if (r->open && indent > r->indent) {
        continue_entry(r, line);
        return SL_OK;
    }
    r->indent = indent;
    if (line.ptr[0] == '[') {
        size_t close = line.len; /* the last bracket ends the name, as in configparser */
        while (close > 0 && line.ptr[close - 1] != ']')
            close--;
        if (close > 2)
            return open_section(r, sl_slice_of(line.ptr + 1, close - 2));
    }
    if (r->section == NO_SECTION)
        return refuse(r, "stands before the first [section]");
    return add_entry(r, line);
}

/* Lines end with "\n", "\r\n" or "\r". */
static int take_lines(struct reader *r) {
    struct sl_slice rest = sl_slice_of(r->ini->text, r->ini->text_len);
    while (rest.len) {
        size_t n = 0;
        while (n < rest.len && rest.ptr[n] != '\n' && rest.ptr[n] != '\r')
            n++;
        size_t next = n + 1;
        if (n + 1 < rest.len && rest.ptr[n] == '\r' && rest.ptr[n + 1] == '\n')
            next++;
        int rc = take_line(r, sl_slice_head(rest, n));
        if (rc < 0)
            return rc;
        rest = sl_slice_skip(rest, next);
    }
    return SL_OK;
}

int sl_ini_parse(struct sl_slice text, struct sl_ini **out, char *why, size_t why_size) {
    snprintf(why, why_size, "it is too large, or memory is out");
    if (text.len > SL_INI_MAX_BYTES)
        return SL_E_LIMIT;
    struct sl_ini *ini = sl_calloc(1, sizeof(*ini));
    if (!ini)
        return SL_E_NOMEM;
    int rc = SL_E_NOMEM;
    ini->text = sl_strndup(text.ptr, text.len);
    if (!ini->text)
        goto fail;
    ini->text_len = text.len;
    struct reader r = {.ini = ini, .section = NO_SECTION, .why = why, .why_size = why_size};
    rc = take_lines(&r);
    if (rc < 0)
        goto fail;
    *out = ini;
    return SL_OK;
fail:
    sl_ini_free(ini);
    return rc;
}

void sl_ini_free(struct sl_ini *ini) {
    if (!ini)
        return;
    if (ini->text)
        OPENSSL_cleanse(ini->text, ini->text_len);
    sl_free(ini->text);
    sl_free(ini->sections);
    sl_free(ini->entries);
    sl_free(ini);
}

size_t sl_ini_section_count(const struct sl_ini *ini) {
    return ini->section_count;
}

struct sl_slice sl_ini_section_name(const struct sl_ini *ini, size_t section) {
    return ini->sections[section];
}

bool sl_ini_get(const struct sl_ini *ini, size_t section, struct sl_slice key,
                struct sl_slice *value) {
    const struct entry *entry = find_entry(ini, section, key);
    if (!entry)
        entry = find_entry(ini, DEFAULT_SECTION, key);
    if (!entry)
        return false;
    *value = entry->value;
    return true;
}

int sl_ini_nested(struct sl_slice value, struct sl_slice name, struct sl_slice *out) {
    int rc = SL_E_NOTFOUND;
    struct sl_slice line;
    while (sl_slice_split(&value, '\n', &line)) {
        line = strip(line);
        if (line.len == 0)
            continue;
        size_t equals = sl_slice_find(line, '=');
        if (equals == line.len)
            return SL_E_INVALID;
        if (sl_slice_eq(strip(sl_slice_head(line, equals)), name)) {
            *out = strip(sl_slice_skip(line, equals + 1));
            rc = SL_OK;
        }
    }
    return rc;
}

int sl_ini_check_nested(const struct sl_ini *ini, char *why, size_t why_size) {
    for (size_t i = 0; i < ini->entry_count; i++) {
        const struct entry *entry = &ini->entries[i];
        struct sl_slice none;
        if (!sl_slice_starts(entry->value, SL_LIT("\n")) ||
            sl_ini_nested(entry->value, SL_EMPTY, &none) != SL_E_INVALID)
            continue;
        snprintf(why, why_size, "the indented lines below %.*s are not all name = value",
                 SL_FMT(sl_slice_head(entry->key, 64)));
        return SL_E_INVALID;
    }
    return SL_OK;
}
