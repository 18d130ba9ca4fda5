/*
 * Faults on request: every n-th request by a setting, or one request by its header. The rule for
 * the kinds stands in one table.
 */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/refuse.h"
#include "sluice/base/slice.h"

/* Where in an exchange a fault acts. */
enum sl_sim_fault_place {
    SL_SIM_FAULT_NONE,
    SL_SIM_FAULT_REFUSE, /* an error response */
    SL_SIM_FAULT_FIRST,  /* 200, then an exception as the first frame; unstreamed: as REFUSE */
    SL_SIM_FAULT_STALL,  /* the head never comes */
    SL_SIM_FAULT_RESET,  /* the connection breaks instead of the head */
    SL_SIM_FAULT_MIDWAY, /* see enum sl_sim_break */
};

/* What happens halfway through an answer. */
enum sl_sim_break {
    SL_SIM_BREAK_NONE,
    SL_SIM_BREAK_EXCEPTION, /* an exception frame, then a clean end */
    SL_SIM_BREAK_STALL,     /* nothing more comes, the connection stays */
    SL_SIM_BREAK_RESET,     /* the connection breaks */
    SL_SIM_BREAK_END,       /* a clean end between frames */
    SL_SIM_BREAK_CUT,       /* a clean end within a frame */
    SL_SIM_BREAK_MALFORMED, /* one frame with a wrong checksum, the rest as if nothing were */
};

struct sl_sim_fault {
    enum sl_sim_fault_place place;
    enum sl_sim_break midway;
    enum sl_failure kind;
    const char *message;
    uint32_t delay_ms; /* before anything else happens */
};

/* Kinds and delays joined by ',', ';', '+' or spaces: "delay=250, stall-midway". SL_E_INVALID. */
SL_NODISCARD int sl_sim_fault_parse(struct sl_slice text, struct sl_sim_fault *out);

#define SL_SIM_FAULT_RULES 16
struct sl_sim_faults {
    struct {
        struct sl_sim_fault fault;
        uint64_t every;
    } rules[SL_SIM_FAULT_RULES];
    size_t count;
    uint64_t requests;
};
/* "throttle/10,reset-midway/50,delay=200/7"; empty is fine. SL_E_INVALID, SL_E_LIMIT. */
SL_NODISCARD int sl_sim_faults_init(struct sl_sim_faults *faults, struct sl_slice spec);
/* Counts a request; the fault that is its lot (the first rule that applies), or none. */
struct sl_sim_fault sl_sim_faults_next(struct sl_sim_faults *faults);

#endif
