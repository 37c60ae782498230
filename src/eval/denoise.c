/* Noise predictions for likelihoods; see the header.
 *
 * Requests are in double, so that an analytic mixture answers in double; networks round the input
 * to float32 themselves. Central differences take a step of h = 0.01 b(t) by default: error
 * O(h^2) against rounding of 1e-7/h (docs/likelihood.md has the figures). */
#include "eval/denoise.h"

#include <math.h>
#include <stdlib.h>

#include "model/mixture.h"

static dfl_status open_jvp(denoiser *d, bool differences) {
    if (differences) return DFL_OK;
    if (d->model->tangents) d->jvp = d->model;
    return !d->jvp && d->model->jvp ? d->model->jvp(d->model, &d->jvp) : DFL_OK;
}

static dfl_status allocate(denoiser *d) {
    double **const blocks[] = {&d->input, &d->output, &d->tangent,
                               &d->slope, &d->ahead,  &d->behind};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (!(*blocks[i] = mem_array(mem_product(d->batch, d->dim, 1), sizeof(double))))
            return fail_memory();
    d->points = mem_array(d->batch, sizeof *d->points);
    return d->points ? DFL_OK : fail_memory();
}

dfl_status denoiser_new(dfl_model *model, const char *spec, size_t batch, bool differences,
                        denoiser *out) {
    val start;
    *out = (denoiser){.model = model, .dim = card_dim(&model->card), .batch = batch, .step = 0.01};
    dfl_status status = process_new(spec ? spec : model->card.process, &out->process);
    if (status == DFL_OK && (out->process->row->components != 1 || model->card.components != 1))
        status = fail(DFL_E_COMBINATION,
                      "process %s: likelihoods are for processes of one component; phase space is "
                      "not among them",
                      out->process->row->is.name);
    out->scratch.components = 1;
    if (status == DFL_OK) status = program_add_value(&out->scratch, 1, &start);
    if (status == DFL_OK) status = allocate(out);
    if (status == DFL_OK) status = open_jvp(out, differences);
    if (status != DFL_OK) denoiser_free(out);
    return status;
}

void denoiser_free(denoiser *d) {
    if (d->jvp != d->model) dfl_model_free(d->jvp);
    process_free(d->process);
    program_free(&d->scratch);
    free(d->input);
    free(d->output);
    free(d->tangent);
    free(d->slope);
    free(d->ahead);
    free(d->behind);
    free(d->points);
    *d = (denoiser){0};
}

size_t denoiser_cost(const denoiser *d, bool derivative) {
    return derivative && !d->jvp ? 2 : 1;
}

/* Where no signal is left rho is infinite, and the datum cannot be carried there: stop before. */
enum { INFINITE_BEFORE = 1000 };

dfl_status denoiser_start(const denoiser *d, const opt_value *asked, double *T) {
    const process *p = d->process;
    const double most = fmin(d->model->card.t_max, p->t_hi);
    *T = asked->set ? asked->number : most;
    if (!asked->set && !isfinite(process_at(p, *T).rho)) *T = most * (1 - 1.0 / INFINITE_BEFORE);
    TRY(process_check_time(p, "t_start", *T));
    if (*T > most)
        return fail(DFL_E_RANGE, "t_start=%s: the model was made for times up to %s",
                    real_text(*T).s, real_text(most).s);
    if (*T > 0 && isfinite(process_at(p, *T).rho)) return DFL_OK;
    return fail(DFL_E_RANGE, "t_start=%s: a time with both signal and noise is needed",
                real_text(*T).s);
}

/* An analytic mixture is exact at every time; networks, from where they were trained. */
dfl_status denoiser_end(const denoiser *d, const opt_value *asked, double T, double *eps) {
    const process *p = d->process;
    const bool analytic = mixture_in(d->model) != NULL;
    const double least = fmax(analytic ? 0 : d->model->card.t_min, p->t_lo);
    *eps = asked->set ? asked->number : fmax(analytic ? 1e-5 : least, p->t_lo);
    TRY(process_check_time(p, "t_end", *eps));
    if (!(*eps >= least && *eps > 0))
        return fail(DFL_E_RANGE, "t_end=%s: the model was made for times from %s",
                    real_text(*eps).s, real_text(least).s);
    if (*eps < T) return DFL_OK;
    return fail(DFL_E_RANGE, "t_end=%s must be below t_start=%s", real_text(*eps).s,
                real_text(T).s);
}

