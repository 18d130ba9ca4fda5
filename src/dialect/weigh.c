/*
 * What a string is shows in the keys around it and in its first bytes:
 *
 *   HEAD ─┬─▶ TEXT
 *         ├─▶ URL ──','──▶ BASE64    a data: URL
 *         ├─▶ BASE64
 *         └─▶ IGNORED                it only says where the input is
 *
 * Keys are looked up once each; what they say is kept by depth, and an array passes it on to its
 * elements. Base64 is decoded only where it is an image, and only until the dimensions are known;
 * the rest of it is counted.
 */
#include "sluice/dialect/scan.h"

enum kind { NO_KIND, IMAGE, DOCUMENT, VIDEO, AUDIO };

enum state { HEAD, TEXT, URL, BASE64, IGNORED };

/* What a key says of its value; the lowest bits are the kind, which holds for all below as well. */
#define KIND      0x07
#define PAYLOAD   0x08 /* a string here is media, if the kind is known */
#define DIRECT    0x10 /* it may be media itself, if its first bytes say so */
#define LINK      0x20 /* it may be a URL */
#define SOURCE    0x40 /* a LINK right below is part of the input */
#define ELSEWHERE 0x80 /* the value says where the input is */

static const struct {
    struct sl_slice key;
    uint8_t what;
} rows[] = {
    {SL_LIT("source"), SOURCE},
    {SL_LIT("bytes"), PAYLOAD},
    {SL_LIT("data"), PAYLOAD},
    {SL_LIT("url"), LINK},
    {SL_LIT("image"), IMAGE | DIRECT},
    {SL_LIT("document"), DOCUMENT | DIRECT},
    {SL_LIT("video"), VIDEO | DIRECT},
    {SL_LIT("audio"), AUDIO | DIRECT},
    {SL_LIT("s3Location"), ELSEWHERE},
    {SL_LIT("images"), IMAGE | DIRECT},           /* Llama, Cohere */
    {SL_LIT("inputImage"), IMAGE | DIRECT},       /* Titan */
    {SL_LIT("mediaSource"), VIDEO},               /* TwelveLabs */
    {SL_LIT("base64String"), PAYLOAD},            /* likewise */
    {SL_LIT("image_url"), IMAGE | DIRECT | LINK}, /* OpenAI, from here on */
    {SL_LIT("input_audio"), AUDIO},
    {SL_LIT("file"), DOCUMENT},
    {SL_LIT("file_data"), DOCUMENT | PAYLOAD},
    {SL_LIT("file_url"), DOCUMENT | LINK},
    {SL_LIT("file_id"), ELSEWHERE},
    {SL_LIT("previous_response_id"), ELSEWHERE},
};

/* Files by their first bytes. */
static const struct {
    uint8_t at;
    struct sl_slice bytes;
    enum kind kind;
} magics[] = {
    {0, SL_LIT("\x89PNG"), IMAGE},
    {0, SL_LIT("\xff\xd8\xff"), IMAGE},
    {0, SL_LIT("GIF8"), IMAGE},
    {8, SL_LIT("WEBP"), IMAGE},
    {0, SL_LIT("%PDF"), DOCUMENT},
    {0, SL_LIT("PK\x03\x04"), DOCUMENT},       /* docx, xlsx */
    {0, SL_LIT("\xd0\xcf\x11\xe0"), DOCUMENT}, /* doc, xls */
    {4, SL_LIT("ftyp"), VIDEO},                /* mp4, mov */
    {0, SL_LIT("\x1a\x45\xdf\xa3"), VIDEO},    /* webm, mkv */
    {8, SL_LIT("WAVE"), AUDIO},
    {0, SL_LIT("ID3"), AUDIO},
    {0, SL_LIT("OggS"), AUDIO},
    {0, SL_LIT("fLaC"), AUDIO},
};

/* Media types of data: URLs. */
static const struct {
    struct sl_slice start;
    enum kind kind;
} schemes[] = {
    {SL_LIT("data:image/"), IMAGE},   {SL_LIT("data:video/"), VIDEO},
    {SL_LIT("data:audio/"), AUDIO},   {SL_LIT("data:application/"), DOCUMENT},
    {SL_LIT("data:text/"), DOCUMENT},
};

void sl_weigh_init(struct sl_weigh *w) {
    *w = (struct sl_weigh){.state = HEAD};
}

