/* Gathering of statistics: a plan runs on the model with a listener between them, which sees every
 * input x and output y. With x = a x_0 + b n and y = cx x_0 + cn n, the noise prediction is
 *
 *   eps = (a y - cx x)/D,  D = a cn - b cx
 *
 * (arXiv 2204.13902 for the sampler; the statistic is that of mtkresearch/Diffusion-DEIS-SN, which
 * keeps one batch, while here all count). */
#include "study/sums.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const opt_row options[] = {
    {"samples", OPT_INT, "256", 1, 1 << 20, NULL, "samples that are averaged over"},
    {"seed", OPT_INT, "0", 0, 9e18, NULL, "seed of all random numbers"},
    {"first", OPT_INT, "0", 0, 4e18, NULL, "index of the first sample"},
    {"batch", OPT_INT, "64", 1, 1 << 20, NULL, "samples held in memory at once"},
    {"bins", OPT_INT, NULL, 2, STATS_TIMES_MAX, NULL,
     "times of the result; as many as there are evaluated"},
    {0},
};

struct dfl_stats {
    dfl_model tap; /* what the run takes for the model; its card is the model's */
    dfl_model *model;
    dfl_plan *plan;
    dfl_run *run;
    opts options;
    uint64_t samples, first; /* wanted */
    size_t batch, at;        /* at: evaluations of the batch so far */
    stats_sums have;
    double *fresh; /* [have.n] of the batch */
    float *drawn;  /* [batch][dim] */
    dfl_stats_fn fn;
    void *user;
    size_t done, total; /* evaluations of samples, in the batches of this call and to come */
};

/* ---- the listener ---------------------------------------------------------------------------- */

static double mean_abs_eps(const dfl_request *rq, size_t i) {
    const double cx = rq->gives.cx[0], cn = rq->gives.cn[0];
    const double d = rq->at.a[0] * cn - rq->at.b[0] * cx;
    const double on_y = cx == 0 ? 1 / cn : rq->at.a[0] / d, on_x = cx == 0 ? 0 : -cx / d;
    const float *x = (const float *)rq->input + i * rq->input_dim;
    const float *y = (const float *)rq->output + i * rq->output_dim;
    double sum = 0;
    for (size_t k = 0; k < rq->input_dim; k++) sum += fabs(on_y * y[k] + on_x * x[k]);
    return sum / (double)rq->input_dim;
}

static int tap_eval(dfl_model *self, const dfl_request *rq) {
    dfl_stats *const s = (dfl_stats *)self;
    TRY(s->model->eval(s->model, rq));
    for (size_t i = 0; i < rq->count; i++) {
        const double mean = mean_abs_eps(rq, i);
        if (!isfinite(mean))
            return fail(DFL_E_NONFINITE,
                        "statistics: the noise prediction for sample %llu at t=%g is not finite",
                        (unsigned long long)(rq->first + i), rq->t);
        s->fresh[s->at] += ldexp(nearbyint(ldexp(mean, 32)), -32);
    }
    s->at++;
    s->done += rq->count;
    return s->fn ? s->fn(s->user, s->done, s->total) : 0;
}

/* ---- setting up ------------------------------------------------------------------------------ */

/* The spec of a plan with defaults of its own: a fine run at evenly spaced times, those of a table
   where the network was trained up to t = 1. */
static dfl_status complete_spec(const card *c, const char *spec, text *out) {
    opts o;
    TRY(opts_parse_words("statistics", plan_options, spec, &o));
    dfl_status status = DFL_OK;
    text_add(out, "%s", spec);
    if (!opt_get(&o, "solver")->given) text_add(out, " solver=deis:order=2");
    if (!opt_get(&o, "grid")->given)
        text_add(out, c->t_max < 1 ? " grid=uniform" : " grid=trailing");
    if (!opt_get(&o, "steps")->given && !opt_get(&o, "nfe")->given) text_add(out, " nfe=1000");
    if (opt_bool(&o, "thresholding"))
        status = fail(DFL_E_COMBINATION, "statistics are gathered without thresholding");
    if (out->failed && status == DFL_OK) status = fail_memory();
    opts_free(&o);
    return status;
}

