/* Slopes of the augmented flow, fixed steps, and the value at the end; see the header. */
#include "eval/flow_logp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- life ------------------------------------------------------------------------------------ */

void flow_logp_free(flow_logp *f) {
    free(f->x);
    free(f->trace);
    free(f->at);
    free(f->states);
    f->x = f->trace = f->states = NULL;
    f->at = NULL;
}

dfl_status flow_logp_init(flow_logp *f) {
    const size_t batch = f->net->batch, block = mem_product(batch, f->net->dim, 1);
    denoise_time at;
    f->x = mem_array(mem_product(block, 5, 1), sizeof *f->x);
    f->trace = mem_array(batch, sizeof *f->trace);
    f->at = mem_array(batch, sizeof *f->at);
    f->states = mem_array(mem_product(batch, f->net->dim + 1, 4), sizeof *f->states);
    dfl_status status = f->x && f->trace && f->at && f->states ? DFL_OK : fail_memory();
    if (status == DFL_OK) {
        f->eps_hat = f->x + block;
        f->v = f->x + 2 * block;
        f->jv = f->x + 3 * block;
        f->sum = f->x + 4 * block;
        status = denoise_at(f->net, f->eps, &at);
    }
    if (status == DFL_OK) status = denoise_at(f->net, f->T, &at);
    if (status != DFL_OK) flow_logp_free(f);
    return status;
}

/* ---- slopes ---------------------------------------------------------------------------------- */

/* x = scale z; dz/du = on_z z + on_n n. */
typedef struct {
    double scale, on_z, on_n;
} change;

static change change_at(flow_form form, const scalar_at *at) {
    const double s = hypot(at->a, at->b), b = at->b / s;
    switch (form) {
    case FORM_T: return (change){1, at->drift, at->g2 / (2 * at->b)};
    case FORM_SIGMA: return (change){at->a, 0, at->rho};
    case FORM_UNIT: break;
    }
    return (change){s, -b * b, b};
}

/* One probe's part of prediction and trace. */
static dfl_status add_probe(flow_logp *f, const flow_lot *lot, size_t k) {
    const size_t dim = f->net->dim;
    const denoise_set set = {lot->n, f->at, lot->sample, lot->label};
    const double weight = probe_weight(&f->probes), share = 1 / (double)f->probes.count;
    for (size_t i = 0; i < lot->n; i++)
        probe_fill(&f->probes, lot->sample[i], lot->draw, k, f->v + i * dim);
    TRY(denoise_along(f->net, &set, f->x, f->v, f->eps_hat, f->jv));
    for (size_t i = 0; i < lot->n; i++) {
        double dot = 0;
        for (size_t d = i * dim; d < (i + 1) * dim; d++) {
            dot += f->v[d] * f->jv[d];
            f->sum[d] += share * f->eps_hat[d];
        }
        f->trace[i] += weight * dot;
    }
    return DFL_OK;
}

dfl_status flow_slopes(flow_logp *f, const flow_lot *lot) {
    const size_t dim = f->net->dim;
    for (size_t i = 0; i < lot->n; i++) {
        const change c = change_at(f->form, &f->at[i].at);
        for (size_t d = 0; d < dim; d++) f->x[i * dim + d] = c.scale * lot->z[i][d];
    }
    memset(f->trace, 0, lot->n * sizeof *f->trace);
    memset(f->sum, 0, lot->n * dim * sizeof *f->sum);
    for (size_t k = 0; k < f->probes.count; k++) TRY(add_probe(f, lot, k));
    for (size_t i = 0; i < lot->n; i++) {
        const change c = change_at(f->form, &f->at[i].at);
        double *const slope = lot->k[i];
        for (size_t d = 0; d < dim; d++)
            slope[d] = c.on_z * lot->z[i][d] + c.on_n * f->sum[i * dim + d];
        slope[dim] = (double)dim * c.on_z + c.on_n * c.scale * f->trace[i];
    }
    return DFL_OK;
}

/* ---- fixed steps ----------------------------------------------------------------------------- */

/* In both methods a stage starts from the slope before it. */
typedef struct {
    int stages;
    double node[4], weight[4];
} method;

static const method methods[] = {
    [FLOW_RK4] = {4, {0, 0.5, 0.5, 1}, {1.0 / 6, 1.0 / 3, 1.0 / 3, 1.0 / 6}},
    [FLOW_HEUN] = {2, {0, 1}, {0.5, 0.5}}};

static double variable(const flow_logp *f, double t) {
    return f->form == FORM_T ? t : log(process_at(f->net->process, t).rho);
}