dfl_status denoise_at(denoiser *d, double t, denoise_time *out) {
    program *const code = &d->scratch;
    code->nrows = code->nterms = 0;
    code->nvalues = 1;
    rows r = {.process = d->process, .form = &d->model->card.form, .out = code};
    rows_eps(&r, 0, t); /* refuses what does not determine the noise */
    TRY(r.status);
    *out = (denoise_time){.t = t, .at = process_at(d->process, t), .split = rows_split_at(&r, t)};
    for (size_t i = 0; i < code->nrows; i++) {
        const row *w = &code->rows[i];
        if (w->op == ROW_EVAL) out->ask = (request_point){w->t, w->tau, w->at, w->gives};
    }
    if (isfinite(out->split.n_x) && isfinite(out->split.n_y)) return DFL_OK;
    return fail(DFL_E_RANGE, "the network's output does not give the noise at t=%s",
                real_text(t).s);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* Rows from `from` on that stand at one time and are neighbours. */
static size_t group_end(const denoise_set *set, size_t from) {
    size_t i = from + 1;
    while (i < set->n && set->at[i].t == set->at[from].t &&
           set->sample[i] == set->sample[i - 1] + 1)
        i++;
    return i;
}

static dfl_status send(const denoiser *d, const denoise_set *set, size_t from, size_t to,
                       bool tangents, bool mixed) {
    const request_point *point = &d->points[from];
    const size_t at = from * d->dim;
    const dfl_request rq = {.count = to - from,
                            .input_dim = d->dim,
                            .output_dim = d->dim,
                            .dtype = DFL_FLOAT64,
                            .input = d->input + at,
                            .output = d->output + at,
                            .t = point->t,
                            .tau = point->tau,
                            .at = point->at,
                            .gives = point->gives,
                            .components = 1,
                            .output_components = 1,
                            .first = set->sample[from],
                            .labels = d->model->card.classes ? set->label + from : NULL,
                            .each = mixed ? point : NULL,
                            .samples = mixed ? set->sample + from : NULL,
                            .tangent = tangents ? d->tangent + at : NULL,
                            .derivative = tangents ? d->slope + at : NULL};
    dfl_model *const who = tangents ? d->jvp : d->model;
    return who->eval(who, &rq);
}

static dfl_status check_finite(const denoiser *d, const denoise_set *set, const double *numbers) {
    for (size_t i = 0; i < set->n * d->dim; i++)
        if (!isfinite(numbers[i]))
            return fail(DFL_E_NONFINITE,
                        "the network's output is not finite at t=%.6g (image %llu)",
                        set->at[i / d->dim].t, (unsigned long long)set->sample[i / d->dim]);
    return DFL_OK;
}

/* Answers d->input, with tangents d->tangent too, into d->output and d->slope. */
static dfl_status ask(denoiser *d, const denoise_set *set, bool tangents) {
    const double begin = seconds_now();
    const bool whole = d->model->mixed_times && group_end(set, 0) < set->n;
    dfl_status status = DFL_OK;
    for (size_t i = 0; i < set->n; i++) d->points[i] = set->at[i].ask;
    for (size_t from = 0; status == DFL_OK && from < set->n;) {
        const size_t to = whole ? set->n : group_end(set, from);
        status = send(d, set, from, to, tangents, whole);
        if (status == DFL_OK && d->watch) status = d->watch(d->user, to - from);
        from = to;
    }
    d->seconds += seconds_now() - begin;
    TRY(status);
    TRY(check_finite(d, set, d->output));
    return tangents ? check_finite(d, set, d->slope) : DFL_OK;
}

/* eps of x + c b v. */
static dfl_status predict(denoiser *d, const denoise_set *set, const double *x, const double *v,
                          double c, double *eps) {
    const size_t dim = d->dim;
    for (size_t i = 0; i < set->n * dim; i++) {
        const denoise_time *at = &set->at[i / dim];
        d->ahead[i] = v ? x[i] + c * at->at.b * v[i] : x[i];
        d->input[i] = at->split.input * d->ahead[i];
    }
    TRY(ask(d, set, false));
    for (size_t i = 0; i < set->n * dim; i++) {
        const rows_split *split = &set->at[i / dim].split;
        eps[i] = split->n_x * d->ahead[i] + split->n_y * d->output[i];
    }
    return DFL_OK;
}

dfl_status denoise(denoiser *d, const denoise_set *set, const double *x, double *eps) {
    return predict(d, set, x, NULL, 0, eps);
}

static dfl_status differences(denoiser *d, const denoise_set *set, const double *x, const double *v,
                              double *eps, double *jv) {
    TRY(predict(d, set, x, v, -d->step, d->behind));
    TRY(predict(d, set, x, v, d->step, eps));
    for (size_t i = 0; i < set->n * d->dim; i++) {
        const double ahead = eps[i];
        jv[i] = (ahead - d->behind[i]) / (2 * d->step * set->at[i / d->dim].at.b);
        eps[i] = (ahead + d->behind[i]) / 2;
    }
    return DFL_OK;
}

dfl_status denoise_along(denoiser *d, const denoise_set *set, const double *x, const double *v,
                         double *eps, double *jv) {
    if (!d->jvp) return differences(d, set, x, v, eps, jv);
    for (size_t i = 0; i < set->n * d->dim; i++) {
        const double c = set->at[i / d->dim].split.input;
        d->input[i] = c * x[i];
        d->tangent[i] = c * v[i];
    }
    TRY(ask(d, set, true));
    for (size_t i = 0; i < set->n * d->dim; i++) {
        const rows_split *split = &set->at[i / d->dim].split;
        eps[i] = split->n_x * x[i] + split->n_y * d->output[i];
        jv[i] = split->n_x * v[i] + split->n_y * d->slope[i];
    }
    return DFL_OK;
}
