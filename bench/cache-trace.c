/*
 * The answer cache without the rest: hit ratios of its policies over made-up traces, the time of an
 * operation and the longest of them, and what a gigabyte of answers really takes.
 *
 *   ./dev bench cache-trace [memory|pauses|policies]...      all three without an argument
 *
 * Sizes of answers are log-normal (median 4 KB, cut to 512 bytes … 64 KB) and belong to the key. A
 * miss puts the answer, as the gateway does. Everything is drawn from fixed seeds, so that ratios
 * come out the same each time; times do not.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sluice/answer/cache.h"
#include "sluice/base/mem.h"

#define MIB      ((uint64_t)1 << 20)
#define KEYS     200000u  /* that are asked for again */
#define REQUESTS 2000000u /* of a trace */
#define MIN_SIZE 512.0
#define MAX_SIZE 65536.0

static char bytes[(size_t)MAX_SIZE];
static double cumulated[KEYS];

static uint64_t mix(uint64_t z) {
    z += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* In (0, 1). */
static double uniform(uint64_t seed) {
    return ((double)(mix(seed) >> 11) + 0.5) / 9007199254740992.0;
}

static size_t size_of(uint64_t key) {
    double normal = sqrt(-2 * log(uniform(2 * key))) * cos(2 * M_PI * uniform(2 * key + 1));
    double size = exp(log(4096.0) + normal);
    return (size_t)fmin(fmax(size, MIN_SIZE), MAX_SIZE);
}

static double seconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *must(void *ptr) {
    if (!ptr) {
        fprintf(stderr, "cache-trace: out of memory\n");
        exit(1);
    }
    return ptr;
}

static void digest_of(uint64_t key, uint8_t digest[SL_DIGEST_SIZE]) {
    for (uint64_t i = 0; i < SL_DIGEST_SIZE / 8; i++) {
        uint64_t word = mix(key * 4 + i);
        memcpy(digest + 8 * i, &word, 8);
    }
}

static struct sl_cache *make_cache(uint64_t max_bytes, enum sl_cache_eviction eviction) {
    return must(sl_cache_new(&(struct sl_cache_settings){
        .max_bytes = max_bytes, .max_entry = MIB, .eviction = eviction}));
}

static bool find(struct sl_cache *cache, const uint8_t *digest) {
    return sl_cache_find(cache, digest, 0) != NULL;
}

static void put(struct sl_cache *cache, const uint8_t *digest, size_t size) {
    static struct sl_header headers[] = {
        {{"Content-Type", 12}, {"application/json", 16}},
        {{"x-amzn-bedrock-input-token-count", 32}, {"128", 3}},
    };
    struct sl_response_head head = {
        .status = 200, .headers = {headers, 2, 2}, .content_length = (int64_t)size};
    struct sl_kept_meta meta = {.model = SL_LIT("us.meta.llama3-3-70b-instruct-v1:0"),
                                .operation = SL_OP_CONVERSE,
                                .expires_at = UINT64_MAX};
    memcpy(meta.digest, digest, SL_DIGEST_SIZE);
    (void)sl_cache_put(cache, must(sl_kept_from(&head, sl_slice_of(bytes, size), &meta)), 0);
}

/* Traces: keys in the order in which they are asked for. Keys from KEYS on come once. */

static void use_zipf(double exponent) {
    double sum = 0;
    for (uint32_t i = 0; i < KEYS; i++)
        cumulated[i] = sum += pow(i + 1, -exponent);
    for (uint32_t i = 0; i < KEYS; i++)
        cumulated[i] /= sum;
}

static uint32_t zipf_rank(uint64_t seed) {
    double at = uniform(seed);
    uint32_t low = 0, high = KEYS - 1;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (cumulated[mid] < at)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void zipf(uint32_t *trace, double exponent) {
    use_zipf(exponent);
    for (uint32_t i = 0; i < REQUESTS; i++)
        trace[i] = zipf_rank(i);
}

static void zipf_07(uint32_t *trace) {
    zipf(trace, 0.7);
}

static void zipf_09(uint32_t *trace) {
    zipf(trace, 0.9);
}

static void zipf_11(uint32_t *trace) {
    zipf(trace, 1.1);
}

/* A batch job now and then: a quarter of all calls, 25,000 prompts in a row that come once. */
static void bursts(uint32_t *trace) {
    zipf(trace, 0.9);
    for (uint32_t i = 0; i < REQUESTS; i++)
        if (i % 100000 >= 75000)
            trace[i] = KEYS + i;
}

/* Half of all prompts come once, evenly mixed in. */
static void one_off(uint32_t *trace) {
    zipf(trace, 0.9);
    for (uint32_t i = 0; i < REQUESTS; i++)
        if (mix(i) % 2)
            trace[i] = KEYS + i;
}

/* The same evaluation set over and over: 30,000 prompts, about 200 MB. */
static void loop(uint32_t *trace) {
    for (uint32_t i = 0; i < REQUESTS; i++)
        trace[i] = i % 30000;
}

/* What is popular changes: every 50,000 calls a fifth of the ranks goes to other prompts. */
static void shifting(uint32_t *trace) {
    use_zipf(0.9);
    for (uint32_t i = 0; i < REQUESTS; i++) {
        uint64_t rank = zipf_rank(i), era = i / 50000, age = mix(rank) % 5;
        trace[i] = (uint32_t)(mix(rank * 64 + (era + age) / 5) % KEYS);
    }
}

/* A conversation's turns: a prompt comes back some times soon after it was new, then never. */
static void recency(uint32_t *trace) {
    for (uint32_t i = 0; i < REQUESTS; i++) {
        double back = pow(uniform(i), 3) * 40000;
        trace[i] = (uint32_t)fmax(0, (double)i / 4 - back);
    }
}

static const struct {
    const char *name;
    void (*fill)(uint32_t *trace);
} traces[] = {
    {"zipf 0.7", zipf_07},
    {"zipf 0.9", zipf_09},
    {"zipf 1.1", zipf_11},
    {"zipf 0.9 + scan bursts", bursts},
    {"zipf 0.9 + one-offs", one_off},
    {"loop", loop},
    {"shifting zipf 0.9", shifting},
    {"recency", recency},
};
#define TRACES (sizeof(traces) / sizeof(traces[0]))

static const struct {
    const char *name;
    enum sl_cache_eviction eviction;
} policies[] = {{"lru", SL_EVICT_LRU}, {"slru", SL_EVICT_SLRU}, {"tinylfu", SL_EVICT_TINYLFU}};
#define POLICIES (sizeof(policies) / sizeof(policies[0]))

struct result {
    double hits, bytes, ns;
};

static struct result run(const uint32_t *trace, uint64_t max_bytes,
                         enum sl_cache_eviction eviction) {
    struct sl_cache *cache = make_cache(max_bytes, eviction);
    uint8_t digest[SL_DIGEST_SIZE];
    double hits = 0, asked_bytes = 0, hit_bytes = 0, start = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (uint32_t i = 0; i < REQUESTS; i++) {
        size_t size = size_of(trace[i]);
        digest_of(trace[i], digest);
        asked_bytes += (double)size;
        if (find(cache, digest)) {
            hits++;
            hit_bytes += (double)size;
        } else {
            put(cache, digest, size);
        }
        (void)sl_cache_tend(cache, 0);
    }
    double took = seconds(CLOCK_PROCESS_CPUTIME_ID) - start;
    sl_cache_free(cache);
    return (struct result){100 * hits / REQUESTS, 100 * hit_bytes / asked_bytes,
                           1e9 * took / REQUESTS};
}

static void compare_policies(void) {
    uint32_t *trace = must(malloc(REQUESTS * sizeof(*trace)));
    printf("hit ratio in percent of calls (of bytes), CPU ns a call with what the answer costs to "
           "copy\n\n%-24s%8s",
           "trace", "cache");
    for (size_t p = 0; p < POLICIES; p++)
        printf("  %-22s", policies[p].name);
    printf("\n");
    for (size_t t = 0; t < TRACES; t++) {
        traces[t].fill(trace);
        for (uint64_t max = 16 * MIB; max <= 256 * MIB; max *= 4) {
            printf("%-24s%4d MiB", traces[t].name, (int)(max / MIB));
            for (size_t p = 0; p < POLICIES; p++) {
                struct result r = run(trace, max, policies[p].eviction);
                printf("  %5.1f (%4.1f) %5.0f ns ", r.hits, r.bytes, r.ns);
                fflush(stdout);
            }
            printf("\n");
        }
    }
    free(trace);
}

/*
 * The longest of many operations, in CPU time of the thread: on a shared machine, time on the wall
 * would tell of others. What the machine itself adds (interrupts, stolen time) does not hit the
 * same operation in each round: of each operation, its shortest time in all rounds counts.
 */
#define ROUNDS  3
#define ENTRIES (4u << 20)

struct longest {
    float *least; /* by operation */
    uint32_t count, max;
    double at;
};

static void start_round(struct longest *l) {
    l->count = 0;
    if (l->least)
        return;
    l->max = 2 * ENTRIES;
    l->least = must(malloc(l->max * sizeof(*l->least)));
    for (uint32_t i = 0; i < l->max; i++)
        l->least[i] = INFINITY;
}

static void begin(struct longest *l) {
    l->at = seconds(CLOCK_THREAD_CPUTIME_ID);
}

static void end(struct longest *l) {
    float took = (float)(seconds(CLOCK_THREAD_CPUTIME_ID) - l->at);
    if (l->count < l->max && took < l->least[l->count])
        l->least[l->count] = took;
    l->count++;
}

static void show(const char *what, struct longest *l) {
    double most = 0, sum = 0;
    unsigned above = 0;
    for (uint32_t i = 0; i < l->count && i < l->max; i++) {
        most = fmax(most, (double)l->least[i]);
        sum += (double)l->least[i];
        above += l->least[i] > 100e-6f;
    }
    printf("%-36s %8u times, mean %6.0f ns, longest %7.0f us, above 100 us: %u\n", what, l->count,
           1e9 * sum / l->count, 1e6 * most, above);
    free(l->least);
}

static void index_pauses(void) {
    struct longest adding = {0}, removing = {0};
    struct sl_table_node *nodes = must(malloc(ENTRIES * sizeof(*nodes)));
    memset(nodes, 0xff, ENTRIES * sizeof(*nodes));
    for (int round = 0; round < ROUNDS; round++) {
        struct sl_table table;
        if (sl_table_init(&table) != SL_OK)
            exit(1);
        start_round(&adding);
        start_round(&removing);
        for (uint64_t i = 0; i < ENTRIES; i++) {
            begin(&adding);
            sl_table_insert(&table, &nodes[i], mix(i));
            end(&adding);
        }
        if (round == 0)
            printf("index: %.1f bytes an entry\n", (double)table.bytes / ENTRIES);
        for (uint64_t i = 0; i < ENTRIES; i++) {
            begin(&removing);
            sl_table_remove(&table, &nodes[i]);
            end(&removing);
        }
        sl_table_done(&table);
    }
    show("index: insert, to 4 million", &adding);
    show("index: remove, to none", &removing);
    free(nodes);
}

/* Small answers, so that there are millions; then more than fit; then all is purged. */
static void cache_pauses(void) {
    struct longest finding = {0}, putting = {0}, tending = {0}, purging = {0};
    uint8_t digest[SL_DIGEST_SIZE];
    for (int round = 0; round < ROUNDS; round++) {
        struct sl_cache *cache = make_cache(2048 * MIB, SL_EVICT_TINYLFU);
        start_round(&finding);
        start_round(&putting);
        start_round(&tending);
        start_round(&purging);
        for (uint64_t i = 0; i < ENTRIES; i++) {
            digest_of(i, digest);
            begin(&finding);
            (void)find(cache, digest);
            end(&finding);
            begin(&putting);
            put(cache, digest, 64);
            end(&putting);
            begin(&tending);
            (void)sl_cache_tend(cache, 0);
            end(&tending);
        }
        if (round == 0)
            printf("cache: %llu entries\n", (unsigned long long)sl_cache_stats(cache).entries);
        begin(&purging);
        (void)sl_cache_purge(cache, &(struct sl_cache_match){0});
        end(&purging);
        for (bool more = true; more;) {
            begin(&purging);
            more = sl_cache_tend(cache, 0);
            end(&purging);
        }
        sl_cache_free(cache);
    }
    show("cache: find, to as many", &finding);
    show("cache: put", &putting);
    show("cache: tend", &tending);
    show("cache: purge all, and tend after it", &purging);
}

static void find_pauses(void) {
    index_pauses();
    cache_pauses();
}

static double resident(void) {
    unsigned long long size = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%llu %llu", &size, &pages) != 2)
        exit(1);
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* In a process of its own: the heap's past shows in its size. */
static void fill_a_gigabyte(const char *name, enum sl_cache_eviction eviction) {
    const uint64_t max = 1024 * MIB;
    use_zipf(0.7);
    double before = resident();
    struct sl_cache *cache = make_cache(max, eviction);
    uint8_t digest[SL_DIGEST_SIZE];
    printf("%-10s", name);
    for (uint32_t i = 0, turn = 1; i < 3000000; i++) {
        uint64_t key = i % 2 ? zipf_rank(i) : KEYS + i;
        digest_of(key, digest);
        if (!find(cache, digest))
            put(cache, digest, size_of(key));
        (void)sl_cache_tend(cache, 0);
        if (i + 1 == turn * 500000) {
            double held = resident() - before;
            printf("  %.3f (%.3f)", held / (double)max,
                   (double)sl_cache_stats(cache).bytes / (double)max);
            fflush(stdout);
            turn++;
        }
    }
    double bodies = 0;
    for (struct sl_kept *k = sl_cache_next(cache, NULL); k; k = sl_cache_next(cache, k))
        bodies += (double)k->answer.packed.len;
    printf("  %llu entries, bodies %.3f\n", (unsigned long long)sl_cache_stats(cache).entries,
           bodies / (double)max);
    sl_cache_free(cache);
}

static void weigh(void) {
    printf(
        "resident memory (and the cache's account) over the maximum of 1 GiB, after each 500,000 "
        "calls\n\n");
    for (size_t p = 0; p < POLICIES; p++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            fill_a_gigabyte(policies[p].name, policies[p].eviction);
            exit(0);
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
            exit(1);
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} parts[] = {
    {"memory", weigh}, /* first, from a heap without a past */
    {"pauses", find_pauses},
    {"policies", compare_policies},
};

int main(int argc, char **argv) {
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)mix(i);
    for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]); p++) {
        bool chosen = argc == 1;
        for (int i = 1; i < argc; i++)
            chosen |= strcmp(argv[i], parts[p].name) == 0;
        if (!chosen)
            continue;
        parts[p].run();
        printf("\n");
    }
    return 0;
}
