/* The label interpreter: a few numbers per value instead of a sample. It runs a plan against a
   network that knows one part of its input exactly. */
#include "support/interpret.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A value is a matrix [components][width]: columns x_0; n, one per component of the state; and as
   many for each draw. */
typedef struct {
    const program *code;
    const int *slot;
    size_t C, width;
    double *slots;   /* [nslots][2][width] */
    double *scratch; /* [2][width] */
    double *bound;   /* [nslots] of the rounding errors in a value's numbers */
    uint32_t draws;
    oracle knows;
} labels;

static double *value_of(const labels *l, val v) {
    return l->slots + (size_t)l->slot[v] * 2 * l->width;
}

static double *bound_of(const labels *l, val v) {
    return l->bound + l->slot[v];
}

static double size_of(const labels *l, const double *value) {
    double sum = 0;
    for (size_t i = 0; i < l->C * l->width; i++) sum += value[i] * value[i];
    return sqrt(sum);
}

/* scratch becomes v, known up to `inherited` and its own rounding. */
static void put(const labels *l, val v, double inherited) {
    *bound_of(l, v) = inherited + DBL_EPSILON * size_of(l, l->scratch);
    memcpy(value_of(l, v), l->scratch, 2 * l->width * sizeof *l->scratch);
}

/* scratch <- scratch + c src, with a number or an m x n block. */
static void add_term(const labels *l, const term *s, size_t components) {
    const double *src = value_of(l, s->v);
    const size_t n = s->c.m ? s->c.n : components;
    for (size_t i = 0; i < components; i++)
        for (size_t j = 0; j < n; j++) {
            const double c = s->c.m ? s->c.v[i * n + j] : (i == j ? s->c.v[0] : 0);
            for (size_t k = 0; k < l->width; k++)
                l->scratch[i * l->width + k] += c * src[j * l->width + k];
        }
}

static double largest(blk c) {
    double most = 0;
    for (int i = 0; i < 4; i++) most = fmax(most, fabs(c.v[i]));
    return c.m ? 2 * most : most;
}

static void run_lin(const labels *l, const row *r) {
    memset(l->scratch, 0, 2 * l->width * sizeof *l->scratch);
    double inherited = 0;
    for (size_t j = 0; j < r->nsrc; j++) {
        const term *s = &l->code->terms[r->src + j];
        add_term(l, s, l->code->comp[r->dst]);
        inherited +=
            largest(s->c) * (*bound_of(l, s->v) + DBL_EPSILON * size_of(l, value_of(l, s->v)));
    }
    put(l, r->dst, inherited);
}

static void run_noise(labels *l, const row *r) {
    memset(l->scratch, 0, 2 * l->width * sizeof *l->scratch);
    for (size_t i = 0; i < l->C; i++) l->scratch[i * l->width + 1 + l->C + l->draws * l->C + i] = 1;
    l->draws++;
    put(l, r->dst, 0);
}

/* A kernel's moments are those of sigma z. */
static void run_mix(const labels *l, const row *r) {
    memset(l->scratch, 0, 2 * l->width * sizeof *l->scratch);
    if (r->nsrc) {
        const term scaled = {l->code->terms[r->src].v, blk_real(l->code->kernels[r->index].sigma)};
        add_term(l, &scaled, l->C);
    }
    put(l, r->dst, 0);
}

/* Entry k of the noise that the input u implies: n = b^-1 (u - a x_0), component by component. */
static void implied_noise(const labels *l, const row *r, const double *u, size_t k, double *n) {
    const double *a = r->at.a, *b = r->at.b, known = k == 0;
    const double e0 = u[k] - a[0] * known;
    if (l->C == 1) {
        n[0] = e0 / b[0];
        return;
    }
    const double e1 = u[l->width + k] - a[1] * known, det = b[0] * b[3] - b[1] * b[2];
    n[0] = (b[3] * e0 - b[1] * e1) / det;
    n[1] = (b[0] * e1 - b[2] * e0) / det;
}

/* Rounding of the input and of the difference that recovers n (or x_0) from it, in the answer. */
static double answer_bound(const labels *l, const row *r) {
    const val src = l->code->terms[r->src].v;
    const double *a = r->at.a, *b = r->at.b;
    const double in = *bound_of(l, src) + DBL_EPSILON * (size_of(l, value_of(l, src)) + fabs(a[0]));
    double most_b = 0, gives = 0;
    for (int i = 0; i < 4; i++) {
        most_b = fmax(most_b, fabs(b[i]));
        gives = fmax(gives, fabs(r->gives.cn[i]));
    }
    if (l->knows == KNOWS_N) return in / fabs(a[0]) * fabs(r->gives.cx[0]);
    const double inverse = l->C == 1 ? 1 / b[0] : 2 * most_b / fabs(b[0] * b[3] - b[1] * b[2]);
    return gives * fabs(inverse) * in;
}

