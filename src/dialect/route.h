/* Bedrock's paths: which operation a method and path mean, and which model the path names. */
#ifndef SLUICE_SRC_DIALECT_ROUTE_H
#define SLUICE_SRC_DIALECT_ROUTE_H

#include "sluice/core/call.h"

enum sl_route_outcome {
    SL_ROUTE_FOUND,
    SL_ROUTE_BIDIRECTIONAL, /* Bedrock's, but not carried: HTTP/2 streams both ways */
    SL_ROUTE_UNKNOWN,
};

struct sl_route {
    enum sl_route_outcome outcome;
    enum sl_operation operation;
    struct sl_slice model; /* percent-encoded as in the path; empty where the path names none */
};

/* path: without query. plane: RUNTIME looks for runtime and control-plane paths, MANTLE for
 * mantle's. */
struct sl_route sl_route_find(enum sl_plane plane, struct sl_slice method, struct sl_slice path);

#endif
