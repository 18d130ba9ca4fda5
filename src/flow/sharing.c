/*
 * Who may read whose answer. Two keys lead to a flight under way: the id an SDK keeps over its
 * retries (the same try again), and the meaning of what is asked (another request that the same
 * answer serves). The second is the key of the cache too. Nothing is shared between tenants unless
 * the configuration says so.
 */
#include "flow/internal.h"
#include "sluice/base/mem.h"
#include "sluice/dialect/edit.h"

/* Stretches of a recorded stream; beyond them the rest is replayed at once. */
#define PACE_MAX 4096
/* Models come and go by the week; a new one should not take long to show. */
#define LISTING_TTL_MS (5 * 60 * 1000)

int sl_sharing_init(struct sl_flow *flow) {
    return sl_table_init(&flow->shared);
}

static void add_line(struct sl_sha256 *h, struct sl_slice text) {
    sl_sha256_update(h, text);
    sl_sha256_update(h, SL_LIT("\n"));
}

static void add_number(struct sl_sha256 *h, uint64_t value) {
    sl_sha256_update(h, sl_slice_of(&value, sizeof(value)));
}

static bool starts_with(struct sl_slice name, struct sl_slice prefix) {
    return sl_slice_ieq(sl_slice_head(name, prefix.len), prefix);
}

/* Headers that change what is answered; others (dates, traces, counts of tries) differ from try to
 * try. */
static bool shapes_answer(struct sl_slice name) {
    static const struct sl_slice prefixes[] = {SL_LIT("x-amzn-bedrock-"), SL_LIT("anthropic-"),
                                               SL_LIT("openai-")};
    if (sl_slice_ieq(name, SL_LIT("x-amzn-bedrock-request-metadata")))
        return false;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (starts_with(name, prefixes[i]))
            return true;
    return false;
}

/* These say in which form the answer is wanted: of weight where bytes pass as they are. SDKs differ
 * in whether they write down what is the default anyway. */
static bool negotiates(const struct sl_header *h) {
    static const struct sl_slice defaults[] = {SL_LIT("*/*"), SL_LIT("application/json"),
                                               SL_LIT("application/vnd.amazon.eventstream")};
    if (!sl_slice_ieq(h->name, SL_LIT("accept")) &&
        !sl_slice_ieq(h->name, SL_LIT("content-type")) &&
        !sl_slice_ieq(h->name, SL_LIT("x-amzn-bedrock-accept")))
        return false;
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        if (sl_slice_ieq(h->value, defaults[i]))
            return false;
    return true;
}

static void add_headers(struct sl_sha256 *h, const struct sl_headers *headers) {
    static const struct sl_slice accept = SL_LIT("x-amzn-bedrock-accept");
    for (size_t i = 0; i < headers->count; i++) {
        const struct sl_header *header = &headers->items[i];
        bool shapes = shapes_answer(header->name) && !sl_slice_ieq(header->name, accept);
        if (!shapes && !negotiates(header))
            continue;
        for (size_t k = 0; k < header->name.len; k++) {
            char c = sl_ascii_lower(header->name.ptr[k]);
            sl_sha256_update(h, sl_slice_of(&c, 1));
        }
        add_line(h, SL_EMPTY);
        add_line(h, header->value);
    }
    add_line(h, SL_EMPTY);
}

/* What makes two requests the same try: the id an SDK keeps over its retries, and all that is asked
 * with it. */
static void make_rejoin_digest(struct sl_flight *f) {
    struct sl_sha256 h;
    sl_sha256_init(&h);
    add_number(&h, f->client->tenant);
    add_number(&h, f->call.plane);
    add_line(&h, f->call.rejoin_key);
    add_line(&h, f->call.method);
    add_line(&h, f->call.target);
    add_headers(&h, &f->call.headers);
    if (f->call.hash_due)
        sl_edit_hash(&f->call);
    sl_sha256_update(&h, sl_slice_of(f->call.body_sha256, sizeof(f->call.body_sha256)));
    sl_sha256_final(&h, f->rejoin.digest);
}

