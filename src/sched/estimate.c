/*
 * Estimates as products of a size and a learned ratio, one for each kind of content. A call of text
 * alone teaches the ratio of text. A call with one other kind teaches that kind's, from what is
 * left when its text is taken off; with several kinds nothing can be told apart and nothing is
 * learned but the mean.
 *
 * A ratio is a damped mean: the first samples move it by halves and thirds, later ones by 1/16, and
 * no sample counts for more than twice or less than half of what is believed, so that outliers
 * nudge and lasting change gets through. Small samples weigh less: a prompt's fixed overhead would
 * pass for its ratio.
 *
 * Where it starts: 4 bytes a token; images as Anthropic publishes, pixels / 750 and about 1600 at
 * most; the rest are orders of magnitude, there to be replaced.
 */
#include "sluice/sched/estimate.h"

#include "sched/number.h"

#define UNIT         (UINT64_C(1) << 20)
#define ESTIMATE_MAX (UINT64_C(1) << 40)
#define RATIO_MAX    (UNIT << 10)
#define WEIGHT_FULL                                                                                \
    1024 /* bytes, or a picture of 32 x 32, from which on a sample counts in full                  \
          */
#define BINS        32
#define BINS_FULL   4096 /* lengths after which old ones begin to count for less */
#define SAMPLES_MIN 100
#define ERRORS_FULL 256

void sl_estimator_init(struct sl_estimator *e) {
    *e = (struct sl_estimator){
        .text_ratio = UNIT / 4,
        .document_ratio = UNIT / 32, /* a page of 2000 tokens in 64 KiB */
        .video_ratio = UNIT / 512,   /* 256 tokens a second, at 1 Mbit/s */
        .audio_ratio = UNIT / 512,
        .image_ratio = UNIT / 750,
        .image_cap = 1600,
        .image_tokens = 1600,
        .mean = 1000,
    };
}

static uint64_t at_ratio(uint64_t size, uint64_t ratio) {
    return sl_scale(size, ratio, UNIT);
}

static uint64_t sized_images(const struct sl_load *load) {
    return sl_sub_sat(load->images, load->unsized_images);
}

static uint64_t sized_image_tokens(const struct sl_estimator *e, const struct sl_load *load) {
    return sl_min(at_ratio(load->image_pixels, e->image_ratio), sized_images(load) * e->image_cap);
}

/* What is not text. */
static uint64_t media_tokens(const struct sl_estimator *e, const struct sl_load *load) {
    uint64_t sum = sized_image_tokens(e, load);
    sum = sl_add_sat(sum, sl_scale(load->unsized_images, e->image_tokens, 1));
    sum = sl_add_sat(sum, at_ratio(load->document_bytes, e->document_ratio));
    sum = sl_add_sat(sum, at_ratio(load->video_bytes, e->video_ratio));
    return sl_add_sat(sum, at_ratio(load->audio_bytes, e->audio_ratio));
}

uint64_t sl_estimate_input(const struct sl_estimator *e, const struct sl_load *load) {
    uint64_t sum = sl_add_sat(at_ratio(load->text_bytes, e->text_ratio), media_tokens(e, load));
    if (load->elsewhere)
        sum = sl_max(sum, e->mean);
    return sl_min(sum, ESTIMATE_MAX);
}

/* Moves a belief towards a sample by rate/2^16 of the way, rounded up: it gets there in the end. */
static void move(uint64_t *belief, uint64_t sample, uint64_t rate) {
    sample = sl_min(sl_max(sample, *belief / 2), *belief * 2 + 1);
    uint64_t way = sample > *belief ? sample - *belief : *belief - sample;
    uint64_t step = sl_min(sl_scale(way, rate, 1 << 16) + 1, way);
    *belief = sample > *belief ? *belief + step : *belief - step;
    *belief = sl_max(sl_min(*belief, RATIO_MAX), 1);
}

static uint64_t rate_of(const struct sl_estimator *e, uint64_t size) {
    uint64_t rate = (1 << 16) / sl_min(e->samples + 2, 16);
    return sl_scale(rate, sl_min(size, WEIGHT_FULL), WEIGHT_FULL);
}

static void learn_ratio(const struct sl_estimator *e, uint64_t *ratio, uint64_t size,
                        uint64_t tokens) {
    if (size)
        move(ratio, sl_scale(tokens, UNIT, size), rate_of(e, size));
}

static void learn_images(struct sl_estimator *e, const struct sl_load *load, uint64_t tokens) {
    uint64_t sized = sized_images(load);
    uint64_t rate = rate_of(e, WEIGHT_FULL);
    if (!sized)
        move(&e->image_tokens, tokens / load->unsized_images, rate);
    else if (load->unsized_images)
        return;
    else if (at_ratio(load->image_pixels, e->image_ratio) > sized * e->image_cap)
        move(&e->image_cap, tokens / sized, rate);
    else
        learn_ratio(e, &e->image_ratio, load->image_pixels, tokens);
}

