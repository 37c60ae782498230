/* The terms of the bound; see the header. */
#include "eval/bound.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/probe.h"

/* ---- coefficients ---------------------------------------------------------------------------- */

/* (a, b) as the bound sees them. */
static scalar_at seen_at(const process *p, double t) {
    scalar_at at = process_at(p, t);
    if (p->row->unit_signal) at.a = 1, at.b = at.rho;
    return at;
}

/* be = -b_t^2 expm1(2 (lambda_t - lambda_s)): nothing cancels where steps are small. */
bound_term bound_term_of(const process *p, double s, double t, size_t dim, bound_variance v) {
    const scalar_at from = seen_at(p, s), to = seen_at(p, t);
    const double be = -to.b * to.b * expm1(2 * (to.lambda - from.lambda));
    const double ratio = from.b * from.b / (to.b * to.b), q = be * ratio;
    const double variance = v == VARIANCE_BE ? be : q, excess = v == VARIANCE_BE ? ratio : 1;
    const double scaled = from.a * be / (to.b * to.b);
    bound_term out = {.constant = (double)dim / 2 * (excess - 1 - log(excess)),
                      .scaled = scaled * scaled / (2 * variance)};
    out.factor = out.scaled * to.rho * to.rho;
    return out;
}

double decoder_log_level(int level, double mean, double sd, const double range[2]) {
    const double step = (range[1] - range[0]) / 255, centre = range[0] + step * level;
    const double root2 = 1.41421356237309504880;
    double upper = level == 255 ? INFINITY : (centre + step / 2 - mean) / sd;
    double lower = level == 0 ? -INFINITY : (centre - step / 2 - mean) / sd;
    if (centre < mean) { /* the same from the other side, where tails are small */
        const double swap = upper;
        upper = -lower;
        lower = -swap;
    }
    const double share = (erfc(lower / root2) - erfc(upper / root2)) / 2;
    return log(fmax(share, 1e-12));
}

/* ---- life ------------------------------------------------------------------------------------ */

void bound_free(bound *b) {
    free(b->x);
    free(b->at);
    b->x = NULL;
    b->at = NULL;
}

dfl_status bound_init(bound *b) {
    const size_t block = mem_product(b->net->batch, b->net->dim, 1);
    denoise_time at;
    b->x = mem_array(mem_product(block, 3, 1), sizeof *b->x);
    b->at = mem_array(b->net->batch, sizeof *b->at);
    dfl_status status = b->x && b->at ? DFL_OK : fail_memory();
    if (status == DFL_OK) {
        b->noise = b->x + block;
        b->eps_hat = b->x + 2 * block;
    }
    /* what cannot be asked is refused before the first evaluation */
    for (int i = 0; status == DFL_OK && i < b->S; i++) status = denoise_at(b->net, b->t[i], &at);
    if (status != DFL_OK) bound_free(b);
    return status;
}

/* ---- one evaluation -------------------------------------------------------------------------- */

dfl_status bound_evaluate(bound *b, const bound_data *data, const int *index) {
    const size_t dim = b->net->dim;
    const denoise_set set = {data->n, b->at, data->sample, data->label};
    for (size_t i = 0; i < data->n; i++) {
        const uint32_t key = (uint32_t)(data->draw * (size_t)b->S + (size_t)index[i]);
        if (i > 0 && index[i] == index[i - 1])
            b->at[i] = b->at[i - 1];
        else
            TRY(denoise_at(b->net, b->t[index[i]], &b->at[i]));
        noise_normals(b->seed, DRAW_BOUND, key, data->sample[i], 0, dim, b->noise + i * dim);
        for (size_t d = i * dim; d < (i + 1) * dim; d++)
            b->x[d] = b->at[i].at.a * data->data[d] + b->at[i].at.b * b->noise[d];
    }
    return denoise(b->net, &set, b->x, b->eps_hat);
}

/* Prediction of the datum's element d of sample i. */
static double clean(const bound *b, size_t i, size_t d) {
    const scalar_at *at = &b->at[i].at;
    const double x0 = (b->x[d] - at->b * b->eps_hat[d]) / at->a;
    return b->clip ? fmin(fmax(x0, b->range[0]), b->range[1]) : x0;
}

double bound_square(const bound *b, size_t i) {
    double sum = 0;
    for (size_t d = i * b->net->dim; d < (i + 1) * b->net->dim; d++) {
        const double off = b->noise[d] - b->eps_hat[d];
        sum += off * off;
    }
    return sum;
}

static double transition(const bound *b, const bound_data *data, size_t i, int index) {
    const size_t dim = b->net->dim;
    const bound_term w =
        bound_term_of(b->net->process, b->t[index - 1], b->t[index], dim, b->variance);
    double sum = 0;
    if (!b->clip) return w.constant + w.factor * bound_square(b, i);
    for (size_t d = i * dim; d < (i + 1) * dim; d++) {
        const double off = data->data[d] - clean(b, i, d);
        sum += off * off;
    }
    return w.constant + w.scaled * sum;
}

