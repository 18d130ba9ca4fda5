/*
 * The cache in front of the chain of sources: one set in use, one fetch at a time, and those who
 * wait for it.
 *
 *   fetched            advisory          mandatory         expires
 *      |──── serve ───────|── serve, refresh ──|── wait for it ──|── none ──▶
 *                           15 min before        10 min before
 *
 * A refresh is a new walk along the whole chain, with the files read again: what was changed on
 * disk is picked up. One that fails is tried again with backoff, and until the set expires it
 * serves on, also in the mandatory part. Sets that live so short that these times would lie before
 * their birth are refreshed after a quarter of their life instead.
 *
 * Everything happens in get, in the turn hook and in the timer; sources only wake the hook. Waiters
 * are told from the hook. A set that was replaced is kept until the next turn, as callers may still
 * look at it. The timer refreshes ahead of need only if there was a use in the last hour.
 */
#include "sluice/upstream/credentials.h"

#include <stdio.h>
#include <stdlib.h>

#include "sluice/base/log.h"
#include "sluice/base/mem.h"
#include "sluice/base/rand.h"
#include "upstream/credwalk.h"

#define ADVISORY_MS  (15 * 60 * 1000)
#define MANDATORY_MS (10 * 60 * 1000)
#define SHORTEST_MS  1000 /* between two fetches of sets that hardly live */

#define BACKOFF_MIN_MS UINT64_C(1000)
#define BACKOFF_MAX_MS UINT64_C(60000)

#define RECENT_USE   (UINT64_C(3600) * SL_NS_PER_S)
#define LONGEST_NAP  (UINT64_C(30) * 24 * 3600 * SL_NS_PER_S) /* then the timer looks again */
#define BARREN_FOR   (60 * SL_NS_PER_S)
#define WHY_SIZE     2048
#define PROFILE_SIZE 256

struct sl_credentials_provider {
    struct sl_credctx ctx;
    char *profile_wanted, *region_wanted; /* of the settings, or NULL */
    char *region_found;
    bool region_looked_up;
    char profile[PROFILE_SIZE]; /* the session's */

    struct sl_credset *current; /* NULL: none */
    struct sl_list retired;     /* sets that callers may still look at in this turn */
    int64_t advisory_ms, mandatory_ms;

    bool fetching;
    struct sl_credwalk walk; /* in use while fetching */
    struct sl_list waiters;  /* not empty: fetching, or the hook is due */
    unsigned failures;       /* in a row */
    uint64_t retry_at;       /* no fetch before: backoff */
    char why[WHY_SIZE];      /* of the last failure */

    char rejected_id[128]; /* the last that upstream would not take */
    uint64_t barren_until; /* fetching gave the rejected set again: not tried before */

    struct sl_turn_hook hook;
    struct sl_timer timer;
    uint64_t last_use;
};

static const char *environment(const char *name) {
    return getenv(name);
}

/* Of the settings, of the environment, or the default; true if somebody named it. */
static bool find_profile(struct sl_credentials_provider *p) {
    struct sl_slice name = sl_slice_str(p->profile_wanted);
    if (name.len == 0)
        name = sl_credctx_env(&p->ctx, "AWS_PROFILE");
    if (name.len == 0)
        name = sl_credctx_env(&p->ctx, "AWS_DEFAULT_PROFILE");
    bool named = name.len > 0;
    if (!named)
        name = SL_LIT("default");
    snprintf(p->profile, sizeof(p->profile), "%.*s", SL_FMT(name));
    return named;
}

static int load_profiles(struct sl_credentials_provider *p) {
    char why[WHY_SIZE / 2];
    bool named = find_profile(p);
    int rc = sl_profiles_load(p->ctx.getenv, &p->ctx.profiles, why, sizeof(why));
    if (rc < 0) {
        snprintf(p->why, sizeof(p->why), "no AWS credentials: %s", why);
        return rc;
    }
    if (!named || sl_profiles_has(p->ctx.profiles, sl_slice_str(p->profile)))
        return SL_OK;
    snprintf(p->why, sizeof(p->why),
             "no AWS credentials: profile %s is neither in the AWS config file nor in the shared "
             "credentials file: name another with `profile` or AWS_PROFILE, or add it",
             p->profile);
    return SL_E_NOTFOUND;
}