static void run_eval(const labels *l, const row *r) {
    const double *u = value_of(l, l->code->terms[r->src].v);
    for (size_t k = 0; k < l->width; k++) {
        double x0 = k == 0, n[2] = {k == 1, 0};
        if (l->knows == KNOWS_X0)
            implied_noise(l, r, u, k, n);
        else
            x0 = (u[k] - r->at.b[0] * n[0]) / r->at.a[0];
        for (size_t i = 0; i < l->code->comp[r->dst]; i++) {
            double y = r->gives.cx[i] * x0;
            for (size_t j = 0; j < l->C; j++) y += r->gives.cn[i * l->C + j] * n[j];
            l->scratch[i * l->width + k] = y;
        }
    }
    put(l, r->dst, answer_bound(l, r));
}

static double defect(const labels *l, val v, const marginal *at) {
    const double *x = value_of(l, v);
    double worst = 0;
    for (size_t i = 0; i < l->C; i++) {
        worst = fmax(worst, fabs(x[i * l->width] - at->a[i]));
        for (size_t j = 0; j < l->C; j++) {
            double off = 0;
            for (size_t k = 1; k < l->width; k++) off += x[i * l->width + k] * x[j * l->width + k];
            for (size_t k = 0; k < l->C; k++) off -= at->b[i * l->C + k] * at->b[j * l->C + k];
            worst = fmax(worst, fabs(off));
            if (isnan(off)) return INFINITY;
        }
    }
    return worst;
}

static double note(const labels *l, const row *r, label_defect *worst) {
    const val v = l->code->terms[r->src].v;
    const double off = defect(l, v, &r->at), size = size_of(l, value_of(l, v));
    const double rounding = (*bound_of(l, v) + DBL_EPSILON) * fmax(1, 2 * size);
    worst->rounding = fmax(worst->rounding, rounding);
    worst->over = fmax(worst->over, off / rounding);
    return off;
}

static bool run_row(labels *l, const row *r, label_defect *worst) {
    switch (r->op) {
    case ROW_EVAL:
        worst->eval = fmax(worst->eval, note(l, r, worst));
        run_eval(l, r);
        return true;
    case ROW_STEP:
        worst->last = note(l, r, worst);
        worst->step = fmax(worst->step, worst->last);
        return true;
    case ROW_LIN: run_lin(l, r); return true;
    case ROW_NOISE: run_noise(l, r); return true;
    case ROW_MIX: run_mix(l, r); return true;
    default: return false;
    }
}

static bool labels_new(labels *l, const dfl_plan *plan, oracle knows) {
    const program *code = &plan->code;
    const size_t C = (size_t)code->components;
    if (code->ninputs != 1) return false;
    if (knows == KNOWS_N && (C != 1 || plan->draws)) return false;
    *l = (labels){.code = code, .slot = plan->slot, .C = C, .knows = knows};
    l->width = 1 + C + C * plan->draws;
    l->slots = calloc(plan->nslots * 2 * l->width, sizeof(double));
    l->scratch = calloc(2 * l->width, sizeof(double));
    l->bound = calloc(plan->nslots, sizeof(double));
    return l->slots && l->scratch && l->bound;
}

static void labels_free(labels *l) {
    free(l->slots);
    free(l->scratch);
    free(l->bound);
}

/* v has the label that it should have. */
static void set_label(const labels *l, val v, const marginal *at) {
    memset(l->scratch, 0, 2 * l->width * sizeof *l->scratch);
    for (size_t i = 0; i < l->C; i++) {
        l->scratch[i * l->width] = at->a[i];
        for (size_t j = 0; j < l->C; j++) l->scratch[i * l->width + 1 + j] = at->b[i * l->C + j];
    }
    put(l, v, 0);
}

bool labels_run(const dfl_plan *plan, oracle knows, label_defect *worst) {
    const program *code = &plan->code;
    *worst = (label_defect){0};
    labels l = {0};
    bool linear = labels_new(&l, plan, knows);
    if (linear) set_label(&l, code->inputs[0].id, &code->inputs[0].at);
    for (size_t i = 0; i < code->nrows && linear; i++) linear = run_row(&l, &code->rows[i], worst);
    labels_free(&l);
    return linear;
}

bool labels_local(const dfl_plan *plan, oracle knows, double *alpha, double *square,
                  double *input) {
    const program *code = &plan->code;
    labels l = {0};
    bool linear = labels_new(&l, plan, knows) && l.C == 1;
    if (linear) set_label(&l, code->inputs[0].id, &code->inputs[0].at);
    size_t step = 0;
    bool fresh = true; /* no evaluation yet since the last STEP */
    *input = 0;
    for (size_t i = 0; i < code->nrows && linear; i++) {
        const row *r = &code->rows[i];
        label_defect seen = {0};
        linear = run_row(&l, r, &seen);
        if (fresh) *input = fmax(*input, seen.eval);
        if (r->op == ROW_EVAL) fresh = false;
        if (r->op != ROW_STEP) continue;
        fresh = true;
        const val v = code->terms[r->src].v;
        const double *x = value_of(&l, v);
        alpha[step] = x[0] - r->at.a[0];
        square[step] = -r->at.b[0] * r->at.b[0];
        for (size_t k = 1; k < l.width; k++) square[step] += x[k] * x[k];
        step++;
        set_label(&l, v, &r->at);
    }
    labels_free(&l);
    return linear;
}
