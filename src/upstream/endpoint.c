#include "upstream/endpoint.h"

#include <stdio.h>

/* The last one takes every region that no other does. */
static const struct partition {
    struct sl_slice prefix;
    const char *suffix, *dual_stack_suffix;
} partitions[] = {
    {SL_LIT("cn-"), "amazonaws.com.cn", "api.amazonwebservices.com.cn"},
    {SL_LIT("eusc-"), "amazonaws.eu", "api.amazonwebservices.eu"},
    {SL_LIT("us-iso-"), "c2s.ic.gov", "api.aws.ic.gov"},
    {SL_LIT("us-isob-"), "sc2s.sgov.gov", "api.aws.scloud"},
    {SL_LIT("us-isof-"), "csp.hci.ic.gov", "api.aws.hci.ic.gov"},
    {SL_LIT("eu-isoe-"), "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"},
    {SL_LIT(""), "amazonaws.com", "api.aws"}, /* aws-us-gov too */
};

static const struct plane {
    const char *host;
    struct sl_slice service;
} planes[SL_PLANE_COUNT] = {
    [SL_PLANE_RUNTIME] = {"bedrock-runtime", SL_LIT("bedrock")},
    [SL_PLANE_CONTROL] = {"bedrock", SL_LIT("bedrock")},
    [SL_PLANE_MANTLE] = {"bedrock-mantle", SL_LIT("bedrock-mantle")},
    [SL_PLANE_QUOTAS] = {"servicequotas", SL_LIT("servicequotas")},
};

bool sl_endpoint_is_region(struct sl_slice text) {
    struct sl_slice part;
    size_t parts = 0;
    uint64_t number;
    bool numbered = false;
    if (text.len > 32)
        return false;
    while (sl_slice_split(&text, '-', &part)) {
        if (numbered || part.len == 0)
            return false;
        parts++;
        numbered = sl_slice_u64(part, &number);
        for (size_t i = 0; !numbered && i < part.len; i++)
            if (part.ptr[i] < 'a' || part.ptr[i] > 'z')
                return false;
    }
    return numbered && parts >= 3;
}

static const struct partition *partition_of(struct sl_slice region) {
    const struct partition *p = partitions;
    while (!sl_slice_starts(region, p->prefix))
        p++;
    return p;
}

int sl_endpoint_of(const struct sl_endpoint_wish *wish, char *out, size_t size) {
    const struct partition *partition = partition_of(wish->region);
    bool mantle = wish->plane == SL_PLANE_MANTLE;
    if ((mantle || wish->plane == SL_PLANE_QUOTAS) && wish->fips)
        return SL_E_NOTFOUND;
    int n = snprintf(out, size, "https://%s%s.%.*s.%s", planes[wish->plane].host,
                     wish->fips ? "-fips" : "", SL_FMT(wish->region),
                     mantle || wish->dual_stack ? partition->dual_stack_suffix : partition->suffix);
    return n >= 0 && (size_t)n < size ? SL_OK : SL_E_LIMIT;
}

struct sl_slice sl_endpoint_service(enum sl_plane plane) {
    return planes[plane].service;
}
