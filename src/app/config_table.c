/*
 * The rows, and nothing that interprets them. Bounds are there to catch slips (a unit forgotten, a
 * value that can never work), not to forbid what is merely unusual.
 */
#include "app/config_key.h"

#include "sluice/app/config.h"

#define FIELD(member)                                                                              \
    .offset = offsetof(struct sl_config, member), .size = sizeof(((struct sl_config *)0)->member)

#define MEMBER(type, member)                                                                       \
    .offset = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)
#define RECORDS(type, rows)                                                                        \
    .members = rows, .member_count = sizeof(rows) / sizeof(rows[0]),                               \
    .item_size = sizeof(struct type)

#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define KIB    UINT64_C(1024)
#define MIB    (1024 * KIB)
#define GIB    (1024 * MIB)

static const struct sl_config_choice auth_choices[] = {
    {"keys", SL_AUTH_KEYS}, {"none", SL_AUTH_NONE}, {NULL, 0}};
static const struct sl_config_choice retired_choices[] = {
    {"map", SL_RETIRED_MAP}, {"refuse", SL_RETIRED_REFUSE}, {NULL, 0}};
static const struct sl_config_choice level_choices[] = {{"debug", SL_LOG_DEBUG},
                                                        {"info", SL_LOG_INFO},
                                                        {"warn", SL_LOG_WARN},
                                                        {"error", SL_LOG_ERROR},
                                                        {NULL, 0}};
static const struct sl_config_choice format_choices[] = {
    {"text", SL_LOG_TEXT}, {"json", SL_LOG_JSON}, {NULL, 0}};
static const struct sl_config_choice sim_window_choices[] = {
    {"bucket", SL_SIM_WINDOW_BUCKET}, {"fixed", SL_SIM_WINDOW_FIXED}, {NULL, 0}};

static const struct sl_config_choice max_tokens_choices[] = {
    {"client", SL_MAX_TOKENS_CLIENT}, {"learned", SL_MAX_TOKENS_LEARNED}, {NULL, 0}};
static const struct sl_config_choice profiles_choices[] = {
    {"auto", SL_PROFILES_AUTO}, {"off", SL_PROFILES_OFF}, {NULL, 0}};
static const struct sl_config_choice source_choices[] = {
    {"auto", SL_QUOTAS_AUTO}, {"config", SL_QUOTAS_CONFIG}, {NULL, 0}};
static const struct sl_config_choice window_choices[] = {
    {"auto", SL_WINDOW_AUTO}, {"bucket", SL_WINDOW_BUCKET}, {"fixed", SL_WINDOW_FIXED}, {NULL, 0}};
static const struct sl_config_choice class_choices[] = {{"interactive", SL_CLASS_INTERACTIVE},
                                                        {"normal", SL_CLASS_NORMAL},
                                                        {"batch", SL_CLASS_BATCH},
                                                        {NULL, 0}};
static const struct sl_config_choice when_choices[] = {{"always", SL_CACHE_ALWAYS},
                                                       {"deterministic", SL_CACHE_DETERMINISTIC},
                                                       {"never", SL_CACHE_NEVER},
                                                       {NULL, 0}};
static const struct sl_config_choice scope_choices[] = {
    {"tenant", SL_CACHE_TENANT}, {"global", SL_CACHE_GLOBAL}, {NULL, 0}};
static const struct sl_config_choice replay_choices[] = {
    {"instant", SL_REPLAY_INSTANT}, {"recorded", SL_REPLAY_RECORDED}, {NULL, 0}};
static const struct sl_config_choice interim_choices[] = {
    {"auto", SL_INTERIM_AUTO}, {"off", SL_INTERIM_OFF}, {NULL, 0}};
static const struct sl_config_choice eviction_choices[] = {
    {"lru", SL_EVICT_LRU}, {"slru", SL_EVICT_SLRU}, {"tinylfu", SL_EVICT_TINYLFU}, {NULL, 0}};

/* ---- members of records ---- */