double bound_decoder(const bound *b, const bound_data *data, size_t i) {
    const size_t dim = b->net->dim;
    const double sd = seen_at(b->net->process, b->t[0]).b;
    double sum = 0;
    for (size_t d = i * dim; d < (i + 1) * dim; d++) {
        const double mean = clean(b, i, d), off = (data->data[d] - mean) / sd;
        const double level = (data->data[d] - b->range[0]) / (b->range[1] - b->range[0]) * 255;
        sum -= b->levels ? decoder_log_level((int)lround(level), mean, sd, b->range)
                         : -off * off / 2 - log(sd) - LOG_2PI / 2;
    }
    return sum;
}

/* ---- the sum --------------------------------------------------------------------------------- */

static dfl_status average_prior(bound *b, const bound_data *data, size_t i, double *out) {
    const size_t dim = b->net->dim;
    const scalar_at at = process_at(b->net->process, b->t[b->S - 1]);
    const int64_t label = data->label ? data->label[i] : -1;
    double sum = 0, logp[PRIOR_DRAWS];
    for (size_t k = 0, n; k < PRIOR_DRAWS; k += n) {
        n = PRIOR_DRAWS - k < b->net->batch ? PRIOR_DRAWS - k : b->net->batch;
        for (size_t j = 0; j < n; j++) {
            double *const x = b->x + j * dim;
            const uint32_t key = (uint32_t)(data->draw * PRIOR_DRAWS + k + j);
            noise_normals(b->seed, DRAW_PRIOR, key, data->sample[i], 0, dim, x);
            for (size_t d = 0; d < dim; d++) x[d] = at.a * data->data[i * dim + d] + at.b * x[d];
        }
        TRY(b->nu->logp(b->nu, b->x, n, label, logp));
        for (size_t j = 0; j < n; j++) sum += logp[j];
    }
    *out = sum / PRIOR_DRAWS;
    return DFL_OK;
}

/* -H(p_{T|0}) - E log nu(x_T). */
static dfl_status prior_term(bound *b, const bound_data *data, size_t i, double *out) {
    const size_t dim = b->net->dim;
    const scalar_at at = process_at(b->net->process, b->t[b->S - 1]);
    const double entropy = (double)dim / 2 * (LOG_2PI + 1 + 2 * log(at.b));
    double cross = 0;
    if (b->nu->cross)
        cross = b->nu->cross(b->nu, data->data + i * dim, at.a, at.b);
    else
        TRY(average_prior(b, data, i, &cross));
    *out = -entropy - cross;
    return DFL_OK;
}

/* Term number j of the choice: all in their order, or one out of each of `terms` equal parts of them,
   by one offset u of the sample: every term is taken with the same probability. */
static int choose(const bound *b, const bound_data *data, size_t i, int j) {
    if (b->terms == 0) return b->S - 1 - j;
    const double u = noise_uniform(b->seed, DRAW_TERMS, (uint32_t)data->draw, data->sample[i]);
    const int at = (int)(((double)j + u) / b->terms * (b->S - 1));
    return 1 + (at < b->S - 1 ? at : b->S - 2);
}

static dfl_status add_term(bound *b, const bound_data *data, const int *index, bound_value *out,
                           double *terms) {
    const double weight = b->terms ? (double)(b->S - 1) / b->terms : 1;
    TRY(bound_evaluate(b, data, index));
    for (size_t i = 0; i < data->n; i++) {
        const bool last = index[i] == 0;
        const double value = last ? bound_decoder(b, data, i) : transition(b, data, i, index[i]);
        if (!isfinite(value))
            return fail(DFL_E_NONFINITE, "the bound of image %llu is not finite at t=%g",
                        (unsigned long long)data->sample[i], b->t[index[i]]);
        if (last)
            out[i].decoder = value;
        else
            out[i].path += weight * value;
        if (terms) terms[i * (size_t)b->S + (size_t)index[i]] = value;
        out[i].nfe += (size_t)b->net->model->calls;
    }
    return DFL_OK;
}

dfl_status bound_run(bound *b, const bound_data *data, bound_value *out, double *terms) {
    const int count = b->terms ? b->terms : b->S - 1;
    dfl_status status = DFL_OK;
    int *const index = mem_array(data->n, sizeof *index);
    if (!index) return fail_memory();
    memset(out, 0, data->n * sizeof *out);
    for (size_t i = 0; status == DFL_OK && i < data->n; i++)
        status = prior_term(b, data, i, &out[i].prior);
    for (int j = 0; status == DFL_OK && j < count; j++) {
        for (size_t i = 0; i < data->n; i++) index[i] = choose(b, data, i, j);
        status = add_term(b, data, index, out, terms);
    }
    memset(index, 0, data->n * sizeof *index);
    if (status == DFL_OK) status = add_term(b, data, index, out, terms);
    free(index);
    return status;
}