/* One for both shapes of an answer where each can be made of the other. */
static enum sl_operation shape_of(const struct sl_call *call) {
    if (!sl_bedrock_convertible(call->operation, call->model))
        return call->operation;
    return call->operation == SL_OP_CONVERSE_STREAM       ? SL_OP_CONVERSE
           : call->operation == SL_OP_INVOKE_MODEL_STREAM ? SL_OP_INVOKE_MODEL
                                                          : call->operation;
}

/* Listings that a dialect makes its own of: no client asked for just these. */
static bool is_inner_listing(const struct sl_flight *f) {
    return f->dialect != &sl_dialect_bedrock &&
           (f->call.operation == SL_OP_LIST_FOUNDATION_MODELS ||
            f->call.operation == SL_OP_LIST_INFERENCE_PROFILES);
}

static void make_same_digest(struct sl_flight *f) {
    struct sl_sha256 h;
    sl_sha256_init(&h);
    add_number(&h, f->flow->settings.cache_global ? 0 : f->client->tenant);
    add_number(&h, f->call.plane);
    add_number(&h, shape_of(&f->call));
    add_line(&h, f->call.model);
    add_headers(&h, &f->call.headers);
    if (is_inner_listing(f))
        add_line(&h, f->call.target); /* there is no body */
    sl_sha256_update(&h, sl_slice_of(f->call.meaning, sizeof(f->call.meaning)));
    sl_sha256_final(&h, f->same.digest);
    f->same.hash = sl_hash(sl_slice_of(f->same.digest, SL_SHA256_SIZE));
}

/* What models answer, and what is counted for them. */
static bool is_repeatable(enum sl_operation op) {
    return sl_operation_info(op)->metered || op == SL_OP_COUNT_TOKENS;
}

static bool may_share(const struct sl_flight *f) {
    const struct sl_call *call = &f->call;
    const struct sl_flow_policy *policy = &f->flow->settings.policy;
    if (is_inner_listing(f))
        return !call->cache.no_store;
    if (!is_repeatable(call->operation) || !call->has_meaning || call->cache.no_store)
        return false;
    enum sl_cache_when when = f->client->cache;
    if (when == SL_CACHE_UNSET && policy->cache_when)
        when = policy->cache_when(policy->ctx, call->model);
    return when == SL_CACHE_ALWAYS || (when == SL_CACHE_DETERMINISTIC && call->deterministic);
}

/* A flight under way, or ended and not yet delivered, whose answer is whole from its first byte. */
static struct sl_flight *find(const struct sl_flow *flow, uint64_t hash,
                              const uint8_t digest[SL_SHA256_SIZE]) {
    struct sl_table_node *node = sl_table_find(&flow->shared, hash);
    for (; node; node = sl_table_find_next(node)) {
        const struct sl_share_key *key = SL_CONTAINER(node, struct sl_share_key, node);
        if (memcmp(key->digest, digest, SL_SHA256_SIZE) == 0 && key->flight->answer.body.begin == 0)
            return key->flight;
    }
    return NULL;
}

/* The same try. The whole digest is only taken where a flight has the same id. */
static struct sl_flight *find_same_try(struct sl_flight *f) {
    if (f->call.rejoin_key.len == 0)
        return NULL;
    /* With the length, so that a client which sends one id with everything finds few at it. */
    f->rejoin.hash = sl_hash(f->call.rejoin_key) + sl_chain_len(&f->call.body);
    if (!sl_table_find(&f->flow->shared, f->rejoin.hash))
        return NULL;
    make_rejoin_digest(f);
    return find(f->flow, f->rejoin.hash, f->rejoin.digest);
}

/* The kept answer, if it is young enough for this client. */
static struct sl_kept *find_kept(const struct sl_flight *f) {
    const struct sl_loop *loop = f->flow->loop;
    struct sl_kept *kept = sl_cache_find(f->flow->cache, f->same.digest, (uint64_t)loop->wall_ms);
    if (!kept || f->call.cache.max_age < 0)
        return kept;
    int64_t age = loop->wall_ms - (int64_t)kept->meta.stored_at;
    return age <= f->call.cache.max_age * 1000 ? kept : NULL;
}

