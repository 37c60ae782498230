#include "support/exact.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"
#include "support/cases.h"

/* The mixture of the references; tests/data/mixture2d.json holds the same numbers. */
enum { KINDS = 3 };
static const double weight[KINDS] = {0.5, 0.3, 0.2};
static const double mean[KINDS][EXACT_DIM] = {{1.2, -0.4}, {-0.9, 0.8}, {0.1, -1.5}};
static const double deviation[KINDS][EXACT_DIM] = {{0.25, 0.4}, {0.3, 0.2}, {0.15, 0.35}};

/* Solves V w = e, symmetric, size 1 or 2; returns log det V. */
static double solve(int size, const double *V, const double *e, double *w) {
    if (size == 1) {
        w[0] = e[0] / V[0];
        return log(V[0]);
    }
    const double det = V[0] * V[3] - V[1] * V[2];
    w[0] = (V[3] * e[0] - V[1] * e[1]) / det;
    w[1] = (V[0] * e[1] - V[2] * e[0]) / det;
    return log(det);
}

void exact_score(int components, const double *a, const double *S, const double *z, double *score) {
    const int C = components;
    double pull[KINDS][EXACT_STATE], share[KINDS], top = -INFINITY, sum = 0;
    for (int k = 0; k < KINDS; k++) {
        share[k] = log(weight[k]);
        for (int d = 0; d < EXACT_DIM; d++) {
            double V[4], e[2], w[2];
            for (int i = 0; i < C; i++) {
                e[i] = z[i * EXACT_DIM + d] - a[i] * mean[k][d];
                for (int j = 0; j < C; j++)
                    V[i * C + j] = S[i * C + j] + a[i] * a[j] * deviation[k][d] * deviation[k][d];
            }
            share[k] -= solve(C, V, e, w) / 2;
            for (int i = 0; i < C; i++) {
                share[k] -= e[i] * w[i] / 2;
                pull[k][i * EXACT_DIM + d] = -w[i];
            }
        }
        top = fmax(top, share[k]);
    }
    for (int k = 0; k < KINDS; k++) sum += share[k] = exp(share[k] - top);
    memset(score, 0, (size_t)(C * EXACT_DIM) * sizeof *score);
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; i < C * EXACT_DIM; i++) score[i] += share[k] / sum * pull[k][i];
}

int exact_eval(void *user, const dfl_request *rq) {
    const exact_network *exact = user;
    const int C = rq->components;
    const double *b = rq->at.b;
    double S[4];
    for (int i = 0; i < C; i++)
        for (int j = 0; j < C; j++) {
            S[i * C + j] = i == j ? -exact->numerical_eps : 0;
            for (int k = 0; k < C; k++) S[i * C + j] += b[i * C + k] * b[j * C + k];
        }
    for (size_t n = 0; n < rq->count; n++) {
        const double *z = (const double *)rq->input + n * rq->input_dim;
        double *y = (double *)rq->output + n * rq->output_dim, score[EXACT_STATE];
        exact_score(C, rq->at.a, S, z, score);
        for (int o = 0; o < rq->output_components; o++)
            for (int d = 0; d < EXACT_DIM; d++) {
                double sum = 0;
                for (int j = 0; j < C; j++)
                    for (int i = 0; i < C; i++)
                        sum -= rq->gives.cn[o * C + j] * b[i * C + j] * score[i * EXACT_DIM + d];
                y[o * EXACT_DIM + d] = sum;
            }
    }
    return 0;
}

/* ---- runs ------------------------------------------------------------------------------------ */

typedef struct {
    const exact_case *c;
    exact_result *out;
    size_t size; /* numbers in all states */
} recorder;

static int keep_states(void *user, size_t step, size_t steps, double t, uint64_t first,
                       size_t count, const void *state) {
    (void)step, (void)steps, (void)t, (void)first, (void)count;
    const recorder *r = user;
    double *const oldest = r->out->before;
    r->out->before = r->out->last;
    r->out->last = oldest;
    memcpy(oldest, state, r->size * sizeof(double));
    return 0;
}

static int replay(void *user, int kind, uint32_t draw, uint64_t first, size_t count, size_t dim,
                  double *dst) {
    const recorder *r = user;
    if (kind != DFL_DRAW_NOISE || !r->c->noise) return 1;
    memcpy(dst, r->c->noise + (draw * r->c->samples + first) * dim, count * dim * sizeof *dst);
    return 0;
}

static dfl_model *open_network(const exact_case *c, exact_network *exact) {
    const bool phase = strncmp(c->process, "vp", 2) != 0;
    const char *option = strstr(c->process, "numerical_eps=");
    char json[512];
    dfl_model *model;
    exact->numerical_eps = !phase ? 0 : option ? strtod(option + 14, NULL) : 1e-9;
    snprintf(json, sizeof json,
             "{\"format\": \"driftless-model/1\", \"process\": {\"type\": \"%s\"}, %s%s%s%s%s"
             "\"prediction_type\": \"%s\", \"sample\": {\"shape\": [%d]}, \"t_min\": 1e-3, "
             "\"t_max\": 1}",
             phase ? "psld" : "vp_linear",
             phase ? "\"state_components\": 2, \"output_half\": \"" : "", phase ? c->half : "",
             phase ? "\", \"score_matching\": \"" : "",
             !phase        ? ""
             : c->matching ? c->matching
                           : "hsm",
             phase ? "\", " : "", c->prediction ? c->prediction : "epsilon", EXACT_DIM);
    assert_ok(dfl_model_callback(json, exact_eval, exact, &model));
    return model;
}

void exact_run(const exact_case *c, exact_result *out) {
    exact_network exact;
    dfl_model *model = open_network(c, &exact);
    dfl_plan *plan;
    dfl_run *run;
    text spec = {0};
    text_add(&spec, "process='%s' %s", c->process, c->spec);
    if (dfl_plan_new(model, spec.data, &plan) != DFL_OK)
        REFUTE("%s: %s", spec.data, dfl_last_message());
    const size_t state = (size_t)dfl_plan_components(plan) * EXACT_DIM, size = c->samples * state;
    *out = (exact_result){dfl_plan_nfe(plan), dfl_plan_steps(plan), 0, calloc(size, sizeof(double)),
                          calloc(size, sizeof(double))};
    for (size_t i = 0; i < plan->code.nrows; i++)
        if (plan->code.rows[i].op == ROW_EVAL)
            out->answered = plan->code.comp[plan->code.rows[i].dst];
    recorder r = {c, out, size};
    double *samples = calloc(size, sizeof *samples);
    assert_true(out->before && out->last && samples);
    assert_ok(dfl_run_new(plan, model, "dtype=float64,batch=4096", &run));
    dfl_run_observe(run, keep_states, &r);
    dfl_run_noise(run, replay, &r);
    if (dfl_run_sample(run, 0, c->samples, NULL, c->start, samples) != DFL_OK)
        REFUTE("%s: %s", spec.data, dfl_last_message());
    free(samples);
    dfl_run_free(run);
    plan_free(plan);
    dfl_model_free(model);
    text_free(&spec);
}

void exact_free(exact_result *r) {
    free(r->before);
    free(r->last);
    *r = (exact_result){0};
}

double farthest(const double *a, const double *b, size_t n) {
    double worst = 0;
    for (size_t i = 0; i < n; i++) worst = fmax(worst, fabs(a[i] - b[i]));
    return worst;
}
