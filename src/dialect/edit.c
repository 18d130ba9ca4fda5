#include "sluice/dialect/edit.h"

#include "sluice/core/model.h"
#include "sluice/wire/json_view.h"
#include "sluice/wire/sigv4.h"

#define BODY_MAX        (1024 * 1024)
#define NODES_MAX       65536
#define EDITS_MAX       8
#define BYTES_PER_TOKEN 4

/* Text that goes in front of the byte at `at`, in order. */
struct insertion {
    uint64_t at;
    struct sl_slice text;
};

struct editing {
    struct sl_json_view view;
    struct sl_slice body;
    struct insertion list[EDITS_MAX];
    size_t count;
};

void sl_edit_hash(struct sl_call *call) {
    struct sl_chain_cursor cursor = {.offset = call->body.begin};
    struct sl_slice piece;
    struct sl_sha256 hash;
    sl_sha256_init(&hash);
    while (sl_chain_peek(&call->body, &cursor, &piece, 1) == 1) {
        sl_sha256_update(&hash, piece);
        sl_chain_advance(&call->body, &cursor, piece.len);
    }
    sl_sha256_final(&hash, call->body_sha256);
    call->hash_due = false;
}

static void insert(struct editing *e, uint64_t at, struct sl_slice text) {
    if (e->count < EDITS_MAX)
        e->list[e->count++] = (struct insertion){at, text};
}

/* SL_E_INVALID: not a body to edit. */
static int begin(struct editing *e, struct sl_call *call) {
    *e = (struct editing){0};
    int err = sl_chain_flatten(&call->body, BODY_MAX, &e->body);
    if (!err)
        err = sl_json_view_parse(&e->view, e->body, NODES_MAX);
    return err;
}

static int add_name(struct sl_call *call, struct sl_arena *arena, const char *name) {
    return sl_arena_printf(arena, &call->edited, "%.*s%s%s", SL_FMT(call->edited),
                           call->edited.len ? "," : "", name);
}

static int rebuild(const struct editing *e, struct sl_chain *out) {
    uint64_t from = 0;
    int err = SL_OK;
    for (size_t i = 0; !err && i <= e->count; i++) {
        bool last = i == e->count;
        uint64_t upto = last ? e->body.len : e->list[i].at;
        const struct sl_slice parts[] = {
            sl_slice_of(e->body.ptr + from, (size_t)(upto - from)),
            last ? SL_EMPTY : e->list[i].text,
        };
        for (size_t k = 0; !err && k < 2; k++) {
            if (parts[k].len > 0)
                err = sl_chain_add(out, parts[k]);
        }
        from = upto;
    }
    return err;
}

/* Makes the edited body the call's. */
static int finish(struct editing *e, struct sl_call *call, struct sl_arena *arena,
                  const char *name) {
    struct sl_chain edited;
    sl_chain_init(&edited, call->body.budget);
    int err = e->count > 0 ? rebuild(e, &edited) : SL_OK;
    if (!err && e->count > 0)
        err = add_name(call, arena, name);
    if (err || e->count == 0) {
        sl_chain_done(&edited);
    } else {
        sl_chain_done(&call->body);
        call->body = edited;
        sl_edit_hash(call);
    }
    return err;
}

/* ---- markers ---- */

static const struct sl_json_node *last_child(const struct sl_json_view *view,
                                             const struct sl_json_node *node) {
    const struct sl_json_node *last = NULL, *child = sl_json_child(view, node);
    for (; child; child = sl_json_next(view, child))
        last = child;
    return last;
}

/* The message before the last one; NULL where there is none. */
static const struct sl_json_node *last_but_one(const struct sl_json_view *view,
                                               const struct sl_json_node *messages) {
    const struct sl_json_node *before = NULL, *child = sl_json_child(view, messages), *next;
    for (; child && (next = sl_json_next(view, child)) != NULL; child = next)
        before = child;
    return before;
}

static uint64_t size_of(const struct sl_json_node *node) {
    return node ? node->end - node->start : 0;
}

/* In Converse a marker is an element of its own, behind the last. */
static void mark_converse(struct editing *e, const struct sl_json_node *list) {
    if (sl_json_is(list, SL_JSON_IS_ARRAY) && sl_json_child(&e->view, list))
        insert(e, list->end - 1, SL_LIT(",{\"cachePoint\":{\"type\":\"default\"}}"));
}

