/* Each value is kept in its slot as a row: its factor on the data's mean, its map from the start's
 * normals, and, where noise is drawn, its covariance with all other slots. A row of the plan makes a
 * value from others by a linear map g (and a constant on the mean), so that
 *
 *   lead' = g lead,   cov(v', w) = g cov(., w),   cov(v', v') = g cov g',
 *
 * and an evaluation does, too: with u = a mu + e of covariance S = l a a' + b b' and y = cx x_0 + cn n,
 *
 *   E[x_0|u] = mu + l a' S^-1 e,   E[n|u] = b' S^-1 e.
 *
 * Covariances of live slots take the place of a column for each draw: a thousand draws cost no more
 * than one. */
#include "eval/recursion.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 3 }; /* of lead: mean, and the start's two components */

/* A linear map to one component: sum of c[i] times number at[i] of the slots, and of mu. */
typedef struct {
    size_t n;
    size_t at[2 * PLAN_SOURCES_MAX];
    double c[2 * PLAN_SOURCES_MAX];
    double constant;
} linear;

struct recursion {
    const dfl_plan *plan;
    size_t width, n;         /* components of a slot; numbers in all slots */
    double (*lead)[COLUMNS]; /* [n] */
    double *cov;             /* [n][n]; NULL: nothing is drawn */
    double *row;             /* [2][n] scratch: covariances of the value in the making */
    linear map[2];           /* scratch */
};

/* ---- what is refused ------------------------------------------------------------------------- */

/* Largest of |u_k|^2 or of the eigenvalues of S over what a covariance of that kind may take away from
   sigma^2, for offsets of length 1: exact moments need s^2 times this to be at most sigma^2. Offsets
   "ortho" are orthonormal rows less their mean, |u_k|^2 = 1 - 2 pi_k + sum pi^2 and S <= max pi;
   "rand_c" are scaled so that sum pi |u|^2 = 1. */
static double kernel_need(const mix_kernel *k) {
    double squares = 0, most = 0, need = 0;
    for (int i = 0; i < k->K; i++) {
        squares += k->pi[i] * k->pi[i];
        most = fmax(most, k->pi[i]);
    }
    for (int i = 0; i < k->K; i++) {
        const bool ortho = k->law == OFFSETS_ORTHO;
        const double length2 = ortho ? 1 - 2 * k->pi[i] + squares : 1 / k->pi[i];
        const double largest = (ortho ? most : 1) / (k->K * k->pi[i]);
        need = fmax(need, k->covariance == COV_RANK1 ? length2 : largest);
    }
    return need;
}

/* A kernel enters as noise of covariance sigma^2 in every direction, so it must be that. */
static dfl_status check_kernel(const mix_kernel *k, size_t sources, size_t at) {
    const bool matched = k->covariance == COV_FULL || k->covariance == COV_RANK1;
    if (k->K == 1 && k->law != OFFSETS_DATA) return DFL_OK; /* its one offset is 0 */
    if (!matched)
        return fail(DFL_E_COMBINATION,
                    "prediction: row %zu draws from a mixture whose covariance differs from "
                    "direction to direction; only covariance full or rank1 can be predicted",
                    at);
    if (k->law != OFFSETS_ORTHO && k->law != OFFSETS_RAND_C)
        return fail(DFL_E_COMBINATION,
                    "prediction: row %zu draws from a mixture whose mean is not known beforehand; "
                    "only offsets ortho or rand_c can be predicted",
                    at);
    const double variance = sources ? k->sigma * k->sigma : 0;
    if (k->s * k->s * kernel_need(k) <= variance * (1 + 1e-12)) return DFL_OK;
    return fail(DFL_E_COMBINATION,
                "prediction: row %zu draws from a mixture whose offsets may be too long for its "
                "covariance to be matched; shorter ones can be predicted",
                at);
}

static dfl_status check_row(const program *code, size_t i) {
    const row *r = &code->rows[i];
    switch (r->op) {
    case ROW_EVAL:
    case ROW_LIN:
    case ROW_NOISE:
    case ROW_STEP: return DFL_OK;
    case ROW_MIX: return check_kernel(&code->kernels[r->index], r->nsrc, i);
    default:
        return fail(DFL_E_COMBINATION,
                    "prediction: row %zu (%s) is not linear; plans of EVAL, LIN, NOISE, STEP and "
                    "MIX rows can be predicted",
                    i, plan_ops[r->op]);
    }
}

/* ---- running --------------------------------------------------------------------------------- */