static const struct sl_config_key target_members[] = {
    {"name", SL_CONFIG_STRING, MEMBER(sl_target_settings, name), .example = "east",
     .doc = "Needed; what x-sluice-target, logs and admin pages call it."},
    {"region", SL_CONFIG_STRING, MEMBER(sl_target_settings, region), .example = "us-east-1",
     .doc = "As `upstream.region`."},
    {"endpoint", SL_CONFIG_URL, MEMBER(sl_target_settings, endpoint),
     .example = "https://bedrock.example.com", .doc = "As `upstream.endpoint`."},
    {"profile", SL_CONFIG_STRING, MEMBER(sl_target_settings, profile), .example = "production",
     .doc = "As `upstream.profile`: how a target gets credentials, and so an account, of its own."},
    {"fips", SL_CONFIG_BOOL, MEMBER(sl_target_settings, fips), .fallback = "false",
     .doc = "As `upstream.fips`."},
    {"dual_stack", SL_CONFIG_BOOL, MEMBER(sl_target_settings, dual_stack), .fallback = "false",
     .doc = "As `upstream.dual_stack`."},
    {"mantle", SL_CONFIG_BOOL, MEMBER(sl_target_settings, mantle), .fallback = "false",
     .doc = "As `upstream.mantle`."},
    {"mantle_endpoint", SL_CONFIG_URL, MEMBER(sl_target_settings, mantle_endpoint),
     .example = "https://mantle.example.com", .doc = "As `upstream.mantle_endpoint`."},
    {"ca_file", SL_CONFIG_PATH, MEMBER(sl_target_settings, ca_file),
     .example = "/etc/ssl/corporate.pem", .doc = "As `upstream.ca_file`."},
    {"weight", SL_CONFIG_INTEGER, MEMBER(sl_target_settings, weight), .min = 1, .max = 1000,
     .fallback = "1",
     .doc = "Share of the calls among targets of one priority, beside the quota each has left."},
    {"priority", SL_CONFIG_INTEGER, MEMBER(sl_target_settings, priority), .max = 1000,
     .fallback = "0", .doc = "Lower ones first; a higher one serves only while no lower one can."},
    {"profiles", SL_CONFIG_STRINGS, MEMBER(sl_target_settings, profiles), .max = 4,
     .example = "[us, global]",
     .doc = "Geographies whose inference profiles are called in place of the one that the client "
            "named, in this order. Default: the client's, or the region's own where there are "
            "several targets."},
};

static const struct sl_config_key limit_members[] = {
    {"rpm", SL_CONFIG_INTEGER, MEMBER(sl_model_limits, limits.rpm), .max = 1000000000,
     .fallback = "0", .doc = "Requests a minute."},
    {"tpm", SL_CONFIG_INTEGER, MEMBER(sl_model_limits, limits.tpm), .max = UINT64_C(1000000000000),
     .fallback = "0", .doc = "Tokens a minute, input and output together."},
    {"tpd", SL_CONFIG_INTEGER, MEMBER(sl_model_limits, limits.tpd),
     .max = UINT64_C(1000000000000000), .fallback = "0", .doc = "Tokens a day (UTC)."},
    {"in_flight", SL_CONFIG_INTEGER, MEMBER(sl_model_limits, limits.in_flight), .max = 1000000,
     .fallback = "0", .doc = "Calls at once."},
};

static const struct sl_config_key group_members[] = {
    {"values", SL_CONFIG_STRINGS, MEMBER(sl_named_strings, values), .min = 1, .max = 16,
     .example = "[a, b]", .doc = "The list that stands behind a name."},
};

static const struct sl_config_section sections[] = {
    {"tls", "TLS towards clients. Without it clients are spoken to in cleartext."},
    {"upstream", "Where calls go: one AWS account's Bedrock in one region. Credentials are found "
                 "as AWS's own SDKs find them. For several accounts or regions write `targets` "
                 "instead; limits and timeouts here hold for all of them."},
    {"models", "What happens to the model ids that clients ask for."},
    {"quotas", "What Bedrock allows. Sluice keeps inside it and queues what does not fit. Limits "
               "are found in this order: here, the Service Quotas API, learning from refusals."},
    {"retry", "Calls that upstream refused or failed, before anything of an answer was shown."},
    {"breaker", "A target that keeps failing is left alone for a while."},
    {"cache", "Answers kept in memory, so that the same prompt is not paid for twice. A client "
              "says no with `Cache-Control: no-cache` (ask again) or `no-store` (nor keep it)."},
    {"prompt_caching", "Bedrock's own cache of long prompt prefixes, which makes them cost a "
                       "tenth when they are read again."},
    {"keepalive", "Signs of life for clients that wait, so that they do not hang up and come back, "
                  "which doubles the load."},
    {"keys", "Client keys: `sluice key create` makes one."},
    {"ledger", "One row a request, in STATE/sluice.db: who, which model, tokens, cost. No prompts. "
               "`sluice usage` adds it up."},
    {"queue", "Calls that wait for their turn. A call that does not fit is refused at once, with "
              "the time after which trying again makes sense."},
    {"memory", "One budget for what requests and answers hold."},
    {"flight", "A flight is one piece of work at Bedrock; several clients may read its answer."},
    {"limits", "What a single client may take. Each limit closes a way to exhaust the process."},
    {"log", "One line an event on stderr. Prompts, answers and secrets are never logged."},
    {"simulator", "The simulated Bedrock of `sluice simulator` and of `--simulator`."},
};