struct sl_flight *sl_sharing_find(struct sl_flight *f, struct sl_kept **kept, bool *refused) {
    struct sl_flight *other = find_same_try(f);
    *kept = NULL;
    f->cacheable = may_share(f);
    if (!other && f->cacheable) {
        make_same_digest(f);
        if (!f->call.cache.no_cache) {
            *kept = find_kept(f);
            other = *kept ? NULL : find(f->flow, f->same.hash, f->same.digest);
        }
    }
    *refused = f->call.cache.only_if_cached && !other && !*kept;
    if (!other && !*kept && f->call.rejoin_key.len > 0)
        make_rejoin_digest(f); /* of the call as it is now: others may come for it */
    return other;
}

static void offer(struct sl_flight *f, struct sl_share_key *key) {
    sl_table_insert(&f->flow->shared, &key->node, key->hash);
    key->indexed = true;
}

void sl_sharing_offer(struct sl_flight *f) {
    if (f->state != SL_FLIGHT_QUEUED)
        return; /* refused at once: nothing to share */
    if (f->call.rejoin_key.len > 0)
        offer(f, &f->rejoin);
    if (f->cacheable)
        offer(f, &f->same);
    f->answer.retained = f->cacheable;
}

void sl_sharing_withdraw(struct sl_flight *f, struct sl_share_key *key) {
    if (!key->indexed)
        return;
    sl_table_remove(&f->flow->shared, &key->node);
    key->indexed = false;
}

static void note_pace(struct sl_flight *f) {
    if (f->pace_count == PACE_MAX || f->follow.framing == SL_FRAMING_WHOLE)
        return;
    if (f->pace_count == f->pace_cap) {
        size_t cap = f->pace_cap ? 2 * f->pace_cap : 64;
        struct sl_pace *more = sl_realloc(f->pace, cap * sizeof(*more));
        if (!more)
            return; /* the rest is replayed at once */
        f->pace = more;
        f->pace_cap = cap;
    }
    uint64_t ms = (f->flow->loop->now - f->head_at) / SL_NS_PER_MS;
    f->pace[f->pace_count++] =
        (struct sl_pace){f->answer.published, ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX};
}

void sl_sharing_grown(struct sl_flight *f) {
    if (!f->cacheable)
        return;
    if (f->answer.body.end > f->flow->settings.cache.max_entry) {
        f->cacheable = false;
        sl_sharing_withdraw(f, &f->same);
        sl_answer_let_go(&f->answer);
        return;
    }
    bool grown = f->pace_count == 0 || f->pace[f->pace_count - 1].upto < f->answer.published;
    if (f->flow->settings.cache_paced && grown)
        note_pace(f);
}

/* A success that lacks what Converse always tells is no answer to be given for an hour, and none of
 * the other shapes could be made of it. */
static bool lacks_usage(const struct sl_flight *f) {
    enum sl_operation op = f->call.operation;
    return (op == SL_OP_CONVERSE || op == SL_OP_CONVERSE_STREAM) && f->follow.usage.output < 0;
}

void sl_sharing_keep(struct sl_flight *f) {
    struct sl_flow *flow = f->flow;
    bool storable = (f->follow.storable && !lacks_usage(f)) || is_inner_listing(f);
    if (!f->cacheable || f->head.status != 200 || !storable)
        return;
    uint64_t wall = (uint64_t)flow->loop->wall_ms;
    uint64_t ttl = is_inner_listing(f) ? LISTING_TTL_MS : flow->settings.cache_ttl_ms;
    struct sl_kept_meta meta = {.tenant = f->client->tenant,
                                .model = f->call.model,
                                .operation = f->call.operation,
                                .framing = f->follow.framing,
                                .usage = f->follow.usage,
                                .cost = sl_flow_cost(flow, f->call.model, &f->follow.usage),
                                .stored_at = wall,
                                .expires_at = wall + ttl,
                                .pace = f->pace,
                                .pace_count = f->pace_count};
    memcpy(meta.digest, f->same.digest, sizeof(meta.digest));
    struct sl_kept *kept = sl_kept_new(&f->answer, &meta);
    if (kept && sl_cache_put(flow->cache, kept, wall))
        sl_loop_want(flow->loop, SL_TURN_REAP);
}
