/* Lines of state, as a damaged disk may hand them back: whatever is read must leave a pool that
 * works, and that saves a line which can be read again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "sluice/base/clock.h"
#include "sluice/sched/estimate.h"
#include "sluice/sched/pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WALL (UINT64_C(1795000000) * SL_NS_PER_S)

static void require(bool holds) {
    if (!holds)
        abort();
}

static void save_and_restore(struct sl_pool *pool, uint64_t now) {
    struct sl_buf line;
    sl_buf_init(&line, 1 << 16);
    require(sl_pool_save(pool, &line, now, WALL + now) == SL_OK);
    require(sl_pool_restore(pool, sl_buf_slice(&line), now, WALL + now) == SL_OK);
    sl_buf_done(&line);
}

static void try_pool(struct sl_slice text, enum sl_window window) {
    struct sl_pool_settings settings;
    sl_pool_settings_default(&settings);
    settings.configured = (struct sl_limits){.rpm = 60, .tpm = 10000, .tpd = 1000000};
    settings.window = window;
    struct sl_pool *pool = sl_pool_new(SL_LIT("p"), &settings, 1, SL_NS_PER_S, WALL);
    require(pool);
    if (sl_pool_restore(pool, text, SL_NS_PER_S, WALL) == SL_OK) {
        uint64_t wait = sl_pool_check(pool, 100, SL_NS_PER_S, WALL).wait_ns;
        uint64_t now = SL_NS_PER_S + (wait == SL_NEVER ? 0 : wait);
        require(wait == SL_NEVER ||
                sl_pool_check(pool, 100, now, WALL + now - SL_NS_PER_S).wait_ns == 0);
        struct sl_reservation r = {.open = false};
        sl_pool_reserve(pool, &r, 100, now, WALL);
        const struct sl_outcome outcome = {.ending = SL_ENDING_THROTTLED, .kind = SL_SCARCE_TOKENS};
        sl_pool_settle(pool, &r, &outcome, now, WALL);
        sl_pool_forecast(pool, 1000, 10, 100, now, WALL);
        save_and_restore(pool, now);
    }
    sl_pool_free(pool);
}

static void try_estimator(struct sl_slice text) {
    struct sl_estimator estimator;
    sl_estimator_init(&estimator);
    if (sl_estimator_restore(&estimator, text) != SL_OK)
        return;
    const struct sl_load load = {.text_bytes = 1000, .images = 1, .image_pixels = 100000};
    uint64_t estimate = sl_estimate_input(&estimator, &load);
    sl_estimator_learn(&estimator, &load, estimate, 1234, 56);
    sl_estimate_output_p99(&estimator, 1);
    sl_estimator_error(&estimator);
    struct sl_buf line;
    sl_buf_init(&line, 1 << 16);
    require(sl_estimator_save(&estimator, &line) == SL_OK);
    require(sl_estimator_restore(&estimator, sl_buf_slice(&line)) == SL_OK);
    sl_buf_done(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sl_slice text = sl_slice_of(data, size);
    for (enum sl_window window = SL_WINDOW_AUTO; window <= SL_WINDOW_FIXED; window++)
        try_pool(text, window);
    try_estimator(text);
    return 0;
}
