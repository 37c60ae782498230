/* Errors of a plan for Gaussian data, direction by direction. In the eigenbasis of the data's covariance
 * the samples' covariance is diagonal, too, so with standard deviations s and s' of data and samples
 *
 *   W_2^2 = sum of (difference of means)^2 + (s - s')^2
 *
 * is exact. The probability flow of a scalar process keeps the quantile in each direction: with
 * v = a^2 l + b^2 it takes x_t to
 *
 *   x_s = a_s mu + sqrt(v_s/v_t) (x_t - a_t mu).
 *
 * In phase space it turns, too, and has no such form. */
#include "eval/forecast.h"

#include <math.h>

#include "eval/recursion.h"

/* Between what times, and from what spread. */
typedef struct {
    marginal from, to;
    double scale; /* of the start */
    int components;
    bool drawn; /* noise on the way */
} journey;

typedef struct {
    double mean, spread, flow; /* sums of squares */
} sums;

static dfl_status find_journey(const dfl_plan *plan, journey *out) {
    const program *code = &plan->code;
    const row *last = NULL;
    for (size_t i = 0; i < code->nrows; i++)
        if (code->rows[i].op == ROW_STEP) last = &code->rows[i];
    if (!last)
        return fail(DFL_E_COMBINATION,
                    "prediction: the plan has no STEP row, which would say what its result is");
    *out = (journey){.from = code->inputs[0].at,
                     .to = last->at,
                     .scale = code->inputs[0].scale.v[0],
                     .components = code->components,
                     .drawn = plan->draws + plan->picks > 0};
    return DFL_OK;
}

/* Variance along a direction in which the data have l: of positions, in phase space. */
static double variance_at(const marginal *m, int components, double l) {
    const double second = components == 2 ? m->b[1] * m->b[1] : 0;
    return m->a[0] * m->a[0] * l + m->b[0] * m->b[0] + second;
}

static double spread_of(const recursion_result *r) {
    double v = r->noise[0][0];
    for (int j = 0; j < 2; j++) v += r->start[0][j] * r->start[0][j];
    return sqrt(fmax(v, 0));
}

static double square(double x) {
    return x * x;
}

static void add_direction(const journey *j, const recursion_result *r, double l, double mu,
                          sums *s) {
    const double end = sqrt(variance_at(&j->to, j->components, l));
    s->mean += square(mu * (r->unit[0] - j->to.a[0]));
    s->spread += square(spread_of(r) - end);
    if (j->components != 1 || j->drawn) return;
    const double stretch = end / sqrt(variance_at(&j->from, 1, l));
    const double unit = j->to.a[0] - stretch * j->from.a[0];
    s->flow += square(mu * (r->unit[0] - unit)) + square(r->start[0][0] - stretch * j->scale);
}

static dfl_status finish(const journey *j, const sums *s, size_t n, forecast *out) {
    *out = (forecast){.mean = sqrt(s->mean / (double)n), .spread = sqrt(s->spread / (double)n)};
    out->data = hypot(out->mean, out->spread);
    out->has_flow = j->components == 1 && !j->drawn;
    if (out->has_flow) out->flow = sqrt(s->flow / (double)n);
    if (isfinite(out->data) && isfinite(out->flow)) return DFL_OK;
    return fail(DFL_E_NONFINITE, "prediction: the plan's numbers run over for these moments");
}

dfl_status forecast_plan(const dfl_plan *plan, const spectrum *data, forecast *out) {
    const size_t n = data->classes * data->modes;
    recursion *a = NULL;
    journey j = {0};
    sums s = {0};
    TRY(find_journey(plan, &j));
    TRY(recursion_new(plan, &a));
    for (size_t i = 0; i < n; i++) {
        recursion_result r;
        recursion_run(a, data->variance[i], &r);
        add_direction(&j, &r, data->variance[i], data->mean[i], &s);
    }
    recursion_free(a);
    return finish(&j, &s, n, out);
}