static dfl_status make_plan(dfl_stats *s, const char *spec) {
    text full = {0};
    dfl_status status = complete_spec(&s->model->card, spec, &full);
    if (status == DFL_OK) status = dfl_plan_new(s->model, full.data, &s->plan);
    text_free(&full);
    TRY(status);
    if (s->plan->code.components != 1)
        return fail(DFL_E_COMBINATION,
                    "statistics are for solver deis_sn, which works on scalar processes only");
    if (s->plan->nfe < 2 || s->plan->nfe > STATS_TIMES_MAX)
        return fail(DFL_E_RANGE, "statistics of %zu evaluations: 2 to %d are allowed", s->plan->nfe,
                    STATS_TIMES_MAX);
    return DFL_OK;
}

static double last_time(const dfl_plan *plan) {
    double t = plan->code.inputs[0].t;
    for (size_t i = 0; i < plan->code.nrows; i++)
        if (plan->code.rows[i].op == ROW_STEP) t = plan->code.rows[i].t;
    return t;
}

/* One scale; or both as a text, so that no such file is taken for one without a classifier. */
static json_t *guidance(const dfl_model *model) {
    const double scale = model->guided ? model->guidance : 1;
    text both = {0};
    if (model->classifier_guidance == 0) return json_real(scale);
    text_real(&both, scale);
    text_add(&both, " and classifier ");
    text_real(&both, model->classifier_guidance);
    json_t *made = both.failed ? NULL : json_string(both.data);
    text_free(&both);
    return made;
}

static dfl_status describe(dfl_stats *s) {
    const dfl_plan *plan = s->plan;
    const card *c = &s->model->card;
    stats_sums *have = &s->have;
    char card_digest[DIGEST_HEX];
    TRY(model_digest(s->model, have->digest));
    TRY(model_card_digest(s->model, card_digest));
    if (!*have->digest)
        return fail(DFL_E_ARG, "statistics need a model with a network, not a card alone");
    if (c->name && !(have->network = text_copy(c->name))) return fail_memory();
    json_error_t error;
    have->settings = json_pack_ex(&error, 0, "{s:s, s:s, s:s, s:f, s:f, s:I, s:I, s:o, s:I, s:s}",
                                  "solver", plan->meta.solver, "grid", plan->meta.grid, "process",
                                  plan->meta.process, "t_start", plan->code.inputs[0].t, "t_end",
                                  last_time(plan), "steps", (json_int_t)plan->steps, "nfe",
                                  (json_int_t)plan->nfe, "guidance", guidance(s->model), "bins",
                                  (json_int_t)have->bins, stats_card_key, card_digest);
    if (have->settings) return DFL_OK;
    if (json_error_code(&error) != json_error_invalid_utf8) return fail_memory();
    return fail(DFL_E_FORMAT, "statistics: solver, grid or process is not UTF-8");
}

static dfl_status allocate(dfl_stats *s) {
    stats_sums *have = &s->have;
    const size_t dim = card_dim(&s->model->card);
    size_t e = 0;
    have->n = s->plan->nfe;
    have->time = mem_array(have->n, sizeof(double));
    have->sum = mem_array(have->n, sizeof(double));
    have->range = mem_array(1, sizeof *have->range);
    s->fresh = mem_array(have->n, sizeof(double));
    s->drawn = mem_array(mem_product(s->batch, dim, 1), sizeof(float));
    if (!have->time || !have->sum || !have->range || !s->fresh || !s->drawn) return fail_memory();
    for (size_t i = 0; i < s->plan->code.nrows; i++)
        if (s->plan->code.rows[i].op == ROW_EVAL) have->time[e++] = s->plan->code.rows[i].t;
    have->range[0] = (stats_range){(uint64_t)opt_int(&s->options, "seed"), s->first, 0};
    have->nranges = 1;
    return DFL_OK;
}

static dfl_status make_run(dfl_stats *s) {
    text line = {0};
    text_add(&line, "seed=%lld,batch=%zu", opt_int(&s->options, "seed"), s->batch);
    s->tap = (dfl_model){.card = s->model->card, .eval = tap_eval, .calls = s->model->calls};
    const dfl_status status =
        line.failed ? fail_memory() : dfl_run_new(s->plan, &s->tap, line.data, &s->run);
    text_free(&line);
    return status;
}

