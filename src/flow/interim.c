/*
 * Signs of life to clients that wait. One that gets no byte within its read timeout hangs up and
 * tries again, which doubles the load; an informational response restarts that timer where the
 * client is known to skip it. Each rule was seen to hold with the real client (tests/e2e/
 * test_interim.py); all others get nothing, because a wrong one breaks them:
 *
 *   client                                HTTP   sends   seen
 *   botocore, boto3, urllib3, requests    1.1    100     read timer restarts; aws-cli is botocore
 *   Python httpx (OpenAI, Anthropic)      1.1    100     read timer restarts
 *   aiohttp                               1.1    100     read timer restarts
 *   node's fetch, undici                  1.1    102     headers timer restarts; a 100 is an error
 *   AWS SDK for JavaScript                2      102     session timer restarts (by no PING);
 *                                                        requestTimeout, opt-in, does not
 *   Go, Java's URLConnection, unknown     –      –       Go stops at five; others are not known
 *
 * Requests that came through a proxy get none: an old nginx hands a 100 on as the final response.
 */
#include "flow/internal.h"

/* CPython's and Ruby's clients give up after 100 of them. */
#define INTERIM_MAX 90

static const struct {
    struct sl_slice agent; /* how the User-Agent begins, or what it holds */
    bool anywhere;
    int version; /* of HTTP: 11 or 20 */
    int status;
} rules[] = {
    {SL_LIT("Boto3/"), false, 11, 100},
    {SL_LIT("Botocore/"), false, 11, 100},
    {SL_LIT("aws-cli/"), false, 11, 100},
    {SL_LIT("python-requests/"), false, 11, 100},
    {SL_LIT("python-urllib3/"), false, 11, 100},
    {SL_LIT("python-httpx/"), false, 11, 100},
    {SL_LIT("OpenAI/Python"), false, 11, 100},
    {SL_LIT("AsyncOpenAI/Python"), false, 11, 100},
    {SL_LIT("Anthropic/Python"), false, 11, 100},
    {SL_LIT("AsyncAnthropic/Python"), false, 11, 100},
    {SL_LIT("AnthropicBedrock/Python"), false, 11, 100},
    {SL_LIT("AsyncAnthropicBedrock/Python"), false, 11, 100},
    {SL_LIT("aiohttp/"), true, 11, 100},
    {SL_LIT("undici"), false, 11, 102},
    {SL_LIT("node"), false, 11, 102},
    {SL_LIT("OpenAI/JS"), false, 11, 102},
    {SL_LIT("Anthropic/JS"), false, 11, 102},
    {SL_LIT("aws-sdk-js/3"), false, 20, 102},
};

static bool came_through_proxy(const struct sl_headers *headers) {
    for (size_t i = 0; i < headers->count; i++) {
        struct sl_slice name = headers->items[i].name;
        if (sl_slice_ieq(name, SL_LIT("via")) || sl_slice_ieq(name, SL_LIT("forwarded")) ||
            sl_slice_ieq(sl_slice_head(name, 12), SL_LIT("x-forwarded-")))
            return true;
    }
    return false;
}

static int status_for(const struct sl_request_head *head) {
    struct sl_slice agent = sl_headers_get(&head->headers, SL_LIT("user-agent"));
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        bool match = rules[i].anywhere ? sl_slice_search(agent, rules[i].agent) < agent.len
                                       : sl_slice_starts(agent, rules[i].agent);
        if (match && rules[i].version == head->version)
            return came_through_proxy(&head->headers) ? 0 : rules[i].status;
    }
    return 0;
}

void sl_interim_begin(struct sl_exchange *x) {
    struct sl_flow *flow = x->flow;
    x->interim_status = flow->settings.interim_ns ? status_for(x->request) : 0;
    if (!x->interim_status)
        return;
    x->interim_at = flow->loop->now + flow->settings.interim_ns;
    /* All wait equally long, so the list is in order of time. */
    sl_list_push_back(&flow->waiting, &x->waiting_link);
    sl_loop_want(flow->loop, SL_TURN_FLOW);
}

void sl_interim_end(struct sl_exchange *x) {
    sl_list_remove(&x->waiting_link);
}

void sl_interim_tend(struct sl_flow *flow) {
    uint64_t now = flow->loop->now;
    struct sl_list *node;
    while ((node = sl_list_first(&flow->waiting)) != NULL) {
        struct sl_exchange *x = SL_CONTAINER(node, struct sl_exchange, waiting_link);
        if (x->interim_at > now) {
            if (sl_timer_set(flow->loop, &flow->interim_timer, x->interim_at) != SL_OK)
                sl_loop_again(flow->loop);
            return;
        }
        sl_list_remove(node);
        if (!flow->settings.interim_ns)
            continue; /* switched off meanwhile */
        sl_stream_interim(x->stream, x->interim_status);
        flow->metrics->interims++;
        if (++x->interim_count == INTERIM_MAX)
            continue;
        x->interim_at = now + flow->settings.interim_ns;
        sl_list_push_back(&flow->waiting, node);
    }
    sl_timer_clear(flow->loop, &flow->interim_timer);
}
