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

/* Moments are made whatever is asked for, and neighbours are others than the sample itself. */
size_t metric_least(int metric) {
    return metric == METRIC_PR || metric == METRIC_DC ? DENSITY_NEIGHBOURS + 1 : 2;
}

static bool wants(const comparison *c, int metric) {
    return c->wanted >> (unsigned)metric & 1U;
}

static void add(metric_list *out, int metric, const char *key, const char *name,
                const double value[3]) {
    out->row[out->n++] = (metric_row){metric, key, name, value[0], value[1], value[2]};
}

/* Halves of which something can be said. */
static bool has_halves(const side *real) {
    return real->half_x[1].n >= 2;
}

static dfl_status add_fid(const comparison *c, metric_list *out) {
    const side *const real = c->real;
    double value[3] = {NAN, NAN, NAN};
    TRY(frechet_gaussian(&c->made->g, &real->g, &value[0]));
    if (real->half[1].d) TRY(frechet_gaussian(&real->half[0], &real->half[1], &value[2]));
    add(out, METRIC_FID, "fid", "FID (Frechet distance)", value);
    return DFL_OK;
}

static dfl_status add_kid(const comparison *c, metric_list *out) {
    const side *const made = c->made, *const real = c->real;
    const kid_options o = {0};
    kid_result r, floor = {.mean = NAN};
    TRY(kid(&made->x, &real->x, &o, c->watch, &r));
    if (has_halves(real)) TRY(kid(&real->half_x[0], &real->half_x[1], &o, c->watch, &floor));
    add(out, METRIC_KID, "kid", "KID", (const double[]){r.mean, r.error, floor.mean});
    return DFL_OK;
}

static dfl_status add_inception(const comparison *c, metric_list *out) {
    const double floor = c->real ? c->real->inception : NAN;
    add(out, METRIC_IS, "is", "IS (inception score)",
        (const double[]){c->made->inception, NAN, floor});
    return DFL_OK;
}

static dfl_status add_neighbours(const comparison *c, metric_list *out) {
    const side *const made = c->made, *const real = c->real;
    const prdc_options o = {0};
    const double none = NAN;
    prdc_result r, f = {none, none, none, none};
    TRY(prdc(&real->x, &made->x, &o, c->watch, &r));
    if (real->half_x[1].n > DENSITY_NEIGHBOURS)
        TRY(prdc(&real->half_x[0], &real->half_x[1], &o, c->watch, &f));
    if (wants(c, METRIC_PR)) {
        add(out, METRIC_PR, "precision", "precision",
            (const double[]){r.precision, none, f.precision});
        add(out, METRIC_PR, "recall", "recall", (const double[]){r.recall, none, f.recall});
    }
    if (wants(c, METRIC_DC)) {
        add(out, METRIC_DC, "density", "density", (const double[]){r.density, none, f.density});
        add(out, METRIC_DC, "coverage", "coverage", (const double[]){r.coverage, none, f.coverage});
    }
    return DFL_OK;
}

static dfl_status add_sliced(const comparison *c, metric_list *out) {
    const side *const made = c->made, *const real = c->real;
    const sliced_options o = {0};
    sliced_result r, floor = {.distance = NAN};
    TRY(sliced_wasserstein(&made->x, &real->x, &o, c->watch, &r));
    if (has_halves(real))
        TRY(sliced_wasserstein(&real->half_x[0], &real->half_x[1], &o, c->watch, &floor));
    add(out, METRIC_SW, "sliced_wasserstein", "sliced Wasserstein",
        (const double[]){r.distance, r.error, floor.distance});
    return DFL_OK;
}

/* The floor has the bandwidth of the comparison, so that both are distances in one space. */
static dfl_status add_mmd(const comparison *c, metric_list *out) {
    const side *const made = c->made, *const real = c->real;
    mmd_options o = {0};
    mmd_result r, floor = {.squared = NAN};
    TRY(mmd(&made->x, &real->x, &o, c->watch, &r));
    o.bandwidth = r.bandwidth;
    if (has_halves(real)) TRY(mmd(&real->half_x[0], &real->half_x[1], &o, c->watch, &floor));
    add(out, METRIC_MMD, "mmd_squared", "MMD squared (Gaussian)",
        (const double[]){r.squared, r.error, floor.squared});
    return DFL_OK;
}

#define BIT(metric) (1U << (unsigned)METRIC_##metric)

static const struct {
    unsigned metrics;
    const char *keys;
    dfl_status (*add)(const comparison *c, metric_list *out);
} parts[] = {{BIT(FID), "fid", add_fid},     {BIT(KID), "kid", add_kid},
             {BIT(IS), "is", add_inception}, {BIT(PR) | BIT(DC), "pr, dc", add_neighbours},
             {BIT(SW), "sw", add_sliced},    {BIT(MMD), "mmd", add_mmd}};

dfl_status compare(const comparison *c, text *notes, metric_list *out) {
    *out = (metric_list){0};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (!(c->wanted & parts[i].metrics)) continue;
        const dfl_status status = parts[i].add(c, out);
        if (status == DFL_E_RANGE && notes)
            text_add(notes, "%s cannot be had: %s.\n", parts[i].keys, dfl_last_message());
        else if (status == DFL_E_RANGE)
            return fail_in(status, "%s cannot be had", parts[i].keys);
        else
            TRY(status);
    }
    return notes && notes->failed ? fail_memory() : DFL_OK;
}
