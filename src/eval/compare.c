/* The metrics one after the other, each with its floor: the same metric between the two halves of the
   reference. */
#include "eval/compare.h"

#include <math.h>

const char *const metric_keys[METRICS] = {
    [METRIC_FID] = "fid", [METRIC_KID] = "kid", [METRIC_IS] = "is",  [METRIC_PR] = "pr",
    [METRIC_DC] = "dc",   [METRIC_SW] = "sw",   [METRIC_MMD] = "mmd"};

bool metric_needs_features(int metric) {
    return metric != METRIC_FID && metric != METRIC_IS;
}

static bool wants(unsigned wanted, int metric) {
    return wanted >> (unsigned)metric & 1U;
}

static void add(metric_list *out, int metric, const char *key, const char *name,
                const double value[3]) {
    out->row[out->n++] = (metric_row){metric, key, name, value[0], value[1], value[2]};
}

/* Halves of which something can be said. */
static bool has_halves(const side *real) {
    return real->half_x[1].n >= 2;
}

static dfl_status add_fid(const side *made, const side *real, metric_list *out) {
    double value[3] = {NAN, NAN, NAN};
    TRY(frechet_gaussian(&made->g, &real->g, &value[0]));
    if (real->half[1].d) TRY(frechet_gaussian(&real->half[0], &real->half[1], &value[2]));
    add(out, METRIC_FID, "fid", "FID (Frechet distance)", value);
    return DFL_OK;
}

static dfl_status add_kid(const side *made, const side *real, const metric_watch *watch,
                          metric_list *out) {
    const kid_options o = {0};
    kid_result r, floor = {.mean = NAN};
    TRY(kid(&made->x, &real->x, &o, watch, &r));
    if (has_halves(real)) TRY(kid(&real->half_x[0], &real->half_x[1], &o, watch, &floor));
    add(out, METRIC_KID, "kid", "KID", (const double[]){r.mean, r.error, floor.mean});
    return DFL_OK;
}

static dfl_status add_inception(const side *made, const side *real, metric_list *out) {
    const double floor = real ? real->inception : NAN;
    add(out, METRIC_IS, "is", "IS (inception score)",
        (const double[]){made->inception, NAN, floor});
    return DFL_OK;
}

static dfl_status add_neighbours(unsigned wanted, const side *made, const side *real,
                                 const metric_watch *watch, metric_list *out) {
    const prdc_options o = {0};
    const double none = NAN;
    prdc_result r, f = {none, none, none, none};
    TRY(prdc(&real->x, &made->x, &o, watch, &r));
    if (real->half_x[1].n > DENSITY_NEIGHBOURS)
        TRY(prdc(&real->half_x[0], &real->half_x[1], &o, watch, &f));
    if (wants(wanted, METRIC_PR)) {
        add(out, METRIC_PR, "precision", "precision",
            (const double[]){r.precision, none, f.precision});
        add(out, METRIC_PR, "recall", "recall", (const double[]){r.recall, none, f.recall});
    }
    if (wants(wanted, METRIC_DC)) {
        add(out, METRIC_DC, "density", "density", (const double[]){r.density, none, f.density});
        add(out, METRIC_DC, "coverage", "coverage", (const double[]){r.coverage, none, f.coverage});
    }
    return DFL_OK;
}

static dfl_status add_sliced(const side *made, const side *real, const metric_watch *watch,
                             metric_list *out) {
    const sliced_options o = {0};
    sliced_result r, floor = {.distance = NAN};
    TRY(sliced_wasserstein(&made->x, &real->x, &o, watch, &r));
    if (has_halves(real))
        TRY(sliced_wasserstein(&real->half_x[0], &real->half_x[1], &o, watch, &floor));
    add(out, METRIC_SW, "sliced_wasserstein", "sliced Wasserstein",
        (const double[]){r.distance, r.error, floor.distance});
    return DFL_OK;
}

/* The floor has the bandwidth of the comparison, so that both are distances in one space. */
static dfl_status add_mmd(const side *made, const side *real, const metric_watch *watch,
                          metric_list *out) {
    mmd_options o = {0};
    mmd_result r, floor = {.squared = NAN};
    TRY(mmd(&made->x, &real->x, &o, watch, &r));
    o.bandwidth = r.bandwidth;
    if (has_halves(real)) TRY(mmd(&real->half_x[0], &real->half_x[1], &o, watch, &floor));
    add(out, METRIC_MMD, "mmd_squared", "MMD squared (Gaussian)",
        (const double[]){r.squared, r.error, floor.squared});
    return DFL_OK;
}

dfl_status compare(unsigned wanted, const side *made, const side *real, const metric_watch *watch,
                   metric_list *out) {
    *out = (metric_list){0};
    if (wants(wanted, METRIC_FID)) TRY(add_fid(made, real, out));
    if (wants(wanted, METRIC_KID)) TRY(add_kid(made, real, watch, out));
    if (wants(wanted, METRIC_IS)) TRY(add_inception(made, real, out));
    if (wants(wanted, METRIC_PR) || wants(wanted, METRIC_DC))
        TRY(add_neighbours(wanted, made, real, watch, out));
    if (wants(wanted, METRIC_SW)) TRY(add_sliced(made, real, watch, out));
    return wants(wanted, METRIC_MMD) ? add_mmd(made, real, watch, out) : DFL_OK;
}