/* In Claude's body it is a member of the last block; a text alone becomes a list of one block. */
static void mark_claude(struct editing *e, const struct sl_json_node *list) {
    static const struct sl_slice member = SL_LIT(",\"cache_control\":{\"type\":\"ephemeral\"}");
    if (sl_json_is(list, SL_JSON_IS_STRING)) {
        insert(e, list->start, SL_LIT("[{\"type\":\"text\",\"text\":"));
        insert(e, list->end, SL_LIT(",\"cache_control\":{\"type\":\"ephemeral\"}}]"));
        return;
    }
    const struct sl_json_node *block =
        sl_json_is(list, SL_JSON_IS_ARRAY) ? last_child(&e->view, list) : NULL;
    const struct sl_json_node *type = sl_json_get(&e->view, block, "type");
    bool thinks =
        sl_json_eq(&e->view, type, "thinking") || sl_json_eq(&e->view, type, "redacted_thinking");
    if (block && sl_json_is(block, SL_JSON_IS_OBJECT) && sl_json_child(&e->view, block) && !thinks)
        insert(e, block->end - 1, member);
}

static void sort(struct editing *e) {
    for (size_t i = 1; i < e->count; i++)
        for (size_t k = i; k > 0 && e->list[k].at < e->list[k - 1].at; k--) {
            struct insertion moved = e->list[k];
            e->list[k] = e->list[k - 1];
            e->list[k - 1] = moved;
        }
}

/* Tools, system, messages: the order in which Bedrock reads a prefix, whatever the body's. */
static void place_markers(struct editing *e, bool claude, bool mark_tools, uint64_t least) {
    const struct sl_json_view *v = &e->view;
    const struct sl_json_node *root = sl_json_root(v);
    const struct sl_json_node *tools =
        claude ? sl_json_get(v, root, "tools")
               : sl_json_get(v, sl_json_get(v, root, "toolConfig"), "tools");
    const struct sl_json_node *system = sl_json_get(v, root, "system");
    const struct sl_json_node *messages = sl_json_get(v, root, "messages");
    const struct sl_json_node *head = last_but_one(v, messages);
    uint64_t prefix = size_of(tools);
    void (*mark)(struct editing *, const struct sl_json_node *) =
        claude ? mark_claude : mark_converse;
    if (tools && mark_tools && prefix >= least)
        mark(e, tools);
    prefix += size_of(system);
    if (system && prefix >= least)
        mark(e, system);
    if (head && prefix + (head->end - messages->start) >= least)
        mark(e, sl_json_get(v, head, "content"));
    sort(e);
}

int sl_edit_mark_prompts(struct sl_call *call, struct sl_arena *arena, uint32_t min_tokens) {
    bool converse = call->operation == SL_OP_CONVERSE || call->operation == SL_OP_CONVERSE_STREAM;
    bool invoke =
        call->operation == SL_OP_INVOKE_MODEL || call->operation == SL_OP_INVOKE_MODEL_STREAM;
    bool claude = sl_model_family(call->model) == SL_FAMILY_CLAUDE;
    struct editing e;
    if (!converse && !(invoke && claude))
        return SL_OK;
    int err = begin(&e, call);
    if (!err && sl_slice_search(e.body, SL_LIT("\"cachePoint\"")) == e.body.len &&
        sl_slice_search(e.body, SL_LIT("\"cache_control\"")) == e.body.len) {
        place_markers(&e, !converse, claude, (uint64_t)min_tokens * BYTES_PER_TOKEN);
        err = finish(&e, call, arena, "cache-points");
    }
    sl_json_view_done(&e.view);
    return err == SL_E_NOMEM ? err : SL_OK;
}

/* ---- max_tokens ---- */

int sl_edit_max_tokens(struct sl_call *call, struct sl_arena *arena, uint64_t max_tokens) {
    struct editing e;
    struct sl_slice text = SL_EMPTY;
    if (call->max_tokens >= 0 ||
        (call->operation != SL_OP_CONVERSE && call->operation != SL_OP_CONVERSE_STREAM))
        return SL_OK;
    int err = begin(&e, call);
    const struct sl_json_node *root = err ? NULL : sl_json_root(&e.view);
    const struct sl_json_node *config = sl_json_get(&e.view, root, "inferenceConfig");
    if (sl_json_is(config, SL_JSON_IS_OBJECT)) {
        err = sl_arena_printf(arena, &text, "\"maxTokens\":%llu%s", (unsigned long long)max_tokens,
                              sl_json_child(&e.view, config) ? "," : "");
        insert(&e, config->start + 1, text);
    } else if (!config && root && sl_json_is(root, SL_JSON_IS_OBJECT) &&
               sl_json_child(&e.view, root)) {
        err = sl_arena_printf(arena, &text, ",\"inferenceConfig\":{\"maxTokens\":%llu}",
                              (unsigned long long)max_tokens);
        insert(&e, root->end - 1, text);
    }
    if (!err)
        err = finish(&e, call, arena, "max-tokens");
    if (!err && e.count > 0)
        call->max_tokens = (int64_t)max_tokens;
    sl_json_view_done(&e.view);
    return err == SL_E_NOMEM ? err : SL_OK;
}
