/* The affine interpreter. For data of a Gaussian law the perfect network is affine, so every value
   is a mean plus a matrix for each independent source, and the result's mean and covariance are
   exact without drawing anything. A state of C components and d numbers is ordered as in memory:
   the first half, then the second. */
#include "support/interpret.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run/run.h"

typedef struct {
    const dfl_plan *plan;
    const gauss_law *law;
    size_t C, d, D;  /* D = C d */
    size_t cols;     /* 1 + nsources D: mean, then the matrices side by side */
    double *slots;   /* [nslots][D][cols] */
    double *scratch; /* [D][cols] */
    size_t noises, mixes;
} affine;

static double *value_of(const affine *a, val v) {
    return a->slots + (size_t)a->plan->slot[v] * a->D * a->cols;
}

static void clear(const affine *a) {
    memset(a->scratch, 0, a->D * a->cols * sizeof *a->scratch);
}

static void put(const affine *a, val v) {
    memcpy(value_of(a, v), a->scratch, a->D * a->cols * sizeof *a->scratch);
}

static double *matrix_entry(const affine *a, size_t source, size_t i, size_t j) {
    return a->scratch + i * a->cols + 1 + source * a->D + j;
}

/* scratch row i += c times row j of src */
static void add_row(const affine *a, size_t i, double c, const double *src, size_t j) {
    double *to = a->scratch + i * a->cols;
    const double *from = src + j * a->cols;
    for (size_t k = 0; k < a->cols; k++) to[k] += c * from[k];
}

static void run_lin(const affine *a, const row *r) {
    const program *code = &a->plan->code;
    clear(a);
    for (size_t s = 0; s < r->nsrc; s++) {
        const term *t = &code->terms[r->src + s];
        const double *src = value_of(a, t->v);
        const size_t m = code->comp[r->dst], n = t->c.m ? t->c.n : m;
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++) {
                const double c = t->c.m ? t->c.v[i * n + j] : (i == j ? t->c.v[0] : 0);
                for (size_t e = 0; e < a->d && c != 0; e++)
                    add_row(a, i * a->d + e, c, src, j * a->d + e);
            }
    }
    put(a, r->dst);
}

void cholesky(const double *m, size_t n, double *factor) {
    memset(factor, 0, n * n * sizeof *factor);
    for (size_t j = 0; j < n; j++) {
        double rest = m[j * n + j];
        for (size_t k = 0; k < j; k++) rest -= factor[j * n + k] * factor[j * n + k];
        if (!(rest > 1e-14 * m[j * n + j])) continue;
        factor[j * n + j] = sqrt(rest);
        for (size_t i = j + 1; i < n; i++) {
            double sum = m[i * n + j];
            for (size_t k = 0; k < j; k++) sum -= factor[i * n + k] * factor[j * n + k];
            factor[i * n + j] = sum / factor[j * n + j];
        }
    }
}

void law_marginal(const gauss_law *law, const marginal *at, int components, double *mean,
                  double *cov) {
    const size_t C = (size_t)components, d = law->dim, D = C * d;
    for (size_t i = 0; i < D; i++) {
        mean[i] = at->a[i / d] * law->mean[i % d];
        for (size_t j = 0; j < D; j++) {
            double b2 = 0;
            for (size_t k = 0; k < C; k++) b2 += at->b[i / d * C + k] * at->b[j / d * C + k];
            cov[i * D + j] = at->a[i / d] * at->a[j / d] * law->cov[i % d * d + j % d] +
                             (i % d == j % d ? b2 : 0);
        }
    }
}

/* Solves cov w = e for one right-hand side, by its Cholesky factor. */
static void solve(const double *factor, size_t n, double *e) {
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++) e[i] -= factor[i * n + k] * e[k];
        e[i] /= factor[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t k = i + 1; k < n; k++) e[i] -= factor[k * n + i] * e[k];
        e[i] /= factor[i * n + i];
    }
}

/* y = cx E[x_0 | u] + cn E[n | u], with w = cov^-1 (u - mean):
   E[x_0 | u] = m + (a' (x) Sigma) w,  E[n | u] = (b' (x) 1) w. */
static double answer(const affine *a, const row *r, const double *w, size_t i, bool is_mean) {
    const size_t C = a->C, d = a->d, out = i / d, e = i % d;
    double x0 = is_mean ? a->law->mean[e] : 0, y = 0;
    for (size_t c = 0; c < C; c++)
        for (size_t k = 0; k < d; k++) x0 += r->at.a[c] * a->law->cov[e * d + k] * w[c * d + k];
    for (size_t j = 0; j < C; j++) {
        double n = 0;
        for (size_t c = 0; c < C; c++) n += r->at.b[c * C + j] * w[c * d + e];
        y += r->gives.cn[out * C + j] * n;
    }
    return y + r->gives.cx[out] * x0;
}