static size_t place(const recursion *a, val v) {
    return (size_t)a->plan->slot[v] * a->width;
}

/* row <- the new value's covariance with all slots; own <- with itself. */
static void covariances(const recursion *a, size_t m, double own[2][2]) {
    for (size_t i = 0; i < m; i++) {
        const linear *g = &a->map[i];
        double *to = a->row + i * a->n;
        memset(to, 0, a->n * sizeof *to);
        for (size_t j = 0; j < g->n; j++) {
            const double *from = a->cov + g->at[j] * a->n;
            for (size_t k = 0; k < a->n; k++) to[k] += g->c[j] * from[k];
        }
        for (size_t j = 0; j < m; j++) {
            own[i][j] = 0;
            for (size_t k = 0; k < a->map[j].n; k++)
                own[i][j] += a->map[j].c[k] * to[a->map[j].at[k]];
        }
    }
}

static void put_covariances(const recursion *a, size_t dst, size_t m, double own[2][2]) {
    for (size_t i = 0; i < m; i++)
        for (size_t k = 0; k < a->n; k++)
            a->cov[(dst + i) * a->n + k] = a->cov[k * a->n + dst + i] = a->row[i * a->n + k];
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < m; j++) a->cov[(dst + i) * a->n + dst + j] = own[i][j];
}

/* The value becomes what the maps say; its slot may be that of a source. */
static void assign(recursion *a, val v) {
    const size_t dst = place(a, v), m = a->plan->code.comp[v];
    double lead[2][COLUMNS] = {{0}}, own[2][2];
    for (size_t i = 0; i < m; i++) {
        const linear *g = &a->map[i];
        lead[i][0] = g->constant;
        for (size_t j = 0; j < g->n; j++)
            for (size_t k = 0; k < COLUMNS; k++) lead[i][k] += g->c[j] * a->lead[g->at[j]][k];
    }
    memcpy(a->lead[dst], lead, m * sizeof *lead);
    if (!a->cov) return;
    covariances(a, m, own);
    put_covariances(a, dst, m, own);
}

/* The value becomes fresh normals of this variance, independent of all others. */
static void draw(recursion *a, val v, double variance) {
    const size_t dst = place(a, v), m = a->plan->code.comp[v];
    double own[2][2] = {{variance, 0}, {0, variance}};
    memset(a->lead[dst], 0, m * sizeof *a->lead);
    memset(a->row, 0, 2 * a->n * sizeof *a->row);
    put_covariances(a, dst, m, own);
}

static void clear_maps(recursion *a) {
    for (int i = 0; i < 2; i++) {
        a->map[i].n = 0;
        a->map[i].constant = 0;
    }
}

static void add_to_map(linear *g, size_t at, double c) {
    g->at[g->n] = at;
    g->c[g->n++] = c;
}

static void combine(recursion *a, const row *r) {
    clear_maps(a);
    for (size_t s = 0; s < r->nsrc; s++) {
        const term *t = &a->plan->code.terms[r->src + s];
        const size_t m = a->plan->code.comp[r->dst], n = t->c.m ? t->c.n : m, at = place(a, t->v);
        for (size_t i = 0; i < m; i++) {
            if (!t->c.m) add_to_map(&a->map[i], at + i, t->c.v[0]);
            for (size_t j = 0; j < n && t->c.m; j++)
                add_to_map(&a->map[i], at + j, t->c.v[i * n + j]);
        }
    }
    assign(a, r->dst);
}

/* E[x_0|u] - mu = on_x0 e and E[n|u] = on_n e. A direction without any variance has e = 0. */
typedef struct {
    double on_x0[2], on_n[2][2];
} gains;

static gains single_gains(const marginal *at, double l) {
    const double a = at->a[0], b = at->b[0], v = a * a * l + b * b;
    gains g = {{0}, {{0}}};
    if (!(v > 0)) return g;
    g.on_x0[0] = a * l / v;
    g.on_n[0][0] = b / v;
    return g;
}

/* With the adjugate B* of b: det S = det(b)^2 + l |B* a|^2, every term a product or a sum of squares,
   as src/model/mixture.c has it. */
