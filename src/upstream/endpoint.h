/*
 * Where AWS serves Bedrock's planes, by region. The tables are those of botocore's
 * endpoint-rule-set-1.json (bedrock, bedrock-runtime) and partitions.json; bedrock-mantle is served
 * under the dual-stack suffix only, and neither it nor Service Quotas has a FIPS endpoint
 * everywhere.
 */
#ifndef SLUICE_UPSTREAM_ENDPOINT_H
#define SLUICE_UPSTREAM_ENDPOINT_H

#include "sluice/base/error.h"
#include "sluice/base/slice.h"
#include "sluice/core/call.h"

struct sl_endpoint_wish {
    enum sl_plane plane;
    struct sl_slice region; /* sl_endpoint_is_region */
    bool fips, dual_stack;
};

/* "us-east-1", "us-gov-west-1", "ap-southeast-7": lower-case words joined by '-', then a number. */
bool sl_endpoint_is_region(struct sl_slice text);
/* Writes "https://host" and a NUL. SL_E_NOTFOUND: AWS has no such variant; SL_E_LIMIT: size. */
SL_NODISCARD int sl_endpoint_of(const struct sl_endpoint_wish *wish, char *out, size_t size);
/* What signatures for the plane name as service. */
struct sl_slice sl_endpoint_service(enum sl_plane plane);

#endif