static void drop_profiles(struct sl_credentials_provider *p) {
    sl_profiles_free(p->ctx.profiles);
    p->ctx.profiles = NULL;
}

static void retire(struct sl_credentials_provider *p) {
    if (p->current)
        sl_list_push_back(&p->retired, &p->current->link);
    p->current = NULL;
}

static void free_retired(struct sl_credentials_provider *p) {
    for (struct sl_list *node; (node = sl_list_pop_front(&p->retired));)
        sl_credset_free(SL_CONTAINER(node, struct sl_credset, link));
}

static int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t max_i64(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* Without memory for the timer the next use refreshes: later, but it does. */
static void wake_at(struct sl_credentials_provider *p, uint64_t delay) {
    uint64_t at = p->ctx.loop->now + (delay < LONGEST_NAP ? delay : LONGEST_NAP);
    int rc = sl_timer_set(p->ctx.loop, &p->timer, at);
    (void)rc;
}

static void wake_at_advisory(struct sl_credentials_provider *p) {
    if (p->current->view.expires_ms == INT64_MAX) {
        sl_timer_clear(p->ctx.loop, &p->timer);
        return;
    }
    uint64_t ms = (uint64_t)max_i64(p->advisory_ms - p->ctx.loop->wall_ms, 0);
    wake_at(p, ms < LONGEST_NAP / SL_NS_PER_MS ? ms * SL_NS_PER_MS : LONGEST_NAP);
}

static void install(struct sl_credentials_provider *p, struct sl_credset *set) {
    int64_t now = p->ctx.loop->wall_ms, life = set->view.expires_ms - now;
    bool other = !p->current || p->current->view.source != set->view.source;
    bool same_as_rejected =
        sl_slice_eq(set->view.access_key_id, sl_slice_str(p->rejected_id)) && p->rejected_id[0];
    retire(p);
    p->current = set;
    p->advisory_ms = set->view.expires_ms - min_i64(ADVISORY_MS, life - life / 4);
    p->advisory_ms = max_i64(p->advisory_ms, now + SHORTEST_MS);
    p->mandatory_ms = set->view.expires_ms - min_i64(MANDATORY_MS, life / 2);
    p->mandatory_ms = max_i64(p->mandatory_ms, p->advisory_ms);
    p->failures = 0;
    p->retry_at = 0;
    p->barren_until = same_as_rejected ? p->ctx.loop->now + BARREN_FOR : 0;
    wake_at_advisory(p);
    if (other)
        sl_log(SL_LOG_INFO, "upstream", "AWS credentials from %s, profile %s", set->view.source,
               p->profile);
}

static bool is_valid(const struct sl_credentials_provider *p) {
    return p->current && p->current->view.expires_ms > p->ctx.loop->wall_ms;
}

static bool used_lately(const struct sl_credentials_provider *p) {
    return p->ctx.loop->now - p->last_use < RECENT_USE;
}

/* Exponential, between half of it and all of it by chance, never below the least. */
static uint64_t backoff(unsigned failures) {
    uint64_t ms = BACKOFF_MIN_MS << (failures < 7 ? failures - 1 : 6);
    ms = ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
    ms = ms / 2 + sl_rand_u64() % (ms / 2 + 1);
    return (ms > BACKOFF_MIN_MS ? ms : BACKOFF_MIN_MS) * SL_NS_PER_MS;
}

static void count_failure(struct sl_credentials_provider *p) {
    p->failures++;
    uint64_t delay = backoff(p->failures);
    p->retry_at = p->ctx.loop->now + delay;
    if (!is_valid(p))
        return;
    sl_log(SL_LOG_WARN, "upstream",
           "AWS credentials were not refreshed, the present ones serve until they expire: %s",
           p->why);
    if (used_lately(p))
        wake_at(p, delay);
}

static void end_fetch(struct sl_credentials_provider *p, enum sl_credpoll result) {
    struct sl_credwalk *walk = &p->walk;
    struct sl_credset *found = walk->found;
    walk->found = NULL;
    if (result == SL_CRED_FAILED)
        snprintf(p->why, sizeof(p->why), "no AWS credentials: %s", walk->why);
    if (result == SL_CRED_ABSENT)
        snprintf(p->why, sizeof(p->why),
                 "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                 "AWS_BEARER_TOKEN_BEDROCK, or a profile that has some, or give this machine a "
                 "role. Tried: %.*s",
                 SL_FMT(sl_buf_slice(&walk->tried)));
    sl_credwalk_done(walk);
    drop_profiles(p);
    p->fetching = false;
    if (result == SL_CRED_FOUND)
        install(p, found);
    else
        count_failure(p);
}

static void poll_fetch(struct sl_credentials_provider *p) {
    p->ctx.woken = false;
    enum sl_credpoll result = sl_credwalk_poll(&p->walk);
    if (result != SL_CRED_PENDING)
        end_fetch(p, result);
}

/* May end at once, where nothing must be asked over the network. */
static void begin_fetch(struct sl_credentials_provider *p) {
    if (load_profiles(p) < 0) {
        drop_profiles(p);
        count_failure(p);
        return;
    }
    p->fetching = true;
    sl_credwalk_init(&p->walk, &p->ctx, NULL, sl_slice_str(p->profile), sl_credsources_all);
    poll_fetch(p);
}

static bool is_due(const struct sl_credentials_provider *p) {
    return !p->fetching && p->ctx.loop->now >= p->retry_at &&
           (!p->current || p->ctx.loop->wall_ms >= p->advisory_ms);
}

/* In the mandatory part a set serves only once refreshing it has failed. */
static bool serves(const struct sl_credentials_provider *p) {
    bool must_wait = p->fetching && p->failures == 0 && p->ctx.loop->wall_ms >= p->mandatory_ms;
    return is_valid(p) && !must_wait;
}

static void tell_waiters(struct sl_credentials_provider *p) {
    struct sl_list told;
    char why[WHY_SIZE]; /* a callback may start a fetch, which may fail at once */
    const struct sl_credentials *credentials = is_valid(p) ? &p->current->view : NULL;
    sl_list_init(&told);
    sl_list_splice(&told, &p->waiters);
    memcpy(why, p->why, sizeof(why));
    for (struct sl_list *node; (node = sl_list_pop_front(&told));) {
        struct sl_credentials_wait *wait = SL_CONTAINER(node, struct sl_credentials_wait, link);
        wait->on_ready(wait->ctx, credentials, credentials ? NULL : why);
    }
}

static void on_turn(void *ctx) {
    struct sl_credentials_provider *p = ctx;
    free_retired(p);
    if (p->fetching && p->ctx.woken)
        poll_fetch(p);
    if (!p->fetching && !sl_list_empty(&p->waiters))
        tell_waiters(p);
}

static void on_timer(void *ctx) {
    struct sl_credentials_provider *p = ctx;
    if (!p->current || p->fetching)
        return;
    if (!is_due(p))
        wake_at_advisory(p);
    else if (used_lately(p))
        begin_fetch(p);
}

/* Keys of the settings are there from the start: no file is read, and nothing is asked. */
static int take_given(struct sl_credentials_provider *p,
                      const struct sl_credentials_settings *settings) {
    const struct sl_credentials given = {.access_key_id = sl_slice_str(settings->access_key_id),
                                         .secret = sl_slice_str(settings->secret),
                                         .session_token = SL_EMPTY,
                                         .bearer = SL_EMPTY,
                                         .expires_ms = INT64_MAX,
                                         .source = "settings"};
    p->advisory_ms = p->mandatory_ms = INT64_MAX;
    return sl_credset_new(&given, true, &p->current, p->why, sizeof(p->why));
}

/* A copy of a setting, which may be NULL. */
static bool keep(char **copy, const char *setting) {
    *copy = setting ? sl_strdup(setting) : NULL;
    return *copy || !setting;
}

struct sl_credentials_provider *
sl_credentials_provider_new(struct sl_loop *loop, struct sl_fetch_client *client,
                            const struct sl_credentials_settings *settings) {
    struct sl_credentials_provider *p = sl_calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->ctx = (struct sl_credctx){.loop = loop,
                                 .client = client,
                                 .getenv = settings->getenv ? settings->getenv : environment,
                                 .profile = p->profile,
                                 .profile_explicit = settings->profile != NULL};
    sl_list_init(&p->retired);
    sl_list_init(&p->waiters);
    sl_timer_init(&p->timer, on_timer, p);
    sl_loop_hook(loop, SL_TURN_TRANSFERS, &p->hook, on_turn, p);
    if (!keep(&p->profile_wanted, settings->profile) ||
        !keep(&p->region_wanted, settings->region) ||
        (settings->access_key_id && take_given(p, settings) < 0)) {
        sl_credentials_provider_free(p);
        return NULL;
    }
    p->ctx.region = p->region_wanted;
    return p;
}

void sl_credentials_provider_free(struct sl_credentials_provider *p) {
    if (!p)
        return;
    while (sl_list_pop_front(&p->waiters))
        ;
    sl_loop_unhook(&p->hook);
    sl_timer_clear(p->ctx.loop, &p->timer);
    if (p->fetching)
        sl_credwalk_done(&p->walk);
    drop_profiles(p);
    retire(p);
    free_retired(p);
    sl_free(p->profile_wanted);
    sl_free(p->region_wanted);
    sl_free(p->region_found);
    sl_free(p);
}

const struct sl_credentials *sl_credentials_get(struct sl_credentials_provider *p,
                                                struct sl_credentials_wait *wait) {
    sl_list_init(&wait->link);
    p->last_use = p->ctx.loop->now;
    if (is_due(p))
        begin_fetch(p);
    if (serves(p))
        return &p->current->view;
    sl_list_push_back(&p->waiters, &wait->link);
    if (!p->fetching)
        sl_loop_again(p->ctx.loop); /* there may be nothing else that the loop lives for */
    return NULL;
}

void sl_credentials_wait_cancel(struct sl_credentials_wait *wait) {
    if (wait->link.next) /* else it never waited */
        sl_list_remove(&wait->link);
}

bool sl_credentials_rejected(struct sl_credentials_provider *p, struct sl_slice access_key_id) {
    if (!p->current || !sl_slice_eq(p->current->view.access_key_id, access_key_id))
        return true;
    if (p->current->fixed || p->ctx.loop->now < p->barren_until)
        return false;
    snprintf(p->rejected_id, sizeof(p->rejected_id), "%.*s", SL_FMT(access_key_id));
    sl_timer_clear(p->ctx.loop, &p->timer);
    retire(p);
    return true;
}

const char *sl_credentials_region(struct sl_credentials_provider *p) {
    if (p->region_looked_up)
        return p->region_found;
    /* A fetch under way has the files at hand; a broken file leaves the environment to look at. */
    bool loaded_here = !p->ctx.profiles;
    int rc = loaded_here ? load_profiles(p) : SL_OK;
    (void)rc;
    struct sl_slice region = sl_credctx_region(&p->ctx);
    if (region.len)
        p->region_found = sl_strndup(region.ptr, region.len);
    if (loaded_here)
        drop_profiles(p);
    p->region_looked_up = true;
    return p->region_found;
}