static void run_eval(const affine *a, const row *r) {
    const program *code = &a->plan->code;
    double mean[STATE_MAX], cov[STATE_MAX * STATE_MAX], factor[STATE_MAX * STATE_MAX];
    law_marginal(a->law, &r->at, (int)a->C, mean, cov);
    cholesky(cov, a->D, factor);
    const double *u = value_of(a, code->terms[r->src].v);
    clear(a);
    for (size_t k = 0; k < a->cols; k++) {
        double w[STATE_MAX];
        for (size_t i = 0; i < a->D; i++) w[i] = u[i * a->cols + k] - (k == 0 ? mean[i] : 0);
        solve(factor, a->D, w);
        for (size_t i = 0; i < code->comp[r->dst] * a->d; i++)
            a->scratch[i * a->cols + k] = answer(a, r, w, i, k == 0);
    }
    put(a, r->dst);
}

static dfl_status table_normals(void *user, uint32_t table, size_t n, double *dst) {
    (void)user;
    noise_normals(0, DFL_DRAW_TABLE, table, 0, 0, n, dst);
    return DFL_OK;
}

/* Feeds the executor's kernel with 0 and with unit vectors to learn delta_k and A_k. */
static void add_component(const mix *m, int kernel, double u, double weight, double *sums) {
    double delta[STATE_MAX] = {0}, columns[STATE_MAX][STATE_MAX];
    const size_t D = (size_t)sums[0];
    mix_apply(m, kernel, u, delta);
    for (size_t j = 0; j < D; j++) {
        memset(columns[j], 0, sizeof columns[j]);
        columns[j][j] = 1;
        mix_apply(m, kernel, u, columns[j]);
    }
    for (size_t i = 0; i < D; i++) {
        sums[1 + i] += weight * delta[i];
        for (size_t k = 0; k < D; k++) {
            double second = delta[i] * delta[k];
            for (size_t j = 0; j < D; j++)
                second += (columns[j][i] - delta[i]) * (columns[j][k] - delta[k]);
            sums[1 + D + i * D + k] += weight * second;
        }
    }
}

bool mix_moments(const dfl_plan *plan, int kernel, size_t dim, double *mean, double *cov) {
    mix *m;
    if (mix_new(plan, dim, table_normals, NULL, &m) != DFL_OK) return false;
    const mix_kernel *k = &plan->code.kernels[kernel];
    double sums[1 + STATE_MAX + STATE_MAX * STATE_MAX] = {(double)dim}, below = 0;
    for (int l = 0; l < k->K; l++) {
        add_component(m, kernel, below + k->pi[l] / 2, k->pi[l], sums);
        below += k->pi[l];
    }
    mix_free(m);
    memcpy(mean, sums + 1, dim * sizeof *mean);
    for (size_t i = 0; i < dim * dim; i++)
        cov[i] = sums[1 + dim + i] - mean[i / dim] * mean[i % dim];
    return true;
}

static bool run_mix(affine *a, const row *r) {
    double mean[STATE_MAX], cov[STATE_MAX * STATE_MAX], factor[STATE_MAX * STATE_MAX];
    if (!mix_moments(a->plan, r->index, a->D, mean, cov)) return false;
    cholesky(cov, a->D, factor);
    clear(a);
    const size_t source = 1 + a->plan->draws + a->mixes++;
    for (size_t i = 0; i < a->D; i++) {
        a->scratch[i * a->cols] = mean[i];
        for (size_t j = 0; j < a->D; j++) *matrix_entry(a, source, i, j) = factor[i * a->D + j];
    }
    put(a, r->dst);
    return true;
}

static bool run_row(affine *a, const row *r) {
    switch (r->op) {
    case ROW_EVAL: run_eval(a, r); return true;
    case ROW_LIN: run_lin(a, r); return true;
    case ROW_STEP: return true;
    case ROW_MIX: return run_mix(a, r);
    case ROW_NOISE:
        clear(a);
        for (size_t i = 0; i < a->D; i++) *matrix_entry(a, 1 + a->noises, i, i) = 1;
        a->noises++;
        put(a, r->dst);
        return true;
    default: return false;
    }
}

static void set_value(const affine *a, val v, const affine_start *to) {
    clear(a);
    for (size_t i = 0; i < a->D; i++) {
        a->scratch[i * a->cols] = to->mean[i];
        for (size_t j = 0; j < a->D; j++) *matrix_entry(a, 0, i, j) = to->factor[i * a->D + j];
    }
    put(a, v);
}