static gains pair_gains(const marginal *at, double l) {
    const double *a = at->a, *b = at->b, det = b[0] * b[3] - b[1] * b[2];
    const double adjugate[2][2] = {{b[3], -b[1]}, {-b[2], b[0]}};
    const double f0 = b[3] * a[0] - b[1] * a[1], f1 = b[0] * a[1] - b[2] * a[0];
    const double s = det * det + l * (f0 * f0 + f1 * f1), turn[2] = {-a[1], a[0]};
    gains g = {{0}, {{0}}};
    if (!(s > 0)) return g;
    for (int j = 0; j < 2; j++) {
        g.on_x0[j] = l * (f0 * adjugate[0][j] + f1 * adjugate[1][j]) / s;
        g.on_n[0][j] = (det * adjugate[0][j] - l * f1 * turn[j]) / s;
        g.on_n[1][j] = (det * adjugate[1][j] + l * f0 * turn[j]) / s;
    }
    return g;
}

static void evaluate(recursion *a, const row *r, double l) {
    const int C = a->plan->code.components;
    const gains g = C == 1 ? single_gains(&r->at, l) : pair_gains(&r->at, l);
    const size_t at = place(a, a->plan->code.terms[r->src].v);
    clear_maps(a);
    for (int i = 0; i < a->plan->code.comp[r->dst]; i++) {
        linear *to = &a->map[i];
        to->constant = r->gives.cx[i];
        for (int j = 0; j < C; j++) {
            double c = r->gives.cx[i] * g.on_x0[j];
            for (int k = 0; k < C; k++) c += r->gives.cn[i * C + k] * g.on_n[k][j];
            add_to_map(to, at + (size_t)j, c);
            to->constant -= c * r->at.a[j];
        }
    }
    assign(a, r->dst);
}

static void set_start(recursion *a) {
    const plan_input *in = &a->plan->code.inputs[0];
    const size_t at = place(a, in->id), m = a->plan->code.comp[in->id];
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < m; j++)
            a->lead[at + i][1 + j] =
                in->scale.m ? in->scale.v[i * in->scale.n + j] : (i == j ? in->scale.v[0] : 0);
}

static void collect(const recursion *a, recursion_result *out) {
    const val v = a->plan->code.outputs[0];
    const size_t at = place(a, v), m = a->plan->code.comp[v];
    *out = (recursion_result){.components = (int)m};
    for (size_t i = 0; i < m; i++) {
        out->unit[i] = a->lead[at + i][0];
        for (size_t j = 0; j < 2; j++) out->start[i][j] = a->lead[at + i][1 + j];
        for (size_t j = 0; j < m && a->cov; j++)
            out->noise[i][j] = a->cov[(at + i) * a->n + at + j];
    }
}

void recursion_run(recursion *a, double variance, recursion_result *out) {
    const program *code = &a->plan->code;
    memset(a->lead, 0, a->n * sizeof *a->lead);
    if (a->cov) memset(a->cov, 0, a->n * a->n * sizeof *a->cov);
    set_start(a);
    for (size_t i = 0; i < code->nrows; i++) {
        const row *r = &code->rows[i];
        if (r->op == ROW_EVAL) evaluate(a, r, variance);
        if (r->op == ROW_LIN) combine(a, r);
        if (r->op == ROW_NOISE) draw(a, r->dst, 1);
        if (r->op == ROW_MIX) draw(a, r->dst, pow(code->kernels[r->index].sigma, 2));
    }
    collect(a, out);
}

/* ---- making ---------------------------------------------------------------------------------- */

dfl_status recursion_new(const dfl_plan *plan, recursion **out) {
    const program *code = &plan->code;
    *out = NULL;
    if (code->ninputs != 1 || code->noutputs != 1)
        return fail(DFL_E_COMBINATION,
                    "prediction: the plan has %zu inputs and %zu outputs; one of each can be "
                    "predicted",
                    code->ninputs, code->noutputs);
    for (size_t i = 0; i < code->nrows; i++) TRY(check_row(code, i));
    recursion *a = mem_array(1, sizeof *a);
    if (!a) return fail_memory();
    a->plan = plan;
    a->width = (size_t)plan->widest;
    a->n = plan->nslots * a->width;
    const bool draws = plan->draws + plan->picks > 0;
    a->lead = mem_array(a->n, sizeof *a->lead);
    a->row = mem_array(2 * a->n, sizeof *a->row);
    a->cov = draws ? mem_array(mem_product(a->n, a->n, 1), sizeof *a->cov) : NULL;
    if (!a->lead || !a->row || (draws && !a->cov)) {
        recursion_free(a);
        return fail_memory();
    }
    *out = a;
    return DFL_OK;
}

void recursion_free(recursion *a) {
    if (!a) return;
    free(a->lead);
    free(a->cov);
    free(a->row);
    free(a);
}