static dfl_status prepare(dfl_stats *s, const char *spec, const char *text_options) {
    TRY(opts_parse("statistics", options, text_options, &s->options));
    s->samples = (uint64_t)opt_int(&s->options, "samples");
    s->first = (uint64_t)opt_int(&s->options, "first");
    s->batch = (size_t)opt_int(&s->options, "batch");
    if (s->batch > s->samples) s->batch = (size_t)s->samples;
    TRY(make_plan(s, spec));
    TRY(allocate(s));
    if (opt_get(&s->options, "bins")->set)
        s->have.bins = (size_t)opt_int(&s->options, "bins");
    else
        TRY(stats_times(&s->have, &s->have.bins));
    if (s->have.bins < 2)
        return fail(DFL_E_RANGE, "statistics need evaluations at two times at least");
    TRY(describe(s));
    return make_run(s);
}

dfl_status dfl_stats_new(dfl_model *model, const char *spec, const char *text_options,
                         dfl_stats **out) {
    if (!out) return fail(DFL_E_ARG, "dfl_stats_new: out is NULL");
    *out = NULL;
    if (!model) return fail(DFL_E_ARG, "dfl_stats_new: model is NULL");
    dfl_stats *s = mem_array(1, sizeof *s);
    if (!s) return fail_memory();
    s->model = model;
    const dfl_status status = prepare(s, spec ? spec : "", text_options ? text_options : "");
    if (status != DFL_OK)
        dfl_stats_free(s);
    else
        *out = s;
    return status;
}

void dfl_stats_free(dfl_stats *s) {
    if (!s) return;
    dfl_run_free(s->run);
    dfl_plan_free(s->plan);
    opts_free(&s->options);
    stats_sums_free(&s->have);
    free(s->fresh);
    free(s->drawn);
    free(s);
}

/* ---- gathering ------------------------------------------------------------------------------- */

dfl_status dfl_stats_resume(dfl_stats *s, const char *path) {
    if (!s || !path) return fail(DFL_E_ARG, "dfl_stats_resume: stats and path must not be NULL");
    stats_sums from = {0};
    dfl_status status = stats_read(path, &from);
    if (status == DFL_OK) status = stats_same(&s->have, &from, path);
    const stats_range *mine = &s->have.range[0], *theirs = from.range;
    if (status == DFL_OK &&
        (from.nranges != 1 || theirs->seed != mine->seed || theirs->first != s->first))
        status = fail(DFL_E_COMBINATION,
                      "%s holds statistics of other samples (seed or first differ); remove it or "
                      "name another file",
                      path);
    if (status == DFL_OK) {
        memcpy(s->have.sum, from.sum, from.n * sizeof *from.sum);
        s->have.range[0].count = theirs->count;
    }
    stats_sums_free(&from);
    return status;
}

size_t dfl_stats_samples(const dfl_stats *s) {
    return s ? (size_t)s->have.range[0].count : 0;
}

size_t dfl_stats_left(const dfl_stats *s) {
    const size_t have = dfl_stats_samples(s);
    return s && have < s->samples ? (size_t)s->samples - have : 0;
}

size_t dfl_stats_nfe(const dfl_stats *s) {
    return s ? s->have.n : 0;
}

dfl_status dfl_stats_batch(dfl_stats *s, dfl_stats_fn fn, void *user) {
    if (!s) return fail(DFL_E_ARG, "dfl_stats_batch: stats is NULL");
    const uint64_t from = s->first + s->have.range[0].count;
    const size_t left = dfl_stats_left(s);
    size_t count = s->batch - (size_t)(from % s->batch);
    if (count > left) count = left;
    if (count == 0) return DFL_OK;
    s->fn = fn;
    s->user = user;
    s->at = 0;
    s->done = 0;
    s->total = mem_product(count, s->have.n, 1);
    memset(s->fresh, 0, s->have.n * sizeof *s->fresh);
    TRY(dfl_run_sample(s->run, from, count, NULL, NULL, s->drawn));
    for (size_t e = 0; e < s->have.n; e++) s->have.sum[e] += s->fresh[e];
    s->have.range[0].count += count;
    return DFL_OK;
}

dfl_status dfl_stats_save(const dfl_stats *s, const char *path) {
    if (!s || !path) return fail(DFL_E_ARG, "dfl_stats_save: stats and path must not be NULL");
    if (dfl_stats_samples(s) == 0)
        return fail(DFL_E_ARG, "dfl_stats_save: no sample has been drawn yet");
    return stats_write(&s->have, path);
}