static uint64_t add(uint64_t a, uint64_t b) {
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint8_t look_up(struct sl_slice key) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (key.len == rows[i].key.len && memcmp(key.ptr, rows[i].key.ptr, key.len) == 0)
            return rows[i].what;
    return 0;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static void on_key(struct sl_weigh *w, const struct sl_json_token *token) {
    struct sl_slice key;
    w->load.text_bytes = add(w->load.text_bytes, token->text.len);
    if (!sl_json_short_take(&w->key, token, &key))
        return;
    uint8_t what = look_up(key);
    if ((what & KIND) == 0)
        what |= w->what[token->depth - 1] & KIND;
    w->what[token->depth] = what;
}

/* Base64 in either alphabet (RFC 4648 4, 5): the digit plus 1; 0 for what is none. */
static const uint8_t digits[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['-'] = 63,
    ['/'] = 64, ['_'] = 64,
};

/* One group of base64 digits; false: it is not complete yet. */
static bool take_digit(uint32_t *bits, uint8_t *count, uint8_t digit, char bytes[3]) {
    *bits = *bits << 6 | (uint32_t)(digit - 1);
    *count = (uint8_t)((*count + 1) % 4);
    for (unsigned i = 0; *count == 0 && i < 3; i++)
        bytes[i] = (char)(uint8_t)(*bits >> (16 - 8 * i));
    return *count == 0;
}

/* By the first bytes behind the base64; what is not base64 is nothing. */
static enum kind magic_of(struct sl_slice head) {
    char bytes[SL_WEIGH_HEAD_MAX];
    uint32_t bits = 0;
    uint8_t count = 0;
    size_t len = 0;
    for (size_t i = 0; i < head.len && head.ptr[i] != '='; i++) {
        uint8_t digit = digits[(uint8_t)head.ptr[i]];
        if (digit == 0)
            return NO_KIND;
        if (take_digit(&bits, &count, digit, bytes + len))
            len += 3;
    }
    for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
        struct sl_slice at = sl_slice_skip(sl_slice_of(bytes, len), magics[i].at);
        if (sl_slice_starts(at, magics[i].bytes))
            return magics[i].kind;
    }
    return NO_KIND;
}

/* Part of the input that is not in the body. */
static void count_elsewhere(struct sl_weigh *w, uint8_t kind) {
    w->load.elsewhere = true;
    switch (kind) {
    case IMAGE:
        w->load.images++;
        w->load.unsized_images++;
        break;
    case DOCUMENT:
        w->load.documents++;
        break;
    case VIDEO:
        w->load.videos++;
        break;
    default:
        break;
    }
}

static void begin_media(struct sl_weigh *w, enum state state, enum kind kind) {
    w->state = (uint8_t)state;
    w->kind = (uint8_t)kind;
    w->length = w->pads = 0;
    w->digits = 0;
    w->probing = kind == IMAGE;
    sl_image_probe_init(&w->probe);
}

static void count_image(struct sl_weigh *w) {
    uint64_t pixels = (uint64_t)w->probe.width * w->probe.height;
    w->load.images++;
    if (pixels > 0)
        w->load.image_pixels = add(w->load.image_pixels, pixels);
    else
        w->load.unsized_images++;
}

static void end_media(struct sl_weigh *w) {
    uint64_t bytes = (w->length - w->pads) / 4 * 3 + (w->length - w->pads) % 4 * 3 / 4;
    switch ((enum kind)w->kind) {
    case IMAGE:
        count_image(w);
        break;
    case DOCUMENT:
        w->load.documents++;
        w->load.document_bytes = add(w->load.document_bytes, bytes);
        break;
    case VIDEO:
        w->load.videos++;
        w->load.video_bytes = add(w->load.video_bytes, bytes);
        break;
    case AUDIO:
        w->load.audio_bytes = add(w->load.audio_bytes, bytes);
        break;
    case NO_KIND:
        break;
    }
}

static void probe(struct sl_weigh *w, struct sl_slice base64) {
    char bytes[192];
    size_t len = 0;
    for (size_t i = 0; i < base64.len && w->probing; i++) {
        uint8_t digit = digits[(uint8_t)base64.ptr[i]];
        if (digit != 0 && take_digit(&w->bits, &w->digits, digit, bytes + len))
            len += 3;
        if (len == sizeof(bytes) || i + 1 == base64.len) {
            w->probing = !sl_image_probe_feed(&w->probe, sl_slice_of(bytes, len));
            len = 0;
        }
    }
}