static const struct sl_config_key keys[] = {
    {"listen", SL_CONFIG_HOSTPORTS, FIELD(listen), .min = 1, .max = 16,
     .fallback = "127.0.0.1:8080",
     .doc = "Addresses that clients connect to; HTTP/1.1 and HTTP/2 on the same port. Port 0 picks "
            "a free one. Loopback by default, because whoever reaches this port spends the "
            "account's money."},
    {"admin", SL_CONFIG_HOSTPORT, FIELD(admin), .fallback = "127.0.0.1:8081",
     .doc = "Address of the admin pages (health, metrics, status). All but /healthz and /readyz "
            "need the token in STATE/admin.token."},
    {"auth", SL_CONFIG_CHOICE, FIELD(auth), .choices = auth_choices, .example = "none",
     .doc = "Whether clients must show a key: a bearer token, an x-api-key, or a signature made "
            "with the key's AWS credentials. `sluice key create` makes keys. Default: none when "
            "listening on loopback only, else keys; `none` elsewhere must be written out, and "
            "then let only a network you trust reach the port."},
    {"hosts", SL_CONFIG_STRINGS, FIELD(hosts), .max = 16, .example = "[gateway.example.com]",
     .doc = "Names that clients may call the gateway by. IP addresses and localhost are always "
            "fine; any other Host is refused, so that a web page cannot spend the account's money "
            "through a browser."},
    {"state", SL_CONFIG_PATH, FIELD(state), .example = "/var/lib/sluice",
     .doc =
         "Folder for what outlives a restart; made with mode 0700, refused where others may open "
         "it. Default: "
         "$XDG_STATE_HOME/sluice, or ~/.local/state/sluice."},
    {"targets", SL_CONFIG_RECORDS, FIELD(listed), .max = 16,
     RECORDS(sl_target_settings, target_members),
     .example = "[{name: east, region: us-east-1}, {name: west, region: us-west-2, priority: 1}]",
     .doc = "Several places where calls go, in place of `upstream`: regions, accounts (by their "
            "credentials' profile), endpoints. Each call goes to the one with the most quota left; "
            "one that is refused or fails goes on to the next."},
    {"prices", SL_CONFIG_PATH, FIELD(prices), .example = "/etc/sluice/prices.yaml",
     .doc = "File of the form of conf/prices.yaml whose rows win over the built-in prices, for "
            "agreed rates and models that are newer than this version."},
    {"drain", SL_CONFIG_DURATION, FIELD(drain_ms), .max = HOUR, .fallback = "30s",
     .doc = "How long running answers may go on after SIGTERM before they are cut. Shorter than "
            "the time your service manager waits before it kills."},

    {"tls.certificate", SL_CONFIG_PATH, FIELD(tls.certificate), .example = "/etc/sluice/chain.pem",
     .doc = "PEM file with the certificate chain, leaf first. Needs `tls.key`."},
    {"tls.key", SL_CONFIG_PATH, FIELD(tls.key), .example = "/etc/sluice/key.pem",
     .doc = "PEM file with the private key."},
    {"tls.client_ca", SL_CONFIG_PATH, FIELD(tls.client_ca), .example = "/etc/sluice/clients.pem",
     .doc = "PEM file with certificate authorities: clients must show a certificate that one of "
            "them signed. Default: none is asked for."},

    {"upstream.region", SL_CONFIG_STRING, FIELD(upstream.region), .example = "us-east-1",
     .doc = "AWS region to call. Default: as the SDKs find it, AWS_REGION, AWS_DEFAULT_REGION, "
            "then the profile's."},
    {"upstream.endpoint", SL_CONFIG_URL, FIELD(upstream.endpoint),
     .example = "https://vpce-0123456789abcdef0.bedrock-runtime.us-east-1.vpce.amazonaws.com",
     .doc = "Call this address in place of AWS's public one: a VPC endpoint, a test upstream. Not "
            "together with `fips` or `dual_stack`, which choose among AWS's own addresses."},
    {"upstream.profile", SL_CONFIG_STRING, FIELD(upstream.profile), .example = "production",
     .doc = "Named profile of the shared AWS files to take credentials from. Default: AWS_PROFILE, "
            "then the usual chain (environment, files, container, instance)."},
    {"upstream.fips", SL_CONFIG_BOOL, FIELD(upstream.fips), .fallback = "false",
     .doc = "Use AWS's FIPS 140 endpoints (US, Canada and GovCloud regions)."},
    {"upstream.dual_stack", SL_CONFIG_BOOL, FIELD(upstream.dual_stack), .fallback = "false",
     .doc = "Use AWS's endpoints that answer over IPv6 as well as IPv4."},
    {"upstream.mantle", SL_CONFIG_BOOL, FIELD(upstream.mantle), .fallback = "false",
     .doc = "Serve calls of the bedrock-mantle endpoint too (OpenAI's and Anthropic's own paths, "
            "with quotas of their own)."},
    {"upstream.mantle_endpoint", SL_CONFIG_URL, FIELD(upstream.mantle_endpoint),
     .example = "https://mantle.internal.example.com",
     .doc = "As `endpoint`, for bedrock-mantle. Default: `endpoint` where that is set, else AWS's "
            "own."},
    {"upstream.ca_file", SL_CONFIG_PATH, FIELD(upstream.ca_file),
     .example = "/etc/ssl/corporate.pem",
     .doc = "PEM bundle to verify upstream's certificate with, where a proxy re-signs TLS. "
            "Default: the system's. Certificates are always verified."},
    {"upstream.max_in_flight", SL_CONFIG_INTEGER, FIELD(max_in_flight), .min = 1, .max = 65536,
     .fallback = "1024",
     .doc = "Calls at Bedrock at once; more wait in the queue. Each takes a file descriptor and "
            "about 5 KiB."},
    {"upstream.connect_timeout", SL_CONFIG_DURATION, FIELD(timeouts.connect), .min = 100,
     .max = 10 * MINUTE, .fallback = "10s",
     .doc = "Limit for name lookup, TCP and TLS together; then the call is tried again."},
    {"upstream.first_byte_timeout", SL_CONFIG_DURATION, FIELD(timeouts.first_byte), .min = SECOND,
     .max = DAY, .fallback = "600s",
     .doc = "Limit from the request being sent to the first byte of the answer. Generous, because "
            "a long answer that is not streamed takes Bedrock minutes, and is paid for."},
    {"upstream.idle_timeout", SL_CONFIG_DURATION, FIELD(timeouts.idle), .min = SECOND, .max = DAY,
     .fallback = "120s",
     .doc = "Limit between two pieces of an answer: beyond it the stream is taken for dead."},

    {"models.retired", SL_CONFIG_CHOICE, FIELD(models.retired), .choices = retired_choices,
     .fallback = "map",
     .doc = "What to do when a client asks for a model that AWS has withdrawn. `map` sends the "
            "call to its living successor and says so in x-sluice-model; `refuse` answers "
            "Bedrock's own error without going upstream."},
    {"models.successors", SL_CONFIG_MAP, FIELD(models.successors), .max = 256,
     .example = "{meta.llama2-13b-chat-v1: us.meta.llama3-3-70b-instruct-v1:0}",
     .doc = "Withdrawn model id to living one, for `retired: map`. Adds to the built-in table and "
            "wins over it."},

    {"models.aliases", SL_CONFIG_MAP, FIELD(models.aliases), .max = 256,
     .example = "{fast: us.meta.llama3-3-70b-instruct-v1:0}",
     .doc = "Names that clients may use for models, such as the ones that other APIs' programs "
            "already hold. An alias stands for an id, not for another alias."},
    {"models.default", SL_CONFIG_STRING, FIELD(models.standard), .example = "fast",
     .doc = "Id or alias for calls of the REST API that name no model."},
    {"models.fallbacks", SL_CONFIG_LISTS, FIELD(models.fallbacks), .max = 256,
     RECORDS(sl_named_strings, group_members),
     .example = "{fast: [us.amazon.nova-lite-v1:0, meta.llama3-8b-instruct-v1:0]}",
     .doc = "For an id or alias, the models to try in its place, in this order, when it is "
            "unavailable or out of quota for longer than `fallback_after`. x-sluice-model says "
            "which one served."},
    {"models.fallback_after", SL_CONFIG_DURATION, FIELD(models.fallback_after_ms), .max = DAY,
     .fallback = "10s", .doc = "How long a call may wait for quota before a fallback is tried."},
    {"models.max_tokens", SL_CONFIG_CHOICE, FIELD(models.max_tokens), .choices = max_tokens_choices,
     .fallback = "client",
     .doc = "Bedrock reserves quota for the longest answer a call allows, and for the model's "
            "maximum where a call sets none: the commonest cause of throttling. `learned` sets it "
            "in such calls to what nearly all answers of that key and model stayed under, and says "
            "so in x-sluice-edited; a longer answer is cut off there. `client` leaves calls as "
            "they are."},
    {"models.profiles", SL_CONFIG_CHOICE, FIELD(models.profiles), .choices = profiles_choices,
     .fallback = "auto",
     .doc =
         "Many models are served through inference profiles only, and calling their bare id is "
         "an error. `auto` calls the region's profile of such an id instead (us., eu., …); `off` "
         "passes ids as they are."},

    {"quotas.source", SL_CONFIG_CHOICE, FIELD(quotas.source), .choices = source_choices,
     .fallback = "auto",
     .doc = "`auto` also asks the Service Quotas API (servicequotas:ListServiceQuotas) at start "
            "and once a day; `config` uses only what is written here, and learning."},
    {"quotas.window", SL_CONFIG_CHOICE, FIELD(quotas.window), .choices = window_choices,
     .fallback = "auto",
     .doc = "How Bedrock counts a minute, which AWS does not say: a bucket that refills steadily, "
            "or fixed minutes. `auto` is careful at first and takes bursts once they prove to be "
            "fine."},
    {"quotas.window_length", SL_CONFIG_DURATION, FIELD(quotas.window_ms), .min = 100, .max = HOUR,
     .fallback = "1m",
     .doc = "The minute itself; shorter only against a test upstream whose minutes are."},
    {"quotas.default", SL_CONFIG_RECORD, FIELD(quotas.standard),
     RECORDS(sl_model_limits, limit_members), .example = "{rpm: 200, tpm: 200000}",
     .doc = "Limits of each model at each target that `models` does not name. 0, or left out: "
            "from Service Quotas, else learned."},
    {"quotas.models", SL_CONFIG_NAMED_RECORDS, FIELD(quotas.models), .max = 256,
     RECORDS(sl_model_limits, limit_members),
     .example = "{us.meta.llama3-3-70b-instruct-v1:0: {rpm: 800, tpm: 600000}}",
     .doc = "Limits by model or profile id; a bare id stands for its profiles too. They are never "
            "exceeded, even when Bedrock would allow more."},

    {"retry.max_attempts", SL_CONFIG_INTEGER, FIELD(retry.max_attempts), .min = 1, .max = 100,
     .fallback = "3",
     .doc = "Tries of a call that fails (5xx, timeout, broken connection). Throttles do not count: "
            "those calls wait in the queue."},
    {"retry.backoff", SL_CONFIG_DURATION, FIELD(retry.backoff_ms), .min = 1, .max = HOUR,
     .fallback = "1s",
     .doc = "First pause of a target that throttled; it doubles with each further one, a random "
            "part of it is waited, and upstream's own Retry-After is kept."},
    {"retry.backoff_max", SL_CONFIG_DURATION, FIELD(retry.backoff_max_ms), .min = 1, .max = HOUR,
     .fallback = "30s", .doc = "Longest such pause."},
    {"retry.budget", SL_CONFIG_INTEGER, FIELD(retry.budget), .max = 100, .fallback = "20",
     .doc = "Percent of a target's calls that may be retries of failed ones, so that a failing "
            "upstream is not buried."},
    {"breaker.threshold", SL_CONFIG_INTEGER, FIELD(breaker_threshold), .min = 1, .max = 100,
     .fallback = "50",
     .doc = "Percent of at least 10 calls within 10 s that must fail before a target is left "
            "alone; then single calls probe it."},

    {"cache.when", SL_CONFIG_CHOICE, FIELD(cache.when), .choices = when_choices,
     .fallback = "always",
     .doc = "Which answers are kept. `always`: asking the same again gives the same answer, also "
            "for a \"regenerate\" button; `deterministic`: only calls with temperature 0 or top_k "
            "1, embeddings and token counts; `never`."},
    {"cache.models", SL_CONFIG_MAP, FIELD(cache.models), .choices = when_choices, .max = 256,
     .example = "{\"*.amazon.nova-*\": never}",
     .doc = "The same by model id, in which * stands for any text; the first that matches wins "
            "over `when`."},
    {"cache.size", SL_CONFIG_SIZE, FIELD(cache.size), .max = 1024 * GIB, .fallback = "256MiB",
     .doc = "Memory for kept answers, all of its own cost included, beside `memory.max`. 0 keeps "
            "nothing."},
    {"cache.max_entry", SL_CONFIG_SIZE, FIELD(cache.max_entry), .min = KIB, .max = GIB,
     .fallback = "1MiB", .doc = "Largest answer that is kept."},
    {"cache.ttl", SL_CONFIG_DURATION, FIELD(cache.ttl_ms), .min = SECOND, .max = 30 * DAY,
     .fallback = "1h", .doc = "How long an answer is kept at most."},
    {"cache.scope", SL_CONFIG_CHOICE, FIELD(cache.scope), .choices = scope_choices,
     .fallback = "tenant",
     .doc = "Who is given a kept answer: `tenant`, only the key that asked first; `global`, every "
            "key, which lets one find out what another asked."},
    {"cache.replay", SL_CONFIG_CHOICE, FIELD(cache.replay), .choices = replay_choices,
     .fallback = "instant",
     .doc = "Pace of a kept stream: as fast as it is read, or as it was recorded."},
    {"cache.eviction", SL_CONFIG_CHOICE, FIELD(cache.eviction), .choices = eviction_choices,
     .fallback = "slru",
     .doc = "What goes when it is full: `lru` the least recently used, `slru` that, but what was "
            "asked for twice stays longer, `tinylfu` the least often used, so that many one-off "
            "prompts do not drive out the repeated ones."},
    {"cache.snapshot", SL_CONFIG_BOOL, FIELD(cache.snapshot), .fallback = "on",
     .doc = "Keep answers over a restart, in the state folder (mode 0600). They hold what models "
            "said."},
    {"cache.snapshot_interval", SL_CONFIG_DURATION, FIELD(cache.snapshot_interval_ms),
     .min = SECOND, .max = DAY, .fallback = "5m",
     .doc = "How often they are written; also when the gateway stops."},

    {"prompt_caching.models", SL_CONFIG_STRINGS, FIELD(prompt_caching.models), .max = 64,
     .example = "[\"*anthropic.claude-*\"]",
     .doc = "Model ids, * standing for any text, in whose calls cache markers are placed behind "
            "tools, system prompt and the stable head of a conversation, where the client set "
            "none. Writing to that cache costs a quarter more, so it pays for prefixes that come "
            "again within 5 minutes. Default: none."},

    {"keepalive.interim", SL_CONFIG_CHOICE, FIELD(keepalive.interim), .choices = interim_choices,
     .fallback = "auto",
     .doc = "`auto` sends informational responses (100, 102) to clients that are known to skip "
            "them, while their call waits or runs. `off` is for proxies in front that take one for "
            "the answer, as nginx 1.22 does, and that add no Via or X-Forwarded header."},
    {"keepalive.interval", SL_CONFIG_DURATION, FIELD(keepalive.interval_ms), .min = SECOND,
     .max = HOUR, .fallback = "20s",
     .doc = "Time between two of them. At most 90 are sent for one request, because some clients "
            "give up after 100."},

    {"keys.trusted_hosts", SL_CONFIG_STRINGS, FIELD(keys.trusted_hosts), .max = 16,
     .example = "[bedrock-runtime.us-east-1.amazonaws.com]",
     .doc = "Host names that clients may have signed their requests for, where a proxy in front "
            "rewrites Host. Default: only the Host that arrives."},
    {"keys.reload", SL_CONFIG_DURATION, FIELD(keys.reload_ms), .min = 100, .max = HOUR,
     .fallback = "2s",
     .doc = "How soon keys that were made, changed or revoked while the gateway runs take effect."},

    {"ledger.enabled", SL_CONFIG_BOOL, FIELD(ledger.enabled), .fallback = "on",
     .doc = "Whether requests are entered at all: `sluice usage` reads them. A row costs a few µs "
            "of CPU, most of it beside the loop."},
    {"ledger.keep", SL_CONFIG_DURATION, FIELD(ledger.keep_ms), .max = 3650 * DAY, .fallback = "90d",
     .doc = "How long the ledger remembers a request; a row takes about 150 bytes. 0 keeps all."},

    {"queue.max_requests", SL_CONFIG_INTEGER, FIELD(queue.max_requests), .min = 1, .max = 1000000,
     .fallback = "10000", .doc = "Calls that may wait at once."},
    {"queue.max_bytes", SL_CONFIG_SIZE, FIELD(queue.max_bytes), .min = MIB, .max = 1024 * GIB,
     .fallback = "512MiB",
     .doc = "Bytes of bodies that may wait at once. They count against `memory.max` too."},
    {"queue.max_wait", SL_CONFIG_DURATION, FIELD(queue.max_wait_ms), .max = DAY, .fallback = "10m",
     .doc = "Longest wait of one call. A client's own deadline, where it sends one, counts first."},

    {"queue.priority", SL_CONFIG_CHOICE, FIELD(queue.priority), .choices = class_choices,
     .fallback = "normal",
     .doc =
         "Class of requests that say none (`x-sluice-priority`) and come without a key, whose own "
         "class counts otherwise. While all want, interactive, normal and batch share 16 : 4 : 1."},

    {"memory.max", SL_CONFIG_SIZE, FIELD(memory_max), .min = 32 * MIB, .max = 1024 * GIB,
     .fallback = "1GiB",
     .doc = "Bytes of all request bodies and answers together, from arrival to free. When it is "
            "used up, new requests get 503 and the process lives."},

    {"flight.linger", SL_CONFIG_DURATION, FIELD(linger_ms), .max = HOUR, .fallback = "30s",
     .doc = "How long a call goes on at Bedrock after its last client left. SDKs that timed out "
            "come back with the same request; then they rejoin it and nothing is paid twice."},

    {"limits.header_bytes", SL_CONFIG_SIZE, FIELD(limits.header_bytes), .min = 4 * KIB, .max = MIB,
     .fallback = "64KiB",
     .doc = "Request line and headers together. AWS session tokens alone run to several KiB."},
    {"limits.header_count", SL_CONFIG_INTEGER, FIELD(limits.header_count), .min = 16, .max = 1000,
     .fallback = "100",
     .doc = "Headers of one request: a bound for what searching them costs. AWS's SDKs send 10 to "
            "20."},
    {"limits.body_bytes", SL_CONFIG_SIZE, FIELD(limits.body_bytes), .min = KIB, .max = GIB,
     .fallback = "25MB", .doc = "Bytes of one request body. Bedrock's own maximum is 25,000,000."},
    {"limits.connections", SL_CONFIG_INTEGER, FIELD(limits.connections), .min = 1, .max = 1000000,
     .fallback = "20000",
     .doc = "Client connections at once. Each takes a file descriptor and about 1 KiB; beyond the "
            "limit new ones wait in the kernel."},
    {"limits.streams", SL_CONFIG_INTEGER, FIELD(limits.streams), .min = 1, .max = 65536,
     .fallback = "256", .doc = "Requests at once on one HTTP/2 connection."},
    {"limits.header_time", SL_CONFIG_DURATION, FIELD(limits.header_ms), .min = 100, .max = HOUR,
     .fallback = "15s",
     .doc = "From a request's first byte to the end of its headers, against clients that trickle "
            "(slow loris)."},
    {"limits.body_time", SL_CONFIG_DURATION, FIELD(limits.body_ms), .min = 100, .max = HOUR,
     .fallback = "30s", .doc = "Between two pieces of a request body: a stalled upload ends."},
    {"limits.body_rate", SL_CONFIG_SIZE, FIELD(limits.body_rate), .max = GIB, .fallback = "1KiB",
     .doc = "Bytes a second that an upload must keep up on average once `body_time` is over, "
            "against bodies that trickle. 0 switches it off."},
    {"limits.idle_time", SL_CONFIG_DURATION, FIELD(limits.idle_ms), .min = 100, .max = DAY,
     .fallback = "5m", .doc = "How long a connection without a request is kept open."},
    {"limits.write_time", SL_CONFIG_DURATION, FIELD(limits.write_ms), .min = 100, .max = DAY,
     .fallback = "2m", .doc = "How long a client may take nothing of an answer that waits for it."},
    {"limits.pipeline_bytes", SL_CONFIG_SIZE, FIELD(limits.pipeline_bytes), .min = KIB,
     .max = 16 * MIB, .fallback = "64KiB",
     .doc = "Bytes of further requests kept on an HTTP/1.1 connection while one runs; then reading "
            "stops."},
    {"limits.resets_burst", SL_CONFIG_INTEGER, FIELD(limits.resets_burst), .min = 1, .max = 1000000,
     .fallback = "1000",
     .doc = "HTTP/2 streams that a client may reset before the rate counts (rapid reset, "
            "CVE-2023-44487)."},
    {"limits.resets_rate", SL_CONFIG_INTEGER, FIELD(limits.resets_per_s), .min = 1, .max = 1000000,
     .fallback = "33", .doc = "Resets a second that are earned back after such a burst."},

    {"log.level", SL_CONFIG_CHOICE, FIELD(log.level), .choices = level_choices, .fallback = "info",
     .doc = "The least important events that are written."},
    {"log.format", SL_CONFIG_CHOICE, FIELD(log.format), .choices = format_choices,
     .fallback = "text", .doc = "Text for people, JSON for machines."},
    {"log.access", SL_CONFIG_BOOL, FIELD(log.access), .fallback = "on",
     .doc = "One line for every request: who, which model, how long it waited, what it took."},

    {"simulator.listen", SL_CONFIG_HOSTPORT, FIELD(simulator_listen), .fallback = "127.0.0.1:8082",
     .doc = "Address of `sluice simulator`. The embedded one picks a free port of its own."},
    {"simulator.region", SL_CONFIG_STRING, FIELD(simulator.region), .fallback = "us-east-1",
     .doc = "Region that a signature must be made for, else it is refused as AWS would."},
    {"simulator.rpm", SL_CONFIG_INTEGER, FIELD(simulator.rpm), .max = 1000000000, .fallback = "0",
     .doc = "Requests a minute for each model before throttling; 0 is unlimited."},
    {"simulator.tpm", SL_CONFIG_INTEGER, FIELD(simulator.tpm), .max = UINT64_C(1000000000000),
     .fallback = "0", .doc = "Tokens a minute for each model; 0 is unlimited."},
    {"simulator.tpd", SL_CONFIG_INTEGER, FIELD(simulator.tpd), .max = UINT64_C(1000000000000000),
     .fallback = "0", .doc = "Tokens a day for each model; 0 is unlimited."},
    {"simulator.max_in_flight", SL_CONFIG_INTEGER, FIELD(simulator.max_in_flight), .max = 1000000,
     .fallback = "0", .doc = "Calls at once before it answers 503; 0 is unlimited."},
    {"simulator.window", SL_CONFIG_CHOICE, FIELD(simulator.window), .choices = sim_window_choices,
     .fallback = "bucket",
     .doc = "How a minute is counted: a bucket that refills steadily, or fixed minutes. AWS does "
            "not say which it uses."},
    {"simulator.window_length", SL_CONFIG_DURATION, FIELD(simulator.window_ms), .min = 100,
     .max = HOUR, .fallback = "1m",
     .doc = "The minute itself; shorter for tests that have no time for minutes."},
    {"simulator.latency", SL_CONFIG_DURATION, FIELD(simulator.latency_ms), .max = HOUR,
     .fallback = "0ms", .doc = "Time before the head of each answer."},
    {"simulator.first_token", SL_CONFIG_DURATION, FIELD(simulator.first_token_ms), .max = HOUR,
     .fallback = "0ms", .doc = "Further time before the first piece of a stream."},
    {"simulator.tokens_per_second", SL_CONFIG_INTEGER, FIELD(simulator.tokens_per_second),
     .max = 1000000, .fallback = "0", .doc = "Pace of a stream; 0 is as fast as it is read."},
    {"simulator.seed", SL_CONFIG_INTEGER, FIELD(simulator.seed), .max = UINT64_MAX, .fallback = "1",
     .doc = "The same seed and prompt give the same text."},
    {"simulator.faults", SL_CONFIG_STRING, FIELD(simulator.faults),
     .example = "throttle/10,reset-midway/50",
     .doc = "A fault for every n-th call, as FAULT/N, separated by commas. Default: none. A single "
            "request asks for one with the header x-simulator-fault."},
};

_Static_assert(sizeof(keys) / sizeof(keys[0]) <= SL_CONFIG_KEY_MAX, "raise SL_CONFIG_KEY_MAX");

const struct sl_config_key *sl_config_keys(size_t *count) {
    *count = sizeof(keys) / sizeof(keys[0]);
    return keys;
}

const struct sl_config_section *sl_config_sections(size_t *count) {
    *count = sizeof(sections) / sizeof(sections[0]);
    return sections;
}