static void learn_kinds(struct sl_estimator *e, const struct sl_load *load, uint64_t actual) {
    int kinds = (load->images > 0) + (load->document_bytes > 0) + (load->video_bytes > 0) +
                (load->audio_bytes > 0);
    if (kinds == 0) {
        learn_ratio(e, &e->text_ratio, load->text_bytes, actual);
        return;
    }
    if (kinds > 1)
        return;
    uint64_t rest = sl_sub_sat(actual, at_ratio(load->text_bytes, e->text_ratio));
    if (load->images)
        learn_images(e, load, rest);
    learn_ratio(e, &e->document_ratio, load->document_bytes, rest);
    learn_ratio(e, &e->video_ratio, load->video_bytes, rest);
    learn_ratio(e, &e->audio_ratio, load->audio_bytes, rest);
}

/* Half an octave a bin, from 4: 4, 5, 8, 11, 16 … 185k. The last takes all that is longer. */
static uint64_t bin_edge(uint32_t bin) {
    uint64_t edge = UINT64_C(4) << (bin / 2);
    return bin % 2 ? edge * 181 / 128 : edge;
}

static void learn_output(struct sl_estimator *e, uint64_t output) {
    uint32_t bin = 0, total = 0;
    while (bin < BINS - 1 && output > bin_edge(bin))
        bin++;
    e->output_bins[bin]++;
    for (uint32_t i = 0; i < BINS; i++)
        total += e->output_bins[i];
    for (uint32_t i = 0; total >= BINS_FULL && i < BINS; i++)
        e->output_bins[i] /= 2;
}

void sl_estimator_learn(struct sl_estimator *e, const struct sl_load *load, uint64_t estimated,
                        uint64_t actual_input, uint64_t output) {
    uint64_t actual = sl_min(actual_input, ESTIMATE_MAX);
    estimated = sl_min(estimated, ESTIMATE_MAX);
    e->error_sum += estimated > actual ? estimated - actual : actual - estimated;
    e->actual_sum += actual;
    learn_output(e, output);
    if (load->elsewhere)
        move(&e->mean, actual, rate_of(e, WEIGHT_FULL)); /* says nothing about what is here */
    else
        learn_kinds(e, load, actual);
    if (++e->samples % ERRORS_FULL == 0) {
        e->error_sum /= 2;
        e->actual_sum /= 2;
    }
}

uint64_t sl_estimate_output_p99(const struct sl_estimator *e, uint64_t floor) {
    uint64_t total = 0, below = 0;
    for (uint32_t i = 0; i < BINS; i++)
        total += e->output_bins[i];
    if (total < SAMPLES_MIN)
        return 0;
    uint32_t bin = 0;
    for (; bin < BINS - 1; bin++) {
        below += e->output_bins[bin];
        if (below * 100 >= total * 99)
            break;
    }
    return sl_max(bin_edge(bin) / 4 * 5, floor);
}

uint32_t sl_estimator_error(const struct sl_estimator *e) {
    if (!e->actual_sum)
        return 0;
    return (uint32_t)sl_min(sl_scale(e->error_sum, 1000000, e->actual_sum), UINT32_MAX);
}

/* The state as numbers: the scalars in order, then the bins. */
#define SCALARS 11

static void list_scalars(struct sl_estimator *e, uint64_t *out[SCALARS]) {
    uint64_t *const list[SCALARS] = {&e->text_ratio,   &e->document_ratio, &e->video_ratio,
                                     &e->audio_ratio,  &e->image_ratio,    &e->image_cap,
                                     &e->image_tokens, &e->mean,           &e->samples,
                                     &e->error_sum,    &e->actual_sum};
    for (int i = 0; i < SCALARS; i++)
        out[i] = list[i];
}

int sl_estimator_save(const struct sl_estimator *e, struct sl_buf *out) {
    struct sl_estimator copy = *e;
    uint64_t *scalars[SCALARS];
    list_scalars(&copy, scalars);
    size_t before = out->len;
    int error = sl_buf_add_str(out, "1");
    for (int i = 0; i < SCALARS && !error; i++)
        error = sl_buf_printf(out, " %llu", (unsigned long long)*scalars[i]);
    for (int i = 0; i < BINS && !error; i++)
        error = sl_buf_printf(out, " %u", e->output_bins[i]);
    if (error)
        out->len = before;
    return error;
}

static bool next_number(struct sl_slice *line, uint64_t max, uint64_t *out) {
    struct sl_slice part;
    return sl_slice_split(line, ' ', &part) && sl_slice_u64(part, out) && *out <= max;
}

int sl_estimator_restore(struct sl_estimator *e, struct sl_slice line) {
    struct sl_estimator read = *e;
    uint64_t *scalars[SCALARS], value;
    list_scalars(&read, scalars);
    if (!next_number(&line, 1, &value) || value != 1)
        return SL_E_INVALID;
    for (int i = 0; i < SCALARS; i++)
        if (!next_number(&line, ESTIMATE_MAX * ERRORS_FULL * 2, scalars[i]))
            return SL_E_INVALID;
    for (int i = 0; i < SCALARS - 3; i++)
        *scalars[i] = sl_max(sl_min(*scalars[i], RATIO_MAX), 1);
    for (int i = 0; i < BINS; i++) {
        if (!next_number(&line, BINS_FULL, &value))
            return SL_E_INVALID;
        read.output_bins[i] = (uint32_t)value;
    }
    if (line.ptr)
        return SL_E_INVALID;
    *e = read;
    return SL_OK;
}
