/* What card and plan tell without the network: times that the network cannot tell apart, wasted
   steps and evaluations, what of the data is left at the start and of the noise at the end. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/pack.h"
#include "study/doctor.h"

/* ---- times ------------------------------------------------------------------------------------- */

/* As the network gets it, so that two times can be compared in its own type. */
static dfl_status time_bytes(const card *c, const row *r, unsigned char bytes[8]) {
    const dfl_request rq = {.t = r->t, .tau = r->tau};
    memset(bytes, 0, 8);
    return pack_time(c->form.time_dtype, &rq, 1, bytes);
}

static dfl_status check_times(dfl_doctor *d) {
    const program *code = &d->plan->code;
    const row *before = NULL;
    unsigned char bytes[2][8];
    d->ran[CHECK_TIMES] = true;
    for (size_t i = 0; i < code->nrows; i++) {
        const row *r = &code->rows[i];
        if (r->op != ROW_EVAL) continue;
        if (time_bytes(&d->model->card, r, bytes[0]) != DFL_OK)
            return doctor_find(d, CHECK_TIMES, DFL_ERROR,
                               "the network's type for times has no value for %.9g (t = %.6g)\n"
                               "choose other end times, or a network with a wider time_map dtype",
                               r->tau, r->t);
        if (before && before->t != r->t && memcmp(bytes[0], bytes[1], 8) == 0)
            return doctor_find(d, CHECK_TIMES, DFL_WARNING,
                               "evaluations at t = %.9g and %.9g have the same time in the "
                               "network's type\ntake fewer steps, a grid that is wider there, or a "
                               "network with a wider time_map dtype",
                               before->t, r->t);
        memcpy(bytes[1], bytes[0], 8);
        before = r;
    }
    return DFL_OK;
}

/* ---- steps ------------------------------------------------------------------------------------- */

/* Of the state after the last step. */
static const marginal *end_label(const program *code) {
    for (size_t i = code->nrows; i-- > 0;)
        if (code->rows[i].op == ROW_STEP) return &code->rows[i].at;
    return &code->inputs[0].at;
}

static double log_snr(const marginal *at) {
    return log(at->a[0] / at->b[0]);
}

/* How far each step goes in log-SNR, which is not finite at the ends of infinite log-SNR. */
static dfl_status check_lengths(dfl_doctor *d) {
    const program *code = &d->plan->code;
    double sum = 0, least = INFINITY;
    size_t count = 0, at = 0, k = 0;
    double before = log_snr(&code->inputs[0].at);
    for (size_t i = 0; i < code->nrows; i++) {
        if (code->rows[i].op != ROW_STEP) continue;
        const double now = log_snr(&code->rows[i].at), length = now - before;
        before = now;
        k++;
        if (!isfinite(length)) continue;
        sum += length;
        count++;
        if (length < least) {
            least = length;
            at = k;
        }
    }
    if (count < 2 || least > 0.02 * sum / (double)count) return DFL_OK;
    return doctor_find(d, CHECK_STEPS, DFL_WARNING,
                       "step %zu of %zu goes %.2g of the mean way in log-SNR: its evaluation is "
                       "wasted\ntake another grid (logsnr, karras), or fewer steps",
                       at, d->plan->steps, least * (double)count / sum);
}

static dfl_status check_steps(dfl_doctor *d) {
    d->ran[CHECK_STEPS] = true;
    if (d->plan->code.components == 1) TRY(check_lengths(d));
    if (d->budget > d->plan->nfe)
        TRY(doctor_find(
            d, CHECK_STEPS, DFL_NOTE,
            "of nfe=%zu evaluations %zu are not spent\nask for nfe=%zu, or for a solver "
            "that spends any budget",
            d->budget, d->budget - d->plan->nfe, d->plan->nfe));
    if (d->plan->warnings.len) {
        const int n = (int)strcspn(d->plan->warnings.data, "\n");
        TRY(doctor_find(
            d, CHECK_PLAN, DFL_WARNING,
            "%.*s\nsee the solver's page in docs/solvers, or docs/foreign-models.md for "
            "a published sampler",
            n, d->plan->warnings.data));
    }
    return DFL_OK;
}

/* ---- start and end ----------------------------------------------------------------------------- */

/* Of the row of a label that belongs to x or to the momentum: signal and noise. */
static void label_half(const program *code, const marginal *at, int half, double *a, double *b) {
    *a = at->a[half];
    *b = code->components == 1 ? at->b[0] : hypot(at->b[2 * half], at->b[2 * half + 1]);
}

/* KL(N(a mean, a^2 std^2 + b^2) || N(0, p^2)) for each number; without moments the data are taken
   as points of the range's size. */
static double divergence(const card *c, double a, double b, double p) {
    const double mean = c->has_moments ? c->mean : start_data_size(c);
    const double std = c->has_moments ? c->std : 0;
    return mismatch_number(a * a * mean * mean, a * a * std * std + b * b, p);
}

static dfl_status check_start(dfl_doctor *d) {
    const program *code = &d->plan->code;
    const plan_input *in = &code->inputs[0];
    const double size = start_data_size(&d->model->card);
    double worst = 0;
    d->ran[CHECK_START] = true;
    for (int half = 0; half < code->components; half++) {
        double a, b;
        label_half(code, &in->at, half, &a, &b);
        const double p = code->components == 1 ? fabs(in->scale.v[0]) : b;
        const double signal = fabs(a) / b;
        if (half && !(signal * size > worst)) continue;
        worst = signal * size;
        d->start_signal = signal;
        d->start_divergence = divergence(&d->model->card, a, b, p);
    }
    const int severity = worst > 0.3 ? DFL_ERROR : worst > 0.05 ? DFL_WARNING : DFL_NOTE;
    if (!(worst > 0.02)) return DFL_OK;
    return doctor_find(
        d, CHECK_START, severity,
        "at the start, t = %.6g, data of size %.3g still stand out: a/b = %.3g "
        "(%.2g nats per number), while sampling starts from pure noise\nstart "
        "nearer to t = 1 (t_start, or a grid from the last index: trailing, linspace), or from a "
        "prior (docs/priors.md); if the schedule itself ends there, rescale_betas_zero_snr is the "
        "schedule to train with",
        in->t, size, d->start_signal, d->start_divergence);
}

/* In steps of 1/255 of the range, which a picture shows. */
static dfl_status check_end(dfl_doctor *d) {
    const program *code = &d->plan->code;
    const card *c = &d->model->card;
    double a, b;
    d->ran[CHECK_END] = true;
    label_half(code, end_label(code), 0, &a, &b);
    d->end_noise = b;
    const double levels = b * 255 / (c->range[1] - c->range[0]);
    if (!(levels > 2)) return DFL_OK;
    return doctor_find(d, CHECK_END, levels > 8 ? DFL_ERROR : DFL_WARNING,
                       "the end is not clean: noise of b = %.3g is left in the samples, %.3g steps "
                       "of 255 over the range\nend lower (t_end), or add \"denoise\"",
                       b, levels);
}

dfl_status doctor_check_plan(dfl_doctor *d) {
    if (d->model) TRY(check_times(d));
    TRY(check_steps(d));
    if (!d->model) return DFL_OK;
    TRY(check_start(d));
    return check_end(d);
}