static double time_at(const flow_logp *f, double share) {
    const double u0 = variable(f, f->eps), u1 = variable(f, f->T);
    if (share <= 0) return f->eps;
    if (share >= 1) return f->T;
    const double u = u0 + share * (u1 - u0);
    const double t = f->form == FORM_T ? u : process_time_of_rho(f->net->process, exp(u));
    return fmin(fmax(t, f->eps), f->T);
}

/* Rows of states: where a sample stands, what is asked, its slope, the step's sum. */
typedef struct {
    double *z, *w, *k, *sum;
} fixed;

static dfl_status stage(flow_logp *f, const flow_lot *lot, double share) {
    denoise_time at;
    TRY(denoise_at(f->net, time_at(f, share), &at));
    for (size_t i = 0; i < lot->n; i++) f->at[i] = at;
    return flow_slopes(f, lot);
}

static dfl_status step(flow_logp *f, const flow_lot *lot, const fixed *x, size_t number) {
    const method *m = &methods[f->solver];
    const size_t n = lot->n * (f->net->dim + 1);
    const double steps = (double)f->steps;
    const double h = (variable(f, f->T) - variable(f, f->eps)) / steps;
    memcpy(x->sum, x->z, n * sizeof *x->z);
    for (int s = 0; s < m->stages; s++) {
        const double reach = s ? m->node[s] * h : 0;
        for (size_t i = 0; i < n; i++) x->w[i] = x->z[i] + reach * x->k[i];
        TRY(stage(f, lot, ((double)number + m->node[s]) / steps));
        for (size_t i = 0; i < n; i++) x->sum[i] += m->weight[s] * h * x->k[i];
    }
    memcpy(x->z, x->sum, n * sizeof *x->z);
    return DFL_OK;
}

static dfl_status fixed_steps(flow_logp *f, const flow_data *data, double *states, size_t *slopes) {
    const size_t width = f->net->dim + 1, block = f->net->batch * width;
    const fixed x = {states, states + block, states + 2 * block, states + 3 * block};
    dfl_status status = DFL_OK;
    double **const of = mem_array(2 * data->n, sizeof *of);
    if (!of) return fail_memory();
    memset(x.k, 0, data->n * width * sizeof *x.k);
    for (size_t i = 0; i < data->n; i++) {
        of[i] = x.w + i * width;
        of[data->n + i] = x.k + i * width;
        slopes[i] = f->steps * (size_t)methods[f->solver].stages;
    }
    const flow_lot lot = {data->n, data->sample, data->label, data->draw, of, of + data->n};
    for (size_t i = 0; status == DFL_OK && i < f->steps; i++) status = step(f, &lot, &x, i);
    free(of);
    return status;
}

/* ---- the value ------------------------------------------------------------------------------- */

static dfl_status read_value(const flow_logp *f, const flow_data *data, size_t i, flow_value *out) {
    const size_t dim = f->net->dim;
    const process *p = f->net->process;
    const scalar_at first = process_at(p, f->eps), last = process_at(p, f->T);
    const double scale = change_at(f->form, &last).scale;
    double *const z = f->states + i * (dim + 1);
    const double path = z[dim] + (double)dim * log(scale / change_at(f->form, &first).scale);
    for (size_t d = 0; d < dim; d++) z[d] *= scale;
    TRY(f->nu->logp(f->nu, z, 1, data->label ? data->label[i] : -1, &out->prior));
    out->path = path + (p->row->unit_signal ? (double)dim * log(first.a) : 0);
    out->logp = out->prior + out->path;
    if (isfinite(out->logp)) return DFL_OK;
    return fail(DFL_E_NONFINITE,
                "the log-density of image %llu is not finite; more steps are needed",
                (unsigned long long)data->sample[i]);
}

dfl_status flow_logp_run(flow_logp *f, const flow_data *data, flow_value *out) {
    const size_t dim = f->net->dim;
    const scalar_at first = process_at(f->net->process, f->eps);
    const double signal = f->net->process->row->unit_signal ? first.a : 1;
    const double scale = signal / change_at(f->form, &first).scale;
    size_t *const slopes = mem_array(data->n, sizeof *slopes);
    if (!slopes) return fail_memory();
    for (size_t i = 0; i < data->n; i++) {
        double *const z = f->states + i * (dim + 1);
        for (size_t d = 0; d < dim; d++) z[d] = scale * data->data[i * dim + d];
        z[dim] = 0;
    }
    dfl_status status = f->solver == FLOW_ODE45 ? flow_adaptive(f, data, f->states, slopes)
                                                : fixed_steps(f, data, f->states, slopes);
    for (size_t i = 0; status == DFL_OK && i < data->n; i++) {
        status = read_value(f, data, i, &out[i]);
        out[i].nfe = slopes[i] * f->probes.count * denoiser_cost(f->net, true) *
                     (size_t)f->net->model->calls;
    }
    free(slopes);
    return status;
}
