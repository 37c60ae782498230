/* Adaptive likelihoods: study's Dormand-Prince pair on the state with its log-density as one more
   number, so that the error of that number controls the steps, too. Samples stand at their own times
   and are answered together; what happens to one never depends on the others. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/flow_logp.h"
#include "study/ode.h"

typedef struct {
    flow_logp *f;
    const flow_data *data;
    dfl_ode ode; /* options, times and scratch for the lanes; no model */
    ode_lane *lanes;
    double *memory;
    size_t *live; /* numbers of the lanes that are on their way, in order */
    size_t nlive;
    uint64_t *sample;
    int64_t *label;
    double **z, **k;
} pool;

static void release(pool *p) {
    free(p->ode.scratch);
    free(p->lanes);
    free(p->memory);
    free(p->live);
    free(p->sample);
    free(p->label);
    free(p->z);
}

static dfl_status prepare(pool *p) {
    const size_t n = p->data->n, width = p->f->net->dim + 1, each = ODE_STAGES + 2;
    flow_logp *const f = p->f;
    dfl_ode *const ode = &p->ode;
    ode->flow.process = f->net->process;
    ode->flow.scratch.components = 1;
    ode->rtol = f->rtol;
    ode->atol = f->atol;
    ode->max_nfe = f->max_nfe;
    ode->n = ode->dim = width;
    ode->t[0] = f->eps;
    ode->t[1] = f->T;
    for (int i = 0; i < 2; i++) ode->u[i] = flow_variable(&ode->flow, ode->t[i]);
    ode->scratch = mem_array(width, sizeof *ode->scratch);
    p->lanes = mem_array(n, sizeof *p->lanes);
    p->memory = mem_array(mem_product(n, width, each), sizeof *p->memory);
    p->live = mem_array(n, sizeof *p->live);
    p->sample = mem_array(n, sizeof *p->sample);
    p->label = mem_array(n, sizeof *p->label);
    p->z = mem_array(2 * n, sizeof *p->z);
    if (!ode->scratch || !p->lanes || !p->memory || !p->live || !p->sample || !p->label || !p->z)
        return fail_memory();
    p->k = p->z + n;
    return DFL_OK;
}

static void enter(pool *p, const double *states) {
    const size_t width = p->ode.n;
    for (size_t i = 0; i < p->data->n; i++) {
        ode_lane *const lane = &p->lanes[i];
        double *const at = p->memory + i * (ODE_STAGES + 2) * width;
        lane->z = at;
        lane->w = at + width;
        for (size_t s = 0; s < ODE_STAGES; s++) lane->k[s] = at + (s + 2) * width;
        lane->place = i;
        lane->sample = p->data->sample[i];
        memcpy(lane->z, states + i * width, width * sizeof *states);
        ode45_begin(&p->ode, lane);
        p->live[i] = i;
    }
    p->nlive = p->data->n;
}

/* One slope of every lane that is on its way. */
static dfl_status advance(pool *p) {
    for (size_t i = 0; i < p->nlive; i++) {
        ode_lane *const lane = &p->lanes[p->live[i]];
        TRY(denoise_at(p->f->net, ode45_state(&p->ode, lane), &p->f->at[i]));
        p->z[i] = lane->w;
        p->k[i] = ode45_slope(lane);
        p->sample[i] = lane->sample;
        p->label[i] = p->data->label ? p->data->label[lane->place] : -1;
    }
    const flow_lot lot = {p->nlive, p->sample, p->label, p->data->draw, p->z, p->k};
    TRY(flow_slopes(p->f, &lot));
    size_t kept = 0;
    for (size_t i = 0; i < p->nlive; i++) {
        bool moved, done;
        TRY(ode45_take(&p->ode, &p->lanes[p->live[i]], &moved, &done));
        if (!done) p->live[kept++] = p->live[i];
    }
    p->nlive = kept;
    return DFL_OK;
}

dfl_status flow_adaptive(flow_logp *f, const flow_data *data, double *states, size_t *slopes) {
    pool p = {.f = f, .data = data};
    dfl_status status = prepare(&p);
    if (status == DFL_OK) enter(&p, states);
    while (status == DFL_OK && p.nlive > 0) status = advance(&p);
    for (size_t i = 0; status == DFL_OK && i < data->n; i++) {
        memcpy(states + i * p.ode.n, p.lanes[i].z, p.ode.n * sizeof *states);
        slopes[i] = p.lanes[i].nfe;
    }
    release(&p);
    return status;
}
