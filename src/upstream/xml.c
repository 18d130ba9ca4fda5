/*
 * A stack of open element names (slices of the document) and the field, if any, whose element is
 * open. Text goes to that field, child elements of it are skipped over.
 */
#include "upstream/xml.h"

struct reader {
    struct sl_slice rest;
    struct sl_slice open[SL_XML_MAX_DEPTH];
    size_t depth;
    bool root_seen;
    struct sl_xml_field *fields;
    size_t field_count;
    struct sl_xml_field *filling; /* the field whose element is open, at filling_depth */
    size_t filling_depth;
};

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct sl_slice local_name(struct sl_slice name) {
    size_t colon = sl_slice_find(name, ':');
    return colon < name.len ? sl_slice_skip(name, colon + 1) : name;
}

/* UTF-8 of one code point that XML allows. */
static int add_code_point(struct sl_buf *out, uint32_t c) {
    char bytes[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
    if (c == 0 || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        return SL_E_INVALID;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        bytes[i] = (char)(0x80 | (c & 0x3F));
    bytes[0] = (char)(lead[n] | c);
    return sl_buf_add(out, sl_slice_of(bytes, n));
}

static int add_reference(struct sl_buf *out, struct sl_slice name) {
    static const struct {
        struct sl_slice name;
        char c;
    } known[] = {{{"lt", 2}, '<'},
                 {{"gt", 2}, '>'},
                 {{"amp", 3}, '&'},
                 {{"quot", 4}, '"'},
                 {{"apos", 4}, '\''}};
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (sl_slice_eq(name, known[i].name))
            return sl_buf_add_byte(out, known[i].c);
    bool hex = name.len > 2 && name.ptr[0] == '#' && name.ptr[1] == 'x';
    if (name.len < 2 || name.len > 8 || name.ptr[0] != '#')
        return SL_E_INVALID;
    uint32_t c = 0;
    for (size_t i = hex ? 2 : 1; i < name.len; i++) {
        char d = sl_ascii_lower(name.ptr[i]);
        bool letter = hex && d >= 'a' && d <= 'f';
        if (!letter && (d < '0' || d > '9'))
            return SL_E_INVALID;
        c = c * (hex ? 16 : 10) + (uint32_t)(letter ? d - 'a' + 10 : d - '0');
    }
    return add_code_point(out, c);
}

static int add_text(struct sl_buf *out, struct sl_slice text) {
    while (text.len) {
        size_t plain = sl_slice_find(text, '&');
        int rc = sl_buf_add(out, sl_slice_head(text, plain));
        if (rc < 0)
            return rc;
        text = sl_slice_skip(text, plain);
        if (text.len == 0)
            break;
        size_t end = sl_slice_find(text, ';');
        if (end == text.len)
            return SL_E_INVALID;
        rc = add_reference(out, sl_slice_of(text.ptr + 1, end - 1));
        if (rc < 0)
            return rc;
        text = sl_slice_skip(text, end + 1);
    }
    return SL_OK;
}

static int take_text(struct reader *r) {
    struct sl_slice text = sl_slice_head(r->rest, sl_slice_find(r->rest, '<'));
    r->rest = sl_slice_skip(r->rest, text.len);
    if (r->depth == 0) {
        for (size_t i = 0; i < text.len; i++)
            if (!is_space(text.ptr[i]))
                return SL_E_INVALID;
        return SL_OK;
    }
    return r->filling && r->depth == r->filling_depth ? add_text(r->filling->text, text) : SL_OK;
}

static void find_field(struct reader *r) {
    if (r->filling || r->depth < 2)
        return;
    for (size_t i = 0; i < r->field_count; i++) {
        struct sl_xml_field *f = &r->fields[i];
        if (f->found || !sl_slice_eq(local_name(r->open[r->depth - 1]), sl_slice_str(f->name)) ||
            !sl_slice_eq(local_name(r->open[r->depth - 2]), sl_slice_str(f->parent)))
            continue;
        f->found = true;
        r->filling = f;
        r->filling_depth = r->depth;
        return;
    }
}

static int close_element(struct reader *r, struct sl_slice name) {
    while (name.len && is_space(name.ptr[name.len - 1]))
        name.len--;
    if (r->depth == 0 || !sl_slice_eq(r->open[r->depth - 1], name))
        return SL_E_INVALID;
    if (r->filling && r->depth == r->filling_depth)
        r->filling = NULL;
    r->depth--;
    return SL_OK;
}

/* Behind the '>' that ends a start tag, quotes respected; or the length where there is none. */
static size_t tag_end(struct sl_slice s) {
    char quote = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '"' || c == '\'')
            quote = c;
        else if (c == '>')
            return i;
    }
    return s.len;
}

/* body: what stands between '<' and '>'. */
static int open_element(struct reader *r, struct sl_slice body) {
    bool empty = body.len && body.ptr[body.len - 1] == '/';
    if (empty)
        body.len--;
    struct sl_slice name = body;
    for (name.len = 0; name.len < body.len && !is_space(body.ptr[name.len]);)
        name.len++;
    if (name.len == 0 || sl_slice_find(name, '<') != name.len || (r->depth == 0 && r->root_seen))
        return SL_E_INVALID;
    if (r->depth == SL_XML_MAX_DEPTH)
        return SL_E_INVALID;
    r->root_seen = true;
    r->open[r->depth++] = name;
    find_field(r);
    return empty ? close_element(r, name) : SL_OK;
}

static int take_markup(struct reader *r) {
    struct sl_slice s = r->rest;
    static const struct {
        struct sl_slice begin, end;
    } skipped[] = {{{"<!--", 4}, {"-->", 3}}, {{"<?", 2}, {"?>", 2}}};
    for (size_t i = 0; i < sizeof(skipped) / sizeof(*skipped); i++) {
        if (!sl_slice_starts(s, skipped[i].begin))
            continue;
        s = sl_slice_skip(s, skipped[i].begin.len);
        size_t end = sl_slice_search(s, skipped[i].end);
        if (end == s.len)
            return SL_E_INVALID;
        r->rest = sl_slice_skip(s, end + skipped[i].end.len);
        return SL_OK;
    }
    if (sl_slice_starts(s, SL_LIT("<!")))
        return SL_E_INVALID;
    size_t end = tag_end(s);
    if (end == s.len)
        return SL_E_INVALID;
    r->rest = sl_slice_skip(s, end + 1);
    struct sl_slice body = sl_slice_of(s.ptr + 1, end - 1);
    return sl_slice_starts(body, SL_LIT("/")) ? close_element(r, sl_slice_skip(body, 1))
                                              : open_element(r, body);
}

int sl_xml_read(struct sl_slice document, struct sl_xml_field *fields, size_t count) {
    struct reader r = {.rest = document, .fields = fields, .field_count = count};
    for (size_t i = 0; i < count; i++)
        fields[i].found = false;
    while (r.rest.len) {
        int rc = r.rest.ptr[0] == '<' ? take_markup(&r) : take_text(&r);
        if (rc < 0)
            return rc;
    }
    return r.depth == 0 && r.root_seen ? SL_OK : SL_E_INVALID;
}