static void take_base64(struct sl_weigh *w, struct sl_slice piece) {
    size_t pads = 0;
    while (pads < piece.len && piece.ptr[piece.len - 1 - pads] == '=')
        pads++;
    w->pads = pads == piece.len ? w->pads + pads : pads;
    w->length += piece.len;
    if (w->probing)
        probe(w, piece);
}

static void take(struct sl_weigh *w, struct sl_slice piece) {
    if (w->state == URL) {
        size_t comma = sl_slice_find(piece, ',');
        if (comma == piece.len)
            return;
        piece = sl_slice_skip(piece, comma + 1);
        w->state = BASE64;
    }
    if (w->state == BASE64)
        take_base64(w, piece);
    else if (w->state == TEXT)
        w->load.text_bytes = add(w->load.text_bytes, piece.len);
}

static bool is_link(struct sl_slice head) {
    return sl_slice_starts(head, SL_LIT("https://")) || sl_slice_starts(head, SL_LIT("http://")) ||
           sl_slice_starts(head, SL_LIT("s3://"));
}

/* The head is in, or the whole of a short string: says what the string is. */
static void decide(struct sl_weigh *w, struct sl_slice head, uint8_t what, uint8_t above) {
    uint8_t kind = what & KIND;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        if (sl_slice_starts(head, schemes[i].start)) {
            begin_media(w, URL, schemes[i].kind);
            return;
        }
    if ((what & LINK) && (kind != NO_KIND || (above & SOURCE)) && is_link(head)) {
        count_elsewhere(w, kind);
        w->state = IGNORED;
        return;
    }
    enum kind magic = what & (PAYLOAD | DIRECT) ? magic_of(head) : NO_KIND;
    /* Sound comes in containers of films as well. */
    if (kind == AUDIO && magic == VIDEO)
        magic = AUDIO;
    if (magic != NO_KIND)
        begin_media(w, BASE64, magic);
    else if ((what & PAYLOAD) && kind != NO_KIND)
        begin_media(w, BASE64, kind);
    else
        w->state = TEXT;
}

/* Collects the head; what is behind it is left in the piece. */
static void in_head(struct sl_weigh *w, const struct sl_json_token *token, struct sl_slice *piece) {
    uint8_t what = w->what[token->depth], above = token->depth > 0 ? w->what[token->depth - 1] : 0;
    if (what & ELSEWHERE) {
        count_elsewhere(w, what & KIND);
        w->state = IGNORED;
        return;
    }
    bool plain = (what & (PAYLOAD | DIRECT | LINK)) == 0;
    if (plain && w->head_len == 0 && piece->len > 0 && piece->ptr[0] != 'd') {
        w->state = TEXT;
        return;
    }
    size_t n = least(piece->len, sizeof(w->head) - w->head_len);
    memcpy(w->head + w->head_len, piece->ptr, n);
    w->head_len = (uint8_t)(w->head_len + n);
    *piece = sl_slice_skip(*piece, n);
    if (w->head_len == sizeof(w->head) || token->last) {
        struct sl_slice head = sl_slice_of(w->head, w->head_len);
        decide(w, head, what, above);
        take(w, head);
    }
}

static void on_string(struct sl_weigh *w, const struct sl_json_token *token) {
    struct sl_slice piece = token->text;
    if (w->state == HEAD)
        in_head(w, token, &piece);
    take(w, piece);
    if (!token->last)
        return;
    if (w->state == URL || w->state == BASE64)
        end_media(w);
    w->state = HEAD;
    w->head_len = 0;
}

void sl_weigh_token(struct sl_weigh *w, const struct sl_json_token *token) {
    switch (token->event) {
    case SL_JSON_KEY:
        on_key(w, token);
        break;
    case SL_JSON_STRING:
        on_string(w, token);
        break;
    case SL_JSON_OBJECT_BEGIN:
        if (w->what[token->depth] & ELSEWHERE)
            count_elsewhere(w, w->what[token->depth] & KIND);
        break;
    case SL_JSON_ARRAY_BEGIN:
        w->what[token->depth + 1] = w->what[token->depth];
        break;
    default:
        break;
    }
}