static affine_start exact_at(const affine *a, const marginal *at) {
    affine_start exact;
    double cov[STATE_MAX * STATE_MAX];
    law_marginal(a->law, at, (int)a->C, exact.mean, cov);
    cholesky(cov, a->D, exact.factor);
    return exact;
}

static bool collect(const affine *a, affine_result *out) {
    const val result = a->plan->code.outputs[0];
    const double *x = value_of(a, result);
    const size_t D = a->plan->code.comp[result] * a->d;
    *out = (affine_result){.size = D, .nsources = (a->cols - 1) / a->D};
    out->matrix = calloc(out->nsources * D * a->D, sizeof(double));
    if (!out->matrix) return false;
    for (size_t i = 0; i < D; i++) {
        out->mean[i] = x[i * a->cols];
        for (size_t s = 0; s < out->nsources; s++)
            memcpy(out->matrix + (s * D + i) * a->D, x + i * a->cols + 1 + s * a->D,
                   a->D * sizeof(double));
        for (size_t j = 0; j < D; j++)
            for (size_t k = 1; k < a->cols; k++)
                out->cov[i * D + j] += x[i * a->cols + k] * x[j * a->cols + k];
    }
    return true;
}

static bool affine_new(affine *a, const dfl_plan *plan, const gauss_law *law) {
    *a = (affine){.plan = plan, .law = law, .C = (size_t)plan->code.components, .d = law->dim};
    a->D = a->C * a->d;
    a->cols = 1 + (1 + plan->draws + plan->picks) * a->D;
    a->slots = calloc(plan->nslots * a->D * a->cols, sizeof(double));
    a->scratch = calloc(a->D * a->cols, sizeof(double));
    return a->slots && a->scratch && plan->code.ninputs == 1;
}

static void affine_end(affine *a) {
    free(a->slots);
    free(a->scratch);
}

bool affine_run(const dfl_plan *plan, const gauss_law *law, const affine_start *start,
                affine_result *out) {
    const plan_input *in = &plan->code.inputs[0];
    *out = (affine_result){0};
    affine a;
    bool good = affine_new(&a, plan, law);
    if (good) {
        const affine_start exact = exact_at(&a, &in->at);
        set_value(&a, in->id, start ? start : &exact);
    }
    for (size_t i = 0; i < plan->code.nrows && good; i++) good = run_row(&a, &plan->code.rows[i]);
    if (good) good = collect(&a, out);
    affine_end(&a);
    return good;
}

static double distance(const affine *a, val v, const affine_start *to) {
    const double *x = value_of(a, v);
    double means = 0, maps = 0;
    for (size_t i = 0; i < a->D; i++) {
        means += pow(x[i * a->cols] - to->mean[i], 2);
        for (size_t j = 0; j < a->D; j++)
            maps += pow(x[i * a->cols + 1 + j] - to->factor[i * a->D + j], 2);
    }
    return sqrt(means) + sqrt(maps);
}

bool affine_local(const dfl_plan *plan, const gauss_law *law, double *error) {
    const program *code = &plan->code;
    affine a;
    bool good = affine_new(&a, plan, law) && plan->draws + plan->picks == 0;
    if (good) {
        const affine_start exact = exact_at(&a, &code->inputs[0].at);
        set_value(&a, code->inputs[0].id, &exact);
    }
    size_t step = 0;
    for (size_t i = 0; i < code->nrows && good; i++) {
        const row *r = &code->rows[i];
        good = run_row(&a, r);
        if (r->op != ROW_STEP) continue;
        const val v = code->terms[r->src].v;
        const affine_start exact = exact_at(&a, &r->at);
        error[step++] = distance(&a, v, &exact);
        set_value(&a, v, &exact);
    }
    affine_end(&a);
    return good;
}

void affine_free(affine_result *r) {
    free(r->matrix);
    r->matrix = NULL;
}

double affine_error(const dfl_plan *plan, const gauss_law *law, const affine_result *r) {
    const marginal *at = NULL;
    for (size_t i = 0; i < plan->code.nrows; i++)
        if (plan->code.rows[i].op == ROW_STEP) at = &plan->code.rows[i].at;
    if (!at) return INFINITY;
    double mean[STATE_MAX], cov[STATE_MAX * STATE_MAX], off = 0, spread = 0;
    const size_t D =
        (size_t)plan->code.components * law->dim; /* the output may be the first half */
    law_marginal(law, at, plan->code.components, mean, cov);
    for (size_t i = 0; i < r->size; i++) {
        off += (r->mean[i] - mean[i]) * (r->mean[i] - mean[i]);
        for (size_t j = 0; j < r->size; j++) {
            const double e = r->cov[i * r->size + j] - cov[i * D + j];
            spread += e * e;
        }
    }
    return sqrt(off) + sqrt(spread);
}
